#include "scripted_agent/turn.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/utf8.h"
#include "scripted_agent/command.h"
#include "sim/plain.h"

namespace agentrouter::scripted_agent {

namespace {

constexpr std::size_t most_output = 1u << 20;
constexpr std::string_view command_approval = "item/commandExecution/requestApproval";

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

json::value info_of(const sim::Disturbance& disturbance) {
  const bool quota = disturbance.code == "insufficient_quota";
  if (disturbance.kind == sim::Disturbance::Kind::drop) return "other";
  if (disturbance.kind == sim::Disturbance::Kind::fail) {
    if (disturbance.code == "context_length_exceeded") return "contextWindowExceeded";
    if (disturbance.code == "rate_limit_exceeded") return "rateLimitExceeded";
    return quota ? "usageLimitExceeded" : "other";
  }
  if (quota) return "usageLimitExceeded";
  if (disturbance.status == 400) return "other";
  if (disturbance.status == 404) return "modelNotFound";
  if (disturbance.status == 429) return {{"responseTooManyFailedAttempts", {{"httpStatusCode", 429}}}};
  if (disturbance.status == 500) return "internalServerError";
  return {{"httpConnectionFailed", {{"httpStatusCode", disturbance.status}}}};
}

// Codex does not try these again.
bool is_final(const sim::Disturbance& disturbance) {
  return disturbance.repeats == sim::Disturbance::Repeats::always ||
         disturbance.code == "insufficient_quota" || disturbance.code == "context_length_exceeded" ||
         disturbance.code == "max_tokens" ||
         (disturbance.kind == sim::Disturbance::Kind::error &&
          (disturbance.status == 400 || disturbance.status == 404));
}

json::object error_of(std::string_view message, json::value info) {
  return {{"message", message}, {"codexErrorInfo", std::move(info)}, {"additionalDetails", nullptr}};
}

std::string text_of(const sim::FinalMessage& message, std::string_view earlier) {
  if (const auto* text = std::get_if<sim::Text>(&message)) return text->text;
  if (const auto* big = std::get_if<sim::Big>(&message)) return std::string(big->bytes, 'x');
  return earlier.find(std::get<sim::Recall>(message).text) == std::string_view::npos ? "not seen" : "seen";
}

json::object counts(std::int64_t input, std::int64_t output) {
  return {{"totalTokens", input + output}, {"inputTokens", input},   {"cachedInputTokens", 0},
          {"cacheWriteInputTokens", 0},    {"outputTokens", output}, {"reasoningOutputTokens", 0}};
}

}  // namespace

Turn::Turn(Wire& wire, Thread& thread, std::string id, std::string prompt)
    : wire_(wire), thread_(thread), id_(std::move(id)), prompt_(std::move(prompt)) {}

json::object Turn::describe(std::string_view status) const {
  json::object turn{{"id", id_}, {"rootTurnId", id_}, {"items", json::array()}, {"itemsView", "notLoaded"}};
  turn["status"] = status;
  turn["error"] = nullptr;
  turn["startedAt"] = started_ms_ / 1000;
  turn["completedAt"] = nullptr;
  turn["durationMs"] = nullptr;
  return turn;
}

void Turn::run() {
  status({{"type", "active"}, {"activeFlags", json::array()}});
  notify("turn/started", {{"threadId", thread_.id}, {"turn", describe("inProgress")}});
  user_message();
  try {
    const auto task = with_extras(prompt_);
    const auto script = sim::parse_script(task);
    perform(script ? *script : sim::plain_script(prompt_));
    complete("completed", nullptr);
  } catch (const Interrupted&) {
    complete("interrupted", nullptr);
  } catch (Failed& failed) {
    auto error = failed.error;
    error["willRetry"] = false;
    notify("error",
           {{"error", failed.error}, {"willRetry", false}, {"threadId", thread_.id}, {"turnId", id_}});
    complete("failed", std::move(failed.error));
  }
  thread_.earlier += prompt_ + "\n";
}

void Turn::perform(const sim::Script& script) {
  for (const auto& response : script.responses) {
    for (const auto& disturbance : response.disturbances) disturb(disturbance);
    pause(response.sleep);
    for (const auto& utterance : response.utterances) {
      utterance.kind == sim::Utterance::Kind::say ? say(utterance.text) : think(utterance.text);
    }
    for (const auto& step : response.calls) call(step);
    if (response.final_message) say(text_of(*response.final_message, thread_.earlier));
    report_usage(response.usage);
  }
}

void Turn::disturb(const sim::Disturbance& disturbance) {
  pause(disturbance.sleep);
  const bool is_error = disturbance.kind == sim::Disturbance::Kind::error;
  const auto what = is_error ? "unexpected status " + std::to_string(disturbance.status)
                             : "stream disconnected before completion: " + disturbance.code;
  auto error = error_of(what, info_of(disturbance));
  if (is_final(disturbance)) throw Failed{std::move(error)};
  if (disturbance.code == "refusal") return say("I can't help with that.");
  error["message"] = "Reconnecting... 1/2";
  error["additionalDetails"] = what;
  const json::value status = is_error ? json::value(disturbance.status) : json::value(nullptr);
  error["codexErrorInfo"] = {{"responseStreamDisconnected", {{"httpStatusCode", status}}}};
  notify("error",
         {{"error", std::move(error)}, {"willRetry", true}, {"threadId", thread_.id}, {"turnId", id_}});
}

void Turn::call(const sim::ToolCall& call) {
  std::visit(Match{[&](const sim::Shell& step) { shell(step.command); },
                   [&](const sim::ReadFile& step) { shell("cat " + shell_quoted(step.path)); },
                   [&](const sim::WriteFile& step) { change(plan(step, thread_.directory)); },
                   [&](const sim::EditFile& step) {
                     // As with the real one, a patch that does not fit is only told to the model.
                     if (const auto planned = plan(step, thread_.directory)) change(*planned);
                   },
                   [&](const sim::McpTool& step) { mcp(step); },
                   [&](const sim::NamedTool& step) {
                     if (const auto found = extra_of(step)) return extra(*found);
                     const auto arguments = base::parse_json(step.arguments);
                     const auto* object = arguments ? arguments->if_object() : nullptr;
                     const auto command = object ? base::get_string(*object, "cmd") : std::nullopt;
                     if (step.tool == "exec_command" && command) shell(std::string(*command));
                   }},
             call);
}

json::object Turn::command_item(const std::string& command) {
  json::object item{{"type", "commandExecution"},
                    {"id", new_id("call")},
                    {"command", "/bin/sh -c " + shell_quoted(command)}};
  item["cwd"] = thread_.directory;
  item["processId"] = nullptr;
  item["source"] = "agent";
  item["status"] = "inProgress";
  item["commandActions"] = json::array{{{"type", "unknown"}, {"command", command}}};
  item["aggregatedOutput"] = nullptr;
  item["exitCode"] = nullptr;
  item["durationMs"] = nullptr;
  return item;
}

json::object Turn::question_about(const json::object& item) const {
  return {{"kind", "command"},
          {"threadId", thread_.id},
          {"turnId", id_},
          {"itemId", item.at("id")},
          {"command", item.at("command")},
          {"cwd", item.at("cwd")},
          {"reason", nullptr},
          {"commandActions", item.at("commandActions")},
          {"availableDecisions", json::array{"accept", "cancel"}}};
}

void Turn::shell(const std::string& command) {
  auto item = command_item(command);
  started(item);
  if (ask(command_approval, question_about(item)) == Decision::declined) {
    item["status"] = "declined";
  } else {
    run_command(item, command);
  }
  finished(item);
}

void Turn::crowd(const Crowd& crowd) {
  std::map<std::int64_t, std::pair<json::object, std::string>> asked;
  for (std::size_t i = 1; i <= crowd.questions; ++i) {
    const auto command = crowd.command + " " + std::to_string(i);
    auto item = command_item(command);
    started(item);
    const auto request = thread_.next_request++;
    wire_.send({{"method", command_approval}, {"id", request}, {"params", question_about(item)}});
    asked.emplace(request, std::pair(std::move(item), command));
  }
  while (!asked.empty()) {
    if (answers_.empty()) {
      if (const auto message = wire_.next(Wire::for_ever)) hear(*message);
      continue;
    }
    const auto answer = answers_.extract(answers_.begin());
    const auto answered = asked.find(answer.key());
    if (answered == asked.end()) continue;
    auto [item, command] = std::move(answered->second);
    notify("serverRequest/resolved", {{"threadId", thread_.id}, {"requestId", answered->first}});
    asked.erase(answered);
    const auto* result = base::get_object(answer.mapped(), "result");
    if (decision_in(command_approval, result ? *result : json::object()) == Decision::declined) {
      item["status"] = "declined";
    } else {
      run_command(item, command);
    }
    finished(item);
  }
}

void Turn::run_command(json::object& item, const std::string& command) {
  const auto begin = now_ms();
  std::string output;
  Command process(command, thread_.directory);
  while (process.output() >= 0) {
    if (!wait_readable(process.output())) continue;
    const auto bytes = process.read();
    if (bytes.empty()) break;
    output += bytes.substr(0, most_output - std::min(most_output, output.size()));
    const auto delta = base::to_utf8(bytes);
    notify("item/commandExecution/outputDelta",
           {{"threadId", thread_.id}, {"turnId", id_}, {"itemId", item["id"]}, {"delta", delta}});
  }
  const int code = process.wait();
  item["status"] = code == 0 ? "completed" : "failed";
  item["exitCode"] = code;
  item["durationMs"] = now_ms() - begin;
  if (!output.empty()) item["aggregatedOutput"] = base::to_utf8(output);
}

void Turn::change(const Change& change) {
  json::object item{{"type", "fileChange"}, {"id", new_id("call")}, {"changes", json::array{change.shown}}};
  item["status"] = "inProgress";
  started(item);
  const json::object question{{"threadId", thread_.id},
                              {"turnId", id_},
                              {"itemId", item["id"]},
                              {"reason", nullptr},
                              {"grantRoot", nullptr}};
  if (ask("item/fileChange/requestApproval", question) == Decision::declined) {
    item["status"] = "declined";
  } else {
    item["status"] = apply(change) ? "completed" : "failed";
  }
  finished(item);
}

// There is no MCP server: the call is asked about and then fails.
void Turn::mcp(const sim::McpTool& tool) {
  const auto arguments = base::parse_json(tool.arguments);
  json::object item{
      {"type", "mcpToolCall"}, {"id", new_id("call")}, {"server", tool.server}, {"tool", tool.tool}};
  item["status"] = "inProgress";
  item["arguments"] = arguments ? *arguments : json::value(nullptr);
  item["result"] = nullptr;
  item["error"] = nullptr;
  started(item);
  const json::object meta{
      {"codex_approval_kind", "mcp_tool_call"}, {"tool_name", tool.tool}, {"tool_params", item["arguments"]}};
  const json::object question{
      {"threadId", thread_.id}, {"turnId", id_}, {"serverName", tool.server},
      {"mode", "form"},         {"_meta", meta}, {"message", "Allow the tool \"" + tool.tool + "\"?"}};
  const auto decision = ask("mcpServer/elicitation/request", question);
  const auto* why =
      decision == Decision::declined ? "user rejected MCP tool call" : "there is no such MCP server";
  item["status"] = "failed";
  item["error"] = {{"message", why}};
  finished(item);
}

void Turn::extra(const Extra& extra) {
  std::visit(Match{[&](const Garbage&) { Wire::write(STDOUT_FILENO, "this is {not} JSON \xff\x01\n"); },
                   [&](const Flood& step) { flood(step); }, [&](const Crowd& step) { crowd(step); },
                   [&](const Exit& step) { ::_exit(step.code); },
                   [&](const Hang&) {
                     for (;;) ::pause();
                   }},
             extra);
}

void Turn::flood(const Flood& flood) {
  constexpr std::size_t piece = 16 * 1024;
  const std::string text(piece, 'f');
  for (std::size_t sent = 0; sent < flood.bytes; sent += piece) {
    const auto part = std::string_view(text).substr(0, flood.bytes - sent);
    if (flood.shape == Flood::Shape::messages) {
      notify("item/agentMessage/delta",
             {{"threadId", thread_.id}, {"turnId", id_}, {"itemId", "flood"}, {"delta", part}});
    } else {
      Wire::write(flood.shape == Flood::Shape::line ? STDOUT_FILENO : STDERR_FILENO, part);
    }
    pause(std::chrono::milliseconds(0));
  }
}

void Turn::say(std::string_view text) {
  json::object item{{"type", "agentMessage"}, {"id", new_id("msg")}, {"text", ""}, {"phase", nullptr}};
  started(item);
  const auto step = std::max<std::size_t>(64, text.size() / 256);
  for (auto rest = text; !rest.empty();) {
    auto delta = base::cut_utf8(rest, step);
    if (delta.empty()) delta = rest;
    notify("item/agentMessage/delta",
           {{"threadId", thread_.id}, {"turnId", id_}, {"itemId", item["id"]}, {"delta", delta}});
    rest.remove_prefix(delta.size());
  }
  item["text"] = text;
  finished(item);
  said_bytes_ += text.size();
  thread_.earlier.append(text).append("\n");
  last_message_ = std::move(item);
}

void Turn::think(std::string_view text) {
  json::object item{
      {"type", "reasoning"}, {"id", new_id("rs")}, {"summary", json::array()}, {"content", json::array()}};
  started(item);
  item["summary"] = json::array{text};
  finished(item);
}

void Turn::user_message() {
  json::object item{{"type", "userMessage"}, {"id", new_id("item")}, {"clientId", nullptr}};
  item["content"] = json::array{{{"type", "text"}, {"text", prompt_}, {"text_elements", json::array()}}};
  started(item);
  finished(item);
}

void Turn::report_usage(const sim::Usage& usage) {
  if (usage.arrival == sim::Usage::Arrival::late) pause(std::chrono::milliseconds(1000));
  if (usage.kind == sim::Usage::Kind::none) return;
  const bool fixed = usage.kind == sim::Usage::Kind::fixed;
  const auto input = static_cast<std::int64_t>(fixed ? usage.input : 1 + prompt_.size() / 4);
  const auto output = static_cast<std::int64_t>(fixed ? usage.output : 1 + said_bytes_ / 4);
  thread_.input_tokens += input;
  thread_.output_tokens += output;
  const json::object all{{"total", counts(thread_.input_tokens, thread_.output_tokens)},
                         {"last", counts(input, output)},
                         {"modelContextWindow", 258400}};
  notify("thread/tokenUsage/updated", {{"threadId", thread_.id}, {"turnId", id_}, {"tokenUsage", all}});
}

void Turn::complete(std::string_view outcome, json::value error) {
  auto turn = describe(outcome);
  if (outcome == "completed" && !last_message_.empty()) {
    turn["items"] = json::array{last_message_};
    turn["itemsView"] = "summary";
  }
  turn["error"] = std::move(error);
  turn["completedAt"] = now_ms() / 1000;
  turn["durationMs"] = now_ms() - started_ms_;
  status({{"type", "idle"}});
  notify("turn/completed", {{"threadId", thread_.id}, {"turn", std::move(turn)}});
}

void Turn::pause(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const auto message = wire_.next(std::max(rest, std::chrono::milliseconds(0)));
    if (!message) return;
    hear(*message);
  }
}

