#include "api/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <future>
#include <thread>

#include "api/problem.h"
#include "base/json.h"
#include "blobs/fs/fs_blobs.h"
#include "net/server.h"
#include "runs/create.h"
#include "store/sqlite/sqlite_store.h"
#include "stream/sse.h"
#include "testing/builders.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/temp_dir.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Reply {
  int status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] json::object object() const {
    return base::value_or_throw(base::parse_json(body)).as_object();
  }
  [[nodiscard]] std::string error_code() const {
    return std::string(base::get_string(*base::get_object(object(), "error"), "code").value_or(""));
  }
};

// A client that sends what it is told to, byte for byte.
class Wire {
 public:
  explicit Wire(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    base::value_or_throw(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0
                             ? base::Result<void>{}
                             : base::fail_errno("connect", errno));
    const timeval patience{20, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void send(const std::string& bytes) { base::value_or_throw(base::write_all(socket_.get(), bytes)); }
  // Reads until `mark` has come or the peer closes; gives everything so far.
  const std::string& read_until(const std::string& mark) {
    char buffer[4096];
    while (text_.find(mark) == std::string::npos) {
      const auto got = ::read(socket_.get(), buffer, sizeof buffer);
      if (got <= 0) break;
      text_.append(buffer, static_cast<std::size_t>(got));
    }
    return text_;
  }
  const std::string& read_to_end() { return read_until(std::string("\0never", 6)); }

 private:
  base::Fd socket_;
  std::string text_;
};

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    port_ = on_loop([this] { return base::value_or_throw(server_.listen("127.0.0.1", 0)); });
  }
  ~ApiTest() override {
    on_task([this]() -> base::Task<void> {
      co_await server_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
    });
    work_.reset();
    thread_.join();
    store_->close();
  }

  template <class Call>
  auto on_loop(Call call) -> decltype(call()) {
    std::packaged_task<decltype(call())()> task(std::move(call));
    auto result = task.get_future();
    asio::post(io_, [&task] { task(); });
    return result.get();
  }
  template <class MakeTask>
  void on_task(MakeTask make) {
    std::promise<void> done;
    asio::co_spawn(io_.get_executor(), make(), [&done](std::exception_ptr error) {
      error ? done.set_exception(error) : done.set_value();
    });
    done.get_future().get();
  }

  std::string request(const std::string& method, const std::string& target, const std::string& body,
                      const std::string& headers) {
    std::string text = method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers;
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return text + "\r\n" + body;
  }
  Reply raw(const std::string& text) {
    Wire wire(port_);
    wire.send(text);
    const auto& all = wire.read_to_end();
    const auto end = all.find("\r\n\r\n");
    Reply reply{
        .status = std::stoi(all.substr(9, 3)), .head = all.substr(0, end), .body = all.substr(end + 4)};
    return reply;
  }
  static std::string key() { return "Authorization: Bearer test-key\r\n"; }
  Reply get(const std::string& target) { return raw(request("GET", target, "", key())); }
  Reply post(const std::string& target, const std::string& body, const std::string& more = "") {
    return raw(request("POST", target, body, key() + "Content-Type: application/json\r\n" + more));
  }
  std::string created() {
    return std::string(base::get_string(post("/v1/runs", R"({"task":"t"})").object(), "id").value());
  }

  void append(const std::string& run, const std::string& type, const std::string& payload = "{}") {
    on_task([&]() -> base::Task<void> {
      co_await store_->write(
          [&](store::Transaction& tx) { tx.append(model::RunId(run), testing::make_draft(type, payload)); });
    });
  }
  void end_run(const std::string& id) {
    on_task([&]() -> base::Task<void> {
      co_await store_->write([&](store::Transaction& tx) {
        tx.append(model::RunId(id), testing::make_draft("run.completed", R"({"message":"completed"})"));
        auto run = *tx.run(model::RunId(id));
        run.status = model::RunStatus::completed;
        tx.update_run(run);
      });
    });
  }

  testing::TempDir folder_;
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_;
  asio::io_context io_{1};
  base::Pool pool_{1};
  std::unique_ptr<store::Store> store_ =
      base::value_or_throw(store::open_sqlite_store(folder_.path() / "db"));
  std::unique_ptr<blobs::BlobStore> blobs_ =
      base::value_or_throw(blobs::open_fs_blobs(folder_.path() / "blobs"));
  stream::Hub hub_{io_.get_executor(), *store_};
  Api api_{{*store_, *blobs_, hub_, pool_, clock_, entropy_},
           Authenticator("test-key"),
           {.admit_workspace = [](std::string_view path) -> base::Result<std::string> {
              if (path == "/allowed") return std::string(path);
              return base::fail(base::Code::invalid, "not allowed", "workspace_forbidden");
            },
            .heartbeat = std::chrono::milliseconds(50)}};
  net::Server server_{io_.get_executor(), api_,
                      [](int status, std::string_view code, std::string_view message) {
                        return problem(status, code, message);
                      }};
  std::optional<asio::executor_work_guard<base::Executor>> work_{io_.get_executor()};
  std::thread thread_{[this] { io_.run(); }};
  std::uint16_t port_ = 0;
};

