#include "worker/git_fetch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <deque>
#include <iterator>

#include "base/hash.h"
#include "base/log.h"
#include "base/utf8.h"
#include "keeper/fetch/git_commands.h"
#include "worker/shared_trees.h"
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
constexpr auto leave_patience = 800ms;  // for a fetcher whose stream has ended; then it is killed
constexpr auto end_patience = 5s;
constexpr std::uint64_t tar_overhead = 64ull << 20;
constexpr auto launch_patience = 60s;
constexpr std::size_t most_submodules = keeper::submodules_at_most;  // nested ones included
constexpr unsigned most_nesting = 8;
constexpr std::string_view rights_of_submodules =
    " (a submodule is read with the server's credential only where it is on the server of the repository "
    "itself)";

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

sandbox::Plan fetch_sandbox(const FetchPlan& plan, const WorkerConfig& config) {
  auto sandbox_plan = sandbox::curated_plan();
  sandbox_plan.machine = config.machine;
  sandbox_plan.files.push_back({keeper::git_config_path, keeper::git_config(plan.source)});
  if (plan.is_over_ssh()) sandbox_plan.files.push_back({keeper::git_ssh_path, keeper::git_ssh_script()});
  if (plan.is_local()) sandbox_plan.workspace = sandbox::WorkspaceMode::read_only;
  // The tar holds the history beside the files.
  auto& limits = sandbox_plan.limits;
  limits.file_bytes = 2 * plan.bytes + tar_overhead;
  // The fetcher holds each part to its own limit; this is only what they are together.
  limits.disk_reserve_bytes = config.limits.disk_reserve_bytes;
  limits.disk_reserve_inode_percent = config.limits.disk_reserve_inode_percent;
  limits.disk_bytes = 2 * limits.file_bytes;
  limits.disk_inodes = std::max<std::uint64_t>(limits.disk_inodes, 4 * plan.entries);
  if (config.require_limits) sandbox_plan.demand = sandbox::LimitsDemand::cgroup;
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

void GitFetch::abandon() {
  abandoned_ = true;
  stop();
}

FetchPlan GitFetch::plan() const {
  const auto& workspace = claim_.run.workspace;
  const bool exact = keeper::is_commit(workspace.git.ref);
  auto plan = plan_for(workspace.git, Rights::own);
  plan.commit = !workspace.commit.empty() ? workspace.commit : exact ? workspace.git.ref : std::string();
  return plan;
}

// With what is left of the limits.
FetchPlan GitFetch::plan_for(model::GitSource source, Rights rights) const {
  const auto& git = context_.config.git;
  const auto left = deadline_ - base::SteadyClock::now();
  FetchPlan plan{.source = std::move(source)};
  plan.bytes = git.max_bytes - std::min(taken_, git.max_bytes);
  plan.entries = git.max_entries;
  plan.wall_time = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left), 0ms);
  plan.has_credential = rights == Rights::own && !credential_for(plan).empty();
  const auto ssh = git.ssh.find(workspace::host_of_git_url(plan.source.url));
  if (plan.is_over_ssh() && ssh != git.ssh.end()) plan.known_hosts = ssh->second.known_hosts;
  if (plan.source.lfs) plan.https_hosts = git.rules.https_hosts;
  plan.public_only =
      plan.source.url.starts_with("https://") && !workspace::is_named_host(plan.source.url, git.rules);
  return plan;
}

// Of the host and its transport; empty without one.
std::string GitFetch::credential_for(const FetchPlan& plan) const {
  const auto& git = context_.config.git;
  const auto host = workspace::host_of_git_url(plan.source.url);
  if (plan.is_over_ssh()) {
    const auto found = git.ssh.find(host);
    return found == git.ssh.end() ? std::string() : found->second.key;
  }
  const auto found = git.credentials.find(host);
  return found == git.credentials.end() ? std::string() : found->second;
}

