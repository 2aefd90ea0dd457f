#include "policy/glob.h"

#include <algorithm>
#include <vector>

namespace agentrouter::policy {

namespace {

constexpr std::string_view glob_workspace = "/workspace";

// The states of `pattern` after each byte of `text`: bit i is set when the first i bytes of it have matched.
class Matcher {
 public:
  Matcher(std::string_view pattern, bool path) : pattern_(pattern), path_(path), now_(pattern.size() + 1) {
    now_[0] = true;
    skip_stars();
  }

  bool feed(std::string_view text) {
    for (const char c : text) {
      std::vector<bool> next(now_.size());
      for (std::size_t i = 0; i < pattern_.size(); ++i) {
        if (now_[i]) step(next, i, c);
      }
      now_ = std::move(next);
      at_name_ = c == '/';
      skip_stars();
    }
    return now_.back();
  }
  [[nodiscard]] bool alive() const { return std::find(now_.begin(), now_.end(), true) != now_.end(); }

 private:
  [[nodiscard]] bool crosses(std::size_t i) const {
    return !path_ || pattern_.substr(i, 2) == "**" || (i > 0 && pattern_.substr(i - 1, 2) == "**");
  }
  void step(std::vector<bool>& next, std::size_t i, char c) const {
    if (pattern_[i] == '*') {
      if (c != '/' || crosses(i)) next[i] = true;
    } else if (pattern_[i] == c || (pattern_[i] == '?' && !(path_ && c == '/'))) {
      next[i + 1] = true;
    }
  }
  void skip_stars() {
    for (std::size_t i = 0; i < pattern_.size(); ++i) {
      if (!now_[i]) continue;
      if (pattern_[i] == '*') now_[i + 1] = true;
      // "a/**/b" is also "a/b".
      const bool folders = path_ && pattern_.substr(i, 3) == "**/" && (i == 0 || pattern_[i - 1] == '/');
      if (folders && at_name_) now_[i + 3] = true;
    }
  }

  std::string_view pattern_;
  bool path_;
  bool at_name_ = true;  // nothing of a name has been read
  std::vector<bool> now_;
};

std::vector<std::string_view> names_of(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const auto name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty()) {
      names.pop_back();
    }
  }
  return names;
}

}  // namespace

bool matches_text(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // the last one, and where its run of characters ends
  std::size_t taken = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++taken;
    } else {
      return false;
    }
  }
  return p >= pattern.size() || pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool matches_path(std::string_view pattern, std::string_view path) {
  if (pattern.find_first_of("*?") == std::string_view::npos) return pattern == path;
  if (Matcher(pattern, true).feed(path)) return true;
  if (pattern.ends_with("/**") && Matcher(pattern.substr(0, pattern.size() - 3), true).feed(path))
    return true;
  return pattern.starts_with("**/") && matches_path(pattern.substr(3), path);
}

bool could_match_text(std::string_view pattern, std::string_view prefix) {
  Matcher matcher(pattern, false);
  (void)matcher.feed(prefix);
  return matcher.alive();
}

std::string normal_path(std::string_view path, std::string_view cwd) {
  std::string whole = path.starts_with('/') ? std::string(path) : std::string(cwd) + "/" + std::string(path);
  std::string normal;
  for (const auto name : names_of(whole)) normal.append("/").append(name);
  if (normal == glob_workspace) return ".";
  if (normal.starts_with(std::string(glob_workspace) + "/")) return normal.substr(glob_workspace.size() + 1);
  return normal.empty() ? "/" : normal;
}

std::string normal_absolute(std::string_view normal) {
  if (normal.starts_with('/')) return std::string(normal);
  return std::string(glob_workspace) + (normal == "." ? "" : "/" + std::string(normal));
}

}  // namespace agentrouter::policy
