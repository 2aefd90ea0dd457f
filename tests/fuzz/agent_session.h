#pragma once
// A driver of an agent's session that a fuzzer feeds: no crash, exactly one outcome and nothing after it,
// every started tool call completed once, and no acceptance without an answer. The first byte says how the
// driver behaves; the bytes come line by line unless it says otherwise, so that answers come between them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "agents/session.h"

namespace agentrouter::agents::fuzz {

inline const SessionLimits limits{.line_bytes = 64 << 10, .output_bytes = 1 << 20};

inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

class Driver {
 public:
  // `accept` is what each message to the agent has that accepts something.
  Driver(unsigned behaviour, std::unique_ptr<Session> session, std::string_view accept)
      : behaviour_(behaviour), session_(std::move(session)), accept_(accept) {
    take(session_->start());
  }

  void feed(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto line = std::min(bytes.find('\n'), bytes.size() - 1) + 1;
      const auto wanted = (behaviour_ & 1) != 0 ? 7 : (behaviour_ & 64) != 0 ? bytes.size() : line;
      const auto piece = std::min<std::size_t>(wanted, bytes.size());
      take(session_->feed(bytes.substr(0, piece)));
      bytes.remove_prefix(piece);
    }
    if ((behaviour_ & 2) != 0) take(session_->interrupt());
  }

  void end() {
    take(session_->ended("exit 0"));
    require(outcomes_ == 1 && open_.empty());
    require(session_->feed("{}\n").empty() && session_->ended("exit 0").empty());
  }

 private:
  void take(Outputs outputs) {
    for (auto& output : outputs) {
      require(outcomes_ == 0);
      if (std::holds_alternative<Outcome>(output)) ++outcomes_;
      if (const auto* event = std::get_if<EmitEvent>(&output)) watch(*event);
      if (const auto* bytes = std::get_if<SendBytes>(&output)) {
        if (bytes->bytes.find(accept_) != std::string::npos) require(accepts_-- > 0);
      }
      const auto* ask = std::get_if<Ask>(&output);
      if (!ask || (behaviour_ & 4) != 0) continue;
      if ((behaviour_ & 128) != 0) std::ignore = session_->edit(ask->ask_id, {{"command", "true"}});
      const auto answer = (behaviour_ & 8) != 0 ? Answer::decline : Answer::accept;
      if (answer == Answer::accept) ++accepts_;
      auto more = session_->answer(ask->ask_id, answer);
      require(session_->answer(ask->ask_id, Answer::accept).empty());
      take(std::move(more));
    }
  }

  void watch(const EmitEvent& event) {
    const auto call = std::string(base::get_string(event.payload, "callId").value_or(""));
    if (event.type == "agent.tool_started") require(open_.insert(call).second);
    if (event.type == "agent.tool_completed") require(open_.erase(call) == 1);
  }

  unsigned behaviour_;
  std::unique_ptr<Session> session_;
  std::string_view accept_;
  std::set<std::string> open_;
  int outcomes_ = 0;
  int accepts_ = 0;
};

inline void drive(const std::uint8_t* data, std::size_t size, std::unique_ptr<Session> session,
                  std::string_view accept) {
  if (size == 0) return;
  Driver driver(data[0], std::move(session), accept);
  driver.feed({reinterpret_cast<const char*>(data) + 1, size - 1});
  driver.end();
}

}  // namespace agentrouter::agents::fuzz
