// covers: src/keeper/protocol.cpp
// Lines of keeper.sock from arbitrary bytes: no crash, and what was understood is written as a line that is understood in the same way.
#include <string>
#include <string_view>

#include "keeper/protocol.h"
#include "require.h"

using namespace agentrouter;

namespace {

template <class Parse>
void round_trip(Parse parse, std::string_view line) {
  const auto message = parse(line);
  if (!message) return;
  auto written = keeper::to_line(*message);
  require(!written.empty() && written.back() == '\n' && written.find('\n') == written.size() - 1);
  written.pop_back();
  const auto again = parse(written);
  require(again.has_value() && again->index() == message->index() && keeper::to_line(*again) == written + "\n");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    round_trip(keeper::parse_keeper_message, line);
    round_trip(keeper::parse_server_message, line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}