TEST_F(ApiTest, HealthNeedsNoKeyAndEverythingElseDoesBeforeAnythingIsJudged) {
  EXPECT_EQ(raw(request("GET", "/healthz", "", "")).body, R"({"ok":true})");
  for (const char* header : {"", "Authorization: Bearer wrong\r\n", "Authorization: bearer test-key\r\n",
                             "Authorization: test-key\r\n"}) {
    for (const char* target : {"/v1/runs", "/v1/none", "/"}) {
      const auto reply = raw(request("POST", target, "{broken", header));
      EXPECT_EQ(reply.status, 401) << header << target;
      EXPECT_EQ(reply.error_code(), "unauthorized");
    }
  }
  EXPECT_EQ(raw(request("GET", "/v1/runs", "", "Authorization: Bearer  test-key \r\n")).status, 200);
}

TEST_F(ApiTest, UnknownRouteIs404AndWrongMethodIs405WithAllow) {
  EXPECT_EQ(get("/v1/sessions").error_code(), "not_found");
  EXPECT_EQ(get("/v1/runs/").error_code(), "not_found");
  EXPECT_EQ(post("/healthz", "{}").error_code(), "method_not_allowed");
  EXPECT_EQ(get("/v1/runs/").status, 404);
  const auto reply = raw(request("DELETE", "/v1/runs", "", key()));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.error_code(), "method_not_allowed");
  EXPECT_THAT(reply.head, HasSubstr("Allow: GET, HEAD, POST"));
}

TEST_F(ApiTest, CreatedRunIsQueuedAndCanBeReadBack) {
  const auto reply = post("/v1/runs", R"({"task":"  hi  ","runtime":{"kind":"codex","model":"gpt-4o"}})");
  EXPECT_EQ(reply.status, 201);
  const auto run = reply.object();
  EXPECT_EQ(run.at("status").as_string(), "queued");
  EXPECT_EQ(run.at("task").as_string(), "hi");
  EXPECT_EQ(base::to_text(run.at("input")),
            R"({"task":"hi","runtime":{"kind":"codex","mode":"default","model":"gpt-4o"}})");
  EXPECT_EQ(run.at("sessionId"), json::value(nullptr));
  EXPECT_EQ(get("/v1/runs/" + std::string(run.at("id").as_string())).body, reply.body);
  EXPECT_THAT(get("/v1/runs?status=active&limit=1").body,
              AllOf(StartsWith("{\"items\":[{"), HasSubstr(run.at("id").as_string().c_str())));
}

TEST_F(ApiTest, SameKeyAndBodyGiveTheSameRunAndAnotherBodyConflicts) {
  const std::string header = "idempotency-key: k1\r\n";
  const auto first = post("/v1/runs", R"({"task":"t","approvalMode":"auto"})", header);
  const auto second =
      post("/v1/runs", R"({"runtime":{"mode":"default","kind":"codex"},"task":" t "})", header);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(first.object().at("id"), second.object().at("id"));
  const auto third = post("/v1/runs", R"({"task":"other"})", header);
  EXPECT_EQ(third.status, 409);
  EXPECT_EQ(third.error_code(), "idempotency_conflict");
}

