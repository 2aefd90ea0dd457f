#pragma once
// The door to one AgentRouter server.

#include <agentrouter/error.hpp>
#include <agentrouter/export.hpp>
#include <agentrouter/iterator.hpp>
#include <agentrouter/parts.hpp>
#include <agentrouter/stream.hpp>
#include <agentrouter/types.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agentrouter {

struct ClientOptions {
  std::string api_key;
  std::string base_url = "http://127.0.0.1:8787";
  std::vector<std::pair<std::string, std::string>> headers =
      {};                    // sent with every request; may override ours
  std::string proxy = {};    // http://host:port; empty: as the environment says
  std::string ca_file = {};  // certificates (PEM) to trust instead of the system's
  std::chrono::milliseconds connect_timeout{10'000};
  // Of a whole call; of a download or a stream's opening: the longest silence.
  std::chrono::milliseconds timeout{30'000};
  // Further attempts of calls that are safe to repeat (all but create_run and continue_run without an
  // idempotency key) after a broken connection, 429, 502, 503 or 504, with growing pauses, each cut at
  // random, or after the server's Retry-After of up to 30 s.
  int max_retries = 2;
  // Some servers make a completed run continuable only a little after they report it so. How long
  // continue_run and close_run go on asking then; no other case waits.
  std::chrono::milliseconds continue_patience{8'000};
  std::chrono::milliseconds close_patience{30'000};
  // Which workspace every call is about; empty: the only one that the key opens.
  std::string workspace_id = {};
};

struct CallOptions {
  std::stop_token stop = {};
  std::chrono::milliseconds timeout{0};  // 0: the client's
};

// Takes bytes in order, at the pace of the reader. What it throws ends the download and reaches the caller.
using Sink = std::function<void(std::string_view bytes)>;

// Of a wait for the end of a run. The callbacks are called on the caller's thread, in the order of the
// events; what they throw ends the wait and reaches the caller.
struct WaitOptions {
  std::int64_t after_seq = 0;  // the callbacks do not want events up to this one
  // A run that has not ended by then is a wait_timeout.
  std::chrono::milliseconds max_wait{600'000};
  std::chrono::milliseconds poll_interval{1'000};  // only with a server that does not push
  std::stop_token stop = {};
  std::function<void(const RunEvent&)> on_event = {};
  std::function<void(const AgentStreamPart&)> on_part = {};
  std::function<void(std::string_view)> on_text = {};  // the final answer
};

// Runs from a list that may have many pages: for (const auto& run : client.list_all_runs()). The next page is
// fetched when it is needed. One thread at a time. It may outlive its Client.
class AGENTROUTER_API RunList {
 public:
  RunList(RunList&&) noexcept;
  RunList& operator=(RunList&&) noexcept;
  ~RunList();

  // Nothing at the end. Throws as Client::list_runs; protocol_error when a page leads to itself.
  [[nodiscard]] std::optional<Run> next();
  using Iterator = InputIterator<RunList, Run>;
  [[nodiscard]] Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() { return {}; }

 private:
  friend class Client;
  struct AGENTROUTER_LOCAL State;
  explicit RunList(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Any number of threads may use one Client at once; calls of different threads do not wait for each other,
// and connections are kept for the next call. Copies share both. System certificates and the usual proxy
// variables apply, except that a server on this machine is always reached directly.
//
// Every call throws Error; `cancelled` after `stop` leaves open what the server did with a request under way.
class AGENTROUTER_API Client {
 public:
  // Throws Error invalid_argument: a base URL that is not http(s), a header with a line break.
  explicit Client(ClientOptions options);
  Client(const Client&);
  Client& operator=(const Client&);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Whether the server answers and says that it is well. Needs no key, and does not retry. Throws only
  // `cancelled`.
  [[nodiscard]] bool healthy(const CallOptions& call = {}) const;

  Run create_run(const CreateRunRequest& request, const CallOptions& call = {}) const;
  // Waits for the end of a run and returns what there is then. After `cancelled` and wait_timeout, whose
  // details are {runId, status}, the run goes on.
  RunSession wait_for_run(std::string_view run_id, const WaitOptions& wait = {}) const;
  RunSession create_run_and_wait(const CreateRunRequest& request, const WaitOptions& wait = {}) const;
  [[nodiscard]] RunPage list_runs(const ListRunsRequest& request = {}, const CallOptions& call = {}) const;
  // Every run of the list, page by page from request.cursor on.
  [[nodiscard]] RunList list_all_runs(const ListRunsRequest& request = {},
                                      const CallOptions& call = {}) const;
  [[nodiscard]] Run get_run(std::string_view run_id, const CallOptions& call = {}) const;
  [[nodiscard]] RunSession get_run_session(std::string_view run_id, const CallOptions& call = {}) const;
  [[nodiscard]] RunRecord get_run_record(std::string_view run_id, const CallOptions& call = {}) const;
  [[nodiscard]] EventPage list_run_events(std::string_view run_id, const ListEventsRequest& request = {},
                                          const CallOptions& call = {}) const;
  // Opens nothing yet: the first next() does.
  [[nodiscard]] EventStream stream_run(std::string_view run_id, StreamOptions options = {}) const;

  // Asks for the end of a run; a run that has ended is returned unchanged.
  Run cancel_run(std::string_view run_id, const CallOptions& call = {}) const;
  // Decide a pending action. Repeating a decision gives its first event again.
  RunEvent approve_run_action(const ActionDecisionRequest& request, const CallOptions& call = {}) const;
  RunEvent deny_run_action(const ActionDecisionRequest& request, const CallOptions& call = {}) const;

  // What waits for a decision in all runs.
  [[nodiscard]] ApprovalPage list_approvals(const ListApprovalsRequest& request = {},
                                            const CallOptions& call = {}) const;

  // Budgets over runs, as the server has them: {items: [{scope, name, window, limit, spent, reserved, ...}]}.
  [[nodiscard]] Json list_budgets(const CallOptions& call = {}) const;

  // Keys and workspaces, as the server has them (openapi.yaml: ApiKey, Workspace); they need a key with the
  // scope `admin`. A list is {items, nextAfter?}: `after` is the nextAfter of the page before.
  [[nodiscard]] Json list_keys(std::string_view after = {}, const CallOptions& call = {}) const;
  // The new key is in `key`, here and never again.
  [[nodiscard]] Json create_key(const CreateKeyRequest& request, const CallOptions& call = {}) const;
  // It opens nothing any more. Repeating it changes nothing.
  Json revoke_key(std::string_view key_id, const CallOptions& call = {}) const;
  // Another key for the same, in `key`; the old one holds for `overlap` yet. Refusals to expect:
  // key_replaced, key_not_active.
  [[nodiscard]] Json rotate_key(std::string_view key_id, std::chrono::seconds overlap = std::chrono::hours(1),
                                const CallOptions& call = {}) const;
  [[nodiscard]] Json list_workspaces(std::string_view after = {}, const CallOptions& call = {}) const;
  // Refusals to expect: workspace_exists.
  Json create_workspace(std::string_view id, std::string_view name = {}, const CallOptions& call = {}) const;

  // Starts the next turn of a conversation. Refusals that a caller should expect: run_busy (a turn is under
  // way), session_closed, run_not_continuable.
  ContinueRunResult continue_run(const ContinueRunRequest& request, const CallOptions& call = {}) const;
  ContinueRunResult continue_run(std::string_view run_id, std::string_view message,
                                 const CallOptions& call = {}) const;
  [[nodiscard]] RunTurns get_run_turns(std::string_view run_id, const CallOptions& call = {}) const;
  // A new conversation that begins where a turn of another has ended; that one is not touched and may go on.
  // Gives its first run. Refusals to expect: run_busy (the turn has not ended), turn_not_found,
  // checkpoint_unavailable.
  Run fork_run(const ForkRunRequest& request, const CallOptions& call = {}) const;
  // Ends a conversation: no further turn is taken, and one under way is cancelled. Repeating it changes
  // nothing.
  CloseRunResult close_run(std::string_view run_id, const CallOptions& call = {}) const;
  // Deletes a run that has ended, with all that it left; afterwards it is not_found. Other turns of its
  // conversation and forks stay usable. Waits up to ClientOptions::continue_patience for the sandbox of one
  // that has just ended. Refusals to expect: run_not_ended (cancel it first), run_not_found.
  void delete_run(std::string_view run_id, const CallOptions& call = {}) const;

  // Sends an archive (tar, plain or compressed with gzip or zstd; zip) whose files a run can work on:
  // Workspace::upload_id. The time limit is on silence, not on the whole. Throws read_failed for a file that
  // cannot be read; refusals name the entry that is not taken.
  [[nodiscard]] Upload upload(const std::filesystem::path& archive, const CallOptions& call = {}) const;

  // The workspace, while the run is active and afterwards.
  [[nodiscard]] FilePage list_run_files(std::string_view run_id, const ListFilesRequest& request = {},
                                        const CallOptions& call = {}) const;
  // One file of it: whole in memory (at most 1 GiB), piece by piece, or as a file like a downloaded artifact.
  // `path` as the list has it. Files and archives tell how many bytes they have.
  [[nodiscard]] std::string read_run_file(std::string_view run_id, std::string_view path,
                                          const CallOptions& call = {}) const;
  void read_run_file(std::string_view run_id, std::string_view path, const Sink& sink,
                     const CallOptions& call = {}) const;
  std::int64_t read_run_file(std::string_view run_id, std::string_view path,
                             const std::filesystem::path& file, const CallOptions& call = {}) const;
  // All of it as one archive.
  std::int64_t download_workspace(std::string_view run_id, const std::filesystem::path& file,
                                  const DownloadWorkspaceRequest& request = {},
                                  const CallOptions& call = {}) const;
  void download_workspace(std::string_view run_id, const Sink& sink,
                          const DownloadWorkspaceRequest& request = {}, const CallOptions& call = {}) const;
  // What the agent has said so far, as lines of JSON; `log` is stdout or stderr. Of an active run as far as
  // it goes now: ask again from `offset` on, which is how many bytes there were. Refusals to expect:
  // artifact_not_found.
  void read_run_log(std::string_view run_id, std::string_view log, const Sink& sink, std::int64_t offset = 0,
                    const CallOptions& call = {}) const;
  // Commits what an ended run changed and pushes it to the repository that its workspace was cloned from,
  // with the server's credential and as far as the server's configuration allows. Repeating it changes
  // nothing.
  PushResult push_run(const PushRunRequest& request, const CallOptions& call = {}) const;

  [[nodiscard]] ArtifactPage list_run_artifacts(std::string_view run_id, const CallOptions& call = {}) const;
  // The stored bytes: whole in memory (at most 1 GiB), piece by piece, or as a file, which appears under its
  // name only when it is complete and replaces one that is there.
  [[nodiscard]] std::string download_artifact(std::string_view run_id, std::string_view artifact_id,
                                              const CallOptions& call = {}) const;
  void download_artifact(std::string_view run_id, std::string_view artifact_id, const Sink& sink,
                         const CallOptions& call = {}) const;
  void download_artifact(std::string_view run_id, std::string_view artifact_id,
                         const std::filesystem::path& file, const CallOptions& call = {}) const;

  // Any request of the API, for what has no call of its own here: `target` is the path with its query, `body`
  // is sent when it is not null. Only a GET is tried again.
  Json call(std::string_view method, std::string_view target, const Json& body = {},
            const CallOptions& call = {}) const;

 private:
  struct AGENTROUTER_LOCAL State;
  std::shared_ptr<State> state_;
};

}  // namespace agentrouter
