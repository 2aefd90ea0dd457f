// What an agent may write on its stdout, from arbitrary bytes: no crash, exactly one outcome and nothing
// after it, every started tool call completed once, and no acceptance without an answer. The first byte says
// how the driver behaves.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "agents/codex/codex_session.h"

using namespace agentrouter;

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

class Driver {
 public:
  explicit Driver(unsigned behaviour) : behaviour_(behaviour) { take(session_->start()); }

  void feed(std::string_view bytes) {
    const std::size_t piece = (behaviour_ & 1) != 0 ? 7 : bytes.size();
    for (std::size_t i = 0; i < bytes.size(); i += piece) take(session_->feed(bytes.substr(i, piece)));
    if ((behaviour_ & 2) != 0) take(session_->interrupt());
  }

  void end() {
    take(session_->ended("exit 0"));
    require(outcomes_ == 1 && open_.empty());
    require(session_->feed("{}\n").empty() && session_->ended("exit 0").empty());
  }

 private:
  void take(agents::Outputs outputs) {
    for (auto& output : outputs) {
      require(outcomes_ == 0);
      if (std::holds_alternative<agents::Outcome>(output)) ++outcomes_;
      if (const auto* event = std::get_if<agents::EmitEvent>(&output)) watch(*event);
      if (const auto* bytes = std::get_if<agents::SendBytes>(&output)) {
        if (bytes->bytes.find(R"("decision":"accept")") != std::string::npos) require(accepts_-- > 0);
      }
      const auto* ask = std::get_if<agents::Ask>(&output);
      if (!ask || (behaviour_ & 4) != 0) continue;
      const auto answer = (behaviour_ & 8) != 0 ? agents::Answer::decline : agents::Answer::accept;
      if (answer == agents::Answer::accept) ++accepts_;
      auto more = session_->answer(ask->ask_id, answer);
      require(session_->answer(ask->ask_id, agents::Answer::accept).empty());
      take(std::move(more));
    }
  }

  void watch(const agents::EmitEvent& event) {
    const auto call = std::string(base::get_string(event.payload, "callId").value_or(""));
    if (event.type == "agent.tool_started") require(open_.insert(call).second);
    if (event.type == "agent.tool_completed") require(open_.erase(call) == 1);
  }

  unsigned behaviour_;
  std::unique_ptr<agents::Session> session_ = agents::make_codex_session(
      {.model = "m", .prompt = "p"}, {.line_bytes = 64 << 10, .output_bytes = 1 << 20});
  std::set<std::string> open_;
  int outcomes_ = 0;
  int accepts_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Driver driver(data[0]);
  driver.feed({reinterpret_cast<const char*>(data) + 1, size - 1});
  driver.end();
  return 0;
}
