#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::HasSubstr;

class ConversationRoutes : public ApiRig {
 protected:
  Reply say(const std::string& run, const std::string& message, const std::string& more = "") {
    return post("/v1/runs/" + run + "/messages", R"({"message":")" + message + "\"}", more);
  }
  static std::string run_of(const Reply& reply) {
    return std::string(base::get_string(reply.object(), "runId").value());
  }
  std::string ended() {
    auto id = created();
    end_run(id);
    return id;
  }
  // A run that has ended and left a checkpoint.
  std::string left_state() {
    auto id = ended();
    write([&id](store::Transaction& tx) {
      store::Checkpoint checkpoint;
      checkpoint.run_id = checkpoint.conversation_id = model::RunId(id);
      checkpoint.key = "runs/" + id + "/checkpoint/000001.tar.zst";
      tx.put_checkpoint(checkpoint);
    });
    return id;
  }
  Reply fork(const std::string& run, const std::string& body = R"({"message":"m"})",
             const std::string& more = "") {
    return post("/v1/runs/" + run + "/fork", body, more);
  }
};

TEST_F(ConversationRoutes, TheNextTurnIsARunOfItsOwnInTheSameConversation) {
  const auto first = created(R"({"task":"t","approvalMode":"manual","metadata":{"a":1},"tags":{"k":"v"}})");
  end_run(first, model::RunStatus::failed);
  const auto reply = say(first, "  more  ");
  ASSERT_EQ(reply.status, 202) << reply.body;
  const auto second = run_of(reply);
  EXPECT_EQ(base::to_text(reply.object()),
            R"({"runId":")" + second + R"(","turnNumber":2,"conversationId":")" + first + "\"}");
  EXPECT_EQ(reply.header("Location"), "/v1/runs/" + second);
  const auto run = get("/v1/runs/" + second).object();
  EXPECT_EQ(run.at("status").as_string(), "queued");
  EXPECT_EQ(base::to_text(run.at("input")), R"({"task":"more","runtime":{"kind":"codex","mode":"default"}})");
  EXPECT_EQ(run.at("conversationId").as_string(), first.c_str());
  EXPECT_TRUE(run.at("sessionId").as_string().starts_with("sess_"));
  end_run(second);
  const auto third = say(second, "and more").object();  // any run of it names the conversation
  EXPECT_EQ(third.at("turnNumber").as_int64(), 3);
  EXPECT_EQ(third.at("conversationId").as_string(), first.c_str());
}

TEST_F(ConversationRoutes, ATurnThatMayNotFollowIsAConflictThatSaysWhy) {
  const auto active = created();
  EXPECT_EQ(say(active, "m").error_code(), "run_busy");
  EXPECT_EQ(say(active, "m").header("Retry-After"), "1");
  const auto review = created(R"({"task":"t","runtime":{"kind":"codex","mode":"auto_review"}})");
  end_run(review);
  EXPECT_EQ(say(review, "m").error_code(), "run_not_continuable");
  const auto closed = ended();
  post("/v1/runs/" + closed + "/close", "");
  EXPECT_EQ(say(closed, "m").error_code(), "session_closed");
  const auto late = ended();
  clock_.advance(std::chrono::minutes(10));
  const auto reply = say(late, "m");
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(reply.error_code(), "session_closed");
  EXPECT_EQ(say("run_none", "m").error_code(), "run_not_found");
}

TEST_F(ConversationRoutes, AMessageIsReadStrictly) {
  const auto id = ended();
  const auto path = "/v1/runs/" + id + "/messages";
  for (const char* body : {"[]", "{}", R"({"message":" "})", R"({"message":1})", R"({"message":"m","x":1})",
                           R"({"message":"m","approvalMode":"maybe"})",
                           R"({"message":"m","approvalMode":null})", R"({"message":"\ud800"})"}) {
    const auto reply = post(path, body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.error_code(), "validation_error") << body;
  }
  EXPECT_EQ(post(path, R"({"message":")" + std::string(120'001, 'x') + "\"}").error_code(),
            "validation_error");
  EXPECT_EQ(post(path, "{broken").error_code(), "bad_request");
  EXPECT_EQ(get("/v1/runs?conversationId=" + id).object().at("items").as_array().size(), 1u);
}

TEST_F(ConversationRoutes, TheApprovalModeMayOnlyBeTightened) {
  const auto id = created(R"({"task":"t","approvalMode":"manual"})");
  end_run(id);
  const auto path = "/v1/runs/" + id + "/messages";
  const auto looser = post(path, R"({"message":"m","approvalMode":"auto"})");
  EXPECT_EQ(looser.error_code(), "validation_error");
  EXPECT_THAT(looser.body, HasSubstr("\"path\":[\"approvalMode\"]"));
  EXPECT_EQ(post(path, R"({"message":"m","approvalMode":"block"})").status, 202);
}

