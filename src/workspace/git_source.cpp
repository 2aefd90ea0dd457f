#include "workspace/git_source.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t most_url = 2048;
constexpr std::size_t most_ref = 255;
constexpr std::size_t most_subdir = 1024;

tl::unexpected<base::Error> forbidden_url(std::string_view why) {
  return fail(Code::invalid, "cannot use this repository: " + std::string(why), "workspace_forbidden");
}

// Letters, digits and what addresses have; nothing that a shell, a configuration file or a header would read
// otherwise.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("-._~/:%+,=@[]").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool has_dots(std::string_view path) {
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    if (part == "." || part == "..") return true;
    at = end + 1;
  }
  return false;
}

bool holds_host(const std::vector<std::string>& hosts, std::string_view host) {
  return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
}

Result<std::string> admit_file(const std::string& url, const GitRules& rules) {
  const auto path = url.substr(std::string_view("file://").size());
  if (path.empty() || path.front() != '/') return forbidden_url("file:// needs an absolute path");
  AGENTROUTER_TRY(const auto real, admit(path, rules.files));
  // Its configuration would read some characters otherwise.
  if (!is_plain(real.string())) return forbidden_url("the folder's path has unusual characters");
  return "file://" + real.string();
}

bool is_for_ssh(std::string_view url) {
  return url.starts_with("ssh://") ||
         (url.find("://") == std::string_view::npos && url.find('@') != std::string_view::npos);
}

bool is_host_name(std::string_view host) {
  return !host.empty() && host.front() != '-' && host.front() != '.' &&
         std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '.' || c == '-';
         });
}

bool is_user_name(std::string_view user) {
  return !user.empty() && user.size() <= 64 && user.front() != '-' &&
         std::all_of(user.begin(), user.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == '+';
         });
}

std::string with_port(const SshAddress& address) {
  return address.host + (address.port == 22 ? "" : ":" + std::to_string(address.port));
}

Result<std::string> admit_ssh(const std::string& url, const GitRules& rules) {
  const auto address = ssh_address(url);
  if (!address) return forbidden_url("write ssh://user@host/path or user@host:path");
  const auto& path = address->path;
  if (path.front() == '-' || path == "/" || has_dots(path) || path.find("//") != std::string::npos)
    return forbidden_url("the path is not that of a repository");
  if (!holds_host(rules.ssh_hosts, with_port(*address)))
    return forbidden_url("ssh is only for hosts that the server has a key for ([git.ssh])");
  return url;
}

// "ext::sh"; the address in "https://[::1]/a" is none.
bool names_helper(std::string_view url) {
  const auto scheme = url.find("://");
  const auto host = scheme == std::string_view::npos ? url.size() : scheme + 3;
  const auto end = std::min(url.find('/', host), url.size());
  const auto open = std::min(url.find('[', host), end);
  return (std::string(url.substr(0, open)) + std::string(url.substr(end))).find("::") != std::string::npos;
}

// None, or ":" and 1 to 65535, behind a name or an address in brackets.
bool has_good_port(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return true;
  const auto digits = host.substr(colon + 1);
  std::uint16_t port = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return read.ec == std::errc() && read.ptr == digits.data() + digits.size() && port != 0;
}

}  // namespace

std::optional<SshAddress> ssh_address(const std::string& url) {
  constexpr std::string_view scheme = "ssh://";
  if (!is_for_ssh(url)) return std::nullopt;
  SshAddress address;
  std::string_view rest = url;
  const bool whole = rest.starts_with(scheme);
  if (whole) rest.remove_prefix(scheme.size());
  const auto at = rest.find('@');
  if (at == std::string_view::npos) return std::nullopt;
  address.user = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  const auto end = rest.find(whole ? '/' : ':');
  if (end == std::string_view::npos) return std::nullopt;
  auto host = rest.substr(0, end);
  address.path = rest.substr(whole ? end : end + 1);
  if (const auto colon = host.find(':'); colon != std::string_view::npos) {
    const auto digits = host.substr(colon + 1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || address.port == 0)
      return std::nullopt;
    host = host.substr(0, colon);
  }
  address.host = host;
  // What git does with "ssh://host/~user/a".
  if (whole && address.path.starts_with("/~")) address.path.erase(0, 1);
  if (!is_user_name(address.user) || !is_host_name(address.host) || address.path.empty()) return std::nullopt;
  return address;
}