bool Turn::wait_readable(int descriptor) {
  const auto message = wire_.next(Wire::for_ever, descriptor);
  if (message) hear(*message);
  return !message;
}

void Turn::hear(const json::object& message) {
  const auto method = base::get_string(message, "method");
  const auto* id = message.if_contains("id");
  if (!method && id && id->is_int64()) answers_.insert_or_assign(id->get_int64(), message);
  if (!method || !id) return;
  if (*method == "turn/interrupt") {
    wire_.answer(*id, {});
    throw Interrupted{};
  }
  wire_.refuse(*id, -32600, "a turn is running");
}

Turn::Decision Turn::ask(std::string_view method, json::object params) {
  if (!thread_.asks) return Decision::accepted;
  const auto request = thread_.next_request++;
  status({{"type", "active"}, {"activeFlags", json::array{"waitingOnApproval"}}});
  wire_.send({{"method", method}, {"id", request}, {"params", std::move(params)}});
  const auto result = wait_answer(request);
  notify("serverRequest/resolved", {{"threadId", thread_.id}, {"requestId", request}});
  status({{"type", "active"}, {"activeFlags", json::array()}});
  return decision_in(method, result);
}

Turn::Decision Turn::decision_in(std::string_view method, const json::object& result) {
  const auto* decision = result.if_contains(method.starts_with("mcpServer") ? "action" : "decision");
  const bool amended = decision && decision->is_object();  // acceptWithExecpolicyAmendment
  const std::string word = decision && decision->is_string() ? std::string(decision->get_string()) : "";
  if (word == "cancel") throw Interrupted{};
  return amended || word == "accept" || word == "acceptForSession" ? Decision::accepted : Decision::declined;
}

