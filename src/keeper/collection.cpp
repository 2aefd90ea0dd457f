#include "keeper/collection.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "keeper/helper.h"

namespace agentrouter::keeper {
namespace {

base::Result<base::Fd> output_file(int attempt_dir, const char* name) {
  base::Fd fd(::openat(attempt_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail_errno(std::string("cannot make ") + name, errno);
  return fd;
}

// The patch of the turn alone, and what it is made from where that is no layer.
struct TurnFiles {
  base::Fd patch;
  base::Fd earlier;
  base::Fd scratch;
};

base::Result<TurnFiles> open_turn_files(int attempt_dir, TurnStart start) {
  constexpr const char* scratch = "turn.scratch";
  TurnFiles files;
  AGENTROUTER_TRY(files.patch, output_file(attempt_dir, turn_patch_file));
  if (start == TurnStart::kept) return files;
  files.earlier = base::Fd(::openat(attempt_dir, restore_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  files.scratch = base::Fd(::openat(attempt_dir, scratch, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!files.earlier || !files.scratch || ::unlinkat(attempt_dir, scratch, 0) != 0)
    return base::fail_errno("cannot open the state that the turn began with", errno);
  return files;
}

}  // namespace

base::Task<base::Result<workspace::CollectReport>> collect_changes(Sandbox& sandbox, Notices& notices,
                                                                   int attempt_dir, TurnStart start,
                                                                   std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_CO_TRY(const base::Fd index, output_file(attempt_dir, "index.json"));
  AGENTROUTER_CO_TRY(const base::Fd patch, output_file(attempt_dir, "changes.patch"));
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  sandbox::Collect request{.program = program.get(),
                           .argv = {"agentrouter", "collect"},
                           .env = {},
                           .outputs = {index.get(), patch.get(), report.second.get()}};
  TurnFiles turn;
  if (start != TurnStart::afresh) {
    AGENTROUTER_CO_TRY(turn, open_turn_files(attempt_dir, start));
    request.argv.emplace_back(start == TurnStart::kept ? "kept-turn" : "turn");
    for (const auto* file : {&turn.patch, &turn.earlier, &turn.scratch}) {
      if (*file) request.outputs.push_back(file->get());
    }
  }
  AGENTROUTER_CO_TRY(const pid_t pid, sandbox.collect(request));
  report.second.reset();
  Helper helper{pid, std::move(report.first), "cannot collect the changes"};
  auto text = co_await wait_for_report(sandbox, notices, std::move(helper), patience);
  if (!text) co_return tl::unexpected(std::move(text).error());
  for (const auto* file : {&index, &patch, static_cast<const base::Fd*>(&turn.patch)}) {
    if (*file && ::fsync(file->get()) != 0) co_return base::fail_errno("cannot collect the changes", errno);
  }
  co_return workspace::parse_report(*text);
}

base::Task<base::Result<workspace::CheckpointReport>> save_checkpoint(
    Sandbox& sandbox, Notices& notices, int attempt_dir, const std::vector<std::string>& left_out,
    std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_CO_TRY(const base::Fd file, output_file(attempt_dir, checkpoint_file));
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  sandbox::Collect request{.program = program.get(),
                           .argv = {"agentrouter", "checkpoint"},
                           .env = {},
                           .outputs = {file.get(), report.second.get()}};
  request.argv.insert(request.argv.end(), left_out.begin(), left_out.end());
  AGENTROUTER_CO_TRY(const pid_t pid, sandbox.collect(request));
  report.second.reset();
  Helper helper{pid, std::move(report.first), "cannot save a checkpoint"};
  const auto text = co_await wait_for_report(sandbox, notices, std::move(helper), patience);
  auto saved = text ? workspace::parse_checkpoint_report(*text) : tl::unexpected(text.error());
  if (saved && ::fsync(file.get()) != 0) saved = base::fail_errno("cannot save a checkpoint", errno);
  if (!saved) (void)::unlinkat(attempt_dir, checkpoint_file, 0);
  co_return saved;
}

base::Result<base::Fd> start_reader(Sandbox& sandbox, const std::string& request, std::set<pid_t>& started) {
  AGENTROUTER_TRY(const base::Fd program, sandbox::open_this_program());
  AGENTROUTER_TRY(base::FdPair answer, base::make_pipe());
  AGENTROUTER_TRY(const base::Fd asked, base::make_memory_file(request));
  AGENTROUTER_TRY(const pid_t pid, sandbox.collect({.program = program.get(),
                                                    .argv = {"agentrouter", "read-files", "live"},
                                                    .env = {},
                                                    .outputs = {answer.second.get(), asked.get()}}));
  started.insert(pid);
  return std::move(answer.first);
}

base::Task<base::Result<void>> restore_checkpoint(Sandbox& sandbox, Notices& notices, int attempt_dir,
                                                  RestorePart part, std::chrono::milliseconds patience) {
  AGENTROUTER_CO_TRY(const base::Fd program, sandbox::open_this_program());
  const base::Fd file(::openat(attempt_dir, restore_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) co_return base::fail_errno("cannot open the checkpoint", errno);
  AGENTROUTER_CO_TRY(base::FdPair report, base::make_pipe());
  sandbox::Restore request{.program = program.get(),
                           .argv = {"agentrouter", "restore-state"},
                           .files = {file.get(), report.second.get()}};
  if (part == RestorePart::files) request.argv.emplace_back(restore_files_only);
  AGENTROUTER_CO_TRY(const pid_t pid, sandbox.restore(request));
  report.second.reset();
  Helper helper{pid, std::move(report.first), "cannot restore the checkpoint"};
  const auto text = co_await wait_for_report(sandbox, notices, std::move(helper), patience);
  if (!text) co_return tl::unexpected(text.error());
  co_return workspace::parse_restore_report(*text);
}

}  // namespace agentrouter::keeper