Result<std::string> admit_git_url(const std::string& url, const GitRules& rules) {
  if (url.size() > most_url) return forbidden_url("the URL is too long");
  if (url.starts_with("-")) return forbidden_url("the URL looks like an option");
  if (!is_plain(url)) return forbidden_url("the URL holds characters that have no place in one");
  if (names_helper(url)) return forbidden_url("transport helpers are not used");
  if (url.starts_with("file://")) return admit_file(url, rules);
  if (is_for_ssh(url)) return admit_ssh(url, rules);
  const bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://"))
    return forbidden_url("use https://, ssh://, http:// or file://");
  const auto begin = url.find("://") + 3;
  const auto slash = std::min(url.find('/', begin), url.size());
  const auto host = url.substr(begin, slash - begin);
  const auto path = url.substr(slash);
  if (host.find('@') != std::string::npos)
    return forbidden_url("leave credentials out of the URL: the server has its own ([git.credentials])");
  if (host.empty() || host.front() == '-' || host.front() == ':' ||
      std::any_of(host.begin(), host.end(), [](unsigned char c) { return std::isupper(c) != 0; }))
    return forbidden_url("the host is not written as a host, in lower case");
  if (!has_good_port(host)) return forbidden_url("the port is not a number from 1 to 65535");
  if (path.size() < 2 || has_dots(path) || path.find("//") != std::string::npos)
    return forbidden_url("the path is not that of a repository");
  if (!secure && !holds_host(rules.http_hosts, host))
    return forbidden_url("plain http is only for hosts that the server lists (git.http_hosts)");
  if (secure && !rules.https_hosts.empty() && !holds_host(rules.https_hosts, host))
    return forbidden_url("the host is not one that the server lists (git.https_hosts)");
  return url;
}

Result<std::string> submodule_url(const std::string& parent, const std::string& url) {
  if (!url.starts_with("./") && !url.starts_with("../")) return url;
  // Behind the server: "https://host" or "user@host:".
  const auto scheme = parent.find("://");
  auto root = scheme == std::string::npos ? parent.find(':') : parent.find('/', scheme + 3);
  if (root == std::string::npos) return forbidden_url("its parent's address has no path");
  if (scheme == std::string::npos) ++root;
  const auto server = parent.substr(0, root);
  auto path = parent.substr(root);
  const bool absolute = path.starts_with('/');
  while (path.ends_with('/')) path.pop_back();
  std::string_view rest = url;
  while (rest.starts_with("./") || rest.starts_with("../")) {
    const bool up = rest.starts_with("../");
    rest.remove_prefix(up ? 3 : 2);
    if (!up) continue;
    if (path.empty()) return forbidden_url("a submodule's address leads above the server of its parent");
    path.resize(std::min(path.size(), path.rfind('/') == std::string::npos ? 0 : path.rfind('/')));
  }
  const bool relative = path.empty() && !absolute;
  return server + path + (relative ? "" : "/") + std::string(rest);
}

bool is_same_git_server(const std::string& one, const std::string& other) {
  const auto server_of = [](const std::string& url) {
    if (const auto address = ssh_address(url)) return "ssh://" + address->user + "@" + with_port(*address);
    return url.substr(0, std::min(url.find("://"), url.size())) + "://" + host_of_git_url(url);
  };
  return server_of(one) == server_of(other);
}

bool is_named_host(const std::string& url, const GitRules& rules) {
  const auto host = host_of_git_url(url);
  return holds_host(rules.http_hosts, host) || holds_host(rules.https_hosts, host);
}

std::string host_of_git_url(const std::string& url) {
  if (const auto address = ssh_address(url)) return with_port(*address);
  const auto begin = url.find("://");
  if (begin == std::string::npos || url.starts_with("file://")) return {};
  return url.substr(begin + 3, std::min(url.find('/', begin + 3), url.size()) - begin - 3);
}

// What git-check-ref-format allows, and no option.
bool is_git_ref(std::string_view ref) {
  if (ref.empty() || ref.size() > most_ref || ref.front() == '-' || ref.front() == '/' || ref.back() == '/' ||
      ref.back() == '.' || ref == "@") {
    return false;
  }
  for (const unsigned char c : ref) {
    if (c <= ' ' || c == 0x7f ||
        std::string_view("~^:?*[\\\"").find(static_cast<char>(c)) != std::string_view::npos)
      return false;
  }
  if (ref.find("..") != std::string_view::npos || ref.find("@{") != std::string_view::npos ||
      ref.find("//") != std::string_view::npos) {
    return false;
  }
  for (std::size_t at = 0; at <= ref.size();) {
    const auto end = std::min(ref.find('/', at), ref.size());
    const auto part = ref.substr(at, end - at);
    if (part.starts_with('.') || part.starts_with('-') || part.ends_with(".lock")) return false;
    at = end + 1;
  }
  return true;
}

bool is_git_subdir(std::string_view path) {
  if (path.empty() || path.size() > most_subdir || path.front() == '/' || path.front() == '-' ||
      path.back() == '/')
    return false;
  const bool plain = std::all_of(path.begin(), path.end(),
                                 [](unsigned char c) { return c >= ' ' && c != 0x7f && c != ':'; });
  return plain && !has_dots(path) && path.find("//") == std::string_view::npos && path.substr(0, 4) != ".git";
}

}  // namespace agentrouter::workspace
