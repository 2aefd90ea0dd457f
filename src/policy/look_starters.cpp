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

// What stands for the input in the words of the command.
std::vector<std::string> marks_of(const Options& options) {
  std::vector<std::string> marks;
  for (const auto& option : options.given) {
    if (option.name == "I" || option.name == "i" || option.name == "replace")
      marks.push_back(option.value ? option.value->text : "{}");
  }
  return marks;
}

Look start_xargs(const Words& words) {
  constexpr std::array<string_view, 5> counts{"n", "L", "l", "max-args", "max-lines"};
  const auto options =
      read_options(words, 1,
                   {.flags = "0rtpxo",
                    .values = "adEILnPs",
                    .glued = "eil",
                    .long_flags = {"null", "no-run-if-empty", "verbose", "exit", "interactive"},
                    .long_values = {"arg-file", "delimiter", "max-args", "max-procs", "max-chars"},
                    .long_glued = {"eof", "max-lines", "replace"}});
  if (!options) return not_told("xargs");
  const auto marks = marks_of(*options);
  const bool known = std::all_of(options->given.begin(), options->given.end(),
                                 [](const auto& option) { return !option.value || option.value->known; });
  if (!marks.empty() && !known) return not_told("xargs");
  Look look{.inert = true};
  auto command = from(words, options->next);
  if (command.empty()) command.push_back({"echo"});
  for (const auto& mark : marks) replace_mark(command, mark);
  // Of options that exclude each other the last counts; whichever it is, this is what may be started.
  const bool counted = std::any_of(options->given.begin(), options->given.end(), [&](const auto& option) {
    return std::find(counts.begin(), counts.end(), option.name) != counts.end();
  });
  if (marks.size() != 1 || marks.front().empty() || counted) command.push_back({"...", false, "", true});
  look.starts.push_back(std::move(command));
  return look;
}

constexpr std::array<string_view, 4> find_actions{"-exec", "-execdir", "-ok", "-okdir"};

bool is_action(const Word& word) {
  return word.known && std::find(find_actions.begin(), find_actions.end(), word.text) != find_actions.end();
}

// Where the command ends that an action of find begins at `at`; the end of `words` when it does not.
std::size_t end_of_action(const Words& words, std::size_t at) {
  const bool gathers = words[at].text == "-exec" || words[at].text == "-execdir";
  for (auto end = at + 1; end < words.size(); ++end) {
    if (words[end].text == ";") return end;
    if (gathers && words[end].text == "+" && words[end - 1].known && words[end - 1].text == "{}") return end;
  }
  return words.size();
}

// An unknown word among those of find itself may be an action; what ends one stands at `last_end` at the
// latest.
bool may_be_action(const Words& words, std::size_t at, std::size_t last_end) {
  if (!may_be_option(words[at])) return false;
  return words[at].many || (at + 1 < last_end && !words[at + 1].text.starts_with('-'));
}

Look start_find(const Words& words) {
  Look look;
  auto last_end = words.size() - 1;
  while (last_end > 0 && words[last_end].text != ";" && words[last_end].text != "+") --last_end;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (may_be_action(words, i, last_end)) look.hides("what find does is only known when it runs");
    if (!is_action(words[i])) continue;
    const auto end = end_of_action(words, i);
    Words command(words.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  words.begin() + static_cast<std::ptrdiff_t>(end));
    const bool nests = std::any_of(command.begin(), command.end(), [](const auto& word) {
      return is_action(word) || (word.many && may_be_option(word));
    });
    if (command.empty() || end == words.size() || nests) look.hides("how find is called is not understood");
    replace_mark(command, "{}");
    if (!command.empty()) look.starts.push_back(std::move(command));
    i = end;
  }
  return look;
}

Look start_watch(const Words& words) {
  const auto options = read_options(words, 1, {.flags = "bcdegtwx", .values = "nq"});
  if (!options || options->next >= words.size()) return not_told("watch");
  Look look{.inert = true};
  const bool itself = std::any_of(options->given.begin(), options->given.end(),
                                  [](const auto& option) { return option.name == "x"; });
  if (itself) {
    look.starts.push_back(from(words, options->next));
    return look;
  }
  std::string script;
  for (auto at = options->next; at < words.size(); ++at) {
    if (!words[at].known) return not_told("watch");
    script.append(script.empty() ? "" : " ").append(words[at].text);
  }
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
