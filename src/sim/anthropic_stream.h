#pragma once
// Writes one answer of the Messages API as server-sent events, each event a chunk of its own. Ids are made
// from a seed, so that the same request gives the same bytes.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "sim/anthropic_tools.h"
#include "sim/reply.h"
#include "sim/sse.h"

namespace agentrouter::sim {

class MessageWriter {
 public:
  // `input_tokens`: what the first event reports; nothing leaves the counts out.
  MessageWriter(std::string seed, std::string model, std::optional<std::size_t> input_tokens);

  // Lets time pass, with a ping every few seconds so that no idle timer of the client fires.
  void pause(std::chrono::milliseconds time);
  void text(std::string_view text);
  void thinking(std::string_view text);
  void tool_use(const ToolUse& call);

  // The end, one of:
  void stopped(std::string_view reason, const std::optional<TokenCounts>& usage);
  void failed(std::string_view type, std::string_view message);

  // Of what has been written so far.
  [[nodiscard]] std::size_t output_tokens() const;

  [[nodiscard]] Reply take_stream() &&;
  // The same answer as one JSON document, for a client that did not ask for a stream.
  [[nodiscard]] Reply take_document() &&;

 private:
  void event(std::string_view type, json::object data);
  void begin_block(const json::object& block);
  void delta(json::object delta);
  void end_block(json::object block);
  [[nodiscard]] std::string id(std::string_view prefix);

  std::string seed_;
  std::size_t ids_ = 0;
  std::size_t bytes_ = 0;
  std::chrono::milliseconds delay_{0};
  json::object message_;
  json::array content_;
  std::optional<Reply> error_;
  std::vector<Chunk> chunks_;
};

// The event that completes a part of the answer.
inline constexpr std::string_view block_stop = "content_block_stop";

// `{"type":"error","error":{...},"request_id":...}`. An empty type is the one that Anthropic gives that
// status.
[[nodiscard]] Reply anthropic_error(int status, std::string_view type, std::string_view message);
[[nodiscard]] std::string_view anthropic_error_type(int status);

}  // namespace agentrouter::sim
