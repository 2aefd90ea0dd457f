#include "runs/create.h"

#include "runs/begin.h"
#include "runs/options.h"
#include "runs/payloads.h"
#include "runs/workspace_source.h"

namespace agentrouter::runs {

namespace {

model::Run make_run(const NewRun& request, std::string workspace, Context context) {
  model::Run run;
  run.workspace_id = std::move(workspace);
  run.id = model::RunId("run_" + base::new_uuid(context.entropy));
  run.runtime = request.runtime;
  run.task = request.task;
  run.input = request.input;
  run.approval_mode = request.approval_mode;
  run.conversation_id = run.id;
  run.queued_at = context.clock.now();
  run.priority = request.priority;
  run.turn_id = "turn_" + base::new_uuid(context.entropy);
  run.tags = request.tags;
  run.approval_timeout = request.approval_timeout;
  return run;
}

base::Result<KeyedUse> keyed_use(const NewRun& request) {
  if (request.idempotency_key.empty()) return KeyedUse{};
  AGENTROUTER_TRY(const auto body, base::parse_json(request.input));
  if (!body.is_object()) return base::fail(base::Code::internal, "the input of a run is not an object");
  return KeyedUse{"POST /v1/runs", request.idempotency_key, body_hash(body.get_object())};
}

}  // namespace

base::Result<Created> create_run(store::Transaction& tx, const NewRun& request, Context context,
                                 const SpendingRules& rules, const QueueRules& queue) {
  AGENTROUTER_TRY(const auto use, keyed_use(request));
  AGENTROUTER_TRY(const auto earlier, earlier_use(tx, use, context));
  if (earlier) {
    if (auto run = tx.run(earlier->run_id)) return Created{std::move(*run), true};
    return tl::unexpected(run_deleted(earlier->run_id));
  }
  AGENTROUTER_TRY(auto source, settle_workspace(tx, request.workspace, context));
  auto run = make_run(request, tx.home(), context);
  run.workspace = std::move(source.workspace);
  if (request.isolation > options_of(run.input).isolation.value_or(model::Isolation::process))
    set_isolation(run, request.isolation);
  if (auto admitted = admit_spending(tx, run, request.limits, request.api_key, rules, context); !admitted)
    return tl::unexpected(admitted.error());
  AGENTROUTER_TRY(const auto place, admit_queued(tx, run, request.api_key, queue));
  begin_run(tx, run, request.api_key, place);
  if (source.begins_with) {
    source.begins_with->conversation_id = run.id;
    tx.put_checkpoint(*source.begins_with);
  }
  remember_use(tx, use, run.id, 0, context);
  return Created{std::move(run), false};
}

}  // namespace agentrouter::runs
