#include "runs/heir.h"

#include "runs/options.h"

namespace agentrouter::runs {

model::Run heir_of(const model::Run& before, const std::string& message, Context context) {
  model::Run run;
  run.id = model::RunId("run_" + base::new_uuid(context.entropy));
  run.turn_id = "turn_" + base::new_uuid(context.entropy);
  run.workspace_id = before.workspace_id;
  run.runtime = before.runtime;
  run.task = message;
  json::object input;
  input["task"] = message;
  input["runtime"] = before.runtime.to_json();
  inherit_options(input, before.input);
  run.input = base::to_text(input);
  run.queued_at = context.clock.now();
  run.workspace = before.workspace;
  run.priority = before.priority;
  run.tags = before.tags;
  run.approval_mode = before.approval_mode;
  run.approval_timeout = before.approval_timeout;
  return run;
}

}  // namespace agentrouter::runs
