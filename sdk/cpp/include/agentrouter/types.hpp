#pragma once
// What the protocol talks about: plain values, for any thread like other values. Replies keep the whole JSON
// that they came from in `raw`, so that fields which this version does not name are not lost. Times are ISO
// 8601 text in UTC with milliseconds, as the server wrote them; text that is optional on the wire is empty
// when it was left out.

#include <agentrouter/export.hpp>
#include <agentrouter/json.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agentrouter {

// `unknown` is a state that a newer server has and this SDK does not; it does not count as ended.
enum class RunStatus { queued, starting, running, cancelling, completed, failed, cancelled, unknown };

[[nodiscard]] AGENTROUTER_API std::string_view to_string(RunStatus status);
[[nodiscard]] AGENTROUTER_API RunStatus run_status_from(std::string_view text);
[[nodiscard]] AGENTROUTER_API bool is_terminal(RunStatus status);

using Tags = std::map<std::string, std::string>;

// Which agent runs, and how much it may do by itself. Make one with codex() or claude_code().
struct RuntimeSelection {
  std::string kind = "codex";   // codex, claude_code
  std::string mode;             // codex: default, read_only, full_access, auto_review
  std::string permission_mode;  // claude_code: default, acceptEdits, plan, auto, dontAsk, bypassPermissions
  std::string model;            // empty: the server's default
};

struct CodexOptions {
  std::string mode;
  std::string model;
};
[[nodiscard]] AGENTROUTER_API RuntimeSelection codex(CodexOptions options = {});

struct ClaudeCodeOptions {
  std::string permission_mode;
  std::string model;
};
[[nodiscard]] AGENTROUTER_API RuntimeSelection claude_code(ClaudeCodeOptions options = {});

// A repository that the server clones: credentials are the server's, never part of the URL.
struct GitWorkspace {
  std::string url;
  std::string ref = {};     // a branch, a tag or a full commit; empty: what the remote's HEAD names
  int depth = 0;            // commits of history; 0: all of it
  std::string subdir = {};  // the part of the tree to work on; empty: all of it
};

// What the agent works on: one of these. Without a workspace it starts in an empty folder.
struct Workspace {
  // An absolute folder of the server's machine, under a root that the server allows. The agent gets a
  // copy-on-write view: the folder itself is never changed.
  std::string path = {};
  std::optional<GitWorkspace> git = {};
  std::string upload_id = {};  // of Client::upload
  std::string from_run = {};   // the files as they were at the end of that run
};

// What a run may use; 0: no limit beyond the server's. At one of them the run fails with limit_exceeded and
// keeps what it has made.
struct RunLimits {
  std::int64_t max_wall_seconds = 0;
  std::int64_t max_tokens = 0;
  double max_cost_usd = 0;
  std::int64_t max_actions = 0;
  std::int64_t max_output_bytes = 0;
  std::int64_t max_network_bytes = 0;
  // Of its sandbox; 0: what each has.
  std::int64_t max_memory_bytes = 0;
  std::int64_t max_disk_bytes = 0;
  std::int64_t max_cpu_percent = 0;  // of one core
  std::int64_t max_pids = 0;
};

struct CreateRunRequest {
  std::string task;
  std::optional<RuntimeSelection> runtime = {};
  std::string approval_mode = {};      // auto, manual, block; empty: auto
  std::string approval_scope = {};     // run, action (each thing that the agent does); empty: run
  std::string policy = {};             // a policy of the server; empty: the server's own rules alone
  std::string image = {};              // a container image of the server; empty: its default
  std::string require_isolation = {};  // process, user-kernel, vm; empty: what there is
  Tags requirements = {};  // `requires`: labels that the worker must have
  std::optional<Workspace> workspace = {};
  Json metadata = {};  // an object, or null for none
  Tags tags = {};      // what runs can be listed by
  // How long an action may wait for a decision; after that nothing executes and the run fails with
  // approval_expired. Without it an approval waits for ever.
  std::optional<std::chrono::seconds> approval_timeout = {};
  RunLimits limits = {};
  // Makes creating safe to repeat for 24 hours: the same key and request give the same run.
  std::string idempotency_key = {};
  // Further members of the request, for what a newer server takes: an object, or null for none.
  Json extra = {};
};

