#include "sim/plain.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/ascii.h"
#include "base/utf8.h"

namespace agentrouter::sim {

namespace {

using std::string_view;
constexpr string_view spaces = " \t\r\n";

bool is_space(char c) {
  return spaces.find(c) != string_view::npos;
}
bool is_word(char c) {
  return (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

string_view trim(string_view text) {
  const auto first = text.find_first_not_of(spaces);
  if (first == string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

string_view take_word(string_view& rest) {
  rest = trim(rest);
  const auto word = rest.substr(0, rest.find_first_of(spaces));
  rest.remove_prefix(word.size());
  return word;
}

// The position after `phrase` (in lower case) where it stands as words of its own, from `from` on.
std::optional<std::size_t> after_phrase(string_view text, string_view phrase, std::size_t from = 0) {
  for (auto at = from; at + phrase.size() <= text.size(); ++at) {
    const auto matches =
        std::equal(phrase.begin(), phrase.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                   [](char a, char b) { return a == base::ascii_lower(b); });
    if (matches && (at == 0 || !is_word(text[at - 1]))) return at + phrase.size();
  }
  return std::nullopt;
}

// Quotes around the whole are not part of it.
string_view unquote(string_view text) {
  for (const char quote : {'`', '"', '\''}) {
    if (text.size() >= 2 && text.front() == quote && text.back() == quote)
      return text.substr(1, text.size() - 2);
  }
  return text;
}

string_view without_punctuation(string_view word) {
  while (!word.empty() && string_view(".,;:!?").find(word.back()) != string_view::npos) word.remove_suffix(1);
  return word;
}

Script script_of(std::optional<ToolCall> call, std::string answer) {
  Script script;
  if (call) script.responses.push_back(Response{.calls = {std::move(*call)}});
  script.responses.push_back(Response{.final_message = Text{std::move(answer)}});
  return script;
}

std::optional<Script> reply_exactly(string_view task) {
  const auto start = after_phrase(task, "reply exactly");
  if (!start) return std::nullopt;
  auto rest = task.substr(*start);
  if (rest.starts_with(':')) rest.remove_prefix(1);
  const auto token = unquote(without_punctuation(take_word(rest)));
  if (token.empty()) return std::nullopt;
  return script_of(std::nullopt, std::string(token));
}

// A full stop ends a sentence when a space or the end follows it and it is not a path of its own ("cp a .").
std::size_t sentence_end(string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '.' || (i + 1 < text.size() && !is_space(text[i + 1]))) continue;
    if (!is_space(text[i - 1]) && text[i - 1] != '.' && text[i - 1] != '/') return i;
  }
  return text.size();
}

std::optional<Script> run_exactly(string_view task) {
  const auto start = after_phrase(task, "run exactly:");
  if (!start) return std::nullopt;
  const auto rest = trim(task.substr(*start));
  const auto command = unquote(trim(rest.substr(0, sentence_end(rest))));
  if (command.empty()) return std::nullopt;
  return script_of(Shell{std::string(command)}, "I ran `" + std::string(command) + "` as asked.");
}

std::optional<string_view> relative_path(string_view word) {
  const auto path = unquote(without_punctuation(word));
  const auto dot = path.rfind('.');
  const bool has_extension =
      dot != string_view::npos && dot > 0 && path[dot - 1] != '/' && dot + 1 < path.size();
  const bool is_clean = std::all_of(path.begin(), path.end(),
                                    [](char c) { return is_word(c) || c == '.' || c == '/' || c == '-'; });
  if (!has_extension || !is_clean || path.front() == '/' || path.find("..") != string_view::npos)
    return std::nullopt;
  return path;
}

std::string sensible_content(string_view path, string_view task) {
  const auto slash = path.rfind('/');
  const auto name = std::string(slash == string_view::npos ? path : path.substr(slash + 1));
  const auto extension = name.substr(name.rfind('.') + 1);
  if (extension == "md")
    return "# " + name.substr(0, name.rfind('.')) +
           "\n\nWritten for this task: " + std::string(base::cut_utf8(task.substr(0, task.find('\n')), 200)) +
           "\n";
  if (extension == "json") return "{\n  \"name\": \"" + name + "\"\n}\n";
  if (extension == "py") return "print(\"Hello from " + name + "\")\n";
  if (extension == "sh") return "#!/bin/sh\necho \"Hello from " + name + "\"\n";
  if (extension == "js" || extension == "ts") return "console.log(\"Hello from " + name + "\");\n";
  if (extension == "html")
    return "<!doctype html>\n<title>" + name + "</title>\n<p>Hello from " + name + "</p>\n";
  return "Hello from " + name + "\n";
}

std::optional<Script> create_file(string_view task) {
  constexpr std::array<string_view, 7> fillers{"a", "an", "the", "new", "file", "named", "called"};
  for (auto start = after_phrase(task, "create "); start; start = after_phrase(task, "create ", *start)) {
    auto rest = task.substr(*start);
    auto word = take_word(rest);
    while (std::find(fillers.begin(), fillers.end(), word) != fillers.end()) word = take_word(rest);
    const auto path = relative_path(word);
    if (!path) continue;
    return script_of(WriteFile{std::string(*path), sensible_content(*path, trim(task))},
                     "I created " + std::string(*path) + ".");
  }
  return std::nullopt;
}

}  // namespace

Script plain_script(string_view task) {
  task = trim(task);
  if (task.empty()) return say_only("There is no task in this request.");
  if (auto script = reply_exactly(task)) return *script;
  if (auto script = run_exactly(task)) return *script;
  if (auto script = create_file(task)) return *script;
  const auto quoted = base::cut_utf8(task, 200);
  const std::string dots = quoted.size() < task.size() ? "..." : "";
  return script_of(Shell{"ls -la"}, "I looked around the workspace. The task was: \"" + std::string(quoted) +
                                        dots + "\". This answer comes from the simulated provider.");
}

}  // namespace agentrouter::sim
