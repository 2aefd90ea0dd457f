#pragma once
// The end of a run, in two transactions, so that the archive can hold the terminal event before it is
// visible:
//
//   begin_close   appends everything but the terminal event, records the four artifacts, voids pending
//                 approvals and fixes the terminal event in the attempt. From then on the closer is the only
//                 appender: a decision is refused with run_not_active, a cancel returns the run unchanged.
//   (archive.h: session_events and session_manifest are written to the blobs)
//   finish_close  terminal event, terminal status and the two artifact records, at once.
//
// Each may be repeated after a crash: begin_close returns the ending that was fixed first, the archive gets
// equal bytes, finish_close of an ended run changes nothing.

#include "runs/claim.h"
#include "runs/conversations.h"

namespace agentrouter::runs {

struct Ending {
  model::RunStatus status = model::RunStatus::failed;  // completed, failed or cancelled
  std::optional<model::RunFailure> failure;            // of failed
  std::optional<int> exit_code;                        // of the agent, for run.failed
  std::vector<model::EventDraft> tail;                 // provider.stdout ... sandbox.destroyed, in order
  std::vector<model::Artifact> artifacts;              // logs, index, patch
  // What the next turn goes on from: key, size, sha256 and thread; whose it is comes from the run. Its event
  // checkpoint.created is put before sandbox.destroyed.
  std::optional<store::Checkpoint> checkpoint = {};
  std::string used = {};  // of its limits, as JSON text; empty when nobody knows
};

// What begin_close fixed.
struct Closing {
  model::RunStatus status = model::RunStatus::failed;
  std::optional<model::RunFailure> failure;
  model::Seq terminal_seq = 0;
  model::EventDraft terminal;  // run.completed, run.failed or run.cancelled

  [[nodiscard]] std::string to_json_text() const;  // Attempt::closing
  // Errors: corrupt.
  [[nodiscard]] static base::Result<Closing> from_json_text(std::string_view text);
};

// A run that is cancelling ends cancelled, whatever `ending` says: that is what was asked for.
//
// Errors: those of check_fence; conflict (run_not_active) when the run has ended without this attempt.
[[nodiscard]] base::Result<Closing> begin_close(store::Transaction& tx, const Fence& fence,
                                                const Ending& ending, Context context);

// The whole end of a run that never got as far as a sandbox, e.g. provider_unconfigured: begin_close with
// nothing but the failure. Continue with the archive as usual.
[[nodiscard]] base::Result<Closing> fail_run(store::Transaction& tx, const Fence& fence,
                                             model::RunFailure failure, Context context);

// Size and sha256 of the stored bytes.
struct ArchivedBlob {
  std::int64_t size_bytes = 0;
  std::string sha256;
};
struct Archived {
  ArchivedBlob events;
  ArchivedBlob manifest;
};

// The ended run; its conversation can be continued from now on. The attempt stays open until
// retire_attempt().
//
// Errors: those of check_fence; conflict (close_not_begun).
[[nodiscard]] base::Result<model::Run> finish_close(store::Transaction& tx, const Fence& fence,
                                                    const Archived& archived, Context context,
                                                    const ConversationRules& rules = {});

// Fails a queued run that no worker will ever take, in one transaction and without artifacts.
//
// Errors: not_found (run_not_found), conflict (run_not_queued).
[[nodiscard]] base::Result<model::Run> fail_queued_run(store::Transaction& tx, const model::RunId& id,
                                                       model::RunFailure failure, Context context,
                                                       const ConversationRules& rules = {});

}  // namespace agentrouter::runs
