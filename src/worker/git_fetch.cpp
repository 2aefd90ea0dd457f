#include "worker/git_fetch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>

#include "base/hash.h"
#include "base/log.h"
#include "keeper/fetch/git_commands.h"
#include "workspace/git_source.h"

namespace agentrouter::worker {

using base::Code;
using base::Result;
using keeper::FetchPlan;
using keeper::ResolvedRef;

namespace {

using namespace std::chrono_literals;

// Part of a tree's name: another number when the same commit would give another tree.
constexpr std::string_view git_rules_version = "1";
constexpr auto end_patience = 5s;
constexpr std::uint64_t tar_overhead = 64ull << 20;
constexpr auto launch_patience = 60s;

tl::unexpected<base::Error> stopped_error() {
  return base::fail(Code::cancelled, "the preparation was stopped");
}

base::Error of_fetch(const keeper::FetchFailure& failure) {
  return {Code::unavailable, failure.message, failure.cause};
}

// What unpacking says about a tree that git has made.
base::Error of_tree(base::Error error) {
  if (error.code == Code::cancelled) return error;
  const bool large = error.reason == "archive_limit" || error.code == Code::exhausted;
  error.reason = large ? "workspace_too_large" : "workspace_unavailable";
  return error;
}

sandbox::Plan fetch_sandbox(const FetchPlan& plan, bool require_limits) {
  auto sandbox_plan = sandbox::curated_plan();
  sandbox_plan.files.push_back({keeper::git_config_path, keeper::git_config(plan.source)});
  if (plan.is_local()) sandbox_plan.workspace = sandbox::WorkspaceMode::read_only;
  // The tar holds the history beside the files.
  sandbox_plan.limits.file_bytes = 2 * plan.bytes + tar_overhead;
  if (require_limits) sandbox_plan.demand = sandbox::LimitsDemand::cgroup;
  return sandbox_plan;
}

Result<base::Fd> open_source(const FetchPlan& plan) {
  if (!plan.is_local()) return base::Fd();
  const auto path = plan.source.url.substr(std::string_view("file://").size());
  base::Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (fd) return fd;
  return base::fail(Code::unavailable, "there is no repository at " + path, "workspace_unavailable");
}

bool has_ended(int pidfd) {
  pollfd poll{pidfd, POLLIN, 0};
  return pidfd < 0 || ::poll(&poll, 1, 0) > 0;
}

}  // namespace

GitFetch::GitFetch(DriverContext& context, const runs::Claim& claim) : context_(context), claim_(claim) {}

GitFetch::~GitFetch() = default;

void GitFetch::stop() {
  stopped_ = true;
  if (lines_) lines_->close();
  if (context_.needs.unpacker != nullptr) context_.needs.unpacker->cancel(claim_.attempt.id.str());
}

FetchPlan GitFetch::plan() const {
  const auto& git = context_.config.git;
  const auto& workspace = claim_.run.workspace;
  const bool exact = keeper::is_commit(workspace.git.ref);
  return {.source = workspace.git,
          .commit = !workspace.commit.empty() ? workspace.commit
                    : exact                   ? workspace.git.ref
                                              : std::string(),
          .bytes = git.max_bytes,
          .entries = git.max_entries,
          .wall_time = git.timeout,
          .has_credential = git.credentials.contains(workspace::host_of_git_url(workspace.git.url))};
}

std::string GitFetch::prefix_of(const std::string& commit) const {
  const auto& git = claim_.run.workspace.git;
  const std::string key = git.url + "\n" + commit + "\n" + std::to_string(git.depth) + "\n" + git.subdir +
                          "\n" + (git.submodules ? "submodules" : "") + "\n" + (git.lfs ? "lfs" : "");
  return "git-" + std::string(git_rules_version) + "-" + base::Sha256::hex_of(key) + "-";
}

std::string GitFetch::name_of(const ResolvedRef& at) const {
  return prefix_of(at.commit) + base::Sha256::hex_of(at.branch).substr(0, 16);
}

std::optional<FetchedTree> GitFetch::cached(const ResolvedRef& at) const {
  auto held = context_.needs.trees->find(name_of(at));
  if (!held) return std::nullopt;
  return FetchedTree{std::move(*held), at.commit, at.branch};
}

// Without asking anybody: the tree that the run has already, or one of the commit that was asked for.
std::optional<FetchedTree> GitFetch::known() const {
  const auto& workspace = claim_.run.workspace;
  const auto commit = plan().commit;
  auto& trees = *context_.needs.trees;
  if (!workspace.tree.empty()) {
    if (auto held = trees.find(workspace.tree)) return FetchedTree{std::move(*held), commit, {}};
  }
  if (commit.empty()) return std::nullopt;
  if (auto held = trees.find_any(prefix_of(commit))) return FetchedTree{std::move(*held), commit, {}};
  return std::nullopt;
}

base::Task<Result<FetchedTree>> GitFetch::run() {
  if (context_.needs.trees == nullptr || context_.needs.unpacker == nullptr)
    co_return base::fail(Code::unavailable, "this worker fetches no repositories", "workspace_unavailable");
  auto found = co_await context_.pool.run([this] { return known(); });
  if (found) co_return std::move(*found);
  // The fetcher keeps the time itself; one that does not is given up.
  base::Timer limit(context_.needs.executor,
                    std::chrono::steady_clock::now() + context_.config.git.timeout + launch_patience);
  const auto waiting = std::make_shared<bool>(true);
  limit.async_wait([this, waiting](boost::system::error_code error) {
    if (!error && *waiting && lines_) lines_->close();
  });
  auto fetched = co_await talk();
  *waiting = false;
  co_await clean_up();
  if (stopped_) co_return stopped_error();
  co_return fetched;
}

Result<base::Fd> GitFetch::launch(const FetchPlan& plan) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return base::fail_errno("cannot make the fetcher's stream", errno);
  base::Fd ours(ends[0]);
  const base::Fd theirs(ends[1]);
  AGENTROUTER_TRY(const base::Fd source, open_source(plan));
  const sandbox::LaunchRequest request{.attempt = {context_.attempts_dir, claim_.attempt.id.str()},
                                       .plan = fetch_sandbox(plan, context_.config.require_limits),
                                       .lower = source.get(),
                                       .plan_pipe = theirs.get(),
                                       .keeper_argv = context_.config.git.fetcher_argv,
                                       .slot = static_cast<std::uint32_t>(claim_.attempt.slot)};
  AGENTROUTER_TRY(auto launched, context_.needs.launcher.launch(request));
  fetcher_ = std::move(launched.keeper);
  fetcher_pid_ = launched.keeper_pid;
  return ours;
}

