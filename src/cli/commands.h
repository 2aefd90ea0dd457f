#pragma once
// What each command does with a connected client. All of them return an exit code and throw
// agentrouter::Error.

#include <agentrouter/client.hpp>
#include <functional>
#include <istream>
#include <stop_token>

#include "cli/command.h"
#include "cli/output.h"

namespace agentrouter::cli {

struct Context {
  const Client& client;
  Output& output;
  std::istream& in;
  std::stop_token interrupt;  // a person wants it to end
  std::stop_token leave;      // and now at once
  // Whether a person at a terminal has typed a line; none when nobody is there to be asked.
  std::function<bool()> line_typed = {};
  // The server is another machine's: a folder of this one is sent to it.
  bool remote = false;
};

// Something the person has to correct before anything is sent. Caught in run_client_command.
struct UsageError {
  std::string message;
};

// Creates the run, or the next turn of a conversation, follows it and tells what came of it. What waits for a
// decision is asked of the person at the terminal. An interrupt cancels the run and goes on following;
// `leave` ends the following and leaves the run to the server.
[[nodiscard]] int run_task(const Command& command, Context& context);

[[nodiscard]] int list_runs(const Command& command, Context& context);
[[nodiscard]] int show_run(const Command& command, Context& context);
[[nodiscard]] int print_events(const Command& command, Context& context);
[[nodiscard]] int list_turns(const Command& command, Context& context);
[[nodiscard]] int list_artifacts(const Command& command, Context& context);

// What waits for a decision; with --watch until an interrupt, as it comes.
[[nodiscard]] int list_approvals(const Command& command, Context& context);
// `approvals RUN` with --approve-rest, --deny-rest, --rules or --withdraw: decisions about the rest of a run.
[[nodiscard]] int standing_rules(const Command& command, Context& context);
// Budgets over runs, with what is spent and reserved.
[[nodiscard]] int list_budgets(const Command& command, Context& context);
// `approve` and `deny`: the action that is named, the only one that waits, or with --all each that does.
[[nodiscard]] int decide_action(const Command& command, Context& context);
// Ends a conversation.
[[nodiscard]] int close_run(const Command& command, Context& context);
[[nodiscard]] int cancel_run(const Command& command, Context& context);
// Deletes a run that has ended, for good.
[[nodiscard]] int delete_run(const Command& command, Context& context);

[[nodiscard]] int download_artifacts(const Command& command, Context& context);

// The workspace of a run: its list, one file, all of it as an archive, and pushed as a commit.
[[nodiscard]] int show_files(const Command& command, Context& context);
[[nodiscard]] int archive_files(const Command& command, Context& context);
// What its agent has said; with `follow` until the run has ended.
[[nodiscard]] int show_log(const Command& command, Context& context);
[[nodiscard]] int push_changes(const Command& command, Context& context);

// The audit chain: `export` prints it from --after on, `head` its last entry.
[[nodiscard]] int audit(const Command& command, Context& context);
// `audit verify`, which needs no server. 0: intact; 1: broken, and `err` (with --json `out`) says where.
// Throws UsageError for what cannot be read.
[[nodiscard]] int verify_audit(const Command& command, std::istream& in, std::ostream& out,
                               std::ostream& err);

// Webhooks: list, create, show, change, enable, disable, delete, rotate, test, deliveries, redeliver.
[[nodiscard]] int webhooks(const Command& command, Context& context);

// Keys: list, create, show, revoke, rotate. Workspaces: list, create, show, rename, disable, enable.
[[nodiscard]] int keys(const Command& command, Context& context);
[[nodiscard]] int workspaces(const Command& command, Context& context);
// Keys of model providers that the workspace brings along: list, set, delete. A value comes from standard input or a
// file, never from the command line.
[[nodiscard]] int provider_keys(const Command& command, Context& context);
// What seals them: status, and rotate until it is done.
[[nodiscard]] int vault(const Command& command, Context& context);
// `vault generate`, which needs no server: prints a new master key, or writes it to a file that is not there yet.
// Throws UsageError.
[[nodiscard]] int generate_master_key(const Command& command, std::ostream& out, std::ostream& err);
// Servers of the store: list, drain, undrain.
[[nodiscard]] int nodes(const Command& command, Context& context);

// Of --tag KEY=VALUE.
[[nodiscard]] Tags tags_of(const Command& command);

// 0, 1, 3 or 4 for a run that has ended.
[[nodiscard]] int exit_code_of(const Run& run);

}  // namespace agentrouter::cli
