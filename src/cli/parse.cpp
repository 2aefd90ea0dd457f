#include "cli/parse.h"

#include <algorithm>
#include <memory>

#include "cli/definitions.h"

namespace agentrouter::cli {
namespace {

constexpr std::string_view exit_codes =
    "Exit codes: 0 completed, 1 failed, 2 usage, 3 cancelled, 4 denied. Ctrl-C cancels the run; a second one "
    "leaves\n"
    "it to the server. Continue: agentrouter run --continue run_1f0c... \"Now add tests\"\n";

std::unique_ptr<Definition> defined(const Entry& entry, Command& command) {
  auto d = std::make_unique<Definition>(command);
  d->app.name("agentrouter " + std::string(entry.name));
  d->app.description(std::string(entry.summary));
  entry.define(*d);
  auto footer = "\nExample:\n  " + std::string(entry.example) + "\n";
  if (entry.name == "run") footer += "\n" + std::string(exit_codes);
  d->app.footer(footer);
  return d;
}

Parsed stopped(int exit_code, std::string text) {
  return {.stop = true, .exit_code = exit_code, .text = std::move(text)};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

Parsed parse(std::span<const std::string> arguments) {
  const auto* entry = std::ranges::find(entries, arguments.front(), &Entry::name);
  const auto name = "agentrouter " + arguments.front();
  if (entry == entries.end()) return stopped(2, name + ": no such command\n");
  Parsed parsed;
  parsed.command.name = arguments.front();
  const auto d = defined(*entry, parsed.command);
  try {
    std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    std::ranges::reverse(rest);
    d->app.parse(std::move(rest));
  } catch (const CLI::CallForHelp&) {
    return stopped(0, d->app.help());
  } catch (const CLI::ParseError& error) {
    return stopped(2, name + ": " + error.what() + "\nTry: " + name + " --help\n");
  }
  parsed.command.task = joined(d->task);
  return parsed;
}

std::vector<CommandInfo> describe_commands() {
  std::vector<CommandInfo> infos;
  for (const auto& entry : entries) {
    Command ignored;
    const auto d = defined(entry, ignored);
    CommandInfo info{std::string(entry.name), std::string(entry.summary), std::string(entry.example), {}};
    for (const auto* option : d->app.get_options()) {
      if (option->get_positional()) continue;
      FlagInfo flag{.summary = option->get_description(), .takes_value = option->get_expected_max() > 0};
      for (const auto& long_name : option->get_lnames()) flag.names.push_back("--" + long_name);
      for (const auto& short_name : option->get_snames()) flag.names.push_back("-" + short_name);
      if (const auto at = d->choices.find(flag.names.front()); at != d->choices.end())
        flag.choices = at->second;
      info.flags.push_back(std::move(flag));
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace agentrouter::cli