TEST_F(ConversationRoutes, TheScopeOfApprovalsIsInheritedAndMayOnlyBeTightened) {
  const auto scope_of = [&](const Reply& reply) {
    const std::string id(reply.object().at("runId").as_string());
    const std::string scope(get("/v1/runs/" + id + "/record").object().at("approvalScope").as_string());
    end_run(id);
    return scope;
  };
  const auto id = created();
  end_run(id);
  const auto path = "/v1/runs/" + id + "/messages";
  EXPECT_EQ(scope_of(post(path, R"({"message":"m"})")), "run");
  EXPECT_EQ(scope_of(post(path, R"({"message":"m","approvalScope":"action"})")), "action");
  EXPECT_EQ(scope_of(post(path, R"({"message":"m"})")), "action");
  const auto looser = post(path, R"({"message":"m","approvalScope":"run"})");
  EXPECT_EQ(looser.error_code(), "validation_error");
  EXPECT_THAT(looser.body, HasSubstr("\"path\":[\"approvalScope\"]"));
  EXPECT_EQ(post(path, R"({"message":"m","approvalScope":"all"})").error_code(), "validation_error");
}

TEST_F(ConversationRoutes, TurnsAreListedWithTheirPromptsOnceThereIsASession) {
  const std::string task(600, 'x');
  const auto first = created(R"({"task":")" + task + "\"}");
  const auto before = get("/v1/runs/" + first + "/turns").object();
  EXPECT_EQ(before.at("conversationId").as_string(), first.c_str());
  ASSERT_EQ(before.at("items").as_array().size(), 1u);
  EXPECT_EQ(before.at("items").at(0).at("id").as_string(), first.c_str());
  EXPECT_EQ(before.at("items").at(0).at("prompt").as_string().size(), 500u);
  end_run(first);
  const auto second = run_of(say(first, "more"));
  const auto after = get("/v1/runs/" + second + "/turns").object();
  ASSERT_EQ(after.at("items").as_array().size(), 2u);
  EXPECT_TRUE(after.at("items").at(0).at("id").as_string().starts_with("turn_"));
  EXPECT_EQ(after.at("items").at(0).at("prompt").as_string(), task.c_str());
  EXPECT_EQ(after.at("items").at(1).at("turnNumber").as_int64(), 2);
  EXPECT_EQ(after.at("items").at(1).at("runId").as_string(), second.c_str());
  EXPECT_EQ(get("/v1/runs/run_none/turns").error_code(), "run_not_found");
}

TEST_F(ConversationRoutes, ClosingMayBeRepeatedAndNeedsNoBody) {
  const auto id = ended();
  const auto wanted = R"({"closed":true,"conversationId":")" + id + R"(","reclaimed":true})";
  EXPECT_EQ(post("/v1/runs/" + id + "/close", "").body, wanted);
  EXPECT_EQ(post("/v1/runs/" + id + "/close", "{}").body, wanted);
  EXPECT_EQ(raw(request("POST", "/v1/runs/" + id + "/close", "", key())).body, wanted);
  EXPECT_EQ(post("/v1/runs/" + id + "/close", R"({"x":1})").error_code(), "validation_error");
  EXPECT_EQ(post("/v1/runs/run_none/close", "").error_code(), "run_not_found");
}

TEST_F(ConversationRoutes, ClosingCancelsAnActiveTurnAndNothingFollows) {
  const auto id = created();
  EXPECT_EQ(post("/v1/runs/" + id + "/close", "").body,
            R"({"closed":true,"conversationId":")" + id + R"(","reclaimed":false})");
  EXPECT_EQ(get("/v1/runs/" + id).object().at("status").as_string(), "cancelling");
  EXPECT_EQ(say(id, "m").error_code(), "session_closed");
  const auto first = ended();
  const auto second = run_of(say(first, "m"));
  EXPECT_EQ(post("/v1/runs/" + first + "/close", "").body,
            R"({"closed":true,"conversationId":")" + first + R"(","reclaimed":true})");
  EXPECT_EQ(get("/v1/runs/" + second).object().at("status").as_string(), "cancelling");
}

