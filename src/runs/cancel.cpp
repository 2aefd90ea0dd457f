#include "runs/cancel.h"

#include "runs/actions.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

base::Result<model::Run> cancel_run(store::Transaction& tx, const model::RunId& id, Context context) {
  auto run = tx.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  if (model::is_terminal(run->status) || run->status == model::RunStatus::cancelling) return *run;
  if (const auto attempt = tx.latest_attempt(id); attempt && !attempt->closing.empty()) return *run;
  run->status = model::RunStatus::cancelling;
  run->cancel_requested_at = context.clock.now();
  tx.update_run(*run);
  return *run;
}

base::Result<model::Run> settle_cancelled(store::Transaction& tx, const model::RunId& id, Context context,
                                          const ConversationRules& rules) {
  auto run = tx.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  if (model::is_terminal(run->status)) return *run;
  const auto attempt = tx.latest_attempt(id);
  if (run->status != model::RunStatus::cancelling || (attempt && attempt->open)) {
    return base::fail(base::Code::conflict, "cannot settle run " + id.str() + ": it is not left to the store",
                      "run_not_settleable");
  }
  const auto now = context.clock.now();
  const auto last =
      append_event(tx, id, terminal_event(model::RunStatus::cancelled, std::nullopt, std::nullopt, now));
  apply_end(*run, model::RunStatus::cancelled, std::nullopt, now);
  tx.update_run(*run);
  end_turn(tx, *run, rules, now);
  run->last_event_seq = last.sequence;
  return *run;
}

}  // namespace agentrouter::runs
