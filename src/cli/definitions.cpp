#include "cli/definitions.h"

#include <utility>

namespace agentrouter::cli {
namespace {

void define_tags(Definition& d, const std::string& summary) {
  d.app.add_option("--tag", d.command.tags, summary)
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check([](const std::string& tag) {
        const auto equals = tag.find('=');
        return equals == 0 || equals == tag.npos ? "a tag is KEY=VALUE, not " + tag : std::string();
      });
}

void define_limits(Definition& d) {
  auto& c = d.command;
  d.app.add_option("--max-tokens", c.max_tokens, "End the run at so many tokens of model input and output")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-cost", c.max_cost, "End the run at this cost, by the server's price table")
      ->type_name("USD")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-wall", c.max_wall, "End the run after so many seconds")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-actions", c.max_actions, "End the run at one more call of a tool than these")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-output", c.max_output, "End the run at so many bytes of output of the agent")
      ->type_name("BYTES")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-network", c.max_network, "End the run at so many bytes to and from its providers")
      ->type_name("BYTES")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-disk", c.max_disk, "End the run at so many bytes written into workspace and home")
      ->type_name("BYTES")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-memory", c.max_memory, "What all processes of the agent may use together")
      ->type_name("BYTES")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-cpu", c.max_cpu, "The same of the processors, in percent of one core")
      ->type_name("PERCENT")
      ->check(CLI::PositiveNumber);
  d.app.add_option("--max-pids", c.max_pids, "How many processes and threads of the agent there may be")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
}

void define_run(Definition& d) {
  auto& c = d.command;
  d.app.add_option("TASK", d.task, "What the agent shall do; - reads it from standard input")->required();
  d.choice("--runtime", c.runtime, {"codex", "claude_code"}, "The agent");
  d.app
      .add_option("--mode", c.mode,
                  "How much the agent may do by itself (codex: default, read_only, full_access)")
      ->type_name("MODE");
  d.app.add_option("--model", c.model, "The model; the server's default when left out")->type_name("MODEL");
  d.choice("--approve", c.approve, {"auto", "manual", "block"},
           "Who allows the run to start; manual asks you at the terminal, or waits for approve and deny");
  d.choice(
      "--scope", c.scope, {"run", "action"},
      "What is asked about: the start of the agent alone, or each command, file change and tool call too");
  d.app.add_option("--policy", c.policy, "A policy of the server that the run is held to")->type_name("NAME");
  d.app.add_option("--image", c.image, "A container image of the server that the agent works in")
      ->type_name("NAME");
  d.app
      .add_option("--require-isolation", c.require_isolation,
                  "Refuse to run behind less: process, user-kernel or vm")
      ->type_name("KIND");
  d.app.add_option("--require", c.requirements, "Label that the worker must have; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  define_limits(d);
  d.app
      .add_option("--workspace", c.workspace,
                  "The folder to work on, never changed itself, or the URL of a git repository")
      ->type_name("DIR|URL");
  d.app.add_option("--ref", c.ref, "Branch, tag or commit of the repository")->type_name("REF");
  d.app.add_option("--subdir", c.subdir, "Part of the repository to work on")->type_name("PATH");
  d.app.add_option("--depth", c.depth, "Commits of history to fetch (default: all)")
      ->check(CLI::Range(1, 1'000'000));
  d.app.add_flag("--upload", c.upload,
                 "Send the folder, without what git ignores, also to a server that could see it");
  d.app.add_flag("--apply", c.apply, "Take the changes over into the folder at the end, without a question");
  d.app.add_option("--from", c.from_run, "Begin with the files that this run has left")->type_name("RUN");
  d.app
      .add_option("--continue", c.continue_run,
                  "Go on with the conversation of this run: its files, its thread, its agent")
      ->type_name("RUN");
  d.app
      .add_option("--fork", c.fork_run,
                  "Begin a conversation of its own where a turn of this run's conversation has ended")
      ->type_name("RUN");
  d.app.add_option("--at-turn", c.at_turn, "The turn to fork (default: the newest)")
      ->check(CLI::PositiveNumber);
  define_tags(d, "Kept with the run, which can be listed by it; may be repeated");
  auto* sim =
      d.app.add_flag("--sim", c.sim, "Simulated provider, if a server has to be started: no key, no cost");
  auto* record = d.app
                     .add_option("--record", c.record,
                                 "Keep what the run asks its provider, and the answers, as a cassette in DIR")
                     ->type_name("DIR");
  d.app
      .add_option("--replay", c.replay,
                  "Answer the run from its cassette in DIR: no network, no key, no cost")
      ->type_name("DIR")
      ->excludes(sim)
      ->excludes(record);
  d.common("Print every event as one line of JSON, then the session");
}

void define_runs(Definition& d) {
  d.choice("--status", d.command.status,
           {"active", "queued", "starting", "running", "cancelling", "completed", "failed", "cancelled"},
           "Only runs in this state");
  d.choice("--runtime", d.command.runtime, {"codex", "claude_code"}, "Only runs of this agent");
  define_tags(d, "Only runs with this tag; may be repeated");
  d.app.add_option("--query", d.command.query, "Only runs with these words in their task or answer")
      ->type_name("TEXT");
  auto* limit = d.app.add_option("--limit", d.command.limit, "How many, newest first (default 50)")
                    ->check(CLI::Range(1, 100));
  auto* cursor = d.app.add_option("--cursor", d.command.cursor, "Go on where the list before ended")
                     ->type_name("CURSOR");
  d.app.add_flag("--all", d.command.all, "Every run, however many")->excludes(limit)->excludes(cursor);
  d.common("Print the list as JSON");
}

void define_show(Definition& d) {
  d.run_id();
  d.common("Print the run's session and record as JSON");
}

void define_events(Definition& d) {
  d.run_id();
  d.app.add_flag("-f,--follow", d.command.follow, "Go on until the run ends");
  d.app.add_option("--after", d.command.after, "Only events behind this sequence number")
      ->check(CLI::NonNegativeNumber);
  d.common("Print every event as one line of JSON");
}

void define_approvals(Definition& d) {
  d.app.add_option("RUN", d.command.run_id, "Only those of this run");
  d.app.add_flag("-w,--watch", d.command.watch, "Go on with what comes, until Ctrl-C");
  const auto rest = [&](const char* flag, std::vector<std::string>& conditions, const char* summary) {
    d.app.add_option(flag, conditions, summary)
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  rest(
      "--approve-rest", d.command.approve_rest,
      "Approve what RUN asks from now on when it matches, e.g. 'command=npm test'; repeated, all must match");
  rest("--deny-rest", d.command.deny_rest, "Deny what RUN asks from now on when it matches");
  d.app.add_flag("--rules", d.command.rules, "List the rules that RUN was given");
  d.app.add_option("--withdraw", d.command.withdraw, "Take a rule of RUN back")->type_name("RULE");
  d.app.add_option("--reason", d.command.reason, "Kept with each decision of the rule")->type_name("TEXT");
  d.common("Print each question as one line of JSON");
}

void define_decision(Definition& d) {
  d.run_id();
  auto* action =
      d.app.add_option("ACTION", d.command.action_id, "The action; not needed when only one is waiting");
  d.app.add_flag("--all", d.command.all, "Every action of the run that waits now")->excludes(action);
  d.app.add_option("--reason", d.command.reason, "Kept with the decision")->type_name("TEXT");
  d.common("Print the decision's event as JSON");
}

void define_cancel(Definition& d) {
  d.run_id();
  d.common("Print the run as JSON");
}

void define_turns(Definition& d) {
  d.run_id();
  d.common("Print the list as JSON");
}

void define_close(Definition& d) {
  d.run_id();
  d.common("Print the server's reply as JSON");
}

void define_delete(Definition& d) {
  d.run_id();
  d.common("Print what was deleted as JSON");
}

void define_artifacts(Definition& d) {
  d.run_id();
  d.common("Print the list as JSON");
}

void define_download(Definition& d) {
  d.run_id();
  d.app.add_option("ARTIFACT", d.command.artifact, "An artifact's id or kind; all of the run when left out");
  d.app
      .add_option("-o,--output", d.command.output,
                  "File to write, - for standard output; without ARTIFACT the folder to write to")
      ->type_name("PATH");
  d.common("Print what was written as JSON");
}

void define_files(Definition& d) {
  d.run_id();
  auto* path = d.app.add_option("PATH", d.command.path, "A file of the workspace; the list when left out");
  d.app.add_option("--folder", d.command.folder, "The folder to list (default: the workspace itself)")
      ->type_name("PATH")
      ->excludes(path);
  d.app.add_flag("-r,--recursive", d.command.recursive, "Also what is in the folders below")->excludes(path);
  d.app.add_option("-o,--output", d.command.output, "Where to write the file (default: standard output)")
      ->type_name("FILE")
      ->needs(path);
  d.common("Print the list as JSON");
}

void define_archive(Definition& d) {
  d.run_id();
  d.app
      .add_option("-o,--output", d.command.output,
                  "File to write, - for standard output (default: RUN.tar.gz); .tar.zst gives zstd")
      ->type_name("FILE");
  d.app.add_flag("--changes", d.command.changes, "Only the files that the run changed or added");
  d.common("Print what was written as JSON");
}

void define_logs(Definition& d) {
  d.run_id();
  d.app.add_flag("--stderr", d.command.errors,
                 "What the agent wrote to standard error (default: its protocol)");
  d.app.add_flag("-f,--follow", d.command.follow, "Go on with what comes, until the run has ended");
  d.common("The lines are JSON in any case");
}

void define_push(Definition& d) {
  d.run_id();
  d.app.add_option("BRANCH", d.command.branch, "The branch to push to")->required();
  d.app.add_option("-m,--message", d.command.message, "The commit's message")->type_name("TEXT")->required();
  d.common("Print the server's reply as JSON");
}

void define_budgets(Definition& d) {
  d.common("Print the server's reply as JSON");
}

void define_audit(Definition& d) {
  d.app
      .add_option(
          "VERB", d.command.verb,
          "export: print the chain; verify: check an export, without a server; head: print the last entry")
      ->required()
      ->check(CLI::IsMember({"export", "verify", "head"}));
  d.app.add_option("FILE", d.command.file, "The export to verify; - reads standard input");
  d.app.add_option("--after", d.command.after, "export: only entries behind this number")
      ->check(CLI::NonNegativeNumber);
  d.app
      .add_option("--from", d.command.from_export,
                  "verify: the export before this one, which it has to go on from")
      ->type_name("FILE");
  d.app.add_option("--head", d.command.head, "verify: an entry that was kept and has to be there")
      ->type_name("[NUMBER:]HASH");
  d.app
      .add_option("--events", d.command.events_file,
                  "verify: compare the events of a run, one line of JSON each, with what the chain says")
      ->type_name("FILE");
  d.app.add_flag("--part", d.command.part, "verify: the export may begin anywhere in the chain");
  d.common("Print the result as JSON");
}

void define_webhooks(Definition& d) {
  auto& c = d.command;
  d.app
      .add_option(
          "VERB", c.verb,
          "list, create, show, change, enable, disable, delete, rotate (the secret), test, deliveries, "
          "redeliver")
      ->required()
      ->check(CLI::IsMember({"list", "create", "show", "change", "enable", "disable", "delete", "rotate",
                             "test", "deliveries", "redeliver"}));
  d.app.add_option("ID", c.hook_id, "The webhook's id (wh_...)");
  d.app.add_option("MESSAGE", c.message_id, "redeliver: the message's id (msg_...)");
  d.app.add_option("--url", c.url, "Where messages are sent")->type_name("URL");
  d.app
      .add_option("--event", c.hook_events,
                  "What is told: a type, \"run.*\", \"approval.*\" or \"*\"; may be repeated (default: "
                  "approval.requested and run.*)")
      ->type_name("EVENT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  d.app.add_option("--description", c.message, "What the webhook is for")->type_name("TEXT");
  d.app.add_option("--secret", c.secret, "Of create and rotate: whsec_... (default: a new one, shown once)")
      ->type_name("SECRET");
  d.common("Print the server's reply as JSON");
}

void define_keys(Definition& d) {
  auto& c = d.command;
  d.app.add_option("VERB", c.verb, "list, create, show, revoke, rotate")
      ->required()
      ->check(CLI::IsMember({"list", "create", "show", "revoke", "rotate"}));
  d.app.add_option("ID", c.key_id, "The key's id (key_...)");
  d.app.add_option("--name", c.display_name, "create: what the key is for")->type_name("NAME");
  d.app
      .add_option("--allow", c.key_scopes,
                  "create: runs:read, runs:write, approvals:decide or admin; may be repeated (default: all "
                  "but admin)")
      ->type_name("SCOPE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(CLI::IsMember({"runs:read", "runs:write", "approvals:decide", "admin"}));
  auto* workspaces =
      d.app.add_option("--for", c.key_workspaces, "create: a workspace that the key opens; may be repeated")
          ->type_name("WORKSPACE")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  d.app.add_flag("--all-workspaces", c.all, "create: the key opens every workspace")->excludes(workspaces);
  d.app.add_option("--expires", c.expires, "create: when the key ends, e.g. 2027-01-31T00:00:00Z")
      ->type_name("TIME");
  d.app.add_option("--overlap", c.overlap, "rotate: how long the old key holds yet (default: 3600)")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  d.common("Print the server's reply as JSON");
}

void define_workspaces(Definition& d) {
  auto& c = d.command;
  d.app.add_option("VERB", c.verb, "list, create, show, rename, disable, enable")
      ->required()
      ->check(CLI::IsMember({"list", "create", "show", "rename", "disable", "enable"}));
  d.app.add_option("ID", c.key_id, "The workspace's id: a-z, 0-9, - and _");
  d.app.add_option("--name", c.display_name, "create, rename: for people")->type_name("NAME");
  d.common("Print the server's reply as JSON");
}

void define_provider_keys(Definition& d) {
  auto& c = d.command;
  d.app
      .add_option(
          "VERB", c.verb,
          "list; set: give the workspace a key, or another one, from standard input or a file; delete")
      ->required()
      ->check(CLI::IsMember({"list", "set", "delete"}));
  d.app.add_option("PROVIDER", c.provider, "openai or anthropic")
      ->check(CLI::IsMember({"openai", "anthropic"}));
  d.app.add_option("--file", c.key_file, "set: where the key is (default: standard input)")
      ->type_name("FILE");
  d.app
      .add_option("--base-url", c.url,
                  "set: where it is for, if the server allows that (default: the server's own)")
      ->type_name("URL");
  d.common("Print the server's reply as JSON");
}

void define_vault(Definition& d) {
  auto& c = d.command;
  d.app
      .add_option(
          "VERB", c.verb,
          "generate: print a new master key, without a server; status; rotate: seal anew what an older key "
          "has sealed, until it is done")
      ->required()
      ->check(CLI::IsMember({"generate", "status", "rotate"}));
  d.app.add_flag("--new-master-key", c.new_master_key,
                 "rotate: with a new master key, where the server keeps it in its data folder");
  d.app.add_flag("--new-data-keys", c.new_data_keys, "rotate: with new data keys for all workspaces");
  d.app.add_flag("--abandon-lost", c.abandon_lost,
                 "rotate: give up what nothing can open any more: such provider keys are deleted, such "
                 "webhooks disabled");
  d.app.add_option("-o,--output", c.output, "generate: the file to write (0600), which must not be there")
      ->type_name("FILE");
  d.common("Print the server's replies as JSON");
}

void define_nodes(Definition& d) {
  d.app.add_option("VERB", d.command.verb, "list (default), drain (take no new run), undrain")
      ->check(CLI::IsMember({"list", "drain", "undrain"}));
  d.app.add_option("NODE", d.command.node_id, "The server's id, as the list says it");
  d.common("Print the server's reply as JSON");
}

void define_completion(Definition& d) {
  d.app.add_option("SHELL", d.command.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace

constexpr std::array<Entry, 26> entries = {{
    {"run", "Run an agent on a task and follow it to its end",
     "agentrouter run --workspace . \"Find out why the tests are slow\"", define_run},
    {"runs", "List runs, newest first", "agentrouter runs --status failed --tag branch=main", define_runs},
    {"show", "Show a run: state, answer, artifacts", "agentrouter show run_1f0c...", define_show},
    {"events", "Print the events of a run", "agentrouter events -f run_1f0c...", define_events},
    {"approvals", "List what waits for a decision", "agentrouter approvals --watch", define_approvals},
    {"budgets", "Show budgets over runs, and what is spent", "agentrouter budgets", define_budgets},
    {"approve", "Approve an action that waits for you",
     "agentrouter approve run_1f0c... --reason \"looked at it\"", define_decision},
    {"deny", "Deny an action that waits for you",
     "agentrouter deny run_1f0c... --reason \"not on this branch\"", define_decision},
    {"cancel", "Cancel a run", "agentrouter cancel run_1f0c...", define_cancel},
    {"turns", "List the turns of a conversation", "agentrouter turns run_1f0c...", define_turns},
    {"close", "End a conversation: no further turn is taken", "agentrouter close run_1f0c...", define_close},
    {"delete", "Delete a run that has ended, with all that it left", "agentrouter delete run_1f0c...",
     define_delete},
    {"artifacts", "List what a run left behind", "agentrouter artifacts run_1f0c...", define_artifacts},
    {"download", "Fetch artifacts of a run",
     "agentrouter download run_1f0c... workspace_patch -o - | git apply", define_download},
    {"files", "List the files of a run's workspace, or print one of them",
     "agentrouter files run_1f0c... src/main.c", define_files},
    {"archive", "Fetch the whole workspace of a run", "agentrouter archive run_1f0c... -o work.tar.gz",
     define_archive},
    {"logs", "Print what the agent of a run has said, while it runs too",
     "agentrouter logs run_1f0c... --stderr -f", define_logs},
    {"push", "Push what a run changed to the repository that it was cloned from",
     "agentrouter push run_1f0c... fix/slow-tests -m \"Make the tests faster\"", define_push},
    {"audit", "Export and verify the chain of what was decided and done",
     "agentrouter audit export > audit.jsonl && agentrouter audit verify audit.jsonl", define_audit},
    {"webhooks", "Tell other programs what happens: signed messages to an address",
     "agentrouter webhooks create --url https://chat.example/hook --event approval.requested",
     define_webhooks},
    {"keys", "Make, rotate and revoke API keys",
     "agentrouter keys create --name ci --allow runs:write --for team-a", define_keys},
    {"workspaces", "Make and list workspaces: what several teams of one server have apart",
     "agentrouter workspaces create team-a --name \"Team A\"", define_workspaces},
    {"provider-keys", "Keys of model providers that the workspace's runs use",
     "agentrouter provider-keys set openai < openai.key", define_provider_keys},
    {"vault", "What seals provider keys and webhook secrets: status, rotation, new master keys",
     "agentrouter vault rotate --new-master-key", define_vault},
    {"nodes", "List the servers of a store, or drain one", "agentrouter nodes drain NODE", define_nodes},
    {"completion", "Print a completion script for a shell", "source <(agentrouter completion bash)",
     define_completion},
}};

}  // namespace agentrouter::cli
