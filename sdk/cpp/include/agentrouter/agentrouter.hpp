#pragma once
// The AgentRouter C++ SDK: create runs of coding agents, follow them live, decide their approvals and fetch
// what they leave behind.
//
//   agentrouter::Client client({.api_key = key});
//   auto run = client.create_run({.task = "Summarise the tests", .runtime = agentrouter::codex()});
//   for (const auto& event : client.stream_run(run.id)) std::cout << event.type << '\n';
//   std::cout << client.get_run_session(run.id).response->text << '\n';
//
// Calls block and throw agentrouter::Error. No header here includes anything but the standard library.

#include <agentrouter/client.hpp>
#include <agentrouter/error.hpp>
#include <agentrouter/json.hpp>
#include <agentrouter/stream.hpp>
#include <agentrouter/types.hpp>
