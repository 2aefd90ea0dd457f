#pragma once
// What git ignores: the patterns of .gitignore files, matched as git does, in time linear in pattern and path
// (the patterns are written by whoever wrote the repository).

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::workspace {

// One line of a .gitignore file, compiled.
class IgnorePattern {
 public:
  // Nothing for a comment, an empty line, or a pattern that can match no path.
  [[nodiscard]] static std::optional<IgnorePattern> parse(std::string_view line);

  // `path` is relative to the folder of the .gitignore.
  [[nodiscard]] bool matches(std::string_view path, bool is_folder) const;
  [[nodiscard]] bool negated() const { return negated_; }

 private:
  struct Token {
    enum class What : std::uint8_t { literal, any, set, star, folders, rest } what;
    char byte = 0;
    std::uint16_t set = 0;  // index in sets_
  };

  bool compile(std::string_view text);
  bool compile_set(std::string_view text, std::size_t& at);
  void compile_stars(std::string_view text, std::size_t& at);
  [[nodiscard]] bool run(std::string_view text) const;
  [[nodiscard]] bool accepts(const Token& token, char byte) const;
  void close_over(std::vector<std::uint8_t>& states) const;

  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> sets_;
  std::string literal_;  // the whole pattern when it has no wildcard
  bool is_literal_ = false;
  bool negated_ = false;
  bool only_folders_ = false;
  bool anchored_ = false;  // matched against the path, not only its last name
};

// The patterns that hold in one folder, and those of the folders above it. Immutable and shared.
class IgnoreRules {
 public:
  using Ptr = std::shared_ptr<const IgnoreRules>;
  static constexpr std::size_t max_bytes = 1u << 20;  // of one file; what is over is not read
  static constexpr std::size_t max_patterns = 20'000;

  // `prefix_bytes`: the length of the folder's path with its "/", 0 at the root.
  [[nodiscard]] static Ptr add(Ptr above, std::string_view text, std::size_t prefix_bytes);

  // Whether `path` (from the root) is ignored by itself; an ignored folder above it is for the caller to see.
  [[nodiscard]] static bool ignores(const Ptr& rules, std::string_view path, bool is_folder);

 private:
  Ptr above_;
  std::size_t prefix_bytes_ = 0;
  std::vector<IgnorePattern> patterns_;
};

}  // namespace agentrouter::workspace
