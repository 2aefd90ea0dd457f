#pragma once
// An action is a thing that may be done, with a digest that names exactly this thing. The five events of its
// life are linked: each carries actionId, actionDigest, argsDigest and the eventId of its cause.

#include <string>

#include "base/id.h"
#include "base/json.h"
#include "model/ids.h"
#include "model/run.h"

namespace agentrouter::model {

struct Action {
  ActionId id;
  json::object body;  // {type, name, target, schemaVersion, args}
  std::string digest;       // sha256 over the canonical body
  std::string args_digest;  // sha256 over the canonical body.args
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::string target() const;
  [[nodiscard]] std::string schema_version() const;
};

// Digests `body`. `body` must have an object "args".
[[nodiscard]] Action make_action(ActionId id, json::object body);

struct LaunchFacts {
  Runtime runtime;
  std::string task;                         // trimmed
  std::string command;                      // "codex"
  std::vector<std::string> argv;            // without the prompt
  std::string cwd;                          // "/workspace"
};
// The one action of the published protocol: starting the agent. type runtime_command,
// name <kind>.launch, schema agentrouter.runtime_command.v1.
[[nodiscard]] json::object launch_action(const LaunchFacts& facts);

struct ToolCallFacts {
  Runtime runtime;
  std::string tool;          // shell, edit, read, mcp, web, todo, subagent or other
  std::string title;         // one line for people
  json::object input;        // what would be done, in our words
  std::string input_digest;  // over the agent's own request, byte for byte
  std::string cwd;           // "/workspace"
  std::vector<std::string> environment;  // names only, sorted
};
// One thing that an agent wants to do: type tool_call, name <kind>.<tool>, schema agentrouter.tool_call.v1.
// The same request gives the same body; any other, in any byte of it, another digest.
[[nodiscard]] json::object tool_action(const ToolCallFacts& facts);

// The fields that every control event of an action shares.
struct ControlFields {
  std::string event_id;        // evt_<uuid>
  std::string prior_event_id;  // empty: left out
  std::string actor;           // agent, policy, system, human, runtime
};
[[nodiscard]] std::string new_event_id(base::Entropy& entropy);
// {eventId, priorEventId?, actionId, actionDigest, argsDigest, actor}
[[nodiscard]] json::object control_payload(const Action& action, const ControlFields& fields);

// Payloads of the action's events, as contract section 9 lists them.
[[nodiscard]] json::object proposed_payload(const Action& action, const ControlFields& fields);
[[nodiscard]] json::object approval_requested_payload(const Action& action, const ControlFields& fields,
                                                      std::string_view request_id);

}  // namespace agentrouter::model