TEST_F(ApiTest, BadBodiesAreNamedAndNothingIsStored) {
  struct Case {
    const char* body;
    const char* code;
  };
  for (const auto& [body, code] : std::vector<Case>{
           {"{broken", "bad_request"},
           {"[]", "validation_error"},
           {"{}", "validation_error"},
           {R"({"task":"  "})", "validation_error"},
           {R"({"task":1})", "validation_error"},
           {R"({"task":"t","extra":1})", "validation_error"},
           {R"({"task":"t","runtime":null})", "validation_error"},
           {R"({"task":"t","runtime":{}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"codex","permissionMode":"plan"}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"claude_code","mode":"default"}})", "validation_error"},
           {R"({"task":"t","runtime":{"kind":"codex","model":"a b"}})", "validation_error"},
           {R"({"task":"t","approvalMode":"maybe"})", "validation_error"},
           {R"({"task":"t","metadata":[]})", "validation_error"},
           {R"({"task":"t","metadata":null})", "validation_error"},
           {R"({"task":"\ud800"})", "validation_error"},
           {R"({"task":"a\u0000b"})", "validation_error"},
           {R"({"task":"t","metadata":{"n":1e999}})", "validation_error"},
           {"{\"task\":\"\xff\"}", "validation_error"},
           {R"({"tools":[],"repoUrl":"x"})", "unsupported_tool_configuration"},
           {R"({"repoUrl":"x","tools":[]})", "unsupported_workspace_attachment"},
           {R"({"task":"t","workspace":{"git":{}}})", "validation_error"},
           {R"({"task":"t","workspace":{"path":"relative"}})", "validation_error"},
           {R"({"task":"t","workspace":{"path":"/etc"}})", "workspace_forbidden"},
       }) {
    const auto reply = post("/v1/runs", body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.error_code(), code) << body;
  }
  EXPECT_EQ(post("/v1/runs", R"({"task":")" + std::string(120'001, 'x') + "\"}").error_code(),
            "validation_error");
  EXPECT_EQ(get("/v1/runs").body, R"({"items":[]})");
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","workspace":{"path":"/allowed"}})").status, 201);
}

TEST_F(ApiTest, OversizeAndForeignMediaTypesKeepTheirStatus) {
  const auto large = post("/v1/runs", R"({"task":")" + std::string(1 << 20, 'x') + "\"}");
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(large.error_code(), "bad_request");
  EXPECT_THAT(large.body, Not(HasSubstr("details")));
  const auto form = raw(
      request("POST", "/v1/runs", "task=t", key() + "Content-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_EQ(form.status, 415);
}

TEST_F(ApiTest, QueryNumbersAreReadAsLaxlyAsThePublishedApiDoes) {
  const auto id = created();
  append(id, "run.claimed");
  const auto events = [&](const std::string& query) { return get("/v1/runs/" + id + "/events?" + query); };
  for (const char* good : {"afterSeq=", "afterSeq=0x0", "afterSeq=-5", "limit=1e2", "limit=%20500%20",
                           "limit=0x10", "unknown=1"}) {
    EXPECT_EQ(events(good).status, 200) << good;
  }
  for (const char* bad : {"afterSeq=1.5", "afterSeq=abc", "limit=0", "limit=501", "limit=1.5",
                          "limit=", "limit=abc", "limit=1&limit=2"}) {
    EXPECT_EQ(events(bad).error_code(), "validation_error") << bad;
  }
  EXPECT_EQ(get("/v1/runs?status=none").error_code(), "validation_error");
  EXPECT_EQ(get("/v1/runs?limit=101").error_code(), "validation_error");
}

TEST_F(ApiTest, EventsArePagedAndTheCursorStaysWhenThereIsNothingNew) {
  const auto id = created();
  for (int i = 0; i < 3; ++i) append(id, "agent.message", R"({"text":"m"})");
  const auto page = get("/v1/runs/" + id + "/events?afterSeq=1&limit=1").object();
  EXPECT_EQ(page.at("items").as_array().size(), 1u);
  EXPECT_EQ(page.at("items").at(0).at("sequence").as_int64(), 2);
  EXPECT_EQ(page.at("nextAfterSeq").as_int64(), 2);
  EXPECT_EQ(get("/v1/runs/" + id + "/events?afterSeq=7").body, R"({"items":[],"nextAfterSeq":7})");
}

TEST_F(ApiTest, WithoutAcceptAStreamIsOneBatchThenTheEnd) {
  const auto id = created();
  EXPECT_EQ(get("/v1/runs/" + id + "/stream").body, "event: heartbeat\ndata: {}\n\n");
  append(id, "run.claimed");
  append(id, "agent.message");
  const auto reply = get("/v1/runs/" + id + "/stream?afterSeq=1");
  EXPECT_THAT(reply.body, StartsWith("id: 2\nevent: agent.message\ndata: {\"runId\":"));
  EXPECT_THAT(reply.body, Not(HasSubstr("\r")));
  EXPECT_EQ(get("/v1/runs/run_none/stream").error_code(), "run_not_found");
}

TEST_F(ApiTest, ALiveStreamGivesEachEventWhenItIsCommittedAndEndsWithTheRun) {
  const auto id = created();
  append(id, "run.claimed");
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream", "", key() + "Accept: text/event-stream\r\n"));
  EXPECT_THAT(wire.read_until("event: run.claimed"), HasSubstr("retry: 1000\n\n"));
  wire.read_until(std::string(stream::keep_alive_frame()));
  append(id, "agent.message", R"({"text":"live"})");
  EXPECT_THAT(wire.read_until("\"live\""), HasSubstr("id: 2\nevent: agent.message"));
  end_run(id);
  EXPECT_THAT(wire.read_to_end(), HasSubstr("id: 3\nevent: run.completed"));
}

TEST_F(ApiTest, ALiveStreamResumesBehindTheLargerCursorAndAnEndedRunAnswers204) {
  const auto id = created();
  for (int i = 0; i < 4; ++i) append(id, "agent.message");
  end_run(id);
  const auto reply = raw(request("GET", "/v1/runs/" + id + "/stream?follow=true&afterSeq=2", "",
                                 key() + "Last-Event-ID: 3\r\n"));
  EXPECT_THAT(reply.body, AllOf(Not(HasSubstr("id: 3\n")), HasSubstr("id: 4\n"), HasSubstr("id: 5\n")));
  EXPECT_EQ(raw(request("GET", "/v1/runs/" + id + "/stream?follow=true", "", key() + "Last-Event-ID: 5\r\n"))
                .status,
            204);
  const auto head =
      raw(request("HEAD", "/v1/runs/" + id + "/stream", "", key() + "Accept: text/event-stream\r\n"));
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("text/event-stream; charset=utf-8"));
  EXPECT_EQ(head.body, "");
}

