#pragma once
// The AgentRouter C++ SDK: create runs of coding agents, follow them live, decide their approvals and fetch
// what they leave behind.
//
//   agentrouter::Client client({.api_key = key});
//   auto result = agentrouter::run_agent(client, {.task = "Summarise the tests", .runtime =
//   agentrouter::codex()}); std::cout << result.text << '\n';
//
// Calls block and throw agentrouter::Error. No header here includes anything but the standard library.

#include <agentrouter/agent.hpp>
#include <agentrouter/client.hpp>
#include <agentrouter/error.hpp>
#include <agentrouter/json.hpp>
#include <agentrouter/parts.hpp>
#include <agentrouter/stream.hpp>
#include <agentrouter/types.hpp>
