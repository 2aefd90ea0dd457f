#pragma once
// What the server orders of `agentrouter-git push`, and what that answers. Apart from the room that carries it
// out, so that the server does not need libgit2.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::workspace {

struct PushAuthor {
  std::string name;
  std::string email;
};

struct PushRequest {
  std::string url;
  std::string user;    // of the credential, empty for none
  std::string secret;  // a password or token
  std::string branch;  // without refs/heads/
  std::string base;    // the commit in full, 40 hex digits
  std::string subdir;  // where the workspace lies in the repository; empty: it is the whole
  std::string message;
  PushAuthor author;
  std::int64_t time = 0;  // of the commit, seconds since 1970
};

struct PushOrder {
  PushRequest request;
  std::string scratch;  // an empty folder, which whoever orders removes
};

struct Pushed {
  std::string commit;
  std::uint64_t files = 0;  // changed, deletions included
};

// Descriptors of the command.
namespace push_fd {
inline constexpr int base = 3;     // the base tree, or /dev/null
inline constexpr int state = 4;    // the checkpoint's archive, or /dev/null
inline constexpr int request = 5;  // to_json(PushOrder), up to the end: the secret is on no command line
inline constexpr int answer = 6;   // to_json(Pushed), or error_head() of file_request.h
}  // namespace push_fd

[[nodiscard]] std::string to_json(const PushOrder& order);
// Errors: invalid.
[[nodiscard]] base::Result<PushOrder> parse_push_order(std::string_view text);
[[nodiscard]] std::string to_json(const Pushed& pushed);
// Errors: what the answer tells, corrupt for what is none.
[[nodiscard]] base::Result<Pushed> parse_pushed(std::string_view text);

// 1 to 200 characters that git takes for a branch and that no shell makes anything of. "HEAD" is none.
[[nodiscard]] bool is_branch_name(std::string_view name);
// What git takes for the name or the address of an author: no control characters, '<' or '>', and more than
// what it cuts off at both ends (blanks and . , : ; " ' \).
[[nodiscard]] bool is_author_part(std::string_view text);

}  // namespace agentrouter::workspace
