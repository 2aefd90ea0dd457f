#include "apps/flags.h"

#include <charconv>

namespace agentrouter::apps {

std::optional<std::string> Flags::value(const std::string& name) const {
  const auto found = values.find(name);
  if (found == values.end()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Flags::all(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

base::Result<Flags> parse_flags(const std::vector<std::string>& arguments, const FlagSpec& spec) {
  Flags flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& word = arguments[i];
    if (!word.starts_with("--")) {
      flags.rest.push_back(word);
      continue;
    }
    const auto equals = word.find('=');
    const auto name = word.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
    if (spec.switches.contains(name) && equals == std::string::npos) {
      flags.switches.insert(name);
    } else if (!spec.values.contains(name)) {
      return base::fail(base::Code::invalid, "unknown flag " + word + ": see --help", "usage");
    } else if (equals != std::string::npos) {
      flags.values[name].push_back(word.substr(equals + 1));
    } else if (i + 1 < arguments.size()) {
      flags.values[name].push_back(arguments[++i]);
    } else {
      return base::fail(base::Code::invalid, "flag --" + name + " needs a value", "usage");
    }
  }
  return flags;
}

base::Result<long long> parse_number(const std::string& text, const std::string& what, long long least,
                                     long long most) {
  long long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) {
    return base::fail(base::Code::invalid,
                      what + " is \"" + text + "\": want a whole number from " + std::to_string(least) +
                          " to " + std::to_string(most),
                      "usage");
  }
  return number;
}

}  // namespace agentrouter::apps
