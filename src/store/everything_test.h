#pragma once
// For tests: every statement that a store makes, once.

#include "store/store.h"
#include "testing/builders.h"

namespace agentrouter::store {

inline void read_everything(Reader& reader) {
  const auto run = testing::run_id("r");
  const model::ActionId action("a");
  const auto now = testing::test_time();
  (void)reader.run(run);
  (void)reader.workspace_of(run);
  (void)reader.has_active_runs();
  for (const auto& query : std::vector<RunQuery>{{},
                                                 {.status = "active"},
                                                 {.status = "queued"},
                                                 {.runtime = model::RuntimeKind::codex},
                                                 {.tags = {{"a", "b"}}},
                                                 {.conversation = run},
                                                 {.text = "word"}})
    (void)reader.runs(query);
  (void)reader.conversation(run);
  (void)reader.turns(run);
  (void)reader.latest_turn(run);
  (void)reader.turn(run, 1);
  (void)reader.latest_checkpoint(run, 2);
  (void)reader.checkpoints(run);
  (void)reader.is_shared({.run_id = run, .conversation_id = run, .key = "k"});
  (void)reader.conversations_to_reclaim(now, 10);
  (void)reader.next_conversation_expiry();
  (void)reader.events(run, 0, 10);
  (void)reader.event(run, 1);
  (void)reader.last_event_of_type(run, "agent.message");
  (void)reader.artifacts(run);
  (void)reader.artifact(model::ArtifactId("a"));
  (void)reader.approval(run, action);
  (void)reader.undelivered_approvals(run);
  (void)reader.pending_approvals(run);
  (void)reader.pending_approvals(PendingQuery{});
  (void)reader.pending_approvals(PendingQuery{.run = run});
  (void)reader.due_approvals(now, 10);
  (void)reader.next_approval_expiry();
  (void)reader.action(run, action);
  (void)reader.actions(run, 10);
  (void)reader.open_actions(run);
  (void)reader.attempt(model::AttemptId("t"));
  (void)reader.latest_attempt(run);
  (void)reader.open_attempts();
  (void)reader.has_open_attempt(run);
  (void)reader.idempotency_key("k");
  (void)reader.next_idempotency_expiry();
  (void)reader.upload("u");
  (void)reader.next_upload_expiry();
  (void)reader.spending(run);
  (void)reader.budget_period("s", "p");
  (void)reader.budget_periods("p");
  (void)reader.allowance(run);
  (void)reader.trees_in_use();
  (void)reader.queued_runs(5);
  (void)reader.queued_runs(5, {"lane"});
  (void)reader.lanes();
  (void)reader.oldest_queued();
  (void)reader.note("node", "a");
  (void)reader.notes("node", "a");
  (void)reader.queued_of_share("s");
  (void)reader.totals();
  (void)reader.ended_runs({.after = now});
  (void)reader.deleted_runs(5);
  (void)reader.cancelling_runs_without_attempt();
  (void)reader.audit("default", 0, 10);
  (void)reader.audit_head("default");
  (void)reader.standing_rules(run);
  (void)reader.webhooks();
  (void)reader.webhook("w");
  (void)reader.delivery("d");
  (void)reader.deliveries({.webhook = "w"});
  (void)reader.next_deliveries("w", 5);
  (void)reader.pending_deliveries("w");
  (void)reader.webhooks_of("team");
  (void)reader.workspace("team");
  (void)reader.workspaces(0, 10);
  (void)reader.api_key("key_1");
  (void)reader.api_key_by_hash("h");
  (void)reader.api_keys(0, 10);
  (void)reader.data_keys();
  (void)reader.data_keys("w");
  (void)reader.provider_keys();
  (void)reader.provider_key("w", "openai");
}

inline void write_everything(Transaction& tx) {
  const auto now = testing::test_time();
  for (const auto* name : {"r", "s"}) {
    auto run = testing::make_run(name);
    run.tags = {{"a", "b"}};
    tx.insert_run(run);
    run.status = model::RunStatus::starting;
    tx.update_run(run);
    for (const auto* payload : {R"({"text":"word"})", R"({"text":"another"})"})
      tx.append(run.id, testing::make_draft("agent.response", payload));
    run.status = model::RunStatus::completed;
    run.completed_at = now;
    tx.update_run(run);
  }
  const auto run = testing::run_id("r");
  auto artifact = model::named_artifact(run, "stdout_log");
  tx.put_artifact(artifact);
  tx.put_checkpoint({run, run, 1, "k", 1, "sum", "t", now});
  Attempt attempt;
  attempt.id = model::AttemptId("t");
  attempt.run_id = run;
  attempt.slot = tx.free_slot();
  tx.insert_attempt(attempt);
  attempt.open = false;
  tx.update_attempt(attempt);
  ActionRecord action;
  action.run_id = run;
  tx.put_action(action);
  tx.put_approval({.run_id = run});
  tx.put_standing_rule({.id = "rule", .run_id = run});
  tx.put_idempotency_key({"k", "b", run, now});
  (void)tx.purge_idempotency_keys(now, 10);
  tx.put_upload({.id = "u"});
  tx.purge_uploads(now);
  tx.put_spending({.run_id = run});
  tx.put_budget_period({.scope = "s", .period = "p"});
  tx.put_allowance_lot({.run_id = run});
  (void)tx.purge_deliveries(now, 10);
  tx.append_audit({.number = 1, .time = now, .run_id = run, .type = "run.created"});
  tx.put_webhook({.id = "w"});
  tx.put_delivery({.id = "d", .webhook_id = "w"});
  tx.delete_checkpoint(run, 1);
  tx.delete_run(run, now);
  tx.delete_artifact(artifact.id);
  (void)tx.remove_deleted(run, 100);
  tx.delete_conversation(run);
  tx.delete_delivery("d");
  tx.delete_webhook("w");
  tx.delete_allowance(run);
  tx.put_workspace({.id = "team"});
  tx.put_api_key({.id = "key_1", .hash = "h"});
  tx.note_key_use("key_1", now);
  tx.put_data_key({.workspace = "team"});
  tx.put_data_key({.workspace = "gone"});
  tx.delete_data_key("gone", 1);
  tx.put_provider_key({.workspace = "team", .provider = "openai"});
  tx.put_provider_key({.workspace = "gone", .provider = "openai"});
  tx.delete_provider_key("gone", "openai");
  tx.put_note({"node", "a", "{}"});
  tx.delete_note("node", "a");
}

}  // namespace agentrouter::store