json::object Turn::wait_answer(std::int64_t request) {
  for (;;) {
    const auto message = wire_.next(Wire::for_ever);
    if (!message) continue;
    if (message->contains("method") || base::get_int(*message, "id") != request) {
      hear(*message);
      continue;
    }
    // An error in place of a decision is a refusal.
    const auto* result = base::get_object(*message, "result");
    return result ? *result : json::object();
  }
}

void Turn::started(json::object& item) {
  item["startedAtMs"] = now_ms();
  item["completedAtMs"] = nullptr;
  notify("item/started",
         {{"item", item}, {"threadId", thread_.id}, {"turnId", id_}, {"startedAtMs", item["startedAtMs"]}});
}

void Turn::finished(json::object& item) {
  item["completedAtMs"] = now_ms();
  notify(
      "item/completed",
      {{"item", item}, {"threadId", thread_.id}, {"turnId", id_}, {"completedAtMs", item["completedAtMs"]}});
}

void Turn::notify(std::string_view method, json::object params) {
  wire_.notify(method, std::move(params));
}

void Turn::status(json::object status) {
  notify("thread/status/changed", {{"threadId", thread_.id}, {"status", std::move(status)}});
}

std::string Turn::new_id(std::string_view prefix) {
  return std::string(prefix) + "_" + base::Sha256::hex_of(id_ + std::to_string(items_++)).substr(0, 24);
}

}  // namespace agentrouter::scripted_agent
