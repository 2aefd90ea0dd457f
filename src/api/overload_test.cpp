// What the API says when it is asked for more than it takes on.

#include <boost/asio/use_future.hpp>
#include <future>

#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::HasSubstr;

class Overloads : public ApiRig {
 protected:
  Overloads() {
    std::promise<std::uint16_t> port;
    asio::post(io_, [&] { port.set_value(base::value_or_throw(busy_server_.listen("127.0.0.1", 0))); });
    port_ = port.get_future().get();
  }
  ~Overloads() override {
    on_task([this]() -> base::Task<void> {
      co_await busy_server_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
    });
  }
  ApiOptions options() {
    ApiOptions options;
    options.admit_workspace = [](std::string_view path) { return std::string(path); };
    options.check_policy = [](std::string_view) { return model::Isolation::process; };
    options.check_image = [](std::string_view) { return base::Result<void>(); };
    options.queue = {.max_queued = 3, .max_queued_of_share = 2, .share_tag = "team"};
    options.overload = {.max_waiting_calls = 1, .max_memory_bytes = 1000, .memory = [this] { return memory_.load(); },
                        .memory_is_known_for = std::chrono::milliseconds(0)};
    return options;
  }

  std::atomic<std::uint64_t> memory_ = 0;
  Api busy_{{*store_, *blobs_, hub_, pool_, vault_, clock_, entropy_}, Authenticator("test-key"), options()};
  net::Server busy_server_{io_.get_executor(), busy_,
                           [this](const net::ServerError& error) { return busy_.error_reply(error); }};
};

TEST_F(Overloads, AFullQueueIs429WithATimeToTryAgain) {
  const auto of = [&](const char* team) {
    return post("/v1/runs", std::string(R"({"task":"t","tags":{"team":")") + team + "\"}}");
  };
  EXPECT_EQ(of("a").status, 201);
  EXPECT_EQ(of("a").status, 201);
  const auto reply = of("a");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.error_code(), "queue_full");
  EXPECT_EQ(reply.header("Retry-After"), "10");
  EXPECT_THAT(reply.body, HasSubstr(R"("scope":"share","limit":2,"queued":2)"));
  EXPECT_EQ(of("b").status, 201);
  EXPECT_THAT(of("c").body, HasSubstr(R"("scope":"all","limit":3,"queued":3)"));
  EXPECT_EQ(get("/v1/runs").status, 200);
}

TEST_F(Overloads, WithoutCassettesTheirTagIsOneLikeAnyOther) {
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","tags":{"cassette":"../x"}})").status, 201);
}

TEST_F(Overloads, AStoreThatCannotKeepUpIs503AndHealthIsAnsweredAllTheSame) {
  std::promise<void> go;
  auto gate = go.get_future().share();
  std::promise<void> begun;
  const auto blocked = [&]() -> base::Task<void> {
    co_await store_->write([&](store::Transaction&) {
      begun.set_value();
      gate.wait();
    });
  };
  const auto behind = [&]() -> base::Task<void> {
    co_await store_->write([](store::Transaction&) {});
  };
  auto first = asio::co_spawn(io_.get_executor(), blocked(), asio::use_future);
  begun.get_future().get();
  auto second = asio::co_spawn(io_.get_executor(), behind(), asio::use_future);
  while (store_->waiting().writes == 0) std::this_thread::yield();
  for (const auto* path : {"/v1/runs", "/readyz"}) {
    const auto reply = get(path);
    EXPECT_EQ(reply.status, 503) << path;
    EXPECT_EQ(reply.error_code(), "overloaded");
    EXPECT_EQ(reply.header("Retry-After"), "1");
  }
  EXPECT_EQ(post("/v1/runs", R"({"task":"t"})").error_code(), "overloaded");
  EXPECT_EQ(get("/healthz").status, 200);
  go.set_value();
  first.get();
  second.get();
  EXPECT_EQ(get("/v1/runs").status, 200);
  EXPECT_EQ(get("/readyz").status, 200);
}

TEST_F(Overloads, WithoutMemoryNothingIsBegunAndWhatThereIsCanBeEnded) {
  const auto id = created();
  memory_ = 1001;
  const auto reply = post("/v1/runs", R"({"task":"t"})");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.error_code(), "overloaded");
  EXPECT_EQ(reply.header("Retry-After"), "5");
  EXPECT_THAT(reply.body, HasSubstr(R"("what":"memory")"));
  EXPECT_EQ(get("/v1/runs/" + id + "/stream").error_code(), "overloaded");
  EXPECT_EQ(get("/v1/runs/" + id).status, 200);
  EXPECT_EQ(post("/v1/runs/" + id + "/cancel", "").status, 200);
}

