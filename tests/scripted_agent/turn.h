#pragma once
// One turn: the script of its prompt, carried out without a provider and told over the wire as Codex tells
// it.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "scripted_agent/extras.h"
#include "scripted_agent/files.h"
#include "scripted_agent/wire.h"
#include "sim/script.h"

namespace agentrouter::scripted_agent {

struct Thread {
  std::string id;
  std::string directory;
  std::string model;
  bool asks = true;     // approvalPolicy "untrusted"
  std::string earlier;  // what was said in the turns before
  std::int64_t next_request = 0;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
};

class Turn {
 public:
  Turn(Wire& wire, Thread& thread, std::string id, std::string prompt);

  // The object that describes the turn in replies and notifications.
  [[nodiscard]] json::object describe(std::string_view status) const;
  // From turn/started to turn/completed. Throws Gone.
  void run();

 private:
  struct Interrupted {};
  struct Failed {
    json::object error;
  };
  enum class Decision { accepted, declined };

  void perform(const sim::Script& script);
  void disturb(const sim::Disturbance& disturbance);
  void call(const sim::ToolCall& call);
  [[nodiscard]] json::object command_item(const std::string& command);
  [[nodiscard]] json::object question_about(const json::object& item) const;
  void shell(const std::string& command);
  void crowd(const Crowd& crowd);
  void run_command(json::object& item, const std::string& command);
  void change(const Change& change);
  void mcp(const sim::McpTool& tool);
  void extra(const Extra& extra);
  void flood(const Flood& flood);
  void say(std::string_view text);
  void think(std::string_view text);
  void user_message();
  void report_usage(const sim::Usage& usage);
  void complete(std::string_view status, json::value error);

  // Handles what the client says meanwhile. Throws Interrupted.
  void pause(std::chrono::milliseconds time);
  [[nodiscard]] bool wait_readable(int descriptor);
  void hear(const json::object& message);
  // Throws Interrupted for "cancel".
  [[nodiscard]] static Decision decision_in(std::string_view method, const json::object& result);
  [[nodiscard]] Decision ask(std::string_view method, json::object params);
  [[nodiscard]] json::object wait_answer(std::int64_t request);

  void started(json::object& item);
  void finished(json::object& item);
  void notify(std::string_view method, json::object params);
  void status(json::object status);
  [[nodiscard]] std::string new_id(std::string_view prefix);

  Wire& wire_;
  Thread& thread_;
  std::string id_;
  std::string prompt_;
  std::int64_t started_ms_ = now_ms();
  std::int64_t items_ = 0;
  std::size_t said_bytes_ = 0;
  json::object last_message_;
  std::map<std::int64_t, json::object> answers_;  // to questions of a crowd, as they come
};

}  // namespace agentrouter::scripted_agent
