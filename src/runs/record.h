#pragma once
// The record of a run: all that is known about where it stands, in one consistent read. Its cost does not
// grow with the run's events: what it shows is kept in rows of its own or found by an event's type.

#include "runs/conversations.h"
#include "runs/nodes.h"

namespace agentrouter::runs {

inline constexpr int record_actions = 100;  // the newest; more are in the events

// queued, preparing, running, waiting_for_approval, waiting_quota, closing, ended.
struct RunPhase {
  std::string name;
  bool takes_wishes = false;  // it may still be cancelled, and its questions decided
};

struct PatchSummary {
  model::ArtifactRef artifact;
  std::int64_t bytes = 0;
  std::int64_t file_count = 0;
};

// Why the run waits for its provider, and until when: out of the last run.waiting.
struct QuotaWait {
  std::string reason;
  std::string resumes_at;
};

struct RunRecord {
  model::Run run;
  RunPhase phase;
  std::optional<QuotaWait> waiting;       // in phase waiting_quota
  std::optional<store::Attempt> attempt;  // the newest
  std::string isolation;                  // of the newest sandbox; empty before there was one
  std::string usage = "null";             // the payload of the last usage.recorded
  std::optional<store::RunSpending> spending = {};
  std::vector<store::ActionRecord> actions;
  bool has_older_actions = false;
  std::vector<store::Approval> pending;
  std::optional<PatchSummary> patch;
  std::vector<model::Artifact> artifacts;
  store::Conversation conversation;
  std::string conversation_state;                     // open, closed, expired
  std::optional<model::ForkOrigin> forked_from = {};  // of the conversation
  bool has_state = false;                             // a turn has left a checkpoint that is there
  int turns = 1;
  bool published_turn2 = false;  // the rule under which later turns are made
  // What may be asked for now: cancel, approve, deny, continue, fork, close.
  std::vector<std::string> operations;
  // Of a queued run that no server which is there can carry out.
  std::optional<Unplaceable> unplaceable = {};

  // The body of GET /v1/runs/{runId}/record.
  [[nodiscard]] std::string to_wire() const;
};

// Errors: not_found (run_not_found).
[[nodiscard]] base::Result<RunRecord> run_record(store::Reader& reader, const model::RunId& id,
                                                 base::Time now, const ConversationRules& rules = {},
                                                 const std::vector<std::string>& roots = {});

}  // namespace agentrouter::runs
