// Programs whose words hold another command.

#include <algorithm>
#include <array>

#include "policy/look_through.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

struct Starter {
  string_view name;
  OptionTable options;
  std::size_t operands = 0;  // of its own, before the command
  bool inert = true;
  bool assigns = false;  // NAME=VALUE before the command
};

const std::vector<Starter>& starters() {
  static const std::vector<Starter> all{
      {.name = "nohup", .options = {}},
      {.name = "setsid", .options = {.flags = "cfw", .long_flags = {"ctty", "fork", "wait"}}},
      {.name = "nice", .options = {.flags = "0123456789", .values = "n", .long_values = {"adjustment"}}},
      {.name = "ionice",
       .options =
           {.flags = "t", .values = "cn", .long_flags = {"ignore"}, .long_values = {"class", "classdata"}}},
      {.name = "timeout",
       .options = {.flags = "v",
                   .values = "ks",
                   .long_flags = {"foreground", "preserve-status", "verbose"},
                   .long_values = {"kill-after", "signal"}},
       .operands = 1},
      {.name = "stdbuf", .options = {.values = "ioe", .long_values = {"input", "output", "error"}}},
      {.name = "chrt", .options = {.flags = "abfior"}, .operands = 1},
      {.name = "taskset", .options = {.flags = "ac", .long_flags = {"all-tasks", "cpu-list"}}, .operands = 1},
      {.name = "time",
       .options = {.flags = "pv",
                   .values = "f",
                   .long_flags = {"portability", "verbose"},
                   .long_values = {"format"}}},
      {.name = "command", .options = {.flags = "p"}},
      {.name = "builtin", .options = {}},
      {.name = "exec", .options = {.flags = "cl", .values = "a"}},
      {.name = "noglob", .options = {}},
      {.name = "nocorrect", .options = {}},
      {.name = "-", .options = {}},
      {.name = "sudo",
       .options = {.flags = "AbEHnPS",
                   .values = "CDghpRrTtUu",
                   .long_flags = {"non-interactive", "preserve-env", "background", "set-home", "stdin"},
                   .long_values = {"user", "group", "host", "chdir", "prompt"}},
       .inert = false,
       .assigns = true},
      {.name = "doas", .options = {.flags = "nL", .values = "Cu"}, .inert = false},
      {.name = "fakeroot", .options = {}, .inert = false},
      {.name = "flock",
       .options = {.flags = "nsuxeo",
                   .values = "wE",
                   .long_flags = {"nonblock", "shared", "exclusive", "close"},
                   .long_values = {"timeout", "wait", "conflict-exit-code"}},
       .operands = 1,
       .inert = false},
      {.name = "strace", .options = {.flags = "fqvyC", .values = "es"}, .inert = false},
      {.name = "ltrace", .options = {.flags = "fSC", .values = "es"}, .inert = false},
      {.name = "unbuffer", .options = {.flags = "p"}},
      {.name = "chronic", .options = {}},
      {.name = "catchsegv", .options = {}},
      {.name = "proxychains", .options = {.flags = "q"}, .inert = false},
      {.name = "torsocks", .options = {}, .inert = false},
      {.name = "xvfb-run", .options = {.flags = "a", .long_flags = {"auto-servernum"}}, .inert = false},
      {.name = "dbus-run-session", .options = {}, .inert = false}};
  return all;
}

Words from(const Words& words, std::size_t first) {
  return {words.begin() + static_cast<std::ptrdiff_t>(std::min(first, words.size())), words.end()};
}

// As env reads it: any word with a `=`.
bool is_assignment(const Word& word) {
  const string_view text = word.known ? word.text : word.prefix;
  return text.find('=') != string_view::npos;
}

// Takes NAME=VALUE words at `at`; returns what follows them.
std::size_t take_exports(Look& look, const Words& words, std::size_t at) {
  for (; at < words.size() && is_assignment(words[at]); ++at) {
    const string_view text = words[at].known ? words[at].text : words[at].prefix;
    look.exports.emplace_back(text.substr(0, text.find('=')));
  }
  return at;
}

Look not_told(string_view name) {
  Look look;
  look.hides("how " + std::string(name) + " is called is not understood");
  return look;
}

Look start(const Starter& starter, const Words& words) {
  auto next = after_options(words, 1, starter.options);
  if (!next) return not_told(starter.name);
  Look look{.inert = starter.inert};
  if (!starter.inert) look.carries(std::string(starter.name) + " starts a command in its own way");
  if (starter.assigns) next = take_exports(look, words, *next);
  for (std::size_t i = 0; i < starter.operands; ++i, ++*next) {
    if (*next < words.size() && !words[*next].known) return not_told(starter.name);
  }
  auto command = from(words, *next);
  const bool of_text = starter.name == "flock" && !command.empty() && command[0].text == "-c";
  if (of_text) {
    if (command.size() != 2 || !command[1].known) return not_told(starter.name);
    look.scripts.emplace_back(command[1].text, Dialect::posix);
  } else if (!command.empty()) {
    look.starts.push_back(std::move(command));
  } else if (starter.name != "exec") {
    look.inert = false;
  }
  return look;
}

// The words of `env -S`, as far as they are plain.
std::optional<Words> split_string(const Word& word, string_view text) {
  if (!word.known || text.find_first_of("\\$'\"#\n\v\f\r") != string_view::npos) return std::nullopt;
  Words words;
  while (true) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == string_view::npos) return words;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back({std::string(text.substr(0, end))});
    text.remove_prefix(end);
  }
}

