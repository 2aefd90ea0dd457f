#include "agents/codex/codex_events.h"

#include <utility>

#include "agents/codex/codex_failure.h"
#include "agents/codex/codex_items.h"
#include "agents/payload.h"
#include "base/utf8.h"

namespace agentrouter::agents::codex {

namespace {

constexpr auto item_started_type = "item.started";
constexpr auto item_completed_type = "item.completed";
constexpr auto turn_completed_type = "turn.completed";

std::string_view type_of(const json::object& item) {
  return base::get_string(item, "type").value_or("");
}

std::string id_of(const json::object& item) {
  return std::string(base::get_string(item, "id").value_or(""));
}

constexpr std::size_t max_open_calls = 1000;
constexpr std::size_t max_open_bytes = 16u << 20;

std::string mcp_name(std::string_view server, std::string_view tool) {
  return one_line(std::string(server) + "." + std::string(tool));
}

std::size_t bytes_of(const json::array& changes) {
  std::size_t bytes = 0;
  for (const auto& entry : changes) {
    const auto* change = entry.if_object();
    if (!change) continue;
    for (const auto* key : {"path", "diff"}) bytes += base::get_string(*change, key).value_or("").size();
  }
  return bytes;
}

json::object started_payload(const ToolCall& call) {
  json::object payload;
  payload["callId"] = call.call_id;
  payload["tool"] = call.tool;
  payload["title"] = call.title;
  payload["args"] = bounded_args(call.args);
  return payload;
}

// "1 of 3 steps done: write the test"
std::string plan_summary(const json::array& plan) {
  std::size_t done = 0;
  std::string current;
  for (const auto& entry : plan) {
    const auto* step = entry.if_object();
    const auto status = step ? base::get_string(*step, "status").value_or("") : "";
    if (status == "completed") ++done;
    if (status == "inProgress" && current.empty()) current = base::get_string(*step, "step").value_or("");
  }
  auto text = std::to_string(done) + " of " + std::to_string(plan.size()) + " steps done";
  return one_line(current.empty() ? text : text + ": " + current);
}

}  // namespace

void TurnEvents::emit(Outputs& out, std::string type, const std::string& provider_event_type,
                      json::object fields) {
  json::object payload;
  payload["provider"] = "codex";
  for (auto& field : fields) payload[field.key()] = std::move(field.value());
  cap_fields(payload);
  out.push_back(EmitEvent{std::move(type), provider_event_type, std::move(payload)});
}

void TurnEvents::thread_started(Outputs& out, std::string_view thread) {
  emit(out, "agent.started", "thread.started", {{"threadId", thread}});
}

void TurnEvents::turn_started(Outputs& out) {
  emit(out, "agent.progress", "turn.started", {{"summary", "Turn started"}});
}

void TurnEvents::item_started(Outputs& out, const json::object& item) {
  const auto call = tool_call_of(item, cwd_);
  if (!call || open_.contains(call->call_id)) return;
  const auto* changes = base::get_array(item, "changes");
  auto& kept = open_[call->call_id] = changes ? *changes : json::array{};
  open_bytes_ += bytes_of(kept);
  emit(out, "agent.tool_started", item_started_type, started_payload(*call));
}

void TurnEvents::item_completed(Outputs& out, const json::object& item, Thread thread) {
  const auto type = type_of(item);
  if (type == "agentMessage" && thread == Thread::own) return message(out, item);
  if (type == "reasoning") {
    if (auto summary = reasoning_summary(item); !summary.empty()) {
      emit(out, "agent.progress", item_completed_type, {{"summary", std::move(summary)}});
    }
    return;
  }
  if (type == "contextCompaction") {
    return emit(out, "agent.progress", item_completed_type, {{"summary", "Context compacted"}});
  }
  if (tool_call_of(item, cwd_)) tool_completed(out, item);
}

void TurnEvents::message(Outputs& out, const json::object& item) {
  const auto text = base::get_string(item, "text").value_or("");
  if (text.empty()) return;
  response_text_ = base::cut_utf8(text, response_bytes_);
  response_event_type_ = item_completed_type;
  emit(out, "agent.message", item_completed_type, {{"text", text}});
}

void TurnEvents::tool_completed(Outputs& out, const json::object& item) {
  item_started(out, item);  // a call whose start was never told
  const auto open = open_.find(id_of(item));
  if (open == open_.end()) return;
  open_bytes_ -= bytes_of(open->second);
  open_.erase(open);
  auto payload = completion_of(item, cwd_);
  if (type_of(item) == "mcpToolCall" && base::get_string(payload, "status") == "failed") {
    const auto name =
        mcp_name(base::get_string(item, "server").value_or(""), base::get_string(item, "tool").value_or(""));
    if (const auto found = declined_mcp_.find(name); found != declined_mcp_.end()) {
      declined_mcp_.erase(found);
      payload["status"] = "declined";
    }
  }
  emit(out, "agent.tool_completed", item_completed_type, payload);
  watch(out, item, payload);
}

void TurnEvents::watch(Outputs& out, const json::object& item, const json::object& completion) {
  const auto report = [&](std::optional<json::object> signal) {
    if (signal) emit(out, "agent.no_progress", item_completed_type, std::move(*signal));
  };
  const auto status = base::get_string(completion, "status").value_or("");
  if (status == "declined") return;
  if (type_of(item) == "commandExecution") {
    report(no_progress_.command(base::get_string(item, "command").value_or(""),
                                base::get_int(item, "exitCode"),
                                base::get_string(item, "aggregatedOutput").value_or("")));
  } else if (type_of(item) == "fileChange" && status == "completed") {
    for (const auto& entry : changes_of(item, cwd_, Diffs::with)) {
      const auto& change = entry.get_object();
      report(no_progress_.edit(base::get_string(change, "path").value_or(""),
                               base::get_string(change, "diff").value_or("")));
    }
  }
}

void TurnEvents::plan_updated(Outputs& out, const json::object& params) {
  constexpr auto type = "turn.plan.updated";
  const auto* plan = base::get_array(params, "plan");
  if (!plan) return;
  ToolCall call{.call_id = "plan_" + std::to_string(++plans_), .tool = "todo", .title = "Update the plan"};
  call.args["plan"] = *plan;
  emit(out, "agent.tool_started", type, started_payload(call));
  emit(out, "agent.tool_completed", type,
       {{"callId", call.call_id}, {"status", "completed"}, {"output", plan_summary(*plan)}});
}

void TurnEvents::retrying(Outputs& out, const json::object& error) {
  emit(out, "agent.retry", "error", retry_of(error, ++retries_));
}

const json::array* TurnEvents::open_changes(const std::string& call_id) const {
  const auto found = open_.find(call_id);
  return found == open_.end() ? nullptr : &found->second;
}

bool TurnEvents::open_too_much() const {
  return open_.size() > max_open_calls || open_bytes_ > max_open_bytes;
}

void TurnEvents::declined_mcp(std::string_view server, std::string_view tool) {
  declined_mcp_.insert(mcp_name(server, tool));
}

void TurnEvents::turn_ended(Outputs& out, const Outcome& outcome, const std::string& provider_event_type) {
  for (const auto& [call_id, changes] : std::exchange(open_, {})) {
    emit(out, "agent.tool_completed", provider_event_type,
         {{"callId", call_id},
          {"status", never_released_.contains(call_id) ? "declined" : "failed"},
          {"output", ""}});
  }
  if (outcome.kind == OutcomeKind::completed) {
    emit(out, "agent.progress", turn_completed_type, {{"summary", "Turn completed"}});
    return emit(out, "agent.completed", turn_completed_type, {{"message", "completed"}});
  }
  const auto interrupted = outcome.kind == OutcomeKind::interrupted;
  emit(out, "agent.error", provider_event_type,
       {{"message", interrupted ? "The turn was interrupted" : outcome.failure.reason}});
}

}  // namespace agentrouter::agents::codex
