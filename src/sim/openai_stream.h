#pragma once
// Writes one answer of the Responses API as server-sent events, each event a chunk of its own. Ids are made
// from a seed, so that the same request gives the same bytes.

#include <string>
#include <string_view>

#include "base/json.h"
#include "sim/openai_tools.h"
#include "sim/reply.h"
#include "sim/sse.h"

namespace agentrouter::sim {

class ResponseWriter {
 public:
  ResponseWriter(std::string seed, std::string model);

  // Lets time pass, with an event every few seconds so that no idle timer of the client fires.
  void pause(std::chrono::milliseconds time);
  void message(std::string_view text);
  void reasoning(std::string_view text);
  void refusal(std::string_view text);
  void call(const ItemCall& call);

  // The end, one of:
  void completed(const std::optional<TokenCounts>& usage);
  void incomplete(std::string_view reason, const std::optional<TokenCounts>& usage);
  void failed(std::string_view code, std::string_view message);

  [[nodiscard]] TokenCounts measured(std::size_t request_bytes) const;

  [[nodiscard]] Reply take_stream() &&;
  // The same answer as one JSON document, for a client that did not ask for a stream.
  [[nodiscard]] Reply take_document() &&;

 private:
  void event(std::string_view type, json::object data);
  void add_item(json::object item, std::size_t text_bytes);
  void close(std::string_view type, std::string_view status, json::object more,
             const std::optional<TokenCounts>& usage);
  [[nodiscard]] std::string id(std::string_view prefix);
  [[nodiscard]] json::object response(std::string_view status) const;

  std::string seed_;
  std::string model_;
  std::string id_;
  std::size_t ids_ = 0;
  std::size_t events_ = 0;
  std::size_t text_bytes_ = 0;
  std::size_t reasoning_bytes_ = 0;
  std::chrono::milliseconds delay_{0};
  json::array output_;
  json::object last_;
  std::vector<Chunk> chunks_;
};

// The event that completes an item of the answer.
inline constexpr std::string_view item_done = "response.output_item.done";

// `{"error": {...}}` with the type that OpenAI gives that status.
[[nodiscard]] Reply error_reply(int status, std::string_view code, std::string_view message);

}  // namespace agentrouter::sim
