#include "api/problem.h"

#include <fstream>
#include <regex>
#include <set>

#include "api/codes.h"
#include "api/health.h"
#include "api/rig_test.h"
#include "base/redactor.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

using Pairs = std::set<std::pair<std::string, std::string>>;  // code, status

// The rows "| statuses | `code`, `code` | when | what to do |" of the first table of docs/errors.md.
Pairs documented_codes() {
  std::ifstream file(std::string(AGENTROUTER_SOURCE_DIR) + "/docs/errors.md");
  Pairs found;
  const std::regex row(R"(\| ([0-9, ]+) \| (`[^|]*`) \| ([^|]+) \| ([^|]+) \|)");
  const std::regex word("`([a-z_]+)`");
  const std::regex number("[0-9]+");
  for (std::string line; std::getline(file, line);) {
    std::smatch parts;
    if (!std::regex_match(line, parts, row)) continue;
    const std::string statuses = parts[1];
    const std::string codes = parts[2];
    for (std::sregex_iterator code(codes.begin(), codes.end(), word), end; code != end; ++code) {
      for (std::sregex_iterator status(statuses.begin(), statuses.end(), number); status != end; ++status)
        found.emplace((*code)[1], status->str());
    }
  }
  return found;
}

TEST(Codes, EachIsDocumentedWithItsStatusesAndNothingElseIs) {
  Pairs known;
  for (const auto& facts : all_codes()) {
    for (const int status : facts.statuses) known.emplace(facts.code, std::to_string(status));
    EXPECT_FALSE(facts.title.empty()) << facts.code;
  }
  EXPECT_EQ(documented_codes(), known);
}

