#include <algorithm>

#include "policy/glob.h"
#include "policy/rule.h"

namespace agentrouter::policy {

namespace {

using std::string_view;
using Words = std::vector<Word>;

constexpr std::size_t max_argument_path = 4'096;

// What allows has to be certain of what it allows; what asks or refuses looks through options and folders.
enum class Reading { strict, wide };

bool any_text(const Patterns& patterns, string_view text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const auto& pattern) { return matches_text(pattern, text); });
}

Match given_text(const Patterns& patterns, string_view text) {
  return patterns.empty() || any_text(patterns, text) ? Match::yes : Match::no;
}

bool any_path(const Patterns& patterns, const std::string& path) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
    if (!pattern.starts_with('/')) return !path.starts_with('/') && matches_path(pattern, path);
    return matches_path(pattern, normal_absolute(path));
  });
}

Match word_match(const std::string& pattern, const Word& word) {
  if (word.known) return matches_text(pattern, word.text) ? Match::yes : Match::no;
  return could_match_text(pattern, word.prefix) ? Match::maybe : Match::no;
}

bool in_system_folder(string_view program) {
  constexpr string_view folders[] = {"/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/", "/usr/sbin/"};
  return std::any_of(std::begin(folders), std::end(folders), [&](auto folder) {
    return program.starts_with(folder) && program.find('/', folder.size()) == string_view::npos;
  });
}

Match program_match(const std::string& pattern, const Word& program, Reading reading) {
  if (!program.known) return Match::maybe;
  const string_view text = program.text;
  if (matches_text(pattern, text) &&
      (pattern.find('/') != string_view::npos) == (text.find('/') != string_view::npos))
    return Match::yes;
  const auto name = text.substr(text.rfind('/') == string_view::npos ? 0 : text.rfind('/') + 1);
  const bool counts = reading == Reading::wide || in_system_folder(text);
  return counts && matches_text(pattern, name) ? Match::yes : Match::no;
}

Match strict_arguments(const Patterns& pattern, const Words& words) {
  auto result = Match::yes;
  for (std::size_t i = 1; i < pattern.size(); ++i) {
    if (i >= words.size()) return Match::no;
    if (!words[i].known) return Match::maybe;
    result = std::min(result, word_match(pattern[i], words[i]));
    if (result == Match::no) return result;
  }
  return result;
}

bool is_option(const Word& word) {
  return word.known && word.text.size() > 1 && word.text.front() == '-';
}

// From where something is reached, everything after it may be.
void spread(std::vector<Match>& reached) {
  const auto first = std::find_if(reached.begin(), reached.end(), [](auto at) { return at != Match::no; });
  for (auto at = first; at != reached.end(); ++at) *at = std::max(*at, Match::maybe);
}

// The words of the pattern in their order, with options and one value behind each between them. An unknown
// word may be any words, an option or none.
Match wide_arguments(const Patterns& pattern, const Words& words) {
  const auto wanted = pattern.size() - 1;
  std::vector<Match> reached(wanted + 1, Match::no);
  reached[0] = Match::yes;
  auto after_option = Match::no;
  for (std::size_t i = 1; i < words.size() && reached[wanted] != Match::yes; ++i) {
    const auto& word = words[i];
    const auto option = is_option(word) ? Match::yes : word.known ? Match::no : Match::maybe;
    const auto skips = std::max(option, after_option);
    const auto before = reached;
    for (std::size_t at = 0; at < wanted; ++at) {
      reached[at] = std::min(reached[at], skips);
      if (at > 0)
        reached[at] = std::max(reached[at], std::min(before[at - 1], word_match(pattern[at], word)));
    }
    if (wanted > 0) {
      reached[wanted] =
          std::max(reached[wanted], std::min(before[wanted - 1], word_match(pattern[wanted], word)));
    }
    if (!word.known && word.prefix.empty()) spread(reached);
    after_option = option;
  }
  return reached[wanted];
}

Match command_match(const std::vector<Patterns>& patterns, const Words& words, Reading reading) {
  auto result = Match::no;
  for (const auto& pattern : patterns) {
    const auto program = program_match(pattern.front(), words.front(), reading);
    if (program == Match::no) continue;
    const auto rest = program == Match::maybe    ? Match::maybe
                      : reading == Reading::wide ? wide_arguments(pattern, words)
                                                 : strict_arguments(pattern, words);
    result = std::max(result, std::min(program, rest));
  }
  return result;
}

Match some_argument(const Patterns& patterns, const Words& words) {
  auto result = Match::no;
  for (std::size_t i = 1; i < words.size(); ++i) {
    for (const auto& pattern : patterns) result = std::max(result, word_match(pattern, words[i]));
  }
  return result;
}

// Every argument that begins with `-` is one of `patterns`.
Match only_options(const Patterns& patterns, const Words& words) {
  auto result = Match::yes;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word.known ? !is_option(word) : !could_match_text("-*", word.prefix)) continue;
    result = std::min(result, word.known && any_text(patterns, word.text) ? Match::yes
                              : word.known                                ? Match::no
                                                                          : Match::maybe);
  }
  return result;
}

Match opposite(Match match) {
  return match == Match::yes ? Match::no : match == Match::no ? Match::yes : Match::maybe;
}

// A file that an argument names: all of the word, or what follows its `=`.
Match argument_paths(const Patterns& patterns, const Part& part) {
  for (std::size_t i = 1; i < part.command->words.size(); ++i) {
    const auto& word = part.command->words[i];
    if (!word.known || word.text.size() > max_argument_path) continue;
    const auto equals = word.text.find('=');
    if (any_path(patterns, normal_path(word.text, part.cwd))) return Match::yes;
    if (equals != std::string::npos &&
        any_path(patterns, normal_path(word.text.substr(equals + 1), part.cwd)))
      return Match::yes;
  }
  return Match::no;
}

