#include "api/health.h"
#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

class OpenRoutes : public ApiRig {
 protected:
  Reply open(const std::string& target, const std::string& headers = "", const std::string& method = "GET") {
    return raw(request(method, target, "", headers));
  }
};

TEST_F(OpenRoutes, TheDescriptionOfTheApiIsJsonAndNeedsNoKey) {
  const auto reply = open("/openapi.json");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("Content-Type"), "application/json; charset=utf-8");
  EXPECT_EQ(reply.header("Cache-Control"), "no-cache");
  const auto document = reply.object();
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  EXPECT_TRUE(document.at("paths").as_object().contains("/v1/runs/{runId}/stream"));
}

TEST_F(OpenRoutes, WhoHasTheDescriptionIsToldSo) {
  const auto tag = open("/openapi.json").header("ETag");
  ASSERT_FALSE(tag.empty());
  for (const auto& held : {tag, "W/" + tag, "\"other\", " + tag, std::string("*")}) {
    const auto reply = open("/openapi.json", "If-None-Match: " + held + "\r\n");
    EXPECT_EQ(reply.status, 304) << held;
    EXPECT_EQ(reply.body, "");
    EXPECT_EQ(reply.header("ETag"), tag);
  }
  EXPECT_EQ(open("/openapi.json", "If-None-Match: \"other\"\r\n").status, 200);
}

TEST_F(OpenRoutes, OnlyReadingThemNeedsNoKey) {
  for (const char* target : {"/healthz", "/readyz", "/openapi.json"}) {
    EXPECT_EQ(open(target).status, 200) << target;
    EXPECT_EQ(open(target, "", "HEAD").status, 200) << target;
    EXPECT_EQ(open(target, "", "HEAD").body, "") << target;
    EXPECT_EQ(open(target, "", "POST").status, 401) << target;
    EXPECT_EQ(open(target, key(), "POST").header("Allow"), "GET, HEAD") << target;
    EXPECT_EQ(open(target, key(), "OPTIONS").status, 405) << target;
  }
}

TEST_F(OpenRoutes, AServerWhoseStoreIsAwayIsNotReadyButHealthy) {
  store_->close();
  const auto reply = open("/readyz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.error_code(), "unavailable");
  EXPECT_EQ(reply.header("Retry-After"), "1");
  EXPECT_EQ(open("/healthz").status, 200);
}

class WorkerHealth : public ApiRig {
 protected:
  WorkerHealth() {
    described_ = false;
    std::promise<std::uint16_t> port;
    asio::post(io_, [&] { port.set_value(base::value_or_throw(worker_.listen("127.0.0.1", 0))); });
    port_ = port.get_future().get();
  }
  ~WorkerHealth() override {
    on_task([this]() -> base::Task<void> {
      co_await worker_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
    });
  }

  Health health_{*store_, entropy_};
  net::Server worker_{io_.get_executor(), health_,
                      [this](const net::ServerError& error) { return api_.error_reply(error); }};
};

TEST_F(WorkerHealth, AWorkerAnswersItsHealthAndNothingElse) {
  EXPECT_EQ(raw(request("GET", "/healthz", "", "")).body, "{\"ok\":true}");
  EXPECT_EQ(raw(request("HEAD", "/readyz", "", "")).status, 200);
  EXPECT_EQ(raw(request("POST", "/readyz", "", "")).header("Allow"), "GET, HEAD");
  EXPECT_EQ(get("/v1/runs").error_code(), "not_found");
  EXPECT_EQ(get("/v1/runs", "X-Request-Id: mine\r\n").header("X-Request-Id"), "mine");
}

TEST_F(WorkerHealth, AWorkerWhoseStoreIsAwayIsNotReadyButHealthy) {
  EXPECT_EQ(get("/readyz").status, 200);
  store_->close();
  const auto reply = get("/readyz");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.error_code(), "unavailable");
  EXPECT_EQ(get("/healthz").status, 200);
}

}  // namespace
}  // namespace agentrouter::api
