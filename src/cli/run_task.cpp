#include <chrono>
#include <filesystem>

#include "base/id.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/folder.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/session_view.h"
#include "cli/take_over.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t longest_task = 1u << 20;

std::string task_of(const Command& command, Context& context) {
  if (command.task != "-") return command.task;
  std::string text;
  std::string line;
  while (text.size() <= longest_task && std::getline(context.in, line)) text += line + "\n";
  if (text.size() > longest_task) throw UsageError{"the task on standard input is over 1 MiB"};
  return text;
}

bool looks_like_url(std::string_view text) {
  return text.find("://") != std::string_view::npos || text.starts_with("git@");
}

std::filesystem::path folder_of(const std::string& folder) {
  std::error_code error;
  const auto path = std::filesystem::canonical(folder, error);
  if (error) throw UsageError{"cannot use the workspace " + one_line(folder) + ": " + error.message()};
  if (!std::filesystem::is_directory(path, error)) {
    throw UsageError{"the workspace " + one_line(folder) + " is not a folder"};
  }
  return path;
}

bool works_on_folder(const Command& command) {
  return !command.workspace.empty() && !looks_like_url(command.workspace);
}

void check_workspace(const Command& command) {
  const bool url = looks_like_url(command.workspace);
  const bool folder = works_on_folder(command);
  if (!url && (!command.ref.empty() || !command.subdir.empty() || command.depth != 0)) {
    throw UsageError{"--ref, --subdir and --depth go with --workspace URL"};
  }
  if (!folder && (command.upload || command.apply)) {
    throw UsageError{"--upload and --apply go with --workspace DIR"};
  }
  if (!command.from_run.empty() && !command.workspace.empty()) {
    throw UsageError{"--workspace and --from exclude each other"};
  }
}

std::optional<Workspace> workspace_of(const Command& command, Context& context) {
  check_workspace(command);
  if (!command.from_run.empty()) return Workspace{.from_run = command.from_run};
  if (command.workspace.empty()) return std::nullopt;
  if (looks_like_url(command.workspace)) {
    return Workspace{
        .git = GitWorkspace{
            .url = command.workspace, .ref = command.ref, .depth = command.depth, .subdir = command.subdir}};
  }
  const auto folder = folder_of(command.workspace);
  if (!context.remote && !command.upload) return Workspace{.path = folder.string()};
  return Workspace{.upload_id = upload_folder(folder, context)};
}

RunLimits limits_of(const Command& command) {
  return {.max_wall_seconds = command.max_wall,
          .max_tokens = command.max_tokens,
          .max_cost_usd = command.max_cost,
          .max_actions = command.max_actions,
          .max_output_bytes = command.max_output,
          .max_network_bytes = command.max_network,
          .max_memory_bytes = command.max_memory,
          .max_disk_bytes = command.max_disk,
          .max_cpu_percent = command.max_cpu,
          .max_pids = command.max_pids};
}

Tags requirements_of(const Command& command) {
  Tags labels;
  for (const auto& label : command.requirements) {
    const auto equals = label.find('=');
    if (equals == std::string::npos) throw UsageError{"--require " + one_line(label) + ": want KEY=VALUE"};
    if (!labels.emplace(label.substr(0, equals), label.substr(equals + 1)).second)
      throw UsageError{"the label " + one_line(label.substr(0, equals)) + " is given twice"};
  }
  return labels;
}

CreateRunRequest request_of(const Command& command, Context& context) {
  const bool is_codex = command.runtime != "claude_code";
  return {.task = task_of(command, context),
          .runtime = is_codex ? codex({.mode = command.mode, .model = command.model})
                              : claude_code({.permission_mode = command.mode, .model = command.model}),
          .approval_mode = command.approve,
          .approval_scope = command.scope,
          .policy = command.policy,
          .image = command.image,
          .require_isolation = command.require_isolation,
          .requirements = requirements_of(command),
          .workspace = workspace_of(command, context),
          .tags = tags_of(command),
          .limits = limits_of(command),
          .idempotency_key = base::new_uuid(base::system_entropy())};
}

// What a conversation has cannot be given again.
void check_inherited(const Command& command) {
  const std::pair<const char*, bool> fixed[] = {
      {"--runtime", !command.runtime.empty()}, {"--mode", !command.mode.empty()},
      {"--model", !command.model.empty()},     {"--workspace", !command.workspace.empty()},
      {"--from", !command.from_run.empty()},   {"--tag", !command.tags.empty()},
      {"--scope", !command.scope.empty()},     {"--policy", !command.policy.empty()},
      {"--image", !command.image.empty()},     {"--require-isolation", !command.require_isolation.empty()},
      {"--require", !command.requirements.empty()}};
  for (const auto& [flag, given] : fixed) {
    if (given) throw UsageError{std::string(flag) + " cannot be changed in a conversation: leave it out"};
  }
  check_workspace(command);
}

ForkRunRequest fork_of(const Command& command, Context& context) {
  check_inherited(command);
  if (!command.approve.empty()) {
    throw UsageError{"--approve is the conversation's: leave it out of a fork"};
  }
  return {.run_id = command.fork_run,
          .message = task_of(command, context),
          .at_turn = command.at_turn,
          .limits = limits_of(command),
          .idempotency_key = base::new_uuid(base::system_entropy())};
}