base::Task<Result<keeper::FetchAnswer>> GitFetch::next_answer() {
  const auto line = co_await lines_->read_line();
  if (!line) {
    co_return base::fail(Code::unavailable, "the process that fetches the repository broke down",
                         "workspace_unavailable");
  }
  auto answer = keeper::parse_fetch_line(*line);
  if (!answer) answer = base::fail(Code::unavailable, answer.error().message, "workspace_unavailable");
  if (answer && answer->failed) co_return tl::unexpected(of_fetch(*answer->failed));
  co_return answer;
}

base::Task<Result<FetchedTree>> GitFetch::talk() {
  const FetchPlan wanted = plan();
  auto stream = co_await context_.pool.run([this, &wanted] { return launch(wanted); });
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  if (stopped_) co_return stopped_error();
  keeper::LineSocket::Socket socket(context_.needs.executor, asio::local::stream_protocol(),
                                    stream->release());
  lines_.emplace(std::move(socket));
  const auto& credentials = context_.config.git.credentials;
  const auto credential = credentials.find(workspace::host_of_git_url(wanted.source.url));
  std::string frame = keeper::frame_fetch(wanted, credential == credentials.end() ? "" : credential->second);
  auto written = co_await lines_->write(std::move(frame));
  if (!written) co_return tl::unexpected(written.error());
  const auto resolved = co_await next_answer();
  if (!resolved) co_return tl::unexpected(resolved.error());
  if (!resolved->resolved)
    co_return base::fail(Code::unavailable, "the process that fetches said nothing", "workspace_unavailable");
  const ResolvedRef at = *resolved->resolved;
  auto found = co_await context_.pool.run([this, &at] { return cached(at); });
  if (found) co_return std::move(*found);
  written = co_await lines_->write("fetch\n");
  if (!written) co_return tl::unexpected(written.error());
  const auto fetched = co_await next_answer();
  if (!fetched) co_return tl::unexpected(fetched.error());
  co_return co_await take_tree(name_of(at), at);
}

base::Task<Result<FetchedTree>> GitFetch::take_tree(std::string name, ResolvedRef at) {
  if (stopped_) co_return stopped_error();
  const auto& git = context_.config.git;
  const workspace::UnpackLimits limits{.entries = 2 * git.max_entries,
                                       .bytes = 2 * git.max_bytes,
                                       .depth = 512,
                                       .path_bytes = 4095,
                                       .wall_time = git.timeout,
                                       .links = workspace::LinkRule::any};
  auto made = co_await context_.pool.run([this, &name, &limits]() -> Result<workspace::Trees::Held> {
    AGENTROUTER_TRY(const auto folder, AttemptFolder::open(context_.attempts, claim_.attempt.id));
    AGENTROUTER_TRY(const auto tar, folder.file(keeper::fetch_file));
    const int archive = tar.get();
    return context_.needs.trees->make(name, [&](int into) {
      return context_.needs.unpacker->unpack(archive, into, limits, claim_.attempt.id.str());
    });
  });
  if (!made) co_return tl::unexpected(of_tree(std::move(made).error()));
  co_return FetchedTree{std::move(*made), std::move(at.commit), std::move(at.branch)};
}

// The fetcher ends when its stream does, and its sandbox with it; one that does not is killed.
base::Task<void> GitFetch::clean_up() {
  if (lines_) lines_->close();
  lines_.reset();
  if (!fetcher_) co_return;
  co_await context_.pool.run([this] {
    pollfd poll{fetcher_.get(), POLLIN, 0};
    (void)::poll(&poll, 1, static_cast<int>(std::chrono::milliseconds(1500).count()));
  });
  if (!has_ended(fetcher_.get())) context_.needs.kill_keeper(fetcher_pid_);
  const sandbox::AttemptRef place{context_.attempts_dir, claim_.attempt.id.str()};
  const auto released = co_await context_.pool.run([this, &place] {
    pollfd poll{fetcher_.get(), POLLIN, 0};
    (void)::poll(&poll, 1, static_cast<int>(std::chrono::milliseconds(end_patience).count()));
    if (auto folder = AttemptFolder::open(context_.attempts, claim_.attempt.id))
      (void)::unlinkat(folder->fd(), keeper::fetch_file, 0);
    return sandbox::release_whole(context_.needs.launcher, place, sandbox::Remove::box);
  });
  if (!released) {
    base::log(base::LogLevel::warn, "what fetched a repository could not be removed",
              {{"attemptId", claim_.attempt.id.str()}, {"cause", released.error().message}});
  }
}

}  // namespace agentrouter::worker