// The next turn of a conversation.
struct ContinueRunRequest {
  std::string continue_run;  // any run of the conversation; its first run's id names the conversation
  std::string message;
  std::string approval_mode = {};    // may only tighten what the conversation has: auto, manual, block
  RunLimits limits = {};             // the same
  std::string idempotency_key = {};  // as of CreateRunRequest
};

struct ContinueRunResult {
  std::string run_id;  // the new run, which is this turn
  int turn_number = 0;
  std::string conversation_id;
  Json raw;
};

// A new conversation that begins where a turn of another one ended, with its files and its memory.
struct ForkRunRequest {
  std::string run_id;  // any run of the conversation
  std::string message;
  int at_turn = 0;                   // 0: the newest that can be forked
  RunLimits limits = {};             // may only tighten what that turn had
  std::string idempotency_key = {};  // as of CreateRunRequest
};

struct RunTurn {
  std::string id;
  std::string run_id;
  int turn_number = 0;
  std::string prompt;
  std::string created_at;
  Json raw;
};

struct RunTurns {
  std::string conversation_id;
  std::vector<RunTurn> items;  // first turn first
  Json raw;
};

struct CloseRunResult {
  bool closed = false;
  std::string conversation_id;
  bool reclaimed = false;  // what was kept for further turns is gone, or will be soon
  Json raw;
};

struct Failure {
  std::string code;    // published class of failure: provider_runtime_failed, approval_denied, ...
  std::string reason;  // for people
  std::string cause;   // the specific reason, when the server knows one
};

struct Run {
  std::string id;
  RunStatus status = RunStatus::unknown;
  RuntimeSelection runtime;
  std::string task;  // the first 500 characters
  Json input;        // the request as the server understood it
  std::int64_t last_event_seq = 0;
  std::string session_id;
  std::string conversation_id;
  std::string queued_at;
  std::string started_at;
  std::string completed_at;
  std::string cancel_requested_at;
  Tags tags;
  std::optional<Failure> failure;
  Json raw;
};

struct Upload {
  std::string id;
  std::int64_t bytes = 0;
  std::string sha256;
  std::string expires_at;
  Json raw;
};

struct ListFilesRequest {
  std::string folder = {};  // empty: the workspace itself
  bool recursive = false;   // also what is in the folders below
  int limit = 0;            // 0: the server's default
  std::string cursor = {};
};

struct WorkspaceFile {
  std::string path;
  std::string type;  // file, folder, link
  std::int64_t size = 0;
  std::string mode;    // as git writes it: 100644
  std::string status;  // how it differs from the base, as in the file index; empty: not at all
  Json raw;
};

struct FilePage {
  std::vector<WorkspaceFile> items;
  std::string next_cursor;  // empty at the end
  Json raw;
};

struct DownloadWorkspaceRequest {
  std::string format = "tar.gz";  // or tar.zst
  bool only_changes = false;
};

struct PushRunRequest {
  std::string run_id;
  std::string branch;
  std::string message;
  std::string author_name = {};  // empty: the server's
  std::string author_email = {};
};

struct PushResult {
  std::string branch;
  std::string commit;
  std::string url;
  int files = 0;
  Json raw;
};

struct ArtifactRef {
  std::string artifact_id;
  std::string r2_key;
};

// Sequences of one run are 1, 2, 3, ... without gaps.
struct RunEvent {
  std::string run_id;
  std::int64_t sequence = 0;
  std::string type;
  std::string provider_event_type;
  std::string source;      // worker, api, codex, claude_code
  std::string visibility;  // public, internal, redacted
  Json payload;
  std::optional<ArtifactRef> artifact_ref;
  bool is_truncated = false;
  std::string created_at;
  Json raw;
};

// Whether `type` is the last event of a run: run.completed, run.failed, run.cancelled.
[[nodiscard]] AGENTROUTER_API bool is_terminal_event(std::string_view type);

struct Artifact {
  std::string id;
  std::string run_id;
  std::string kind;  // stdout_log, workspace_patch, ...; kinds ending in _log are gzip
  std::string r2_key;
  std::string content_type;
  std::int64_t size_bytes = 0;  // of the stored bytes, which are what a download gives
  std::string sha256;           // the same; 64 hex digits
  Json metadata;
  std::string created_at;
  Json raw;
};

