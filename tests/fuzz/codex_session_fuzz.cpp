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
