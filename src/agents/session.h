#pragma once
// The protocol of one agent as sans-I/O code: bytes of its stdout go in, and what follows from them comes
// out: events, questions that need a verdict, bytes for its stdin, log lines, and in the end an outcome. No
// file, socket, clock or process is touched here, so each step of a protocol can be replayed and broken in
// tests.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/redactor.h"
#include "model/defaults.h"
#include "model/event.h"
#include "model/run.h"

namespace agentrouter::policy {
class NoProgress;
}

namespace agentrouter::agents {

// An event without its time: the driver adds it.
struct EmitEvent {
  std::string type;
  std::string provider_event_type;
  json::object payload;
};

// The agent asks before it does something. It waits for answer(); it is never answered twice.
struct Ask {
  std::string ask_id;  // of this session
  std::string tool;    // as in ToolCall
  std::string title;   // one short line for people
  json::object args;   // what exactly would be done: command, cwd, changes[{path,kind,diff}], server, tool...
  std::string call_id;  // callId of the agent.tool_started that this is about; empty when not known
  // Over the request as the agent made it: equal for two that would do the same, different when any byte of
  // what would run is.
  std::string input_digest = {};
};

// The agent took its question back (it was interrupted): an answer would be ignored.
struct Withdraw {
  std::string ask_id;
};

// Bytes for the agent's stdin.
struct SendBytes {
  std::string bytes;
};

// One line for the stdout log: the agent's own line without deltas, raw reasoning and encrypted content.
struct LogLine {
  std::string line;
};

// Input tokens include the cached ones. Of this turn only, never cumulative over the thread.
struct TokenUsage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_output_tokens = 0;
};

enum class OutcomeKind { completed, failed, interrupted };

// The turn is over. Comes exactly once and last; the driver then closes stdin and ends the process.
struct Outcome {
  OutcomeKind kind = OutcomeKind::failed;
  model::RunFailure failure;        // of a failed turn
  std::string response_text;        // the agent's final message; empty when there was none
  std::string response_event_type;  // providerEventType of the line it came from
  std::string thread_id;            // to continue the conversation
  std::optional<TokenUsage> usage;
  std::optional<double> cost_usd;  // of this turn, when the agent reckons it
};

using Output = std::variant<EmitEvent, Ask, Withdraw, SendBytes, LogLine, Outcome>;
using Outputs = std::vector<Output>;

enum class Answer { accept, decline };

struct TurnSpec {
  model::Runtime runtime;
  std::string model;  // the model to ask for; never empty
  std::string prompt;
  std::string cwd = "/workspace";
  std::string resume_thread;  // empty: a new thread
  bool gates_calls = false;   // each call is judged: one that cannot be asked about ends the turn
  // What notices that the agent makes no progress, over all turns of a run; outlives the session. Null: one of
  // the session's own, which only warns.
  policy::NoProgress* progress = nullptr;
  // What is cut to be shown (events, titles, failures, the response) ends before a secret that the cut would
  // go through; taking out those that are whole is the driver's. Never null, outlives the session.
  const base::Redactor* hidden = &base::no_secrets;
};

struct SessionLimits {
  std::size_t line_bytes = model::defaults::agent_line_bytes;  // beyond: agent_protocol_error
  std::uint64_t output_bytes =
      model::defaults::agent_output_bytes;  // of all lines together; beyond: output_limit
  std::size_t response_bytes = model::defaults::response_bytes;  // the final message is cut here
};

// One session drives one process. Every call returns what follows from it, in order. After an Outcome all
// further calls return nothing.
class Session {
 public:
  virtual ~Session() = default;

  // The first bytes to send.
  virtual Outputs start() = 0;
  // Bytes of the agent's stdout as they come, cut anywhere. A line over the limit, a line that is not JSON
  // where the protocol forbids it, or an impossible message ends in an Outcome failed with
  // agent_protocol_error.
  virtual Outputs feed(std::string_view bytes) = 0;
  // `reason` is told to the agent with a decline, where its protocol has a place for it.
  virtual Outputs answer(const std::string& ask_id, Answer answer, std::string_view reason = {}) = 0;
  // Puts other input into an open question: what answer(accept) then lets run. The question as it is now, or
  // nothing, and then nothing has changed, when it is not open or the protocol has no place for it.
  virtual std::optional<Ask> edit(const std::string& /*ask_id*/, const json::object& /*input*/) {
    return std::nullopt;
  }
  // Asks the agent to stop the turn; the Outcome follows from what it says, or from ended().
  virtual Outputs interrupt() = 0;
  // stdout is at its end and the process is gone. `status` is its wait status text for the message, e.g.
  // "exit 3".
  virtual Outputs ended(std::string_view status) = 0;
};

// What a driver needs to start the process of this agent inside the sandbox.
struct AgentProgram {
  std::vector<std::string> argv;  // argv[0] is the path inside the sandbox
  // What follows argv when a thread is resumed, with the thread's id after it. Empty: the protocol says it.
  std::vector<std::string> resume_argv;
  std::vector<std::string> env;  // NAME=value; holds only dummy credentials
  struct File {
    std::string path;  // inside the sandbox, read-only
    std::string content;
  };
  std::vector<File> files;  // to place before the start, not writable by the agent
  // Folders and files in the home that the program makes again by itself: no part of a checkpoint.
  std::vector<std::string> caches;
  // Where the program looks for settings of the whole machine, which count more than ours.
  std::vector<std::string> system_settings;
  std::string command_name;                  // "codex": for the launch action
  std::vector<std::string> argv_for_action;  // without the prompt
};

}  // namespace agentrouter::agents
