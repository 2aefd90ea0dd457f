// covers: src/policy/shell_syntax.cpp src/policy/shell_compound.cpp src/policy/shell_words.cpp src/policy/look_through.cpp
// Shell scripts from arbitrary bytes, judged under every preset: no crash, nothing allowed by a policy that
// allows nothing, and no hang.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "policy/command.h"
#include "policy/rules.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto script = policy::understand(bytes);
  for (const auto& command : script.commands) {
    if (command.words.empty()) std::abort();
    std::ignore = policy::to_text(command);
  }
  const policy::ActionFacts facts{.tool = "shell", .args = {{"command", bytes}}};
  for (const auto& name : policy::preset_names()) {
    const auto verdict = policy::preset(name)->judge(facts);
    if (name == "ask-all" && verdict.decision == policy::Decision::allowed) std::abort();
    if (script.opaque && verdict.would_be == policy::Decision::allowed) std::abort();
  }
  return 0;
}