std::string GitFetch::prefix_of(const std::string& commit) const {
  const auto& git = claim_.run.workspace.git;
  const std::string key =
      git.url + "\n" + commit + "\n" + std::to_string(git.depth) + "\n" + git.subdir + "\n" +
      (git.submodules ? "submodules without rights" : "") + "\n" + (git.lfs ? "lfs" : "") +
      // Nobody learns what another workspace has cloned, nor has it without the remote's leave.
      (claim_.run.workspace_id == model::default_workspace ? "" : "\n" + claim_.run.workspace_id);
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

// The same out of what another machine has kept; whatever is wrong with that, there is the repository.
base::Task<std::optional<FetchedTree>> GitFetch::known_elsewhere() {
  const auto& workspace = claim_.run.workspace;
  const auto commit = plan().commit;
  auto& shared = *context_.needs.shared_trees;
  const auto label = claim_.attempt.id.str();
  if (!workspace.tree.empty()) {
    auto held = co_await shared.get(workspace.tree, label);
    if (held) co_return FetchedTree{std::move(*held), commit, {}};
  }
  if (commit.empty() || stopped_) co_return std::nullopt;
  auto held = co_await shared.get_any(prefix_of(commit), label);
  if (held) co_return FetchedTree{std::move(*held), commit, {}};
  co_return std::nullopt;
}

base::Task<Result<FetchedTree>> GitFetch::run() {
  if (context_.needs.trees == nullptr || context_.needs.unpacker == nullptr)
    co_return base::fail(Code::unavailable, "this worker fetches no repositories", "workspace_unavailable");
  auto found = co_await context_.pool.run([this] { return known(); });
  if (!found && context_.needs.shared_trees != nullptr) found = co_await known_elsewhere();
  if (found) co_return std::move(*found);
  deadline_ = base::SteadyClock::now() + context_.config.git.timeout;
  // The fetcher keeps the time itself; one that does not is given up.
  base::Timer limit(context_.needs.executor,
                    base::SteadyClock::now() + context_.config.git.timeout + launch_patience);
  const auto waiting = std::make_shared<bool>(true);
  limit.async_wait([this, waiting](boost::system::error_code error) {
    if (!error && *waiting && lines_) lines_->close();
  });
  auto fetched = co_await get_tree();
  *waiting = false;
  if (stopped_) co_return stopped_error();
  co_return fetched;
}

base::Task<Result<FetchedTree>> GitFetch::get_tree() {
  auto root = co_await get(plan(), Cache::asked);
  if (!root) co_return tl::unexpected(std::move(root).error());
  if (root->cached) co_return std::move(*root->cached);
  auto parts = co_await get_submodules(std::move(root->submodules));
  if (!parts) co_return tl::unexpected(std::move(parts).error());
  parts->insert(parts->begin(), TreePart{{}, std::move(root->tar)});
  auto name = name_of(root->at);
  co_return co_await take_tree(std::move(name), std::move(root->at), std::move(*parts));
}

// One fetcher from its start to its end.
base::Task<Result<GitFetch::Repository>> GitFetch::get(FetchPlan plan, Cache cache) {
  if (stopped_) co_return stopped_error();
  auto repository = co_await talk(plan, cache);
  co_await clean_up();
  co_return repository;
}

// Outer ones before those in them, so that there is a folder for each.
base::Task<Result<std::vector<TreePart>>> GitFetch::get_submodules(
    std::vector<keeper::Submodule> modules) {
  std::vector<TreePart> parts;
  std::deque<Due> due;
  const auto add = [&due](std::vector<Due> more) {
    due.insert(due.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  add(dues_of(nullptr, claim_.run.workspace.git.url, modules));
  for (; !due.empty(); due.pop_front()) {
    Due& next = due.front();
    if (parts.size() == most_submodules || next.depth > most_nesting) {
      co_return base::fail(Code::unavailable,
                           "it has more than " + std::to_string(most_submodules) +
                               " submodules, or more than " + std::to_string(most_nesting) +
                               " in one another",
                           "workspace_too_large");
    }
    auto plan = co_await plan_of(next);
    if (!plan) co_return tl::unexpected(std::move(plan).error());
    const auto url = plan->source.url;
    auto got = co_await get(std::move(*plan), Cache::left_out);
    if (!got) {
      auto error = std::move(got).error();
      error.message = "its submodule " + base::to_utf8(next.path) + ": " + error.message;
      if (next.rights == Rights::none && error.reason == "workspace_auth_failed")
        error.message += std::string(rights_of_submodules);
      co_return tl::unexpected(std::move(error));
    }
    parts.push_back({next.path, std::move(got->tar)});
    add(dues_of(&next, url, got->submodules));
  }
  co_return parts;
}

// With a subdir only those below it, where they stand in the tree.
std::vector<GitFetch::Due> GitFetch::dues_of(const Due* parent, const std::string& url,
                                             const std::vector<keeper::Submodule>& modules) const {
  std::vector<Due> all;
  const auto& subdir = claim_.run.workspace.git.subdir;
  const std::string within = parent || subdir.empty() ? std::string() : subdir + "/";
  for (const auto& module : modules) {
    if (!module.path.starts_with(within)) continue;
    const auto path = module.path.substr(within.size());
    all.push_back({.path = parent ? parent->path + "/" + path : path,
                   .parent_url = url,
                   .module = module,
                   .depth = parent ? parent->depth + 1 : 1,
                   .rights = parent ? parent->rights : Rights::own});
  }
  return all;
}

// Blocks. Errors: those of admit_git_url().
Result<std::string> GitFetch::url_of(const Due& due) const {
  const auto forbidden = [](const char* why) {
    return base::fail(Code::invalid, why, "workspace_forbidden");
  };
  AGENTROUTER_TRY(const auto whole, workspace::submodule_url(due.parent_url, due.module.url));
  const bool local = whole.starts_with("file://");
  if (local && !due.parent_url.starts_with("file://"))
    return forbidden("a repository of another machine may not name a folder of this one");
  AGENTROUTER_TRY(auto url, workspace::admit_git_url(whole, context_.config.git.rules));
  const bool own = due.rights == Rights::own && workspace::is_same_git_server(due.parent_url, url);
  if (workspace::ssh_address(url) && !own)
    return forbidden(
        "over ssh it may only be on the server, and of the user, of its parent: others need the server's "
        "key");
  return url;
}

// From here on `due` has the rights of the submodule itself. Errors: denied (workspace_submodule_forbidden),
// unavailable.
base::Task<Result<FetchPlan>> GitFetch::plan_of(Due& due) const {
  const std::string path = base::to_utf8(due.path);
  if (due.module.url.empty()) {
    co_return base::fail(Code::unavailable, "its .gitmodules names no URL for " + path,
                         "workspace_unavailable");
  }
  auto url = co_await context_.pool.run([this, &due] { return url_of(due); });
  if (!url) {
    co_return base::fail(Code::denied, "its submodule " + path + ": " + url.error().message,
                         "workspace_submodule_forbidden");
  }
  if (!workspace::is_same_git_server(due.parent_url, *url)) due.rights = Rights::none;
  model::GitSource source{.url = std::move(*url),
                          .ref = due.module.commit,
                          .depth = claim_.run.workspace.git.depth,
                          .submodules = true,
                          .lfs = claim_.run.workspace.git.lfs};
  auto plan = plan_for(std::move(source), due.rights);
  plan.commit = due.module.commit;
  if (plan.bytes == 0)
    co_return base::fail(Code::unavailable, "it is too large with its submodules", "workspace_too_large");
  if (plan.wall_time == 0ms)
    co_return base::fail(Code::unavailable, "fetching its submodules takes too long", "workspace_timeout");
  co_return plan;
}

Result<base::Fd> GitFetch::launch(const FetchPlan& plan) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return base::fail_errno("cannot make the fetcher's stream", errno);
  base::Fd ours(ends[0]);
  const base::Fd theirs(ends[1]);
  AGENTROUTER_TRY(const base::Fd source, open_source(plan));
  const sandbox::LaunchRequest request{.attempt = {context_.attempts_dir, claim_.attempt.id.str()},
                                       .plan = fetch_sandbox(plan, context_.config),
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

base::Task<Result<GitFetch::Repository>> GitFetch::talk(const FetchPlan& wanted, Cache cache) {
  auto stream = co_await context_.pool.run([this, &wanted] { return launch(wanted); });
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  if (stopped_) co_return stopped_error();
  keeper::LineSocket::Socket socket(context_.needs.executor, asio::local::stream_protocol(),
                                    stream->release());
  lines_.emplace(std::move(socket));
  std::string frame =
      keeper::frame_fetch(wanted, wanted.has_credential ? credential_for(wanted) : std::string());
  auto written = co_await lines_->write(std::move(frame));
  if (!written) co_return tl::unexpected(written.error());
  const auto resolved = co_await next_answer();
  if (!resolved) co_return tl::unexpected(resolved.error());
  if (!resolved->resolved)
    co_return base::fail(Code::unavailable, "the process that fetches said nothing", "workspace_unavailable");
  Repository repository{.at = *resolved->resolved};
  if (cache == Cache::asked)
    repository.cached = co_await context_.pool.run([this, &repository] { return cached(repository.at); });
  if (repository.cached) co_return std::move(repository);
  written = co_await lines_->write("fetch\n");
  if (!written) co_return tl::unexpected(written.error());
  auto fetched = co_await next_answer();
  if (!fetched) co_return tl::unexpected(fetched.error());
  repository.submodules = std::move(fetched->submodules);
  // The file loses its name now, and its bytes when this is closed.
  auto tar = co_await context_.pool.run([this]() -> Result<base::Fd> {
    AGENTROUTER_TRY(const auto folder, AttemptFolder::open(context_.attempts, claim_.attempt.id));
    taken_ += folder.size_of(keeper::fetch_file);
    auto file = folder.file(keeper::fetch_file);
    (void)::unlinkat(folder.fd(), keeper::fetch_file, 0);
    return file;
  });
  if (!tar) co_return tl::unexpected(of_tree(std::move(tar).error()));
  repository.tar = std::move(*tar);
  co_return std::move(repository);
}

base::Task<Result<FetchedTree>> GitFetch::take_tree(std::string name, ResolvedRef at,
                                                    std::vector<TreePart> parts) {
  if (stopped_) co_return stopped_error();
  auto made = co_await context_.pool.run([this, &name, &parts] {
    return context_.needs.trees->make(name, [&](int into) {
      return unpack_parts(*context_.needs.unpacker, parts, into, git_unpack_limits(context_.config.git),
                          claim_.attempt.id.str());
    });
  });
  if (!made) co_return tl::unexpected(of_tree(std::move(made).error()));
  if (auto* const shared = context_.needs.shared_trees; shared != nullptr) {
    // A later turn on another machine makes it of these; without them it fetches the commit again.
    const auto kept = co_await shared->keep(name, runs::KeptTree::Source::git, parts);
    if (!kept) {
      base::log(base::LogLevel::warn, "a tree is not kept for other machines",
                {{"runId", claim_.run.id.str()}, {"cause", kept.error().message}});
    }
  }
  co_return FetchedTree{std::move(*made), std::move(at.commit), std::move(at.branch)};
}

// The fetcher ends when its stream does, and its sandbox with it; one that does not is killed.
base::Task<void> GitFetch::clean_up() {
  if (lines_) lines_->close();
  lines_.reset();
  if (!fetcher_ || abandoned_) co_return;
  co_await context_.pool.run([this] {
    pollfd poll{fetcher_.get(), POLLIN, 0};
    (void)::poll(&poll, 1, static_cast<int>(std::chrono::milliseconds(leave_patience).count()));
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
