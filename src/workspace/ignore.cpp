#include "workspace/ignore.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace agentrouter::workspace {

namespace {

constexpr std::size_t max_pattern_bytes = 4096;

std::string_view trim_trailing_blanks(std::string_view line) {
  // A blank behind a backslash is part of the name.
  std::size_t end = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size())
      ++i;
    else if (line[i] == ' ')
      continue;
    end = i + 1;
  }
  return line.substr(0, end);
}

struct NamedSet {
  std::string_view name;
  int (*holds)(int);
};
constexpr std::array<NamedSet, 12> named_sets{{{"alnum", std::isalnum},
                                               {"alpha", std::isalpha},
                                               {"blank", std::isblank},
                                               {"cntrl", std::iscntrl},
                                               {"digit", std::isdigit},
                                               {"graph", std::isgraph},
                                               {"lower", std::islower},
                                               {"print", std::isprint},
                                               {"punct", std::ispunct},
                                               {"space", std::isspace},
                                               {"upper", std::isupper},
                                               {"xdigit", std::isxdigit}}};

bool add_named(std::string_view name, std::bitset<256>& set) {
  const auto* found = std::find_if(named_sets.begin(), named_sets.end(),
                                   [&](const NamedSet& one) { return one.name == name; });
  if (found == named_sets.end()) return false;
  for (int c = 0; c < 128; ++c) {
    if (found->holds(c)) set.set(static_cast<std::size_t>(c));
  }
  return true;
}

std::string_view last_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::optional<IgnorePattern> IgnorePattern::parse(std::string_view line) {
  if (line.empty() || line[0] == '#' || line.size() > max_pattern_bytes) return std::nullopt;
  line = trim_trailing_blanks(line);
  IgnorePattern pattern;
  if (!line.empty() && line[0] == '!') {
    pattern.negated_ = true;
    line.remove_prefix(1);
  }
  if (!line.empty() && line.back() == '/') {
    pattern.only_folders_ = true;
    line.remove_suffix(1);
  }
  pattern.anchored_ = line.find('/') != std::string_view::npos;
  if (!line.empty() && line[0] == '/') line.remove_prefix(1);
  if (line.empty() || !pattern.compile(line)) return std::nullopt;
  pattern.is_literal_ = std::all_of(pattern.tokens_.begin(), pattern.tokens_.end(),
                                    [](const Token& t) { return t.what == Token::What::literal; });
  if (pattern.is_literal_) {
    for (const auto& token : pattern.tokens_) pattern.literal_ += token.byte;
    pattern.tokens_.clear();
  }
  return pattern;
}

bool IgnorePattern::compile(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '*') {
      compile_stars(text, at);
    } else if (c == '[') {
      if (!compile_set(text, at)) return false;
    } else if (c == '?') {
      tokens_.push_back({Token::What::any});
      ++at;
    } else {
      if (c == '\\' && ++at == text.size()) return false;
      tokens_.push_back({Token::What::literal, text[at]});
      ++at;
    }
  }
  return true;
}

void IgnorePattern::compile_stars(std::string_view text, std::size_t& at) {
  const std::size_t begin = at;
  while (at < text.size() && text[at] == '*') ++at;
  const bool bounded = at - begin == 2 && (begin == 0 || text[begin - 1] == '/');
  if (bounded && at == text.size()) {
    tokens_.push_back({Token::What::rest});
  } else if (bounded && text[at] == '/') {
    tokens_.push_back({Token::What::folders});
    ++at;
  } else {
    tokens_.push_back({Token::What::star});
  }
}

bool IgnorePattern::compile_set(std::string_view text, std::size_t& at) {
  std::bitset<256> set;
  ++at;
  const bool inverted = at < text.size() && (text[at] == '!' || text[at] == '^');
  if (inverted) ++at;
  for (bool first = true;; first = false) {
    if (at >= text.size()) return false;
    if (text[at] == ']' && !first) break;
    if (text.substr(at, 2) == "[:") {
      const auto end = text.find(":]", at + 2);
      if (end != std::string_view::npos) {
        if (!add_named(text.substr(at + 2, end - at - 2), set)) return false;
        at = end + 2;
        continue;
      }
    }
    if (text[at] == '\\' && ++at >= text.size()) return false;
    const auto low = static_cast<unsigned char>(text[at++]);
    auto high = low;
    if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
      ++at;
      if (text[at] == '\\' && ++at >= text.size()) return false;
      high = static_cast<unsigned char>(text[at++]);
    }
    for (unsigned c = low; c <= high; ++c) set.set(c);
  }
  ++at;
  if (inverted) set.flip();
  set.reset('/');
  tokens_.push_back({Token::What::set, 0, static_cast<std::uint16_t>(sets_.size())});
  sets_.push_back(set);
  return true;
}

bool IgnorePattern::matches(std::string_view path, bool is_folder) const {
  if (only_folders_ && !is_folder) return false;
  const auto text = anchored_ ? path : last_name(path);
  return is_literal_ ? text == literal_ : run(text);
}

bool IgnorePattern::accepts(const Token& token, char byte) const {
  switch (token.what) {
    case Token::What::literal:
      return token.byte == byte;
    case Token::What::any:
      return byte != '/';
    case Token::What::set:
      return sets_[token.set].test(static_cast<unsigned char>(byte));
    default:
      return false;
  }
}

// A state is a token that comes next: bit 0. Bit 1: inside a `folders` token, which ends only at a slash.
void IgnorePattern::close_over(std::vector<std::uint8_t>& states) const {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (!(states[i] & 1)) continue;
    const auto what = tokens_[i].what;
    if (what == Token::What::star || what == Token::What::rest || what == Token::What::folders)
      states[i + 1] |= 1;
  }
}

bool IgnorePattern::run(std::string_view text) const {
  std::vector<std::uint8_t> now(tokens_.size() + 1), next(tokens_.size() + 1);
  now[0] = 1;
  close_over(now);
  for (const char byte : text) {
    std::fill(next.begin(), next.end(), 0);
    bool alive = false;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (!now[i]) continue;
      const auto& token = tokens_[i];
      if (token.what == Token::What::folders) {
        next[i] |= 2;
        if (byte == '/') next[i + 1] |= 1;
      } else if (token.what == Token::What::rest || (token.what == Token::What::star && byte != '/')) {
        next[i] |= 1;
      } else if (accepts(token, byte)) {
        next[i + 1] |= 1;
      } else {
        continue;
      }
      alive = true;
    }
    if (!alive) return false;
    close_over(next);
    now.swap(next);
  }
  return now[tokens_.size()] & 1;
}

IgnoreRules::Ptr IgnoreRules::add(Ptr above, std::string_view text, std::size_t prefix_bytes) {
  auto rules = std::make_shared<IgnoreRules>();
  rules->above_ = above;
  rules->prefix_bytes_ = prefix_bytes;
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  while (!text.empty() && rules->patterns_.size() < max_patterns) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (auto pattern = IgnorePattern::parse(line)) rules->patterns_.push_back(std::move(*pattern));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (rules->patterns_.empty()) return above;
  return rules;
}

bool IgnoreRules::ignores(const Ptr& rules, std::string_view path, bool is_folder) {
  for (const auto* level = rules.get(); level; level = level->above_.get()) {
    const auto relative = path.substr(level->prefix_bytes_);
    for (auto one = level->patterns_.rbegin(); one != level->patterns_.rend(); ++one) {
      if (one->matches(relative, is_folder)) return !one->negated();
    }
  }
  return false;
}

}  // namespace agentrouter::workspace
