// covers: src/agents/codex/codex_session.cpp src/agents/codex/codex_events.cpp src/agents/codex/codex_items.cpp src/agents/codex/codex_requests.cpp src/agents/line_splitter.cpp
// What Codex may write on its stdout, from arbitrary bytes.
#include "agent_session.h"
#include "agents/codex/codex_session.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  agents::fuzz::drive(data, size,
                      agents::make_codex_session({.model = "m", .prompt = "p"}, agents::fuzz::limits),
                      R"("decision":"accept")");
  return 0;
}
