#include <gtest/gtest.h>

#include <agentrouter/agentrouter.hpp>

#include "codec.hpp"
#include "scripted_server.hpp"

namespace agentrouter {
namespace {

// "type|text", with the fields that the kind has besides; "none" without a part.
std::string part(std::string_view type, std::string_view payload = "{}") {
  const auto event = detail::decode_event(Json::parse(scripted::event_json(4, type, payload)));
  const auto found = part_of(event);
  if (!found) return "none";
  EXPECT_EQ(event_of(*found).sequence, 4);
  const auto action = [](const auto& p) { return "|" + p.action_id + "|" + p.action_digest; };
  const auto more = std::visit(
      Overloaded{
          [&](const ActionPart& p) { return action(p); },
          [&](const ApprovalRequestPart& p) { return action(p); },
          [&](const ApprovalDecisionPart& p) { return action(p) + "|" + std::string(to_string(p.decision)); },
          [&](const ExecutionPart& p) { return action(p) + "|" + std::string(to_string(p.status)); },
          [](const NoProgressPart& p) { return "|" + p.signal; },
          [](const DonePart& p) { return "|" + std::string(to_string(p.status)); },
          [](const auto&) { return std::string(); }},
      *found);
  return std::string(type_of(*found)) + "|" + std::string(text_of(*found)) + more;
}

TEST(Parts, AnActionIsNamedAndNeedsItsIdAndDigest) {
  const auto* whole =
      R"({"actionId":"a","actionDigest":"sha256:d","action":{"name":"codex.launch"},"actionName":"n"})";
  EXPECT_EQ(part("action.proposed", whole), "action|Action proposed: codex.launch|a|sha256:d");
  EXPECT_EQ(part("approval.requested", whole),
            "approval_request|Approval requested for codex.launch|a|sha256:d");
  EXPECT_EQ(part("approval.requested", R"({"actionId":"a","actionDigest":"d","actionName":"n"})"),
            "approval_request|Approval requested for n|a|d");
  EXPECT_EQ(part("action.proposed", R"({"actionId":"a","actionDigest":"d","action":{"name":""}})"),
            "action|Action proposed: runtime action|a|d");
  for (const auto* type : {"action.proposed", "approval.requested", "execution.started"}) {
    EXPECT_EQ(part(type, R"({"actionId":"a"})"), "none");
    EXPECT_EQ(part(type, R"({"actionId":"","actionDigest":"d"})"), "none");
    EXPECT_EQ(part(type, R"({"actionId":7,"actionDigest":"d"})"), "none");
  }
}

TEST(Parts, ADecisionIsApprovedOrDenied) {
  EXPECT_EQ(part("approval.decided", R"({"actionId":"a","actionDigest":"d","decision":"approved"})"),
            "approval_decision|Approval approved|a|d|approved");
  EXPECT_EQ(part("approval.decided", R"({"actionId":"a","actionDigest":"d","decision":"denied"})"),
            "approval_decision|Approval denied|a|d|denied");
  EXPECT_EQ(part("approval.decided", R"({"actionId":"a","actionDigest":"d","decision":"perhaps"})"), "none");
  EXPECT_EQ(part("approval.decided", R"({"decision":"denied"})"), "none");
}

TEST(Parts, AnExecutionHasTheStatusOfItsType) {
  for (const std::string status : {"started", "completed", "failed"}) {
    EXPECT_EQ(part("execution." + status, R"({"actionId":"a","actionDigest":"d","status":"odd"})"),
              "execution|Execution " + status + "|a|d|" + status);
  }
}

TEST(Parts, AnswerAndMessagesNeedText) {
  EXPECT_EQ(part("agent.response", R"({"text":"42"})"), "text|42");
  EXPECT_EQ(part("agent.message", R"({"text":"hm"})"), "message|hm");
  EXPECT_EQ(part("agent.response", R"({"text":""})"), "none");
  EXPECT_EQ(part("agent.message"), "none");
}

TEST(Parts, NoProgressAlwaysHasASignalAndAText) {
  EXPECT_EQ(part("agent.no_progress", R"({"signal":"repeated_edit","reason":"r","message":"m"})"),
            "no_progress|r|repeated_edit");
  EXPECT_EQ(part("agent.no_progress", R"({"message":"m"})"), "no_progress|m|no_progress");
  EXPECT_EQ(part("agent.no_progress"), "no_progress|No-progress signal detected|no_progress");
}

TEST(Parts, AFailedRunEndsWithAnErrorTheOthersWithDone) {
  EXPECT_EQ(part("agent.error", R"({"message":"m","reason":"r"})"), "error|m");
  EXPECT_EQ(part("run.failed", R"({"reason":"r"})"), "error|r");
  EXPECT_EQ(part("run.failed"), "error|Run failed");
  EXPECT_EQ(part("run.completed", R"({"message":"completed"})"), "done||completed");
  EXPECT_EQ(part("run.cancelled"), "done||cancelled");
}

TEST(Parts, ProgressIsToldInWords) {
  EXPECT_EQ(part("agent.progress", R"({"summary":"s","message":"m"})"), "progress|s");
  EXPECT_EQ(part("agent.progress", R"({"message":"m"})"), "progress|m");
  EXPECT_EQ(part("agent.progress"), "none");
  EXPECT_EQ(part("agent.started"), "progress|Agent started");
  EXPECT_EQ(part("sandbox.created"), "progress|Sandbox ready");
  EXPECT_EQ(part("credential_boundary.verified"), "progress|Credential boundary verified");
  EXPECT_EQ(part("workspace.file_index_collected"), "progress|Workspace file index collected");
  EXPECT_EQ(part("workspace.patch_collected"), "progress|Workspace patch collected");
  EXPECT_EQ(part("policy.evaluated", R"({"decision":"requires_approval"})"),
            "progress|Policy requires_approval");
  EXPECT_EQ(part("policy.evaluated"), "progress|Policy evaluated");
}

TEST(Parts, OtherEventsHaveNone) {
  for (const auto* type :
       {"run.claimed", "sandbox.resumed", "sandbox.parked", "sandbox.suspended", "sandbox.reclaimed",
        "agent.completed", "provider.stdout", "provider.stderr", "usage.recorded", "a.new.type"}) {
    EXPECT_EQ(part(type, R"({"text":"t","message":"m"})"), "none") << type;
  }
}

}  // namespace
}  // namespace agentrouter
