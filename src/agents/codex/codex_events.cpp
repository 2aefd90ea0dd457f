#include "agents/codex/codex_events.h"

#include <algorithm>

#include "agents/codex/codex_failure.h"
#include "agents/codex/codex_items.h"
#include "agents/payload.h"

namespace agentrouter::agents::codex {

namespace {

constexpr auto item_started_type = "item.started";
constexpr auto item_completed_type = "item.completed";

std::string_view type_of(const json::object& item) {
  return base::get_string(item, "type").value_or("");
}

std::string id_of(const json::object& item) {
  return std::string(base::get_string(item, "id").value_or(""));
}

std::string mcp_name(std::string_view server, std::string_view tool) {
  return short_key(std::string(server) + "." + std::string(tool));
}

std::string call_name(const json::object& args) {
  return mcp_name(base::get_string(args, "server").value_or(""), base::get_string(args, "tool").value_or(""));
}

std::string arguments_text(const json::object& args) {
  const auto* arguments = args.if_contains("arguments");
  return arguments ? base::to_canonical(*arguments) : std::string();
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
  return current.empty() ? text : text + ": " + current;
}

// [{text, status: pending|in_progress|completed}]
json::array plan_items(const json::array& plan) {
  json::array items;
  for (const auto& entry : plan) {
    const auto* step = entry.if_object();
    if (!step) continue;
    const auto status = text_of(*step, "status");
    items.push_back(json::object{{"text", text_of(*step, "step")},
                                 {"status", status == "inProgress" ? "in_progress" : status}});
  }
  return items;
}

}  // namespace

void TurnEvents::thread_started(Outputs& out, std::string_view thread) {
  log_.emit(out, "agent.started", "thread.started", {{"threadId", thread}});
}

void TurnEvents::turn_started(Outputs& out) {
  log_.emit(out, "agent.progress", "turn.started", {{"summary", "Turn started"}});
}

void TurnEvents::item_started(Outputs& out, const json::object& item) {
  const auto call = tool_call_of(item, cwd_);
  if (!call) return;
  const auto* changes = base::get_array(item, "changes");
  const bool news = log_.tool_started(out, item_started_type, *call, changes ? *changes : json::array{});
  if (news && call->tool == "mcp")
    unasked_mcp_.push_back({call->call_id, call_name(call->args), arguments_text(call->args)});
  if (news && call->tool == "shell") commands_[call->call_id] = {text_of(item, "command")};
}

void TurnEvents::command_wrote(Outputs& out, const std::string& call_id, const std::string& other_thread,
                               std::string_view text) {
  const auto found = commands_.find(call_id);
  if (found == commands_.end()) return;
  auto& command = found->second;
  command.written.bytes += static_cast<std::int64_t>(text.size());
  command.written.lines += std::ranges::count(text, '\n');
  log_.running(out, "item.commandExecution.outputDelta", other_thread, command.text, command.written);
}

std::string TurnEvents::take_mcp_call(const json::object& args) {
  const auto same = [&](const McpCall& call) {
    return call.name == call_name(args) && call.arguments == arguments_text(args);
  };
  const auto named = [&](const McpCall& call) { return call.name == call_name(args); };
  auto found = std::ranges::find_if(unasked_mcp_, same);
  if (found == unasked_mcp_.end()) found = std::ranges::find_if(unasked_mcp_, named);
  if (found == unasked_mcp_.end()) return {};
  std::string call_id = std::move(found->call_id);
  unasked_mcp_.erase(found);
  return call_id;
}

void TurnEvents::item_completed(Outputs& out, const json::object& item, const std::string& other_thread) {
  const auto type = type_of(item);
  if (type == "agentMessage" && other_thread.empty()) {
    return log_.message(out, item_completed_type, base::get_string(item, "text").value_or(""));
  }
  if (type == "reasoning") {
    if (auto summary = reasoning_summary(item); !summary.empty()) {
      log_.emit(out, "agent.progress", item_completed_type, {{"summary", std::move(summary)}});
    }
    return;
  }
  if (type == "contextCompaction") {
    return log_.emit(out, "agent.progress", item_completed_type, {{"summary", "Context compacted"}});
  }
  if (tool_call_of(item, cwd_)) tool_completed(out, item, other_thread);
}

void TurnEvents::tool_completed(Outputs& out, const json::object& item, const std::string& other_thread) {
  item_started(out, item);  // a call whose start was never told
  if (!log_.close(id_of(item))) return;
  commands_.erase(id_of(item));
  std::erase_if(unasked_mcp_, [&](const McpCall& call) { return call.call_id == id_of(item); });
  auto payload = completion_of(item, cwd_);
  if (type_of(item) == "mcpToolCall" && base::get_string(payload, "status") == "failed") {
    const auto name =
        mcp_name(base::get_string(item, "server").value_or(""), base::get_string(item, "tool").value_or(""));
    if (const auto found = declined_mcp_.find(name); found != declined_mcp_.end()) {
      declined_mcp_.erase(found);
      payload["status"] = "declined";
    }
  }
  log_.emit(out, "agent.tool_completed", item_completed_type, payload);
  watch(out, item, payload, other_thread);
}

void TurnEvents::watch(Outputs& out, const json::object& item, const json::object& completion,
                       const std::string& other_thread) {
  const auto status = base::get_string(completion, "status").value_or("");
  const auto call = tool_call_of(item, cwd_);
  if (status == "declined" || !call) return;
  const bool shell = call->tool == "shell";
  const auto command = shell ? text_of(item, "command") : std::string();
  const auto input = shell ? std::string() : base::to_canonical(call->args);
  const auto output = text_of(completion, "output");
  policy::FinishedCall finished{.agent = other_thread,
                                .tool = call->tool,
                                .title = call->title,
                                .command = command,
                                .input = input,
                                .failed = status == "failed",
                                .exit_code = base::get_int(completion, "exitCode"),
                                .output = output,
                                .waits = type_of(item) == "sleep"};
  if (type_of(item) == "fileChange" && status == "completed") {
    for (const auto& entry : changes_of(item, cwd_, Diffs::with)) {
      const auto& change = entry.get_object();
      finished.changes.push_back(
          {text_of(change, "path"), text_of(change, "kind"), text_of(change, "diff")});
    }
  }
  log_.finished(out, item_completed_type, finished);
}

void TurnEvents::plan_updated(Outputs& out, const json::object& params) {
  constexpr auto type = "turn.plan.updated";
  const auto* plan = base::get_array(params, "plan");
  if (!plan) return;
  ToolCall call{.call_id = "plan_" + std::to_string(++plans_), .tool = "todo", .title = "Update the plan"};
  call.args["items"] = plan_items(*plan);
  if (const auto why = text_of(params, "explanation"); !why.empty()) call.args["explanation"] = why;
  log_.tool_started(out, type, call);
  log_.close(call.call_id);
  log_.emit(
      out, "agent.tool_completed", type,
      {{"callId", call.call_id}, {"status", "completed"}, {"output", log_.line_of(plan_summary(*plan))}});
}

void TurnEvents::retrying(Outputs& out, const json::object& error) {
  log_.emit(out, "agent.retry", "error", retry_of(error, ++retries_));
}

const json::array* TurnEvents::open_changes(const std::string& call_id) const {
  const auto* kept = log_.kept(call_id);
  return kept ? kept->if_array() : nullptr;
}

void TurnEvents::declined_mcp(std::string_view server, std::string_view tool) {
  declined_mcp_.insert(mcp_name(server, tool));
}

}  // namespace agentrouter::agents::codex
