#pragma once
// Which repositories may become a workspace, and how their parts are written. Judged as text, before anything
// is asked of anybody.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "workspace/allow.h"

namespace agentrouter::workspace {

struct GitRules {
  std::vector<std::string> http_hosts;   // "host" or "host:port" that plain http may go to
  std::vector<std::string> https_hosts;  // that https may go to; empty: anywhere
  std::vector<std::string> ssh_hosts;    // that the server has a key for, the port only when it is not 22
  AllowRules files;                      // of file:// repositories
};

// The address as it is used: https://host[:port]/path, http:// to a listed host, file:// with the folder's
// real path, ssh://user@host[:port]/path or user@host:path.
//
// Errors, all to be answered with 400: invalid with reason workspace_forbidden (an option, another transport,
// credentials in it, a host or path that is not allowed, characters that have no place there) or
// workspace_not_found (no such folder).
[[nodiscard]] base::Result<std::string> admit_git_url(const std::string& url, const GitRules& rules);

struct SshAddress {
  std::string user;
  std::string host;
  std::uint16_t port = 22;
  std::string path;  // as the server is given it: "/srv/a.git", "team/a.git", "~user/a.git"
};
// The parts of one that was admitted. None: it is not for ssh.
[[nodiscard]] std::optional<SshAddress> ssh_address(const std::string& url);

// The address of a submodule: one that begins with "./" or "../" is relative to its parent's, any other is
// what it is. Still to be admitted. Errors: invalid (it leads above the parent's server).
[[nodiscard]] base::Result<std::string> submodule_url(const std::string& parent, const std::string& url);

// Read from one server (host and port) by one transport, and over ssh as one user: what the server has been
// given to read the one with may be used for the other. All folders of this machine are of one.
[[nodiscard]] bool is_same_git_server(const std::string& one, const std::string& other);

// True when a host of the rules' lists stands in it, so that it may also lie in a private network.
[[nodiscard]] bool is_named_host(const std::string& url, const GitRules& rules);

// Of a host with its port when it is not the scheme's own: what [git.credentials."host"] is named after.
// Empty for file://.
[[nodiscard]] std::string host_of_git_url(const std::string& url);

// A branch, a tag, a ref with "refs/" in front, or a commit in full.
[[nodiscard]] bool is_git_ref(std::string_view ref);
// "lib/core": relative, without "." and "..".
[[nodiscard]] bool is_git_subdir(std::string_view path);

}  // namespace agentrouter::workspace
