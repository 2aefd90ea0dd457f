#pragma once
// POST /v1/runs/{run}/push: what is asked for, what comes of it, and who is asked.

#include <functional>
#include <optional>
#include <string>

#include "base/asio.h"
#include "base/error.h"
#include "base/json.h"
#include "model/ids.h"

namespace agentrouter::api {

struct PushBody {
  std::string branch;
  std::string message;
  struct Author {
    std::string name;
    std::string email;
  };
  std::optional<Author> author;
};

// {branch, message, author?: {name, email}}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<PushBody> parse_push_body(const json::value& body);

struct PushAnswer {
  std::string branch;
  std::string commit;
  std::string url;  // of the remote, without a credential
  std::uint64_t files = 0;
};

// Errors: not_found (run_not_found, files_not_kept, files_gone), denied (push_forbidden), conflict (run_not_ended,
// no_git_workspace, no_changes, push_rejected, push_base_missing, push_bad_name), exhausted (too_many_changes),
// unavailable (push_unreachable, push_auth_failed; or without a reason: not now), timeout (push_timeout).
using PushOffice = std::function<base::Task<base::Result<PushAnswer>>(model::RunId, PushBody)>;

}  // namespace agentrouter::api
