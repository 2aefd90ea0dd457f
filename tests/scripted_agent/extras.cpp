#include "scripted_agent/extras.h"

#include <charconv>
#include <utility>

#include "base/json.h"

namespace agentrouter::scripted_agent {

namespace {

using std::string_view;
constexpr string_view mark = "sim:";
constexpr string_view prefix = "scripted_agent.";

// Cuts the first word and the blank after it off `rest`.
string_view take_word(string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
  const auto word = rest.substr(0, rest.find_first_of(" \t\r"));
  rest.remove_prefix(std::min(word.size() + 1, rest.size()));
  return word;
}

// "repeat 3 flood 10" -> "repeat 3 call scripted_agent.flood "10""
std::string translate(string_view line) {
  auto rest = line.substr(mark.size());
  std::string head(mark);
  for (;;) {
    const auto verb = take_word(rest);
    if (verb == "with") {
      head += " with";
    } else if (verb == "repeat") {
      head += " repeat " + std::string(take_word(rest));
    } else if (verb == "garbage" || verb == "flood" || verb == "crowd" || verb == "exit" || verb == "hang") {
      return head + " call " + std::string(prefix) + std::string(verb) + " " +
             base::to_text(json::value(json::string(rest)));
    } else {
      return std::string(line);
    }
  }
}

template <class Number>
Number number(string_view text, Number otherwise) {
  Number value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? value : otherwise;
}

}  // namespace

std::string with_extras(string_view task) {
  std::string out;
  while (!task.empty()) {
    const auto line = task.substr(0, task.find('\n'));
    task.remove_prefix(std::min(line.size() + 1, task.size()));
    out += line.starts_with(mark) ? translate(line) : std::string(line);
    out += '\n';
  }
  return out;
}

std::optional<Extra> extra_of(const sim::NamedTool& call) {
  if (!call.tool.starts_with(prefix)) return std::nullopt;
  const auto name = string_view(call.tool).substr(prefix.size());
  const auto value = base::parse_json(call.arguments);
  const std::string argument = value && value->is_string() ? std::string(value->get_string()) : std::string();
  string_view rest = argument;
  const auto first = take_word(rest);
  if (name == "garbage") return Garbage{};
  if (name == "hang") return Hang{};
  if (name == "exit") return Exit{number(first, 0)};
  if (name == "crowd") return Crowd{number<std::size_t>(first, 0), std::string(rest)};
  const auto shape = take_word(rest);
  Flood flood{number<std::size_t>(first, 0)};
  if (shape == "line") flood.shape = Flood::Shape::line;
  if (shape == "stderr") flood.shape = Flood::Shape::diagnostics;
  return flood;
}

}  // namespace agentrouter::scripted_agent
