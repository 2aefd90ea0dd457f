// What [push] of the configuration says.

#include <algorithm>

#include "apps/push_desk.h"
#include "base/file.h"
#include "base/utf8.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Result;

namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(' ', at)) != std::string_view::npos;) {
    const auto end = std::min(text.find(' ', at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// "https://host:1" of "https://host:1/path"; empty for no URL of a kind that is pushed to.
std::string_view origin_of(std::string_view url) {
  for (const std::string_view scheme : {"https://", "http://", "file://"}) {
    if (!url.starts_with(scheme)) continue;
    const auto end = url.find('/', scheme.size());
    return end == std::string_view::npos ? std::string_view() : url.substr(0, end);
  }
  return {};
}

// Nothing in it can lead elsewhere than it seems to.
bool is_plain_url(std::string_view url) {
  const auto origin = origin_of(url);
  if (origin.empty() || origin.find_first_of("@\\") != std::string_view::npos) return false;
  const auto path = url.substr(origin.size());
  const bool printable = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return printable && path.find_first_of("?#%\\") == std::string_view::npos &&
         ("/" + std::string(path) + "/").find("/../") == std::string::npos;
}

bool stays_here(std::string_view url) {
  for (const std::string_view host : {"http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    const auto rest = url.starts_with(host) ? url.substr(host.size()) : std::string_view("x");
    if (rest.starts_with('/') || rest.starts_with(':')) return true;
  }
  return url.starts_with("https://");
}

}  // namespace

Result<PushConfig::Rule> parse_push_rule(std::string_view text) {
  const auto words = words_of(text);
  const bool fits = words.size() == 2 && is_plain_url(words[0]) &&
                    origin_of(words[0]).find('*') == std::string_view::npos;
  if (fits) return PushConfig::Rule{words[0], words[1]};
  return fail(Code::invalid,
              "push.allow holds \"" + std::string(text) +
                  "\": want \"URL BRANCH\" with * for any characters behind the host, e.g. "
                  "\"https://git.example/team/* agentrouter/*\"",
              "usage");
}

Result<PushConfig::Credential> parse_push_credential(std::string_view text) {
  const auto words = words_of(text);
  if (words.size() != 3 || origin_of(words[0]).empty() || !words[2].starts_with('/')) {
    return fail(Code::invalid,
                "push.credentials holds \"" + std::string(words.empty() ? "" : words[0]) +
                    "...\": want \"URL USER FILE\", e.g. \"https://git.example/ agent /etc/agentrouter/git.token\"",
                "usage");
  }
  AGENTROUTER_TRY(const auto secret, base::read_file(words[2], 64 * 1024));
  return PushConfig::Credential{words[0], words[1], std::string(base::trim_js(secret))};
}

bool matches(std::string_view pattern, std::string_view text) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  text.remove_prefix(star);
  pattern.remove_prefix(star + 1);
  // The leftmost place of each part between two stars is as good as any other.
  for (auto next = pattern.find('*'); next != std::string_view::npos; next = pattern.find('*')) {
    const auto found = text.find(pattern.substr(0, next));
    if (found == std::string_view::npos) return false;
    text.remove_prefix(found + next);
    pattern.remove_prefix(next + 1);
  }
  return text.size() >= pattern.size() && text.ends_with(pattern);
}

bool is_push_allowed(const PushConfig& config, std::string_view url, std::string_view branch) {
  return is_plain_url(url) && std::any_of(config.allow.begin(), config.allow.end(), [&](const auto& rule) {
    return matches(rule.url, url) && matches(rule.branch, branch);
  });
}

const PushConfig::Credential* credential_for(const PushConfig& config, std::string_view url) {
  const PushConfig::Credential* best = nullptr;
  for (const auto& credential : config.credentials) {
    const bool whole = credential.url.ends_with('/') || url.size() == credential.url.size() ||
                       (url.size() > credential.url.size() && url[credential.url.size()] == '/');
    if (!url.starts_with(credential.url) || !whole || !stays_here(url)) continue;
    if (!best || credential.url.size() > best->url.size()) best = &credential;
  }
  return best;
}

}  // namespace agentrouter::apps
