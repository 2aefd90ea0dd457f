// The scripted agent: `codex` as tests install it. It speaks `codex app-server --stdio`, obeys the `sim:`
// lines of its prompt without a provider, and misbehaves when told to (`extras.h`).

#include <signal.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "scripted_agent/agent.h"

int main(int argc, char** argv) {
  using namespace agentrouter::scripted_agent;
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  ::signal(SIGPIPE, SIG_IGN);
  try {
    if (arguments.size() == 1 && arguments[0] == "--version") {
      Wire::write(1, "codex-cli 0.169.0\n");
      return 0;
    }
    // `--stdio` is the transport; `-c key=value` settings are for a provider that is not there.
    if (arguments.empty() || arguments[0] != "app-server") {
      Wire::write(2, "error: the scripted agent knows only `--version` and `app-server --stdio`\n");
      return 2;
    }
    const char* codex_home = std::getenv("CODEX_HOME");
    const char* home = std::getenv("HOME");
    Agent(codex_home ? codex_home : std::string(home ? home : "/tmp") + "/.codex").serve();
  } catch (const Gone&) {
    return 0;
  }
}
