#include "sim/script.h"

#include <charconv>
#include <iterator>
#include <utility>

#include "base/json.h"

namespace agentrouter::sim {

namespace {

using std::string_view;
constexpr string_view blanks = " \t\r";

string_view trimmed(string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Cuts the first word and the one blank after it off `rest`: what follows may be indented on purpose.
string_view cut_word(string_view& rest) {
  rest = trimmed(rest);
  const auto end = rest.find_first_of(blanks);
  const auto word = rest.substr(0, end);
  rest = end == string_view::npos ? string_view{} : rest.substr(end + 1);
  return word;
}

template <class Number>
std::optional<Number> number(string_view text) {
  Number value{};
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

std::string unescape(string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next != 'n' && next != 't' && next != '\\') {
      out += text[i];
      continue;
    }
    out += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
    ++i;
  }
  return out;
}

// JSON has the same three escapes, so its text stays as it is.
bool is_json(string_view text) {
  return base::parse_json(text).has_value();
}

std::string count_in(string_view text, std::size_t i) {
  std::string out;
  for (std::size_t at = 0;;) {
    const auto found = text.find("{i}", at);
    out += text.substr(at, found - at);
    if (found == string_view::npos) return out;
    out += std::to_string(i);
    at = found + 3;
  }
}

std::optional<ToolCall> parse_edit(string_view path, string_view rest) {
  constexpr string_view arrow = " =>";
  const auto at = rest.find(arrow);
  if (at == string_view::npos || at == 0) return std::nullopt;
  auto after = rest.substr(at + arrow.size());
  if (!after.empty() && after.front() != ' ') return std::nullopt;
  if (!after.empty()) after.remove_prefix(1);
  return EditFile{unescape(path), unescape(rest.substr(0, at)), unescape(after)};
}

std::optional<ToolCall> parse_call(string_view verb, string_view rest) {
  if (verb == "sh" && !rest.empty()) return Shell{unescape(trimmed(rest))};
  if (verb == "read" && !rest.empty()) return ReadFile{unescape(trimmed(rest))};
  if (verb != "write" && verb != "edit" && verb != "mcp" && verb != "call") return std::nullopt;

  const auto first = cut_word(rest);
  if (first.empty()) return std::nullopt;
  if (verb == "write") return WriteFile{unescape(first), unescape(rest)};
  if (verb == "edit") return parse_edit(first, rest);
  const auto tool = verb == "mcp" ? cut_word(rest) : first;
  const auto arguments = trimmed(rest).empty() ? string_view("{}") : trimmed(rest);
  if (tool.empty() || !is_json(arguments)) return std::nullopt;
  if (verb == "mcp") return McpTool{std::string(first), std::string(tool), std::string(arguments)};
  return NamedTool{std::string(tool), std::string(arguments)};
}

std::optional<Disturbance> parse_error(string_view rest) {
  Disturbance error;
  const auto status = number<int>(cut_word(rest));
  if (!status || *status < 400 || *status > 599) return std::nullopt;
  error.status = *status;
  for (auto word = cut_word(rest); !word.empty(); word = cut_word(rest)) {
    if (word == "always") {
      error.repeats = Disturbance::Repeats::always;
    } else if (word.starts_with("retry-after=")) {
      error.retry_after = number<int>(word.substr(word.find('=') + 1));
      if (!error.retry_after || *error.retry_after < 0) return std::nullopt;
    } else if (error.code.empty()) {
      error.code = word;
    } else {
      return std::nullopt;
    }
  }
  return error;
}

std::optional<Disturbance> parse_disturbance(string_view verb, string_view rest) {
  if (verb == "error") return parse_error(rest);
  if (verb != "drop" && verb != "fail") return std::nullopt;
  Disturbance disturbance;
  disturbance.kind = verb == "drop" ? Disturbance::Kind::drop : Disturbance::Kind::fail;
  if (verb == "fail") disturbance.code = cut_word(rest);
  if (verb == "fail" && disturbance.code.empty()) return std::nullopt;
  rest = trimmed(rest);
  if (rest == "always") disturbance.repeats = Disturbance::Repeats::always;
  if (!rest.empty() && rest != "always") return std::nullopt;
  return disturbance;
}

std::optional<Usage> parse_usage(Usage usage, string_view rest) {
  if (rest == "none") return Usage{.kind = Usage::Kind::none};
  if (rest == "late") {
    usage.arrival = Usage::Arrival::late;
    if (usage.kind == Usage::Kind::none) usage.kind = Usage::Kind::measured;
    return usage;
  }
  const auto input = number<std::size_t>(cut_word(rest));
  const auto output = number<std::size_t>(cut_word(rest));
  constexpr std::size_t most = 1'000'000'000'000;
  if (!input || !output || !trimmed(rest).empty() || *input > most || *output > most) return std::nullopt;
  usage.kind = Usage::Kind::fixed;
  usage.input = *input;
  usage.output = *output;
  return usage;
}

std::optional<Judge> parse_judge(string_view rest) {
  if (rest == "allow") return Judge::allow;
  if (rest == "deny") return Judge::deny;
  if (rest == "garbage") return Judge::garbage;
  return std::nullopt;
}

std::optional<FinalMessage> parse_final(string_view verb, string_view rest) {
  if (rest.empty()) return std::nullopt;
  if (verb == "reply") return Text{unescape(rest)};
  if (verb == "recall") return Recall{unescape(rest)};
  const auto bytes = number<std::size_t>(rest);
  if (verb != "big" || !bytes || *bytes == 0 || *bytes > ScriptLimits::max_big) return std::nullopt;
  return Big{*bytes};
}

std::optional<std::chrono::milliseconds> parse_seconds(string_view text) {
  double seconds = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, seconds);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  if (!(seconds >= 0 && seconds <= ScriptLimits::max_sleep_seconds)) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

// Takes one line after the other and keeps what waits for the response that follows.
class Builder {
 public:
  [[nodiscard]] bool is_finished() const {
    return !script_.responses.empty() && script_.responses.back().final_message;
  }

