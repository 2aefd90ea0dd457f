#pragma once
// What the worker hands to `agentrouter fetcher`, and what that says back, over one unix socket: the worker's
// end being closed is the order to stop.
//
//   worker  -> 8 hex digits, "\n", the plan as JSON, `secretBytes` bytes of credential
//   fetcher -> {"resolved": {...}}         which commit the ref names
//   worker  -> "fetch\n"                   it is not in the cache
//   fetcher -> {"fetched": {submodules}}   the tar is in the attempt's folder, as fetch_file
//   fetcher -> {"failed": {cause,message}} instead of either; then it ends
//
// One JSON object a line.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "egress/secret.h"
#include "model/workspace.h"

namespace agentrouter::keeper {

inline constexpr const char* fetch_file = "fetched.tar";

struct FetchPlan {
  model::GitSource source;
  std::string commit;                // known already; empty: the ref is looked up first
  std::uint64_t bytes = 4ull << 30;  // of what comes over the network, and of the files
  std::uint64_t entries = 200'000;
  std::chrono::milliseconds wall_time{600'000};
  bool has_credential = false;
  std::string known_hosts = {};  // of a repository over ssh; its credential is the key, in base64
  std::vector<std::string> https_hosts = {};  // that LFS objects from elsewhere are confined to
  bool public_only = false;  // the server may have no address of this machine or a private network

  [[nodiscard]] bool is_over_ssh() const {
    return !is_local() && !source.url.starts_with("http://") && !source.url.starts_with("https://");
  }
  // The repository is a folder of this machine, which is the sandbox's /workspace.
  [[nodiscard]] bool is_local() const { return source.url.starts_with("file://"); }
};

struct ResolvedRef {
  std::string commit;
  std::string branch;  // empty for a tag, a commit, and a remote without a current branch
};

// A folder of the tree that is another repository at one commit. All of it is the repository's word.
struct Submodule {
  std::string path;
  std::string url;  // empty: .gitmodules names none
  std::string commit;
};
inline constexpr std::size_t submodules_at_most = 100;  // of one repository

// causes: workspace_unavailable, workspace_auth_failed, workspace_ref_not_found, workspace_too_large,
// workspace_timeout, workspace_subdir_not_found.
struct FetchFailure {
  std::string cause;
  std::string message;
};

[[nodiscard]] std::string encode_fetch_plan(const FetchPlan& plan);
// Errors: invalid.
[[nodiscard]] base::Result<FetchPlan> decode_fetch_plan(std::string_view text);

// What goes over the socket first. `credential`: what follows "Basic "; empty for none.
[[nodiscard]] std::string frame_fetch(const FetchPlan& plan, std::string_view credential);

struct ReceivedFetch {
  FetchPlan plan;
  std::optional<egress::Secret> credential;
};
// Reads exactly what frame_fetch() made. Blocks. Errors: invalid, read(2).
[[nodiscard]] base::Result<ReceivedFetch> receive_fetch(int fd);

[[nodiscard]] std::string resolved_line(const ResolvedRef& resolved);
[[nodiscard]] std::string fetched_line(const std::vector<Submodule>& submodules = {});
[[nodiscard]] std::string failed_line(const FetchFailure& failure);

struct FetchAnswer {
  std::optional<ResolvedRef> resolved;
  bool fetched = false;
  std::vector<Submodule> submodules;  // of what was fetched, when they were asked for
  std::optional<FetchFailure> failed;
};
// Errors: invalid.
[[nodiscard]] base::Result<FetchAnswer> parse_fetch_line(std::string_view line);

// 40 lower-case hex digits.
[[nodiscard]] bool is_commit(std::string_view text);

}  // namespace agentrouter::keeper