Match command_part(const Rule& rule, const Part& part, Reading reading) {
  const auto& words = part.command->words;
  auto result = Match::yes;
  if (!rule.command.empty()) result = std::min(result, command_match(rule.command, words, reading));
  if (!rule.with.empty()) result = std::min(result, some_argument(rule.with, words));
  if (!rule.without.empty()) result = std::min(result, opposite(some_argument(rule.without, words)));
  if (!rule.options.empty()) result = std::min(result, only_options(rule.options, words));
  if (!rule.path.empty()) {
    const auto named = reading == Reading::wide ? argument_paths(rule.path, part) : Match::no;
    result = std::min(result, named);
  }
  return rule.change.empty() ? result : Match::no;
}

Match file_part(const Rule& rule, const Part& part) {
  if (rule.about_commands()) return Match::no;
  if (!rule.change.empty() && !any_text(rule.change, part.change))
    return part.redirected ? Match::maybe : Match::no;
  if (rule.path.empty()) return Match::yes;
  if (!part.path || !part.path->known) return Match::maybe;
  return any_path(rule.path, part.path->text) ? Match::yes : Match::no;
}

Match part_match(const Rule& rule, const Part& part, Reading reading) {
  switch (part.kind) {
    case PartKind::command:
      return command_part(rule, part, reading);
    case PartKind::write:
    case PartKind::read:
      return file_part(rule, part);
    case PartKind::other:
      break;
  }
  const bool about_files = !rule.path.empty() || !rule.change.empty();
  if (!rule.about_commands() && !about_files) return Match::yes;
  return part.sight == Sight::opaque ? Match::maybe : Match::no;
}

// A redirection is a thing of the shell, and what it does to a file is an edit or a reading.
bool tool_matches(const Rule& rule, const Action& action, const Part& part) {
  if (rule.tool.empty() || any_text(rule.tool, action.facts.tool)) return true;
  if (!part.redirected) return false;
  return any_text(rule.tool, part.kind == PartKind::write ? "edit" : "read");
}

Match size_match(std::optional<std::int64_t> most, std::optional<std::int64_t> over,
                 std::optional<std::int64_t> size) {
  if (!most && !over) return Match::yes;
  if (!size) return Match::maybe;
  return (!most || *size <= *most) && (!over || *size > *over) ? Match::yes : Match::no;
}

Match sizes_match(const Rule& rule, const Action& action) {
  const auto of = [&](std::int64_t Sizes::* member) {
    return action.sizes ? std::optional((*action.sizes).*member) : std::nullopt;
  };
  return std::min({size_match(rule.max_lines, rule.over_lines, of(&Sizes::lines)),
                   size_match(rule.max_bytes, rule.over_bytes, of(&Sizes::bytes)),
                   size_match(rule.max_files, rule.over_files, of(&Sizes::files))});
}

Match tags_match(const Rule& rule, const ActionFacts& facts) {
  for (const auto& [name, values] : rule.tag) {
    const auto found = facts.tags.find(name);
    if (found == facts.tags.end() || !any_text(values, found->second)) return Match::no;
  }
  return Match::yes;
}

Match time_match(const Rule& rule, std::optional<int> week_minute) {
  constexpr int day = 24 * 60;
  if (rule.days.empty() && !rule.hours) return Match::yes;
  if (!week_minute || *week_minute < 0 || *week_minute >= 7 * day) return Match::maybe;
  const int today = *week_minute / day;
  if (!rule.days.empty() && std::find(rule.days.begin(), rule.days.end(), today) == rule.days.end())
    return Match::no;
  if (!rule.hours) return Match::yes;
  const int now = *week_minute % day;
  const auto [from, to] = *rule.hours;
  const bool within = from <= to ? now >= from && now < to : now >= from || now < to;
  return within ? Match::yes : Match::no;
}

// A host is known or the action has none.
Match network_match(const Rule& rule, const Action& action) {
  const auto one = [](const Patterns& patterns, const std::string& text, bool fits) {
    if (patterns.empty()) return Match::yes;
    if (text.empty()) return Match::no;
    return fits ? Match::yes : Match::no;
  };
  // What a server might read as another path.
  const bool odd = action.url_path.find_first_of("%\\;") != std::string::npos ||
                   action.url_path.find("..") != std::string::npos ||
                   action.url_path.find("//") != std::string::npos ||
                   action.url_path.size() > max_argument_path;
  if (!rule.url_path.empty() && odd) return Match::maybe;
  return std::min({one(rule.host, action.host, any_text(rule.host, action.host)),
                   one(rule.method, action.method, any_text(rule.method, action.method)),
                   one(rule.url_path, action.url_path,
                       std::any_of(rule.url_path.begin(), rule.url_path.end(), [&](const auto& pattern) {
                         return matches_path(pattern, action.url_path);
                       }))});
}

}  // namespace

Match match(const Rule& rule, const Action& action, const Part& part) {
  const auto& facts = action.facts;
  if (!tool_matches(rule, action, part)) return Match::no;
  const auto reading = rule.verdict == Decision::allowed ? Reading::strict : Reading::wide;
  auto result =
      std::min({given_text(rule.runtime, facts.runtime), given_text(rule.mode, facts.mode),
                given_text(rule.mcp, action.mcp), network_match(rule, action), tags_match(rule, facts),
                time_match(rule, facts.week_minute), sizes_match(rule, action)});
  if (result == Match::no) return result;
  return std::min(result, part_match(rule, part, reading));
}

}  // namespace agentrouter::policy
