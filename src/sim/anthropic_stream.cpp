#include "sim/anthropic_stream.h"

#include <utility>

#include "base/hash.h"

namespace agentrouter::sim {

namespace {

using std::string_view;

constexpr std::chrono::milliseconds ping_interval{5000};

json::object message_usage(std::size_t input, std::size_t output) {
  return {{"input_tokens", input},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", 0},
          {"output_tokens", output}};
}

}  // namespace

MessageWriter::MessageWriter(std::string seed, std::string model, std::optional<std::size_t> input_tokens)
    : seed_(std::move(seed)) {
  message_ = {{"id", id("msg")},         {"type", "message"},        {"role", "assistant"},
              {"model", model},          {"content", json::array()}, {"stop_reason", nullptr},
              {"stop_sequence", nullptr}};
  if (input_tokens) message_["usage"] = message_usage(*input_tokens, 1);
  event("message_start", {{"message", message_}});
  event("ping", {});
}

std::string MessageWriter::id(string_view prefix) {
  const auto digest = base::Sha256::hex_of(seed_ + ':' + std::to_string(ids_++));
  return std::string(prefix) + '_' + digest.substr(0, 24);
}

void MessageWriter::event(string_view type, json::object data) {
  json::object whole{{"type", type}};
  for (auto& member : data) whole[member.key()] = std::move(member.value());
  chunks_.push_back({std::exchange(delay_, {}), event_bytes(type, whole)});
}

void MessageWriter::pause(std::chrono::milliseconds time) {
  for (; time > ping_interval; time -= ping_interval) {
    delay_ += ping_interval;
    event("ping", {});
  }
  delay_ += time;
}

void MessageWriter::begin_block(const json::object& block) {
  event("content_block_start", {{"index", content_.size()}, {"content_block", block}});
}

void MessageWriter::delta(json::object delta) {
  event("content_block_delta", {{"index", content_.size()}, {"delta", std::move(delta)}});
}

void MessageWriter::end_block(json::object block) {
  event(block_stop, {{"index", content_.size()}});
  content_.push_back(std::move(block));
}

void MessageWriter::text(string_view text) {
  begin_block({{"type", "text"}, {"text", ""}});
  for (const auto piece : deltas(text)) delta({{"type", "text_delta"}, {"text", piece}});
  bytes_ += text.size();
  end_block({{"type", "text"}, {"text", text}});
}

void MessageWriter::thinking(string_view text) {
  begin_block({{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
  for (const auto piece : deltas(text)) delta({{"type", "thinking_delta"}, {"thinking", piece}});
  const auto signature = id("sig");
  delta({{"type", "signature_delta"}, {"signature", signature}});
  bytes_ += text.size();
  end_block({{"type", "thinking"}, {"thinking", text}, {"signature", signature}});
}

void MessageWriter::tool_use(const ToolUse& call) {
  const auto call_id = id(call.part == ToolUse::Part::preparing ? preparing_id : "toolu");
  json::object block{{"type", "tool_use"}, {"id", call_id}, {"name", call.name}, {"input", json::object()}};
  begin_block(block);
  const auto input = base::to_text(call.input);
  for (const auto piece : deltas(input)) delta({{"type", "input_json_delta"}, {"partial_json", piece}});
  bytes_ += input.size();
  block["input"] = call.input;
  end_block(std::move(block));
}

void MessageWriter::stopped(string_view reason, const std::optional<TokenCounts>& usage) {
  message_["stop_reason"] = reason;
  json::object data{{"delta", {{"stop_reason", reason}, {"stop_sequence", nullptr}}}};
  if (usage) data["usage"] = message_["usage"] = message_usage(usage->input, usage->output);
  event("message_delta", std::move(data));
  event("message_stop", {});
}

void MessageWriter::failed(string_view type, string_view message) {
  event("error", {{"error", {{"type", type}, {"message", message}}}});
  error_ = anthropic_error(type == "overloaded_error"   ? 529
                           : type == "rate_limit_error" ? 429
                                                        : 500,
                           type, message);
}

std::size_t MessageWriter::output_tokens() const {
  return std::max<std::size_t>(1, tokens(bytes_));
}

Reply MessageWriter::take_stream() && {
  Reply reply{.headers = {{"content-type", "text/event-stream"}, {"cache-control", "no-store"}}};
  reply.headers.push_back({"request-id", id("req")});
  reply.chunks = std::move(chunks_);
  return reply;
}

Reply MessageWriter::take_document() && {
  std::chrono::milliseconds time{0};
  for (const auto& chunk : chunks_) time += chunk.delay;
  Reply reply{.headers = {{"content-type", "application/json"}, {"request-id", id("req")}}};
  message_["content"] = std::move(content_);
  reply.chunks.push_back({time, base::to_text(message_)});
  if (error_) reply = std::move(*error_);
  reply.chunks.front().delay = time;
  return reply;
}

string_view anthropic_error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 529:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

Reply anthropic_error(int status, string_view type, string_view message) {
  if (type.empty()) type = anthropic_error_type(status);
  const auto request =
      "req_" + base::Sha256::hex_of(std::to_string(status) + std::string(message)).substr(0, 24);
  const json::object body{
      {"type", "error"}, {"error", {{"type", type}, {"message", message}}}, {"request_id", request}};
  return Reply{.status = status,
               .headers = {{"content-type", "application/json"}, {"request-id", request}},
               .chunks = {{.bytes = base::to_text(body)}}};
}

}  // namespace agentrouter::sim