// What a remote says to a push, for one.
TEST(Problem, TellsNoSecretWhoeverItsWordsComeFrom) {
  const std::string_view token = "ghp_pushTokenOfTheServer0123";
  base::hide_in_logs(base::Redactor(std::vector{token}, base::system_entropy()));
  const base::Error error{
      base::Code::conflict,
      "The remote refuses the branch: \x1b[2J" + std::string(token) + std::string(100'000, 'x'),
      "push_rejected", "{\"said\":\"" + std::string(token) + "\"}"};
  for (const auto form : {ErrorForm::envelope, ErrorForm::problem}) {
    const auto told = problem(error, {"req_1", form, "/v1/" + std::string(token)});
    EXPECT_EQ(told.status, 409);
    EXPECT_THAT(told.body, HasSubstr("The remote refuses the branch:  [2J[REDACTED]x"));
    EXPECT_THAT(told.body, HasSubstr(R"("said":"[REDACTED]")"));
    EXPECT_THAT(told.body, Not(HasSubstr("ghp_push")));
    EXPECT_LT(told.body.size(), 5'000u);
    EXPECT_TRUE(base::parse_json(told.body));
  }
  base::hide_in_logs(base::Redactor());
}

TEST(Problem, AReasonThatIsNoCodeIsToldByTheClassOfItsError) {
  const Occasion occasion{"req_1"};
  using base::Code;
  const std::tuple<base::Error, int, const char*> table[] = {
      {{Code::invalid, "m", "no_such_word"}, 400, "bad_request"},
      {{Code::not_found, "m", "attempt_not_found"}, 404, "not_found"},
      {{Code::conflict, "m", "lease_lost"}, 409, "conflict"},
      {{Code::unavailable, "m", "store_closed"}, 503, "unavailable"},
      {{Code::timeout, "m"}, 503, "unavailable"},
      {{Code::cancelled, "m"}, 503, "unavailable"},
      {{Code::denied, "m", "storage_failed"}, 503, "storage_failed"},
      {{Code::corrupt, "secret", "file_corrupt"}, 500, "internal_error"},
      {{Code::internal, "secret"}, 500, "internal_error"},
  };
  for (const auto& [error, status, code] : table) {
    const auto response = problem(error, occasion);
    EXPECT_EQ(response.status, status) << error.reason;
    EXPECT_THAT(response.body,
                AllOf(HasSubstr("\"code\":\"" + std::string(code) + "\""), Not(HasSubstr("secret"))));
  }
}

TEST(Problem, WhatPassesIsToldWithATimeToTryAgain) {
  for (const char* code : {"idempotency_in_progress", "run_busy", "unavailable", "storage_full"}) {
    const auto response = problem({base::Code::unavailable, "m", code}, {"req_1"});
    EXPECT_THAT(std::string(response.headers.get("Retry-After")), MatchesRegex("[0-9]+")) << code;
  }
  const auto lasting = problem({base::Code::conflict, "m", "session_closed"}, {"req_1"});
  EXPECT_FALSE(lasting.headers.find("Retry-After"));
}

class Errors : public ApiRig {};

TEST_F(Errors, TheEnvelopeHasDetailsExceptWhereNothingIsTyped) {
  EXPECT_THAT(get("/v1/runs/none").body,
              AllOf(StartsWith("{\"error\":{\"code\":\"run_not_found\",\"message\":\""),
                    HasSubstr("\"details\":{}}}")));
  EXPECT_THAT(post("/v1/runs", "{broken").body, Not(HasSubstr("details")));
}

TEST_F(Errors, WhoPrefersProblemsGetsThem) {
  const std::string accept = "Accept: application/json, application/problem+json\r\n";
  const auto reply = get("/v1/runs/none?x=1", accept + "X-Request-Id: mine-1\r\n");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.header("Content-Type"), "application/problem+json; charset=utf-8");
  EXPECT_EQ(reply.header("X-Request-Id"), "mine-1");
  const auto body = reply.object();
  EXPECT_EQ(body.at("type").as_string(), "urn:agentrouter:error:run_not_found");
  EXPECT_EQ(body.at("title").as_string(), "There is no such run");
  EXPECT_EQ(body.at("status").as_int64(), 404);
  EXPECT_FALSE(body.at("detail").as_string().empty());
  EXPECT_EQ(body.at("instance").as_string(), "/v1/runs/none");
  EXPECT_EQ(body.at("code").as_string(), "run_not_found");
  EXPECT_EQ(body.at("requestId").as_string(), "mine-1");
  const auto invalid = post("/v1/runs", "{}", accept).object();
  EXPECT_EQ(invalid.at("details").at("issues").at(0).at("path").at(0).as_string(), "task");
  EXPECT_FALSE(post("/v1/runs", "{broken", accept).object().contains("details"));
  EXPECT_EQ(raw(request("GET", "/v1/runs", "", accept)).header("Content-Type"),
            "application/problem+json; charset=utf-8");
  EXPECT_EQ(get("/v1/runs/none", "Accept: application/json, application/problem+json;q=0.5\r\n")
                .header("Content-Type"),
            "application/json; charset=utf-8");
}

TEST_F(Errors, EveryReplyHasARequestIdAndAPlainOneOfTheCallerStays) {
  for (const auto& good : std::vector<std::string>{"a", "A.b_c-9", std::string(128, 'x')}) {
    EXPECT_EQ(get("/v1/runs", "X-Request-Id: " + good + "\r\n").header("X-Request-Id"), good);
    EXPECT_EQ(get("/v1/none", "X-Request-Id: " + good + "\r\n").header("X-Request-Id"), good);
  }
  for (const auto& bad :
       std::vector<std::string>{"", "a b", "a/b", "\xc3\xa9", "a,b", std::string(129, 'x')}) {
    EXPECT_THAT(get("/v1/runs", "X-Request-Id: " + bad + "\r\n").header("X-Request-Id"), StartsWith("req_"))
        << bad;
  }
  EXPECT_THAT(get("/v1/runs", "X-Request-Id: a\r\nX-Request-Id: b\r\n").header("X-Request-Id"),
              StartsWith("req_"));
  EXPECT_THAT(raw(request("GET", "/healthz", "", "")).header("X-Request-Id"), StartsWith("req_"));
}

TEST_F(Errors, WhatNoHandlerAnswersLooksTheSame) {
  const std::string large = "X: " + std::string(20'000, 'y') + "\r\n";
  const std::pair<std::string, int> table[] = {
      {"hello\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505},
      {"GET / HTTP/1.1\r\nHost: x\r\n" + large + "\r\n", 431},
      {"POST /v1/runs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST /v1/runs HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417},
      {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
  };
  for (const auto& [text, status] : table) {
    const auto reply = raw(text);
    EXPECT_EQ(reply.status, status) << text.substr(0, 40);
    EXPECT_EQ(reply.error_code(), "bad_request");
    EXPECT_THAT(reply.header("X-Request-Id"), StartsWith("req_"));
    EXPECT_THAT(reply.header("Content-Type"), StartsWith("application/json"));
    EXPECT_THAT(reply.body, Not(HasSubstr("details")));
  }
}

TEST_F(Errors, AnAnswerToHeadHasTheHeadOfTheError) {
  const auto reply = raw(request("HEAD", "/v1/runs/none", "", key()));
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "");
  EXPECT_NE(reply.header("Content-Length"), "0");
}

TEST_F(Errors, AStoreThatIsAwayIs503AndNever500) {
  const auto id = created();
  store_->close();
  for (const auto& reply : {get("/v1/runs"), get("/v1/runs/" + id), get("/v1/runs/" + id + "/stream"),
                            post("/v1/runs", R"({"task":"t"})"), post("/v1/runs/" + id + "/cancel", "")}) {
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.error_code(), "unavailable");
    EXPECT_EQ(reply.header("Retry-After"), "1");
  }
}

TEST(Problem, ADefectSaysNothingOfItsCauseInEitherForm) {
  testing::FixedEntropy entropy;
  net::Request request;
  request.path = "/v1/runs";
  request.headers.add("Accept", "application/problem+json");
  request.headers.add("X-Request-Id", "mine");
  const auto response = problem(net::ServerError{500, "internal_error", "internal error", &request}, entropy);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.headers.get("X-Request-Id"), "mine");
  EXPECT_EQ(response.body,
            R"({"type":"urn:agentrouter:error:internal_error","title":"A defect of the server","status":500,)"
            R"("detail":"internal error","instance":"/v1/runs","code":"internal_error","requestId":"mine"})");
}

TEST_F(Errors, AnExceptionOfARouteIs500WithTheRequestIdOfItsLogLineAndTheServerGoesOn) {
  const std::string body = R"({"task":"t","workspace":{"path":"/defect"}})";
  const auto attempt = "POST /v1/runs HTTP/1.1\r\nHost: x\r\n" + key() +
                       "Content-Type: application/json\r\n" +
                       "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  ::testing::internal::CaptureStderr();
  Wire wire(port_);
  wire.send(attempt);
  const auto reply = read_reply(wire.read_until("}}"));
  wire.send("GET /v1/runs HTTP/1.1\r\nHost: x\r\n" + key() + "Connection: close\r\n\r\n");
  const auto both = wire.read_to_end();
  const auto logged = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, R"({"error":{"code":"internal_error","message":"Internal server error"}})");
  const auto id = reply.header("X-Request-Id");
  EXPECT_THAT(id, StartsWith("req_"));
  EXPECT_THAT(logged, HasSubstr(R"("level":"error","msg":"a request failed","requestId":")" + id +
                                R"(","path":"/v1/runs")"));
  EXPECT_THAT(logged, HasSubstr("what only the log may say"));
  EXPECT_THAT(both, AllOf(HasSubstr("HTTP/1.1 200 OK"), HasSubstr(R"({"items":[]})"))) << "the connection";
  EXPECT_FALSE(created().empty()) << "another connection";
}

// The API behind a server that waits for a body but briefly and has room for one connection.
class NarrowServer : public ApiRig {
 protected:
  NarrowServer() {
    std::promise<std::uint16_t> port;
    asio::post(io_, [&] { port.set_value(base::value_or_throw(narrow_.listen("127.0.0.1", 0))); });
    port_ = port.get_future().get();
  }
  ~NarrowServer() override {
    on_task([this]() -> base::Task<void> {
      co_await narrow_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
    });
  }

  net::Server narrow_{io_.get_executor(),
                      api_,
                      [this](const net::ServerError& error) { return api_.error_reply(error); },
                      {.max_connections = 1, .body_timeout = std::chrono::milliseconds(50)}};
};

TEST_F(NarrowServer, ABodyThatDoesNotComeIs408) {
  const auto reply = raw("POST /v1/runs HTTP/1.1\r\nHost: x\r\n" + key() +
                         "Content-Type: application/json\r\nContent-Length: 5\r\n\r\n{");
  EXPECT_EQ(reply.status, 408);
  EXPECT_EQ(reply.error_code(), "bad_request");
  EXPECT_THAT(reply.header("X-Request-Id"), StartsWith("req_"));
}

TEST_F(NarrowServer, OneConnectionTooManyIs503WithATimeToTryAgain) {
  Wire held(port_);
  held.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  held.read_until("\"ok\":true");
  const auto reply = get("/v1/runs");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.error_code(), "unavailable");
  EXPECT_EQ(reply.header("Retry-After"), "1");
  EXPECT_THAT(reply.header("X-Request-Id"), StartsWith("req_"));
}

}  // namespace
}  // namespace agentrouter::api
