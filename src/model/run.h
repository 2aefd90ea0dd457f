#pragma once
// A run: one turn of one agent on one workspace, from its request to its terminal state. The enumerators are
// the wire texts of the published protocol.

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "model/ids.h"
#include "model/workspace.h"

namespace agentrouter::model {

enum class RunStatus { queued, starting, running, cancelling, completed, failed, cancelled };

[[nodiscard]] std::string_view to_string(RunStatus status);
[[nodiscard]] std::optional<RunStatus> parse_run_status(std::string_view text);
// completed, failed, cancelled: nothing happens to the run afterwards.
[[nodiscard]] bool is_terminal(RunStatus status);
// queued -> starting|cancelling|failed; starting -> running|cancelling|failed; running ->
// completed|cancelling|failed; cancelling -> cancelled|failed; the same state is allowed and changes nothing.
[[nodiscard]] bool can_move(RunStatus from, RunStatus to);

enum class RuntimeKind { codex, claude_code };
[[nodiscard]] std::string_view to_string(RuntimeKind kind);

struct Runtime {
  RuntimeKind kind = RuntimeKind::codex;
  // Codex: default, read_only, full_access, auto_review. Claude Code: default, acceptEdits, plan, auto,
  // dontAsk, bypassPermissions. Checked before a Runtime is made.
  std::string mode = "default";
  std::optional<std::string> model;

  // {kind, mode|permissionMode, model?}
  [[nodiscard]] json::object to_json() const;
  [[nodiscard]] static Runtime from_json(const json::object& object);
};

enum class ApprovalMode { automatic, manual, block };  // wire: auto, manual, block
[[nodiscard]] std::string_view to_string(ApprovalMode mode);
[[nodiscard]] std::optional<ApprovalMode> parse_approval_mode(std::string_view text);
// auto < manual < block: the second asks or forbids more than the first.
[[nodiscard]] bool is_tighter(ApprovalMode mode, ApprovalMode than);

// What is proposed, judged and decided about: the launch of the agent alone, or also every single thing that
// it wants to do.
enum class ApprovalScope { run, action };
[[nodiscard]] std::string_view to_string(ApprovalScope scope);
[[nodiscard]] std::optional<ApprovalScope> parse_approval_scope(std::string_view text);

// What a client calls its runs by: names and values, sorted by name, each name once.
using Tags = std::vector<std::pair<std::string, std::string>>;

struct RunFailure {
  std::string code;    // docs/errors.md, "Failure codes"
  std::string reason;  // a sentence for people
  std::string cause;   // the specific reason, e.g. provider_rate_limited; may be empty
  [[nodiscard]] json::object to_json() const;
};

// Where a conversation that was forked from another one begins: behind this turn of it.
struct ForkOrigin {
  RunId run;  // that turn's
  RunId conversation;
  int turn = 1;
  // {runId, conversationId, turn}
  [[nodiscard]] json::object to_json() const;
};

struct Run {
  RunId id;
  RunStatus status = RunStatus::queued;
  Runtime runtime;
  std::string task;   // the trimmed task in full
  std::string input;  // the parsed request body with its defaults, as JSON text
  ApprovalMode approval_mode = ApprovalMode::automatic;
  Seq last_event_seq = 0;
  std::optional<SessionId> session_id;  // null until the first run of the conversation has ended
  RunId conversation_id;                // the first run's id
  int turn_number = 1;                  // within the conversation, without gaps
  std::string turn_id;                  // turn_<uuid>
  base::Time queued_at;
  std::optional<base::Time> started_at;
  std::optional<base::Time> completed_at;
  std::optional<base::Time> cancel_requested_at;
  std::optional<RunFailure> failure;
  Workspace workspace;  // what the agent works on
  int priority = 0;
  int attempts = 0;  // started so far
  Tags tags;
  std::optional<std::chrono::seconds> approval_timeout;       // how long a question waits; none: for ever
  std::optional<ForkOrigin> forked_from = {};                 // of the first run of a fork
  std::string workspace_id = std::string(default_workspace);  // whose run it is

  // The Run of the wire: its fields, `task` cut to 500 UTF-16 units, unset fields, empty tags and the
  // workspace "default" left out.
  [[nodiscard]] std::string to_wire() const;
};

}  // namespace agentrouter::model