ContinueRunRequest turn_of(const Command& command, Context& context) {
  check_inherited(command);
  return {.continue_run = command.continue_run,
          .message = task_of(command, context),
          .approval_mode = command.approve,
          .limits = limits_of(command),
          .idempotency_key = base::new_uuid(base::system_entropy())};
}

// The id of the run that now works on the command's task.
std::string start_run(const Command& command, Context& context) {
  const CallOptions call{.stop = context.leave};
  if (!command.continue_run.empty() && !command.fork_run.empty()) {
    throw UsageError{"--continue and --fork exclude each other"};
  }
  if (command.at_turn != 0 && command.fork_run.empty()) throw UsageError{"--at-turn goes with --fork"};
  if (!command.fork_run.empty()) return context.client.fork_run(fork_of(command, context), call).id;
  if (!command.continue_run.empty()) {
    return context.client.continue_run(turn_of(command, context), call).run_id;
  }
  return context.client.create_run(request_of(command, context), call).id;
}

// One run, followed to its end.
class Following {
 public:
  Following(const Command& command, Context& context, std::string run_id)
      : json_(command.json),
        context_(context),
        output_(context.output),
        run_id_(std::move(run_id)),
        begun_(std::chrono::steady_clock::now()),
        progress_(
            context.output,
            [this] {
              return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun_);
            }),
        prompt_(context) {}

  // False when the person has left before the end.
  bool follow() {
    auto stream = open(0, context_.interrupt);
    for (bool cancelling = false;;) {
      try {
        read(stream);
        progress_.clear();
        return true;
      } catch (const Error& error) {
        progress_.clear();
        if (error.code() != "cancelled") throw;
        if (cancelling) return false;
      }
      cancelling = true;
      if (!cancel()) return false;
      stream = open(stream.last_sequence(), context_.leave);
    }
  }

 private:
  EventStream open(std::int64_t after, std::stop_token stop) {
    return context_.client.stream_run(run_id_, {.after_seq = after, .stop = std::move(stop)});
  }

  void read(EventStream& stream) {
    const auto idle = progress_.tick_interval();
    while (!stream.done()) {
      const auto tick = prompt_.waiting() ? std::min(idle, milliseconds(100)) : idle;
      if (const auto event = stream.next_for(tick)) {
        show(*event);
      } else if (prompt_.waiting()) {
        prompt_.poll();
      } else if (!json_ && !stream.done()) {
        progress_.tick();
      }
    }
  }

  void show(const RunEvent& event) {
    if (json_) {
      output_.out << event.raw.dump() << std::endl;
      return;
    }
    const auto step = prompt_.asks(event) ? std::nullopt : step_of(event);
    if (step && prompt_.waiting()) output_.err << '\n';
    if (step) progress_.show(*step);
    prompt_.take(event);
    if (!prompt_.waiting()) return;
    progress_.clear();
    if (step || prompt_.asks(event)) prompt_.ask();
  }

  // False when the person cannot even wait for the reply.
  bool cancel() {
    output_.err << "Cancelling " << run_id_ << " (Ctrl-C again leaves it to the server)" << std::endl;
    try {
      context_.client.cancel_run(run_id_, {.stop = context_.leave});
      return true;
    } catch (const Error& error) {
      if (error.code() != "cancelled") throw;
      return false;
    }
  }

  bool json_;
  Context& context_;
  Output& output_;
  std::string run_id_;
  std::chrono::steady_clock::time_point begun_;
  Progress progress_;
  Prompt prompt_;
};

void print_end(const RunSession& session, const Command& command, Context& context) {
  auto& output = context.output;
  if (command.json) {
    output.out << session.raw.dump() << std::endl;
    return;
  }
  const auto& run = session.run;
  const bool good = run.status == RunStatus::completed;
  output.err << '\n';
  print_outcome(context.client, session, output);
  output.err << '\n'
             << toned(output.colour, good ? Tone::good : Tone::bad,
                      "Run " + one_line(run.id) + " " + state_line(run))
             << '\n';
  output.err.flush();
}

}  // namespace

int exit_code_of(const Run& run) {
  if (run.status == RunStatus::completed) return exit_code::completed;
  if (run.status == RunStatus::cancelled) return exit_code::cancelled;
  const bool denied =
      run.failure && (run.failure->code == "approval_denied" || run.failure->code == "policy_denied");
  return denied ? exit_code::denied : exit_code::failed;
}

int run_task(const Command& command, Context& context) {
  const auto run_id = start_run(command, context);
  auto& output = context.output;
  const auto id = one_line(run_id);
  if (!command.json) output.err << toned(output.colour, Tone::bold, "Run " + id) << std::endl;
  if (!Following(command, context, run_id).follow()) {
    output.err << "Left " << id << " to the server: agentrouter events -f " << id << std::endl;
    return exit_code::cancelled;
  }
  const auto session = context.client.get_run_session(run_id, {.stop = context.leave});
  print_end(session, command, context);
  const bool taken = !works_on_folder(command) || take_over(session, command, context);
  const auto code = exit_code_of(session.run);
  return code == exit_code::completed && !taken ? exit_code::failed : code;
}

}  // namespace agentrouter::cli
