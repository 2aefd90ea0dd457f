#include "workspace/git_source.h"

#include <algorithm>
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

}  // namespace

Result<std::string> admit_git_url(const std::string& url, const GitRules& rules) {
  if (url.size() > most_url) return forbidden_url("the URL is too long");
  if (url.starts_with("-")) return forbidden_url("the URL looks like an option");
  if (url.starts_with("ssh://") ||
      (url.find("://") == std::string::npos && url.find('@') != std::string::npos)) {
    return fail(
        Code::invalid,
        "\"workspace.git\" over ssh is not supported by this version: use https, with a credential of the "
        "server",
        "unsupported_option", R"({"option":"workspace.git.url"})");
  }
  if (!is_plain(url)) return forbidden_url("the URL holds characters that have no place in one");
  if (url.find("::") != std::string::npos) return forbidden_url("transport helpers are not used");
  if (url.starts_with("file://")) return admit_file(url, rules);
  const bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) return forbidden_url("use https://, http:// or file://");
  const auto begin = url.find("://") + 3;
  const auto slash = std::min(url.find('/', begin), url.size());
  const auto host = url.substr(begin, slash - begin);
  const auto path = url.substr(slash);
  if (host.find('@') != std::string::npos)
    return forbidden_url("leave credentials out of the URL: the server has its own ([git.credentials])");
  if (host.empty() || host.front() == '-' || host.front() == ':' ||
      std::any_of(host.begin(), host.end(), [](unsigned char c) { return std::isupper(c) != 0; }))
    return forbidden_url("the host is not written as a host, in lower case");
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
  const auto scheme = parent.find("://");
  const auto root = scheme == std::string::npos ? std::string::npos : parent.find('/', scheme + 3);
  std::string base = parent;
  while (base.ends_with('/')) base.pop_back();
  std::string_view rest = url;
  while (rest.starts_with("./") || rest.starts_with("../")) {
    const bool up = rest.starts_with("../");
    rest.remove_prefix(up ? 3 : 2);
    if (!up) continue;
    const auto slash = base.rfind('/');
    if (root == std::string::npos || slash == std::string::npos || slash < root || base.size() <= root)
      return forbidden_url("a submodule's address leads above the server of its parent");
    base.resize(slash);
  }
  return base + "/" + std::string(rest);
}

bool is_named_host(const std::string& url, const GitRules& rules) {
  const auto host = host_of_git_url(url);
  return holds_host(rules.http_hosts, host) || holds_host(rules.https_hosts, host);
}

std::string host_of_git_url(const std::string& url) {
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
