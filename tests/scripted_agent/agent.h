#pragma once
// The app-server's outer half: initialize, threads, and the turns in them.

#include <map>
#include <string>

#include "scripted_agent/turn.h"
#include "scripted_agent/wire.h"

namespace agentrouter::scripted_agent {

class Agent {
 public:
  // `home` is CODEX_HOME: what was said in a thread is kept in its sessions/, for a later process to resume.
  explicit Agent(std::string home) : home_(std::move(home)) {}

  // Serves until stdin ends, by throwing Gone.
  [[noreturn]] void serve();

 private:
  void request(std::string_view method, const json::value& id, const json::object& params);
  void initialize(const json::value& id, const json::object& params);
  void start_thread(const json::value& id, const json::object& params);
  void resume_thread(const json::value& id, const json::object& params);
  void start_turn(const json::value& id, const json::object& params);
  void open(const json::value& id, Thread thread, const json::object& params);
  void save(const Thread& thread) const;
  [[nodiscard]] std::string session_file(std::string_view thread) const;

  std::string home_;
  Wire wire_;
  bool initialized_ = false;
  std::map<std::string, Thread> threads_;
};

}  // namespace agentrouter::scripted_agent