TEST_F(ConversationRoutes, AForkIsARunInAConversationOfItsOwn) {
  const auto first = left_state();
  const auto reply = fork(first, R"({"message":"  else  "})");
  ASSERT_EQ(reply.status, 201) << reply.body;
  const auto run = reply.object();
  const std::string id(run.at("id").as_string());
  EXPECT_EQ(reply.header("Location"), "/v1/runs/" + id);
  EXPECT_EQ(run.at("conversationId").as_string(), id.c_str());
  EXPECT_EQ(run.at("status").as_string(), "queued");
  EXPECT_EQ(run.at("task").as_string(), "else");
  const auto origin = R"({"runId":")" + first + R"(","conversationId":")" + first + R"(","turn":1})";
  EXPECT_EQ(base::to_text(run.at("forkedFrom")), origin);
  EXPECT_EQ(base::to_text(get("/v1/runs/" + id).object().at("forkedFrom")), origin);
  const auto record = get("/v1/runs/" + id + "/record").object();
  EXPECT_EQ(base::to_text(record.at("conversation").at("forkedFrom")), origin);
  EXPECT_EQ(get("/v1/runs/" + first + "/turns").object().at("items").as_array().size(), 1u);
  EXPECT_EQ(get("/v1/runs/" + id + "/turns").object().at("conversationId").as_string(), id.c_str());
  const auto second = run_of(say(first, "m"));  // busy, and forked at a turn that has ended
  EXPECT_EQ(fork(second, R"({"message":"else","atTurn":1.0})").status, 201);
}

TEST_F(ConversationRoutes, AForkThatCannotBeIsRefusedWithAReason) {
  const auto first = left_state();
  EXPECT_EQ(fork("run_none").error_code(), "run_not_found");
  const auto unknown = fork(first, R"({"message":"m","atTurn":2})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.error_code(), "turn_not_found");
  say(first, "m");
  const auto busy = fork(first, R"({"message":"m","atTurn":2})");
  EXPECT_EQ(busy.error_code(), "run_busy");
  EXPECT_EQ(busy.header("Retry-After"), "1");
  const auto stateless = fork(ended());
  EXPECT_EQ(stateless.status, 409);
  EXPECT_EQ(stateless.error_code(), "checkpoint_unavailable");
  const auto late = ended();
  clock_.advance(std::chrono::minutes(10));
  EXPECT_EQ(fork(late).error_code(), "session_closed");
  const auto review = created(R"({"task":"t","runtime":{"kind":"codex","mode":"auto_review"}})");
  EXPECT_EQ(fork(review).error_code(), "run_not_continuable");
}

TEST_F(ConversationRoutes, AForkIsReadStrictly) {
  const auto id = left_state();
  for (const char* body : {"[]", "{}", R"({"message":" "})", R"({"message":1})", R"({"message":"m","x":1})",
                           R"({"message":"m","approvalMode":"manual"})", R"({"message":"m","atTurn":0})",
                           R"({"message":"m","atTurn":-1})", R"({"message":"m","atTurn":1.5})",
                           R"({"message":"m","atTurn":"1"})", R"({"message":"m","atTurn":null})",
                           R"({"message":"m","atTurn":1e300})", R"({"message":"m","atTurn":2147483648})",
                           R"({"message":"\ud800"})"}) {
    const auto reply = fork(id, body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.error_code(), "validation_error") << body;
  }
  EXPECT_EQ(fork(id, R"({"message":")" + std::string(120'001, 'x') + "\"}").error_code(), "validation_error");
  EXPECT_EQ(fork(id, R"({"message":"m","atTurn":2147483647})").error_code(), "turn_not_found");
  EXPECT_EQ(get("/v1/runs").object().at("items").as_array().size(), 1u);
}

TEST_F(ConversationRoutes, TheSameKeyGivesTheSameFork) {
  const auto id = left_state();
  const std::string key = "Idempotency-Key: k\r\n";
  const auto first = fork(id, R"({"message":"m"})", key);
  const auto again = fork(id, R"({"message":" m "})", key);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(fork(id, R"({"message":"m","atTurn":1})", key).error_code(), "idempotency_conflict");
}

TEST_F(ConversationRoutes, TheSameKeyGivesTheSameTurn) {
  const auto id = ended();
  const std::string key = "Idempotency-Key: k\r\n";
  const auto first = say(id, "m", key);
  const auto again = say(id, " m ", key);
  EXPECT_EQ(first.status, 202);
  EXPECT_EQ(first.header("Idempotent-Replayed"), "");
  EXPECT_EQ(again.status, 202);
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(say(id, "other", key).error_code(), "idempotency_conflict");
}

}  // namespace
}  // namespace agentrouter::api