struct AgentResponse {
  std::string text;
  Json parts;
  std::string provider;
  std::string provider_event_type;
};

struct RunSession {
  Run run;
  std::int64_t last_event_seq = 0;
  std::optional<AgentResponse> response;
  std::vector<Artifact> artifacts;
  Json artifact_manifest;
  Json raw;
};

struct RunPage {
  std::vector<Run> items;   // newest first
  std::string next_cursor;  // empty at the end
  Json raw;
};

struct EventPage {
  std::vector<RunEvent> items;      // ascending
  std::int64_t next_after_seq = 0;  // where the next page begins
  Json raw;
};

struct ArtifactPage {
  std::vector<Artifact> items;  // oldest first
  Json raw;
};

// All that are given must hold.
// What a key may: runs:read, runs:write, approvals:decide, admin.
struct CreateKeyRequest {
  std::string name;
  std::vector<std::string> scopes;
  std::vector<std::string> workspaces = {};  // empty: that of the call
  bool every_workspace = false;              // instead of those
  std::string expires_at = {};               // RFC 3339; empty: never
};

struct ListRunsRequest {
  std::string status = {};   // a status, or "active"
  std::string runtime = {};  // codex, claude_code
  Tags tags = {};
  std::string conversation_id = {};
  std::string created_after = {};   // ISO 8601; the bound itself is left out
  std::string created_before = {};  // the same
  std::string query = {};           // words of the task or the final answer
  int limit = 0;                    // of a page: 1..100; 0: the server's default
  std::string cursor = {};          // RunPage::next_cursor of the page before
};

struct ListEventsRequest {
  std::int64_t after_seq = 0;
  int limit = 0;  // 1..500; 0: the server's default
};

struct ActionDecisionRequest {
  std::string run_id;
  std::string action_id;
  std::string action_digest;  // as the approval.requested event has it: decides exactly what was shown
  std::string reason = {};
  std::string idempotency_key = {};  // not needed: repeating a decision gives its first event again
};

// An action that waits for a decision.
struct PendingApproval {
  std::string action_id;
  std::string action_digest;
  std::string request_id;
  std::string expires_at;  // empty: it waits for ever
};

// All that are given must hold.
struct ListApprovalsRequest {
  std::string run_id = {};
  std::int64_t after = 0;  // ApprovalPage::next_after of the page before
  int limit = 0;           // 1..500; 0: the server's default
  int wait_seconds = 0;    // 0..30: with nothing to list, the server waits so long for the next question
};

// A question of any run that waits for a decision.
struct WaitingApproval {
  std::string run_id;
  std::string action_id;
  std::string action_digest;
  std::string request_id;
  std::string requested_at;
  std::string expires_at;  // empty: it waits for ever
  std::string name;        // "codex.shell"
  std::string target;      // one line for people
  Json action;             // all of what would be done
  Json raw;
};

struct ApprovalPage {
  std::vector<WaitingApproval> items;  // oldest question first
  std::int64_t next_after = 0;
  Json raw;
};

// One structured record of a run: where it stands, what it has done and cost, and what can be done with it.
struct RunRecord {
  Run run;
  std::string
      phase;        // finer than the status: queued, preparing, running, waiting_for_approval, closing, ended
  int attempt = 0;  // 0: no worker has taken it yet
  std::string conversation_state;  // open, closed, expired
  int turn_number = 0;
  std::vector<PendingApproval> pending_approvals;
  std::vector<std::string> operations;  // what would be accepted now: cancel, approve, deny, continue, close
  Json actions;  // a list, oldest first: {actionId, name, policy, approval, execution, ...}
  Json limits;   // {maxTokens?, maxCostUsd?, ..., used: {tokens, costUsd, ...}?}
  Json usage;    // {inputTokens, outputTokens, costUsd?, ...}, or null
  Json patch;    // {bytes, fileCount, artifactId, ...}, or null
  std::vector<Artifact> artifacts;
  std::int64_t last_event_seq = 0;
  Json raw;
};

}  // namespace agentrouter