// Puts the words of -S in place of the option; nothing when there is none to be understood.
std::optional<Words> without_split_string(const Words& words) {
  Words plain{words.front()};
  for (std::size_t i = 1; i < words.size(); ++i) {
    const string_view text = words[i].text;
    const bool option = words[i].known && (text.starts_with("-") || is_assignment(words[i]));
    std::optional<Words> split;
    if (words[i].known && (text == "-S" || text == "--split-string")) {
      if (i + 1 >= words.size()) return std::nullopt;
      ++i;
      split = split_string(words[i], words[i].text);
    } else if (words[i].known && text.starts_with("-S")) {
      split = split_string(words[i], text.substr(2));
    } else if (words[i].known && text.starts_with("--split-string=")) {
      split = split_string(words[i], text.substr(15));
    } else {
      plain.push_back(words[i]);
      if (option) continue;
      plain.insert(plain.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      return plain;
    }
    if (!split) return std::nullopt;
    plain.insert(plain.end(), split->begin(), split->end());
  }
  return plain;
}

Look start_env(const Words& all) {
  const auto words = without_split_string(all);
  if (!words) return not_told("env");
  const auto next = after_options(*words, 1,
                                  {.flags = "i0v-",
                                   .values = "u",
                                   .long_flags = {"ignore-environment", "null", "debug"},
                                   .long_values = {"unset"}});
  if (!next) return not_told("env");
  Look look{.inert = true};
  auto command = from(*words, take_exports(look, *words, *next));
  if (command.empty())
    look.inert = false;
  else
    look.starts.push_back(std::move(command));
  return look;
}

void replace_mark(Words& command, string_view mark) {
  for (auto& word : command) {
    const auto at = word.text.find(mark);
    if (mark.empty() || at == std::string::npos) continue;
    word.prefix = word.known ? word.text.substr(0, at) : "";
    word.known = false;
  }
}

std::optional<std::string> replaced_by(const Words& words, std::size_t end) {
  for (std::size_t i = 1; i < end; ++i) {
    const string_view text = words[i].text;
    if (text == "-I" && i + 1 < end) return words[i + 1].text;
    if (text == "-i" || text == "--replace") return "{}";
    if (text.starts_with("-I") || text.starts_with("-i")) return std::string(text.substr(2));
    if (text.starts_with("--replace=")) return std::string(text.substr(10));
  }
  return std::nullopt;
}

Look start_xargs(const Words& words) {
  Words plain = words;
  for (auto& word : plain) {
    if (word.known && (word.text == "-i" || word.text == "--replace")) word.text = "-I{}";
    if (word.known && word.text.starts_with("-i") && word.text.size() > 2) word.text[1] = 'I';
  }
  const auto next =
      after_options(plain, 1,
                    {.flags = "0rtpxo",
                     .values = "adEILnPs",
                     .long_flags = {"null", "no-run-if-empty", "verbose", "exit", "interactive"},
                     .long_values = {"arg-file", "delimiter", "eof", "max-args", "max-procs", "max-lines",
                                     "max-chars", "replace"}});
  if (!next) return not_told("xargs");
  Look look{.inert = true};
  auto command = from(plain, *next);
  if (command.empty()) command.push_back({"echo"});
  const auto mark = replaced_by(plain, *next);
  if (mark)
    replace_mark(command, *mark);
  else
    command.push_back({"...", false});
  look.starts.push_back(std::move(command));
  return look;
}

Look start_find(const Words& words) {
  constexpr std::array<string_view, 4> actions{"-exec", "-execdir", "-ok", "-okdir"};
  Look look;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!words[i].known || std::find(actions.begin(), actions.end(), words[i].text) == actions.end())
      continue;
    Words command;
    for (++i; i < words.size() && words[i].text != ";" && words[i].text != "+"; ++i)
      command.push_back(words[i]);
    replace_mark(command, "{}");
    if (command.empty()) return not_told("find");
    look.starts.push_back(std::move(command));
  }
  return look;
}

Look start_watch(const Words& words) {
  const auto next = after_options(words, 1, {.flags = "bcdegtwx", .values = "nq"});
  Look look{.inert = true};
  std::string script;
  for (auto at = next.value_or(words.size()); at < words.size(); ++at) {
    if (!words[at].known) return not_told("watch");
    script.append(script.empty() ? "" : " ").append(words[at].text);
  }
  if (!next || script.empty()) return not_told("watch");
  look.scripts.emplace_back(std::move(script), Dialect::posix);
  return look;
}

}  // namespace

std::optional<Look> look_at_starter(string_view name, const Words& words) {
  if (name == "env") return start_env(words);
  if (name == "xargs") return start_xargs(words);
  if (name == "find") return start_find(words);
  if (name == "watch") return start_watch(words);
  if (name == "busybox" || name == "toybox") {
    Look look{.inert = words.size() > 1};
    if (words.size() > 1) look.starts.push_back(from(words, 1));
    return look;
  }
  if (name == "command" && words.size() > 1 && (words[1].text == "-v" || words[1].text == "-V"))
    return Look{.inert = true};
  for (const auto& starter : starters()) {
    if (starter.name == name) return start(starter, words);
  }
  return std::nullopt;
}

}  // namespace agentrouter::policy
