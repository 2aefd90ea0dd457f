#include "cli/cli.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <optional>
#include <vector>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/connect.h"
#include "cli/interrupt.h"
#include "cli/parse.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

using base::version;

constexpr std::array<ServerCommand, 10> served = {{
    {"serve", "Run the server"},
    {"backup", "Copy the server's data, while it serves or not"},
    {"restore", "Make a data folder from a backup"},
    {"fsck", "Read all of the server's data and say what is damaged"},
    {"migrate", "Move the server's history from SQLite to PostgreSQL"},
    {"upload-blobs", "Put artifacts from the data folder into the configured S3 store"},
    {"agents", "Install and list the agents' own programs"},
    {"policy", "Check, test and explain policies, or draft one from a run"},
    {"doctor", "Say what this machine can and cannot do, and how to fix it"},
    {"sim", "Serve the simulated model provider by itself"},
}};

using Action = int (*)(const Command&, Context&);

Action action_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Action>, 25> actions = {{{"run", run_task},
                                                                            {"runs", list_runs},
                                                                            {"show", show_run},
                                                                            {"events", print_events},
                                                                            {"approvals", list_approvals},
                                                                            {"budgets", list_budgets},
                                                                            {"approve", decide_action},
                                                                            {"deny", decide_action},
                                                                            {"cancel", cancel_run},
                                                                            {"turns", list_turns},
                                                                            {"close", close_run},
                                                                            {"delete", delete_run},
                                                                            {"artifacts", list_artifacts},
                                                                            {"download", download_artifacts},
                                                                            {"files", show_files},
                                                                            {"archive", archive_files},
                                                                            {"logs", show_log},
                                                                            {"push", push_changes},
                                                                            {"audit", audit},
                                                                            {"webhooks", webhooks},
                                                                            {"keys", keys},
                                                                            {"workspaces", workspaces},
                                                                            {"provider-keys", provider_keys},
                                                                            {"vault", vault},
                                                                            {"nodes", nodes}}};
  return std::ranges::find(actions, name, &std::pair<std::string_view, Action>::first)->second;
}

Output standard_output(const Environment& environment) {
  Output output{.out = std::cout, .err = std::cerr};
  output.out_terminal = ::isatty(STDOUT_FILENO) == 1;
  output.err_terminal = ::isatty(STDERR_FILENO) == 1 && environment.colour;
  output.colour = output.err_terminal;
  output.utf8 = environment.utf8;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) output.columns = size.ws_col;
  return output;
}

// A terminal is readable once a whole line, or its end, is there.
bool line_on_standard_input() {
  pollfd terminal{STDIN_FILENO, POLLIN, 0};
  return ::poll(&terminal, 1, 0) > 0;
}

int report(std::ostream& err, std::string_view message, int code) {
  err << "agentrouter: " << printable(message) << std::endl;
  return code;
}

// What the server answers, with a word on what to do about it.
int report(std::ostream& err, const Error& error) {
  auto message = error.message() + " (" + error.code() + ")";
  for (const auto& issue : error.details()["issues"].as_array()) {
    message += "\n  " + std::string(issue["message"].as_string());
  }
  if (error.status() == 401) {
    message += "\nSet AGENTROUTER_API_KEY to a key of this server.";
  }
  if (error.code() == "workspace_required") message += ": --workspace-id or AGENTROUTER_WORKSPACE_ID";
  if (error.code() == "cancelled") return report(err, "interrupted", exit_code::cancelled);
  const bool wrong_request = error.status() == 400 || error.code() == "invalid_argument";
  return report(err, message, wrong_request ? exit_code::usage : exit_code::failed);
}

std::string absolute_folder(const std::string& folder) {
  return folder.empty() ? folder : std::filesystem::absolute(folder).lexically_normal().string();
}

ConnectRequest connect_request(const Command& command, Output& output, std::stop_token stop) {
  ConnectRequest request{.data = command.data, .stop = std::move(stop)};
  if (command.name == "run") request.provider = command.sim ? Provider::simulated : Provider::configured;
  request.cassettes = {absolute_folder(command.record), absolute_folder(command.replay)};
  request.on_start = [&output] { output.err << "Starting a local server (it ends when idle)" << std::endl; };
  return request;
}