TEST_F(ApiTest, CancellingAQueuedRunAnswersCancellingAndEndsIt) {
  const auto id = created();
  const auto reply = post("/v1/runs/" + id + "/cancel", "");
  EXPECT_EQ(reply.object().at("status").as_string(), "cancelling");
  EXPECT_TRUE(reply.object().contains("cancelRequestedAt"));
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream?follow=true", "", key()));
  EXPECT_THAT(wire.read_to_end(), HasSubstr("event: run.cancelled"));
  EXPECT_EQ(post("/v1/runs/" + id + "/cancel", "{}").object().at("status").as_string(), "cancelled");
  EXPECT_EQ(post("/v1/runs/" + id + "/cancel", R"({"x":1})").error_code(), "validation_error");
}

TEST_F(ApiTest, DecidingWhatWasNotAskedIsAConflict) {
  const auto id = created();
  EXPECT_EQ(
      post("/v1/runs/" + id + "/actions/action_x/approve", R"({"actionDigest":"sha256:abcd"})").error_code(),
      "approval_not_requested");
  EXPECT_EQ(
      post("/v1/runs/" + id + "/actions/action_x/approve", R"({"actionDigest":"md5:abcdefgh"})").error_code(),
      "validation_error");
  EXPECT_EQ(
      post("/v1/runs/" + id + "/actions/action_x/deny", R"({"actionDigest":"sha256:abcd","reason":" "})")
          .error_code(),
      "validation_error");
}

TEST_F(ApiTest, AnArtifactIsDownloadedByteForByteAndOnlyFromItsOwnRun) {
  const auto id = created();
  auto artifact = model::named_artifact(model::RunId(id), "workspace_patch");
  const std::string bytes(300'000, 'p');
  const auto info = blobs_->put(artifact.r2_key, bytes);
  artifact.size_bytes = info.size;
  artifact.sha256 = info.sha256;
  artifact.created_at = clock_.now();
  on_task([&]() -> base::Task<void> {
    co_await store_->write([&](store::Transaction& tx) { tx.put_artifact(artifact); });
  });
  const auto path = "/v1/runs/" + id + "/artifacts/" + artifact.id.str() + "/download";
  const auto reply = get(path);
  EXPECT_EQ(reply.body, bytes);
  EXPECT_THAT(reply.head,
              AllOf(HasSubstr("Content-Type: text/x-patch"), HasSubstr("Content-Length: 300000")));
  EXPECT_EQ(get("/v1/runs/" + created() + "/artifacts/" + artifact.id.str() + "/download").error_code(),
            "artifact_not_found");
  EXPECT_EQ(get("/v1/runs/run_none/artifacts").error_code(), "run_not_found");
  blobs_->remove(artifact.r2_key);
  EXPECT_EQ(get(path).error_code(), "artifact_not_found");
}

TEST_F(ApiTest, HostilePathsAre400Or404AndNever500) {
  for (const char* target :
       {"/v1/runs/..%2f..%2fetc%2fpasswd", "/v1/runs/%00", "/v1/runs/%ff/events", "/v1/runs/a%2Fb"}) {
    const auto reply = get(target);
    EXPECT_TRUE(reply.status == 400 || reply.status == 404) << target << reply.status;
  }
  EXPECT_EQ(get("/v1/runs/" + std::string(300, 'a')).status, 400);
}

}  // namespace
}  // namespace agentrouter::api