  // False when the line is not understood.
  bool add(string_view line) {
    auto rest = line;
    const auto verb = cut_word(rest);
    if (verb == "repeat") return repeat(rest);
    if (++steps_ > ScriptLimits::max_steps) return false;
    if (is_finished()) return is_known(verb);
    if (verb == "with") return add_to_last(rest);
    if (auto call = parse_call(verb, rest)) {
      next_.calls.push_back(std::move(*call));
      close();
      return true;
    }
    rest = trimmed(rest);
    if (auto message = parse_final(verb, rest)) {
      next_.final_message = std::move(message);
      close();
      return true;
    }
    return attach(verb, rest);
  }

  Script finish() {
    if (!is_finished()) {
      next_.final_message = Text{"Done."};
      close();
    }
    return std::move(script_);
  }

 private:
  static bool is_known(string_view verb) {
    for (const auto known : {"sh", "write", "edit", "read", "mcp", "call", "with", "say", "think", "sleep",
                             "error", "fail", "drop", "usage", "recall", "judge", "big", "reply"}) {
      if (verb == known) return true;
    }
    return false;
  }

  bool repeat(string_view rest) {
    const auto times = number<std::size_t>(cut_word(rest));
    auto inner = rest;
    if (!times || *times > ScriptLimits::max_steps || cut_word(inner) == "repeat") return false;
    for (std::size_t i = 1; i <= *times; ++i) {
      if (!add(count_in(rest, i))) return false;
    }
    return *times > 0 || is_known(cut_word(rest));
  }

  bool add_to_last(string_view rest) {
    const auto verb = cut_word(rest);
    auto call = parse_call(verb, rest);
    if (!call || script_.responses.empty()) return false;
    script_.responses.back().calls.push_back(std::move(*call));
    return true;
  }

  bool attach(string_view verb, string_view rest) {
    if ((verb == "say" || verb == "think") && !rest.empty()) {
      const auto kind = verb == "say" ? Utterance::Kind::say : Utterance::Kind::think;
      next_.utterances.push_back({kind, unescape(rest)});
      return true;
    }
    if (verb == "sleep") {
      const auto pause = parse_seconds(rest);
      if (pause) next_.sleep += *pause;
      return pause.has_value();
    }
    if (verb == "usage") {
      const auto usage = parse_usage(next_.usage, rest);
      if (usage) next_.usage = *usage;
      return usage.has_value();
    }
    if (verb == "judge") {
      const auto judge = parse_judge(rest);
      if (judge) next_.judge = *judge;
      return judge.has_value();
    }
    auto disturbance = parse_disturbance(verb, rest);
    if (!disturbance) return false;
    disturbance->sleep = std::exchange(next_.sleep, {});
    disturbance->id = steps_;
    next_.disturbances.push_back(std::move(*disturbance));
    return true;
  }

  // Token counts and the reviewer's mood stay; everything else was for this response only.
  void close() {
    Response after{.usage = next_.usage, .judge = next_.judge};
    script_.responses.push_back(std::exchange(next_, std::move(after)));
  }

  Script script_;
  Response next_;
  std::size_t steps_ = 0;
};

}  // namespace

string_view verb_of(const ToolCall& call) {
  constexpr string_view verbs[] = {"sh", "write", "edit", "read", "mcp", "call"};
  static_assert(std::size(verbs) == std::variant_size_v<ToolCall>);
  return verbs[call.index()];
}

const Response& Script::due(std::size_t results) const {
  std::size_t used = 0;
  for (const auto& response : responses) {
    if (used >= results || response.final_message) return response;
    used += response.calls.size();
  }
  return responses.back();
}

Script say_only(std::string text) {
  Script script;
  script.responses.push_back(Response{.final_message = Text{std::move(text)}});
  return script;
}

std::optional<Script> parse_script(string_view task) {
  constexpr string_view mark = "sim:";
  Builder builder;
  bool found = false;
  std::size_t number_of_line = 0;
  while (!task.empty()) {
    const auto end = task.find('\n');
    const auto line = task.substr(0, end);
    task = end == string_view::npos ? string_view{} : task.substr(end + 1);
    ++number_of_line;
    if (!line.starts_with(mark)) continue;
    found = true;
    if (builder.add(trimmed(line.substr(mark.size())))) continue;
    return say_only("Line " + std::to_string(number_of_line) +
                    " of the script is not understood: " + std::string(trimmed(line)));
  }
  if (!found) return std::nullopt;
  return builder.finish();
}

}  // namespace agentrouter::sim
