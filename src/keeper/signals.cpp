#include "keeper/signals.h"

namespace agentrouter::keeper {
namespace {

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

}  // namespace

std::vector<json::object> ToolSignals::see(const agents::EmitEvent& event) {
  const std::string call_id = text_of(event.payload, "callId");
  if (event.type == "agent.tool_started") {
    const json::object* args = base::get_object(event.payload, "args");
    open_[call_id] = {text_of(event.payload, "tool"), args != nullptr ? *args : json::object{}};
    return {};
  }
  if (event.type != "agent.tool_completed") return {};
  const auto found = open_.find(call_id);
  if (found == open_.end()) return {};
  const Call call = std::move(found->second);
  open_.erase(found);
  if (text_of(event.payload, "status") == "declined") return {};
  return judge(call, event.payload);
}

std::vector<json::object> ToolSignals::judge(const Call& call, const json::object& completion) {
  std::vector<json::object> signals;
  if (call.tool == "shell") {
    auto signal = no_progress_.command(text_of(call.args, "command"), base::get_int(completion, "exitCode"),
                                       text_of(completion, "output"));
    if (signal) signals.push_back(std::move(*signal));
  }
  const json::array* changes = base::get_array(call.args, "changes");
  if (call.tool != "edit" || changes == nullptr || text_of(completion, "status") != "completed")
    return signals;
  for (const auto& value : *changes) {
    const json::object* change = value.if_object();
    if (change == nullptr) continue;
    auto signal = no_progress_.edit(text_of(*change, "path"), text_of(*change, "diff"));
    if (signal) signals.push_back(std::move(*signal));
  }
  return signals;
}

}  // namespace agentrouter::keeper
