// Hundreds of ways to say something so that it is overlooked, and random ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <random>
#include <set>

#include "base/file.h"
#include "policy/command.h"
#include "policy/rules.h"

namespace agentrouter::policy {
namespace {

struct EvasionCase {
  std::string plain;
  std::string evasion;
  std::size_t line = 0;
};

void replace_all(std::string& text, std::string_view mark, std::string_view by) {
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size()))
    text.replace(at, mark.size(), by);
}

std::vector<EvasionCase> evasion_cases() {
  const auto text = base::value_or_throw(base::read_file(AGENTROUTER_SOURCE_DIR "/src/policy/evasions.txt"));
  std::vector<EvasionCase> cases;
  std::string plain;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.empty() || line.starts_with("# ")) continue;
    if (line.starts_with("== ")) {
      plain = line.substr(3);
      continue;
    }
    replace_all(line, "¶", "\n");
    replace_all(line, "␉", "\t");
    replace_all(line, "␍", "\r");
    replace_all(line, "␀", std::string_view("\0", 1));
    cases.push_back({plain, line, number});
  }
  return cases;
}

RuleVerdict judged(const Rules& rules, const std::string& command) {
  return rules.judge({.tool = "shell", .args = {{"command", command}, {"cwd", "/workspace"}}});
}

Rules refusing() {
  const auto document =
      base::value_or_throw(base::parse_json(R"({"name": "refusing", "default": "allow", "rules": [
      {"id": "commands", "tool": "shell", "verdict": "deny", "command": ["rm", "curl", "git push", "date"]},
      {"id": "file", "tool": "edit", "verdict": "deny", "path": "a.txt"}]})"));
  return base::value_or_throw(Rules::parse(document.as_object()));
}

TEST(Evasion, ThereAreHundredsOfCasesEachOnce) {
  std::set<std::string> once;
  for (const auto& one : evasion_cases()) {
    EXPECT_TRUE(once.insert(one.plain + "\n" + one.evasion).second) << "line " << one.line;
  }
  EXPECT_GE(once.size(), 600u);
}

TEST(Evasion, NoneIsJudgedMoreLenientlyThanItsPlainForm) {
  const auto cases = evasion_cases();
  for (const auto& name : preset_names()) {
    for (const auto& one : cases) {
      const auto plain = judged(*preset(name), one.plain);
      const auto evasion = judged(*preset(name), one.evasion);
      EXPECT_GE(evasion.would_be, plain.would_be) << name << ", line " << one.line << ": " << one.evasion;
      EXPECT_GE(evasion.decision, plain.decision) << name << ", line " << one.line << ": " << one.evasion;
    }
  }
}

TEST(Evasion, WhatARuleRefusesIsNeverAllowedInAnotherForm) {
  const auto rules = refusing();
  // Other programs that do the same are what a default of `allow` allows; only a policy that lists what is
  // allowed refuses them.
  const std::set<std::string> other_programs{"find",   "cargo", "npm",   "make", "ninja",        "go",
                                             "pytest", "ctest", "cmake", "wget", "sort",         "dd",
                                             "cp",     "tee",   "ｒｍ",  "git",  "busybox wget", "sed"};
  std::size_t allowed = 0;
  for (const auto& one : evasion_cases()) {
    ASSERT_EQ(judged(rules, one.plain).decision, Decision::blocked) << one.plain;
    if (judged(rules, one.evasion).decision != Decision::allowed) continue;
    ++allowed;
    const bool other = std::any_of(other_programs.begin(), other_programs.end(), [&](const auto& program) {
      return one.evasion.find(program) != std::string::npos;
    });
    EXPECT_TRUE(other) << "line " << one.line << ": " << one.evasion;
  }
  EXPECT_LE(allowed, 40u);
}

// Says the same words in another way, at random.
class Disguise {
 public:
  explicit Disguise(unsigned seed) : random_(seed) {}

  std::string of(const std::vector<std::string>& words) {
    std::string line;
    for (const auto& word : words) line += (line.empty() ? "" : blank()) + quoted(word);
    for (auto times = pick(4); times > 0; --times) line = wrapped(line);
    return line;
  }

 private:
  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }
  std::string blank() {
    static const std::vector<std::string> blanks{" ", "  ", "\t", " \\\n ", "\\\n "};
    return blanks[pick(blanks.size())];
  }
  static std::string single(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
  }
  static std::string doubled(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
      if (std::string_view("$`\"\\").find(c) != std::string_view::npos) quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }
  std::string piece(char c) {
    constexpr std::string_view hex = "0123456789abcdef";
    const std::string_view one(&c, 1);
    const auto byte = static_cast<unsigned char>(c);
    switch (pick(6)) {
      case 0:
        return single(one);
      case 1:
        return doubled(one);
      case 2:
        return c == '\n' ? single(one) : "\\" + std::string(one);
      case 3:
        return std::string("$'\\x") + hex[byte >> 4] + hex[byte & 15] + "'";
      case 4:
        return "''" + single(one);
      default:
        return std::isalnum(byte) ? std::string(one) : single(one);
    }
  }
  std::string quoted(const std::string& word) {
    std::string text;
    for (const char c : word) text += piece(c);
    return text;
  }
  std::string wrapped(const std::string& line) {
    switch (pick(16)) {
      case 0:
        return "bash -c " + single(line);
      case 1:
        return "bash -lc " + doubled(line);
      case 2:
        return "eval " + single(line);
      case 3:
        return "( " + line + " )";
      case 4:
        return "{ " + line + "; }";
      case 5:
        return "true && " + line;
      case 6:
        return "ls | " + line;
      case 7:
        return "if true; then " + line + "; fi";
      case 8:
        return "for i in 1 2; do " + line + "; done";
      case 9:
        return "echo $( " + line + " )";
      case 10:
        return "echo \"$( " + line + " )\"";
      case 11:
        return "env A=1 bash -c " + single(line);
      case 12:
        return "nohup bash -c " + doubled(line);
      case 13:
        return "bash <<'END'\n" + line + "\nEND";
      case 14:
        return "case x in y) ls;; *) " + line + ";; esac";
      default:
        return "timeout -k 1 9 bash -c " + single(line);
    }
  }

  std::mt19937 random_;
};

TEST(Evasion, NoRandomDisguiseMakesAVerdictMoreLenient) {
  const std::vector<std::vector<std::string>> plain{
      {"rm", "-rf", "src"}, {"curl", "https://a.b/?c=d&e"}, {"git", "push", "origin", "it's"}, {"ls", "-la"}};
  const auto rules = refusing();
  for (unsigned seed = 0; seed < 400; ++seed) {
    const auto& words = plain[seed % plain.size()];
    const auto line = Disguise(seed).of(words);
    std::string straight;
    for (const auto& word : words)
      straight.append(straight.empty() ? "'" : " '").append(word == "it's" ? "its" : word) += '\'';
    for (const auto& name : preset_names())
      ASSERT_GE(judged(*preset(name), line).would_be, judged(*preset(name), straight).would_be)
          << name << "\n"
          << line;
    // Every disguise of these kinds is looked through.
    if (words.front() != "ls") ASSERT_EQ(judged(rules, line).decision, Decision::blocked) << line;
  }
}

TEST(Evasion, EveryPartOfATextIsJudgedWithoutACrash) {
  for (const auto& one : evasion_cases()) {
    for (std::size_t cut = 0; cut < one.evasion.size(); cut += 4) {
      (void)understand(std::string_view(one.evasion).substr(0, cut));
      (void)understand(std::string_view(one.evasion).substr(cut));
    }
  }
}

}  // namespace
}  // namespace agentrouter::policy
