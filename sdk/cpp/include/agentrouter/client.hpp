#pragma once
// The door to one AgentRouter server.

#include <agentrouter/error.hpp>
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
      {};  // sent with every request; may override ours
  std::chrono::milliseconds connect_timeout{10'000};
  // Of a whole call; of a download or a stream's opening: the longest silence.
  std::chrono::milliseconds timeout{30'000};
  // Further attempts of calls that are safe to repeat (all but create_run without an idempotency key) after a
  // broken connection, 429, 502, 503 or 504, with growing pauses or after the server's Retry-After.
  int max_retries = 2;
};

struct CallOptions {
  std::stop_token stop = {};
  std::chrono::milliseconds timeout{0};  // 0: the client's
};

// Takes bytes in order, at the pace of the reader. What it throws ends the download and reaches the caller.
using Sink = std::function<void(std::string_view bytes)>;

// Any number of threads may use one Client at once; calls of different threads do not wait for each other,
// and connections are kept for the next call. System certificates and the usual proxy variables apply, except
// that a server on this machine is always reached directly.
//
// Every call throws Error; `cancelled` after `stop` leaves open what the server did with a request under way.
class Client {
 public:
  // Throws Error invalid_argument: a base URL that is not http(s), a header with a line break.
  explicit Client(ClientOptions options);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Whether the server answers and says that it is well. Needs no key, and does not retry. Throws only
  // `cancelled`.
  [[nodiscard]] bool healthy(const CallOptions& call = {}) const;

  Run create_run(const CreateRunRequest& request, const CallOptions& call = {}) const;
  [[nodiscard]] RunPage list_runs(const ListRunsRequest& request = {}, const CallOptions& call = {}) const;
  [[nodiscard]] Run get_run(std::string_view run_id, const CallOptions& call = {}) const;
  [[nodiscard]] RunSession get_run_session(std::string_view run_id, const CallOptions& call = {}) const;
  [[nodiscard]] EventPage list_run_events(std::string_view run_id, const ListEventsRequest& request = {},
                                          const CallOptions& call = {}) const;
  // Opens nothing yet: the first next() does.
  [[nodiscard]] EventStream stream_run(std::string_view run_id, StreamOptions options = {}) const;

  // Asks for the end of a run; a run that has ended is returned unchanged.
  Run cancel_run(std::string_view run_id, const CallOptions& call = {}) const;
  // Decide a pending action. Repeating a decision gives its first event again.
  RunEvent approve_run_action(const ActionDecisionRequest& request, const CallOptions& call = {}) const;
  RunEvent deny_run_action(const ActionDecisionRequest& request, const CallOptions& call = {}) const;

  [[nodiscard]] ArtifactPage list_run_artifacts(std::string_view run_id, const CallOptions& call = {}) const;
  // The stored bytes: whole in memory (at most 1 GiB), piece by piece, or as a file, which appears under its
  // name only when it is complete and replaces one that is there.
  [[nodiscard]] std::string download_artifact(std::string_view run_id, std::string_view artifact_id,
                                              const CallOptions& call = {}) const;
  void download_artifact(std::string_view run_id, std::string_view artifact_id, const Sink& sink,
                         const CallOptions& call = {}) const;
  void download_artifact(std::string_view run_id, std::string_view artifact_id,
                         const std::filesystem::path& file, const CallOptions& call = {}) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace agentrouter
