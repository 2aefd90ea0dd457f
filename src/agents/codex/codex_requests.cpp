#include "agents/codex/codex_requests.h"

#include "agents/codex/codex_items.h"
#include "agents/codex/codex_messages.h"
#include "agents/payload.h"

namespace agentrouter::agents::codex {

namespace {

// What a request says besides what would run: names of this conversation, and what may be answered.
constexpr std::string_view names_of_request[] = {"threadId",       "turnId",
                                                 "itemId",         "approvalId",
                                                 "startedAtMs",    "availableDecisions",
                                                 "commandActions", "proposedExecpolicyAmendment",
                                                 "reason",         "proposedNetworkPolicyAmendments"};

std::string digest_of(std::string_view method, const json::object& params) {
  json::object request = params;
  for (const auto name : names_of_request) request.erase(name);
  return base::json_digest(json::object{{"method", method}, {"params", std::move(request)}});
}

ServerRequest command_question(Ask ask, const json::object& params) {
  auto call = shell_call(params);
  ask.tool = "shell";
  ask.title = std::move(call.title);
  ask.args = std::move(call.args);
  for (const auto* key : {"kind", "networkApprovalContext"}) {
    const auto* value = params.if_contains(key);
    if (value && !value->is_null() && *value != "command") ask.args[key] = *value;
  }
  if (ask.args.empty()) return Unacceptable{"", "a question about no command"};
  return Question{QuestionKind::command, std::move(ask)};
}

ServerRequest file_change_question(Ask ask, const json::object& params) {
  if (ask.call_id.empty()) return Unacceptable{"", "a question about no file change"};
  ask.tool = "edit";
  if (const auto root = text_of(params, "grantRoot"); !root.empty()) ask.args["grantRoot"] = root;
  return Question{QuestionKind::file_change, std::move(ask)};
}

ServerRequest elicitation(Ask ask, const json::value& id, const json::object& params) {
  const auto* meta = base::get_object(params, "_meta");
  if (!meta || base::get_string(*meta, "codex_approval_kind") != "mcp_tool_call") {
    // A server wants to ask a person something, and nobody sits here.
    return FixedReply{elicitation_answer(id, Answer::decline)};
  }
  const auto server = text_of(params, "serverName");
  const auto tool = text_of(*meta, "tool_name");
  if (server.empty() || tool.empty()) return Unacceptable{"", "a question about no tool"};
  ask.tool = "mcp";
  ask.title = server + "." + tool;
  ask.args["server"] = server;
  ask.args["tool"] = tool;
  const auto* arguments = meta->if_contains("tool_params");
  ask.args["arguments"] = arguments ? *arguments : json::value(nullptr);
  return Question{QuestionKind::mcp, std::move(ask)};
}

}  // namespace

ServerRequest read_request(std::string_view method, const json::value& id, const json::object& params) {
  Ask ask{.ask_id = base::to_text(id),
          .call_id = text_of(params, "itemId"),
          .input_digest = digest_of(method, params)};
  if (method == "item/commandExecution/requestApproval") return command_question(std::move(ask), params);
  if (method == "item/fileChange/requestApproval") return file_change_question(std::move(ask), params);
  if (method == "mcpServer/elicitation/request") return elicitation(std::move(ask), id, params);
  if (method == "item/permissions/requestApproval") {
    return FixedReply{plain_answer(id, {{"permissions", json::object{}}, {"scope", "turn"}})};
  }
  if (method == "item/tool/requestUserInput") {
    return FixedReply{plain_answer(id, {{"answers", json::object{}}})};
  }
  return Unacceptable{method_refusal(id),
                      "a request that this version does not know: " + std::string(method)};
}

std::string answer_to(QuestionKind kind, const json::value& id, Answer answer) {
  return kind == QuestionKind::mcp ? elicitation_answer(id, answer) : approval_answer(id, answer);
}

void add_changes(Ask& ask, const json::array& changes, std::string_view cwd) {
  const json::object item{{"changes", changes}};
  ask.title = paths_title(changes_of(item, cwd, Diffs::without));
  ask.args["changes"] = changes_of(item, "", Diffs::with);
  ask.input_digest = base::json_digest(json::object{{"request", ask.input_digest}, {"changes", changes}});
}

}  // namespace agentrouter::agents::codex
