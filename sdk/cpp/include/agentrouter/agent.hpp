#pragma once
// Agents in one call: run_agent() creates or continues a run and waits for its end; stream_agent() hands out
// what happens meanwhile. Both are written on Client and do nothing that a caller could not.

#include <agentrouter/client.hpp>
#include <agentrouter/export.hpp>
#include <agentrouter/iterator.hpp>
#include <agentrouter/parts.hpp>
#include <agentrouter/stream.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace agentrouter {

// How a run ended, and everything that the server tells about it.
struct AgentRunResult {
  std::string id;
  RunStatus status = RunStatus::unknown;  // completed, failed, cancelled
  std::string text;                       // the final answer; empty when there is none
  RunSession session;

  [[nodiscard]] const Run& run() const { return session.run; }
  [[nodiscard]] const std::optional<AgentResponse>& response() const { return session.response; }
  [[nodiscard]] const std::vector<Artifact>& artifacts() const { return session.artifacts; }
  [[nodiscard]] const Json& artifact_manifest() const { return session.artifact_manifest; }
  [[nodiscard]] std::int64_t last_event_seq() const { return session.last_event_seq; }
};

// Creates a run, or continues a conversation, and waits for the end. A run that failed is a result, not an
// exception. The callbacks of `wait` are called on the caller's thread.
//
//   run_agent(client, {.task = "Run the tests", .runtime = codex({.mode = "read_only"})});
//   run_agent(client, {.continue_run = first.id, .message = "Fix what failed"});
//
// Throws Error: what Client::create_run, continue_run and wait_for_run throw; invalid_run_agent_request when
// there is neither a task nor a message to send. After `cancelled` and wait_timeout the run goes on.
AGENTROUTER_API AgentRunResult run_agent(const Client& client, const CreateRunRequest& request,
                                         const WaitOptions& wait = {});
AGENTROUTER_API AgentRunResult run_agent(const Client& client, const ContinueRunRequest& request,
                                         const WaitOptions& wait = {});

// The parts of a run, in order: for (const auto& part : stream.full_stream()). One thread at a time.
class AGENTROUTER_API PartStream {
 public:
  PartStream(PartStream&&) noexcept;
  PartStream& operator=(PartStream&&) noexcept;
  ~PartStream();

  // As EventStream::next(), over events that have a part.
  [[nodiscard]] std::optional<AgentStreamPart> next();
  using Iterator = InputIterator<PartStream, AgentStreamPart>;
  [[nodiscard]] Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() { return {}; }

 private:
  friend class AgentRunStream;
  explicit PartStream(EventStream events);
  EventStream events_;
};

// The pieces of the final answer, and nothing else. One thread at a time.
class AGENTROUTER_API TextStream {
 public:
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;
  ~TextStream();

  // As EventStream::next(), over the texts of agent.response.
  [[nodiscard]] std::optional<std::string> next();
  using Iterator = InputIterator<TextStream, std::string>;
  [[nodiscard]] Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() { return {}; }

 private:
  friend class AgentRunStream;
  explicit TextStream(EventStream events);
  EventStream events_;
};

struct StreamAgentOptions {
  std::int64_t after_seq = 0;  // events up to this one are not wanted
  // From the call of stream_agent() on; a run that has not ended by then is a wait_timeout.
  std::chrono::milliseconds max_wait{600'000};
  std::chrono::milliseconds poll_interval{1'000};  // only with a server that does not push
  std::stop_token stop = {};
};

// A run that was started, and the ways to follow it. Copies share it; any thread may use it, each with
// streams of its own. Nothing is read before it is asked for, and a stream that is left unread costs nothing.
class AGENTROUTER_API AgentRunStream {
 public:
  AgentRunStream(const AgentRunStream&);
  AgentRunStream(AgentRunStream&&) noexcept;
  AgentRunStream& operator=(const AgentRunStream&);
  AgentRunStream& operator=(AgentRunStream&&) noexcept;
  ~AgentRunStream();

  [[nodiscard]] const Run& run() const;  // as it was when it was started
  // What continue_run takes: the id of the conversation's first run.
  [[nodiscard]] const std::string& conversation_id() const;
  // Of a continued conversation: 2, 3, ...
  [[nodiscard]] std::optional<int> turn_number() const;

  // Each call begins anew behind `after_seq`, with a connection of its own that is closed when the stream is
  // destroyed or at its end. They throw as EventStream::next() does.
  [[nodiscard]] EventStream events() const;
  [[nodiscard]] PartStream full_stream() const;
  [[nodiscard]] TextStream text_stream() const;

  // Waits for the end, whether or not a stream was read. Throws as Client::wait_for_run.
  [[nodiscard]] AgentRunResult final_result() const;

 private:
  friend AGENTROUTER_API AgentRunStream stream_agent(const Client& client, const CreateRunRequest& request,
                                                     const StreamAgentOptions& options);
  friend AGENTROUTER_API AgentRunStream stream_agent(const Client& client, const ContinueRunRequest& request,
                                                     const StreamAgentOptions& options);
  struct AGENTROUTER_LOCAL State;
  explicit AgentRunStream(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

// Creates a run, or continues a conversation, and returns as soon as the server has taken it.
//
// Throws Error as Client::create_run and continue_run do; invalid_stream_agent_request when there is neither
// a task nor a message to send.
[[nodiscard]] AGENTROUTER_API AgentRunStream stream_agent(const Client& client,
                                                          const CreateRunRequest& request,
                                                          const StreamAgentOptions& options = {});
[[nodiscard]] AGENTROUTER_API AgentRunStream stream_agent(const Client& client,
                                                          const ContinueRunRequest& request,
                                                          const StreamAgentOptions& options = {});

}  // namespace agentrouter