class Deletion : public ApiRig {
 protected:
  Reply remove(const std::string& id) { return raw(request("DELETE", "/v1/runs/" + id, "", key())); }
};

TEST_F(Deletion, ARunThatHasEndedIsGoneFromTheAnswerOn) {
  const auto id = created(R"({"task":"find me","tags":{"k":"v"}})");
  const auto other = created();
  const auto active = remove(id);
  EXPECT_EQ(active.status, 409);
  EXPECT_EQ(active.error_code(), "run_not_ended");
  append_message(id);
  end_run(id);
  const auto gone = remove(id);
  EXPECT_EQ(gone.status, 204) << gone.body;
  EXPECT_EQ(gone.body, "");
  for (const auto* rest : {"", "/session", "/record", "/events", "/stream", "/stream?follow=true", "/turns",
                           "/artifacts", "/approval-rules"})
    EXPECT_EQ(get("/v1/runs/" + id + rest).error_code(), "run_not_found") << rest;
  EXPECT_EQ(post("/v1/runs/" + id + "/messages", R"({"message":"m"})").error_code(), "run_not_found");
  EXPECT_EQ(remove(id).error_code(), "run_not_found");
  const auto list = get("/v1/runs").body;
  EXPECT_THAT(list, HasSubstr(other));
  EXPECT_THAT(list, ::testing::Not(HasSubstr(id)));
  EXPECT_EQ(get("/v1/runs?q=find").body, R"({"items":[]})");
  EXPECT_THAT(get("/v1/audit").body, HasSubstr("run.deleted"));
}

TEST_F(Deletion, AnIdempotencyKeyOfADeletedRunIs410) {
  const auto ask = [&] { return post("/v1/runs", R"({"task":"t"})", "Idempotency-Key: once\r\n"); };
  const std::string id(base::get_string(ask().object(), "id").value());
  end_run(id);
  EXPECT_EQ(remove(id).status, 204);
  const auto again = ask();
  EXPECT_EQ(again.status, 410);
  EXPECT_EQ(again.error_code(), "run_deleted");
  EXPECT_THAT(again.body, HasSubstr(id));
}

TEST_F(Deletion, AStreamOfADeletedRunEndsCleanly) {
  const auto id = created();
  append_message(id);
  Wire wire(port_, false);
  wire.send("GET /v1/runs/" + id + "/stream?follow=true HTTP/1.1\r\nHost: x\r\n" + key() + "Connection: close\r\n\r\n");
  wire.read_until("id: 1");
  // Ended and deleted in one commit: the follower had no time to hear of the end.
  write([&](store::Transaction& tx) {
    auto run = *tx.run(model::RunId(id));
    run.status = model::RunStatus::cancelled;
    run.completed_at = clock_.now();
    tx.update_run(run);
    tx.delete_run(run.id, clock_.now());
  });
  EXPECT_THAT(wire.read_to_end(), ::testing::EndsWith("0\r\n\r\n"));
}

TEST_F(Deletion, ApprovalRulesAndWebhooksTakeAKeyToo) {
  const std::string once = "Idempotency-Key: once\r\n";
  const auto hook = [&](const char* url) {
    return post("/v1/webhooks", std::string(R"({"events":["*"],"url":")") + url + "\"}", once);
  };
  const auto made = hook("https://a.test/");
  EXPECT_EQ(made.status, 201);
  const auto again = hook("https://a.test/");
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(again.body, made.body);
  EXPECT_EQ(hook("https://b.test/").error_code(), "idempotency_conflict");
  const auto id = created(R"({"task":"t","approvalScope":"action"})");
  const auto rule = [&](const char* command) {
    return post("/v1/runs/" + id + "/approval-rules",
                std::string(R"({"decision":"approved","rule":{"command":")") + command + "\"}}", once);
  };
  const auto given = rule("npm test");
  EXPECT_EQ(given.status, 201) << given.body;
  EXPECT_EQ(rule("npm test").body, given.body);
  EXPECT_EQ(rule("npm test").status, 200);
  EXPECT_EQ(rule("npm audit").error_code(), "idempotency_conflict");
}

}  // namespace
}  // namespace agentrouter::api
