#include "sim/openai_stream.h"

#include <algorithm>

#include "base/hash.h"

namespace agentrouter::sim {

namespace {

using std::string_view;

constexpr std::chrono::milliseconds feeding_interval{5000};

json::object usage_object(const TokenCounts& counts) {
  return {{"input_tokens", counts.input},
          {"input_tokens_details", {{"cached_tokens", 0}}},
          {"output_tokens", counts.output},
          {"output_tokens_details", {{"reasoning_tokens", counts.reasoning}}},
          {"total_tokens", counts.input + counts.output}};
}

string_view error_type(int status, string_view code) {
  if (code == "insufficient_quota") return "insufficient_quota";
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

ResponseWriter::ResponseWriter(std::string seed, std::string model)
    : seed_(std::move(seed)), model_(std::move(model)) {
  id_ = id("resp");
  event("response.created", {{"response", response("in_progress")}});
}

std::string ResponseWriter::id(string_view prefix) {
  const auto digest = base::Sha256::hex_of(seed_ + ':' + std::to_string(ids_++));
  return std::string(prefix) + '_' + digest.substr(0, 24);
}

json::object ResponseWriter::response(string_view status) const {
  return {
      {"id", id_}, {"object", "response"}, {"status", status}, {"model", model_}, {"output", json::array()}};
}

void ResponseWriter::event(string_view type, json::object data) {
  json::object whole{{"type", type}, {"sequence_number", events_++}};
  for (auto& member : data) whole[member.key()] = std::move(member.value());
  chunks_.push_back({std::exchange(delay_, {}), event_bytes(type, whole)});
}

void ResponseWriter::pause(std::chrono::milliseconds time) {
  for (; time > feeding_interval; time -= feeding_interval) {
    delay_ += feeding_interval;
    event("response.in_progress", {{"response", response("in_progress")}});
  }
  delay_ += time;
}

void ResponseWriter::add_item(json::object item, std::size_t text_bytes) {
  text_bytes_ += text_bytes;
  event(item_done, {{"output_index", output_.size()}, {"item", item}});
  output_.push_back(std::move(item));
}

void ResponseWriter::message(string_view text) {
  const auto index = output_.size();
  json::object item{{"type", "message"}, {"id", id("msg")}, {"role", "assistant"}, {"status", "in_progress"}};
  item["content"] = json::array();
  event("response.output_item.added", {{"output_index", index}, {"item", item}});
  for (const auto delta : deltas(text)) {
    event("response.output_text.delta",
          {{"item_id", item["id"]}, {"output_index", index}, {"content_index", 0}, {"delta", delta}});
  }
  item["status"] = "completed";
  item["content"] = json::array{{{"type", "output_text"}, {"text", text}, {"annotations", json::array()}}};
  add_item(std::move(item), text.size());
}

void ResponseWriter::reasoning(string_view text) {
  const auto index = output_.size();
  json::object item{
      {"type", "reasoning"}, {"id", id("rs")}, {"summary", json::array()}, {"encrypted_content", nullptr}};
  const json::object part{{"item_id", item["id"]}, {"output_index", index}, {"summary_index", 0}};
  event("response.output_item.added", {{"output_index", index}, {"item", item}});
  auto added = part;
  added["part"] = {{"type", "summary_text"}, {"text", ""}};
  event("response.reasoning_summary_part.added", std::move(added));
  auto delta = part;
  delta["delta"] = text;
  event("response.reasoning_summary_text.delta", std::move(delta));
  item["summary"] = json::array{{{"type", "summary_text"}, {"text", text}}};
  reasoning_bytes_ += text.size();
  add_item(std::move(item), text.size());
}

void ResponseWriter::refusal(string_view text) {
  json::object item{{"type", "message"}, {"id", id("msg")}, {"role", "assistant"}, {"status", "completed"}};
  item["content"] = json::array{{{"type", "refusal"}, {"refusal", text}}};
  add_item(std::move(item), text.size());
}

void ResponseWriter::call(const ItemCall& call) {
  const bool is_function = call.kind == OfferedTool::Kind::function;
  json::object item{{"type", is_function ? "function_call" : "custom_tool_call"}};
  item["id"] = id(is_function ? "fc" : "ctc");
  item["call_id"] = id("call");
  item["name"] = call.name;
  if (!call.name_space.empty()) item["namespace"] = call.name_space;
  item[is_function ? "arguments" : "input"] = call.input;
  add_item(std::move(item), call.input.size());
}

void ResponseWriter::close(string_view type, string_view status, json::object more,
                           const std::optional<TokenCounts>& usage) {
  auto whole = response(status);
  for (auto& member : more) whole[member.key()] = std::move(member.value());
  if (usage) whole["usage"] = usage_object(*usage);
  last_ = whole;
  event(type, {{"response", std::move(whole)}});
}

void ResponseWriter::completed(const std::optional<TokenCounts>& usage) {
  close("response.completed", "completed", {}, usage);
}

void ResponseWriter::incomplete(string_view reason, const std::optional<TokenCounts>& usage) {
  close("response.incomplete", "incomplete", {{"incomplete_details", {{"reason", reason}}}}, usage);
}

void ResponseWriter::failed(string_view code, string_view message) {
  close("response.failed", "failed", {{"error", {{"code", code}, {"message", message}}}}, std::nullopt);
}

TokenCounts ResponseWriter::measured(std::size_t request_bytes) const {
  return {std::max<std::size_t>(1, tokens(request_bytes)), std::max<std::size_t>(1, tokens(text_bytes_)),
          tokens(reasoning_bytes_)};
}

Reply ResponseWriter::take_stream() && {
  Reply reply{.headers = {{"content-type", "text/event-stream"}, {"cache-control", "no-store"}}};
  reply.headers.push_back({"x-request-id", id("req")});
  reply.chunks = std::move(chunks_);
  return reply;
}

Reply ResponseWriter::take_document() && {
  Reply reply{.headers = {{"content-type", "application/json"}, {"x-request-id", id("req")}}};
  std::chrono::milliseconds time{0};
  for (const auto& chunk : chunks_) time += chunk.delay;
  last_["output"] = std::move(output_);
  reply.chunks.push_back({time, base::to_text(last_)});
  return reply;
}

Reply error_reply(int status, string_view code, string_view message) {
  const json::object error{
      {"message", message}, {"type", error_type(status, code)}, {"param", nullptr}, {"code", code}};
  return Reply{.status = status,
               .headers = {{"content-type", "application/json"}},
               .chunks = {{.bytes = base::to_text(json::object{{"error", error}})}}};
}

}  // namespace agentrouter::sim
