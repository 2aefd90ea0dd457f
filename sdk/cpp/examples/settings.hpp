#pragma once
// What the examples take from outside: AGENTROUTER_API_KEY, AGENTROUTER_API_BASE_URL, as the first argument a
// task in the place of their own, and as the second `claude_code` for the other agent.

#include <agentrouter/agentrouter.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

namespace example {

inline std::string setting(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value && *value ? value : fallback;
}

inline agentrouter::ClientOptions server() {
  return {.api_key = setting("AGENTROUTER_API_KEY", ""),
          .base_url = setting("AGENTROUTER_API_BASE_URL", "http://127.0.0.1:8787")};
}

// Runs `body`; what it throws is told, and ends the program with 1.
template <class Body>
int run(Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}

inline std::string task(int argc, char** argv, const char* own) {
  return argc > 1 ? argv[1] : own;
}

inline agentrouter::RuntimeSelection runtime(int argc, char** argv) {
  if (argc > 2 && std::string(argv[2]) == "claude_code") {
    return agentrouter::claude_code({.permission_mode = "acceptEdits"});
  }
  return agentrouter::codex({.mode = "full_access"});
}

}  // namespace example
