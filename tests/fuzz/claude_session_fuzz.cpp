// covers: src/agents/claude/claude_session.cpp src/agents/claude/claude_events.cpp src/agents/claude/claude_tools.cpp
// What Claude Code may write on its stdout, from arbitrary bytes.
#include "agent_session.h"
#include "agents/claude/claude_session.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  agents::fuzz::drive(data, size,
                      agents::make_claude_session({.model = "m", .prompt = "p"}, agents::fuzz::limits),
                      R"("behavior":"allow")");
  return 0;
}