int exit_code_for(base::Code code) {
  if (code == base::Code::cancelled) return exit_code::cancelled;
  return code == base::Code::invalid || code == base::Code::conflict ? exit_code::usage : exit_code::failed;
}

int run_connected(const Command& command, const Environment& environment, Output& output) {
  const Interrupts interrupts;
  const auto server = connect(environment, connect_request(command, output, interrupts.first()));
  if (!server) return report(output.err, server.error().message, exit_code_for(server.error().code));
  if (interrupts.first().stop_requested()) return report(output.err, "interrupted", exit_code::cancelled);
  const auto& workspace = command.workspace_id.empty() ? environment.workspace_id : command.workspace_id;
  const Client client({.api_key = server->api_key, .base_url = server->url, .workspace_id = workspace});
  Context context{client, output, std::cin, interrupts.first(), interrupts.second()};
  context.remote = !is_this_machine(server->url);
  if (output.err_terminal && ::isatty(STDIN_FILENO) == 1) context.line_typed = line_on_standard_input;
  return action_of(command.name)(command, context);
}

std::string command_lines(const std::vector<std::pair<std::string, std::string>>& commands) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, summary] : commands) rows.push_back({"  " + name, summary});
  return table(rows);
}

// What is asked of the program itself: help, version, or a command that there is not.
std::optional<int> answer_root(const std::string& word) {
  if (is_client_command(word)) return std::nullopt;
  if (word == "--help" || word == "-h" || word == "help") {
    std::cout << root_help() << std::flush;
    return exit_code::completed;
  }
  if (word == "--version" || word == "version") {
    std::cout << "agentrouter " << version << std::endl;
    return exit_code::completed;
  }
  return report(std::cerr, "there is no command '" + one_line(word) + "'. Try: agentrouter --help",
                exit_code::usage);
}

}  // namespace

std::span<const ServerCommand> server_commands() {
  return served;
}

bool is_client_command(std::string_view name) {
  return std::ranges::any_of(describe_commands(), [&](const CommandInfo& info) { return info.name == name; });
}

std::string root_help() {
  std::vector<std::pair<std::string, std::string>> client;
  for (const auto& info : describe_commands()) client.emplace_back(info.name, info.summary);
  std::vector<std::pair<std::string, std::string>> server;
  for (const auto& info : served) server.emplace_back(info.name, info.summary);
  return "AgentRouter runs coding agents in sandboxes on this machine.\n\n"
         "Usage: agentrouter COMMAND [...]\n\n"
         "Runs:\n" +
         command_lines(client) + "\nServer:\n" + command_lines(server) +
         "\nTry:\n  agentrouter run --workspace . \"Explain what this project does\"\n\n"
         "Each command has its own --help, with an example.\n"
         "AGENTROUTER_API_BASE_URL and AGENTROUTER_API_KEY name a server elsewhere; without them the one of "
         "this\n"
         "machine is used, and started when it does not run.\n";
}

int run_client_command(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (arguments.empty()) {
    std::cerr << root_help() << std::flush;
    return exit_code::usage;
  }
  if (const auto code = answer_root(arguments.front())) return *code;
  const auto parsed = parse(arguments);
  if (parsed.stop) {
    (parsed.exit_code == 0 ? std::cout : std::cerr) << parsed.text << std::flush;
    return parsed.exit_code;
  }
  if (parsed.command.name == "completion") {
    std::cout << completion_script(parsed.command.shell) << std::flush;
    return exit_code::completed;
  }
  const auto environment = read_environment();
  auto output = standard_output(environment);
  try {
    if (parsed.command.name == "audit" && parsed.command.verb == "verify")
      return verify_audit(parsed.command, std::cin, std::cout, std::cerr);
    if (parsed.command.name == "vault" && parsed.command.verb == "generate")
      return generate_master_key(parsed.command, std::cout, std::cerr);
    return run_connected(parsed.command, environment, output);
  } catch (const UsageError& error) {
    return report(output.err, error.message, exit_code::usage);
  } catch (const Error& error) {
    return report(output.err, error);
  } catch (const base::Failure& failure) {
    return report(output.err, failure.error().message, exit_code::failed);
  }
}

}  // namespace agentrouter::cli
