#include "runs/create.h"

#include "base/hash.h"

namespace agentrouter::runs {

namespace {

model::Run make_run(const NewRun& request, Context context) {
  model::Run run;
  run.id = model::RunId("run_" + base::new_uuid(context.entropy));
  run.runtime = request.runtime;
  run.task = request.task;
  run.input = request.input;
  run.approval_mode = request.approval_mode;
  run.conversation_id = run.id;
  run.queued_at = context.clock.now();
  run.workspace_path = request.workspace_path;
  run.priority = request.priority;
  return run;
}

}  // namespace

std::string body_hash(const json::object& body) {
  json::object same = body;
  if (base::get_string(same, "approvalMode") == "auto") same.erase("approvalMode");
  return base::Sha256::hex_of(base::to_canonical(same));
}

base::Result<Created> create_run(store::Transaction& tx, const NewRun& request, Context context) {
  const auto now = context.clock.now();
  if (request.idempotency_key.empty()) {
    const auto run = make_run(request, context);
    tx.insert_run(run);
    return Created{run, false};
  }
  AGENTROUTER_TRY(const auto body, base::parse_json(request.input));
  if (!body.is_object()) return base::fail(base::Code::internal, "the input of a run is not an object");
  const auto hash = body_hash(body.get_object());
  const auto key = base::Sha256::hex_of(request.idempotency_key);
  tx.purge_idempotency_keys(now);
  if (const auto used = tx.idempotency_key(key); used && used->expires_at > now) {
    if (used->body_hash != hash) {
      return base::fail(base::Code::conflict, "this Idempotency-Key was used with a different request",
                        "idempotency_conflict");
    }
    if (auto run = tx.run(used->run_id)) return Created{std::move(*run), true};
  }
  const auto run = make_run(request, context);
  tx.insert_run(run);
  tx.put_idempotency_key({key, hash, run.id, now + idempotency_lifetime});
  return Created{run, false};
}

}  // namespace agentrouter::runs
