#include "model/action.h"

#include "base/hash.h"

namespace agentrouter::model {

std::string Action::name() const {
  return std::string(base::get_string(body, "name").value_or(""));
}
std::string Action::target() const {
  return std::string(base::get_string(body, "target").value_or(""));
}
std::string Action::schema_version() const {
  return std::string(base::get_string(body, "schemaVersion").value_or(""));
}

Action make_action(ActionId id, json::object body) {
  Action action;
  action.id = std::move(id);
  action.digest = base::json_digest(body);
  action.args_digest = base::json_digest(body.at("args"));
  action.body = std::move(body);
  return action;
}

json::object launch_action(const LaunchFacts& facts) {
  const std::string kind(to_string(facts.runtime.kind));
  json::object args;
  args["provider"] = kind;
  args["runtimeKind"] = kind;
  args["runtimeMode"] = facts.runtime.mode;
  if (facts.runtime.model) args["runtimeModel"] = *facts.runtime.model;
  args["command"] = facts.command;
  json::array argv;
  for (const auto& word : facts.argv) argv.emplace_back(word);
  args["argvWithoutPrompt"] = std::move(argv);
  args["promptSha256"] = "sha256:" + base::Sha256::hex_of(facts.task);
  args["cwd"] = facts.cwd;
  json::object body;
  body["type"] = "runtime_command";
  body["name"] = kind + ".launch";
  body["target"] = facts.cwd;
  body["schemaVersion"] = "agentrouter.runtime_command.v1";
  body["args"] = std::move(args);
  return body;
}

json::object tool_action(const ToolCallFacts& facts) {
  const std::string kind(to_string(facts.runtime.kind));
  json::array environment;
  for (const auto& name : facts.environment) environment.emplace_back(name);
  json::object args;
  args["provider"] = kind;
  args["runtimeMode"] = facts.runtime.mode;
  args["tool"] = facts.tool;
  args["input"] = facts.input;
  args["inputDigest"] = facts.input_digest;
  args["cwd"] = facts.cwd;
  args["environment"] = std::move(environment);
  json::object body;
  body["type"] = "tool_call";
  body["name"] = kind + "." + facts.tool;
  body["target"] = facts.title;
  body["schemaVersion"] = "agentrouter.tool_call.v1";
  body["args"] = std::move(args);
  return body;
}

std::string new_event_id(base::Entropy& entropy) {
  return "evt_" + base::new_uuid(entropy);
}

json::object control_payload(const Action& action, const ControlFields& fields) {
  json::object payload;
  payload["eventId"] = fields.event_id;
  if (!fields.prior_event_id.empty()) payload["priorEventId"] = fields.prior_event_id;
  payload["actionId"] = action.id.str();
  payload["actionDigest"] = action.digest;
  payload["argsDigest"] = action.args_digest;
  payload["actor"] = fields.actor;
  return payload;
}

json::object proposed_payload(const Action& action, const ControlFields& fields) {
  auto payload = control_payload(action, fields);
  payload["actionName"] = action.name();
  payload["targetResource"] = action.target();
  payload["schemaVersion"] = action.schema_version();
  payload["action"] = action.body;
  return payload;
}

json::object approval_requested_payload(const Action& action, const ControlFields& fields,
                                        std::string_view request_id) {
  auto payload = control_payload(action, fields);
  payload["requestId"] = request_id;
  payload["actionName"] = action.name();
  payload["targetResource"] = action.target();
  payload["action"] = action.body;
  return payload;
}

}  // namespace agentrouter::model
