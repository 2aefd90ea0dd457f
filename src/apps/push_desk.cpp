#include "apps/push_desk.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "apps/spawn.h"
#include "base/event.h"
#include "base/file.h"
#include "base/id.h"
#include "sandbox/remove_tree.h"
#include "workspace/push_order.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t answer_bytes = 64 * 1024;

constexpr const char* scratch_folder = "push";

// A folder for the commit's objects, removed in the end.
class Scratch {
 public:
  explicit Scratch(const std::filesystem::path& data)
      : parent_(data / scratch_folder), name_(base::new_uuid(base::system_entropy())) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (const auto folder = base::open_directory(parent_)) (void)sandbox::remove_tree(folder->get(), name_);
  }
  [[nodiscard]] base::Result<void> make() const { return base::make_directories(parent_ / name_); }
  [[nodiscard]] std::string path() const { return (parent_ / name_).string(); }

 private:
  std::filesystem::path parent_;
  std::string name_;
};

// Whatever comes until the other end is closed; none when it takes longer.
std::optional<std::string> read_until(int fd, base::Deadline deadline) {
  std::string all;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{fd, POLLIN, 0};
    const int found = left.count() > 0 ? ::poll(&ready, 1, static_cast<int>(left.count())) : 0;
    if (found < 0 && errno == EINTR) continue;
    if (found <= 0) return std::nullopt;
    char buffer[4096];
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || all.size() > answer_bytes) return all;
    all.append(buffer, static_cast<std::size_t>(got));
  }
}

// What the API promises about its codes: nothing without a reason but "not now".
base::Error as_told(const base::Error& error) {
  if (!error.reason.empty()) return error;
  return {Code::unavailable, "The push did not work: " + error.message};
}

}  // namespace

PushDesk::PushDesk(Needs needs, PushConfig config) : needs_(std::move(needs)), config_(std::move(config)) {
  // What a server that was killed has left.
  if (const auto data = base::open_directory(needs_.data_dir)) (void)sandbox::remove_tree(data->get(), scratch_folder);
}

struct PushDesk::Job {
  workspace::PushRequest request;
  worker::FilesPlace place;
};

Result<PushDesk::Job> PushDesk::prepare(store::Reader& reader, const model::RunId& id,
                                        const api::PushBody& body) const {
  auto place = worker::find_files(reader, id);
  if (place && !place->checkpoint) return fail(Code::conflict, "The run is still active", "run_not_ended");
  if (!place && place.error().reason == "run_not_started")
    return fail(Code::conflict, "The run is still active", "run_not_ended");
  if (!place) return tl::unexpected(place.error());
  const auto& workspace = place->run.workspace;
  if (workspace.kind != model::WorkspaceKind::git || workspace.commit.empty())
    return fail(Code::conflict, "The run's workspace was not cloned from a repository", "no_git_workspace");
  if (!is_push_allowed(config_, workspace.git.url, body.branch)) {
    return fail(Code::denied,
                "The configuration does not allow to push " + body.branch + " to " + workspace.git.url +
                    ": add \"" + workspace.git.url + " " + body.branch + "\" to [push] allow",
                "push_forbidden");
  }
  Job job;
  auto& request = job.request;
  request.url = workspace.git.url;
  request.branch = body.branch;
  request.base = workspace.commit;
  request.subdir = workspace.git.subdir;
  request.message = body.message;
  request.author = {config_.author_name, config_.author_email};
  if (body.author) request.author = {body.author->name, body.author->email};
  const auto ended = place->run.completed_at.value_or(base::Time{});
  request.time = std::chrono::duration_cast<std::chrono::seconds>(ended.time_since_epoch()).count();
  if (const auto* credential = credential_for(config_, request.url)) {
    request.user = credential->user;
    request.secret = credential->secret;
  }
  job.place = std::move(*place);
  return job;
}

Result<api::PushAnswer> PushDesk::perform(const Job& job) const {
  AGENTROUTER_TRY(const base::Fd base_tree, worker::open_base_tree(job.place, needs_.data_dir));
  const auto& kept = *job.place.checkpoint;
  const auto blob = needs_.blobs.open(kept.key, kept.sha256);
  if (!blob && blob.error().code == Code::unavailable) return tl::unexpected(blob.error());
  if (!blob) return fail(Code::not_found, "The files that the run left are not there any more", "files_gone");
  const Scratch scratch(needs_.data_dir);
  if (auto made = scratch.make(); !made) return tl::unexpected(made.error());
  AGENTROUTER_TRY(base::FdPair order, base::make_pipe());
  AGENTROUTER_TRY(base::FdPair answer, base::make_pipe());
  AGENTROUTER_TRY(const int pid, start_program(needs_.program, {"agentrouter-git", "push"},
                                               {base_tree.get(), blob->fd.get(), order.first.get(), answer.second.get()}));
  order.first.reset();
  answer.second.reset();
  // Smaller than a pipe.
  const auto written = base::write_all(order.second.get(), workspace::to_json(workspace::PushOrder{job.request, scratch.path()}));
  order.second.reset();
  const auto text = written ? read_until(answer.first.get(), base::after(config_.timeout)) : std::string();
  ::kill(pid, SIGKILL);
  reap(pid);
  if (!text) return fail(Code::timeout, "The push took longer than the configuration allows", "push_timeout");
  AGENTROUTER_TRY(const auto pushed, workspace::parse_pushed(*text));
  return api::PushAnswer{job.request.branch, pushed.commit, job.request.url, pushed.files};
}

base::Task<Result<api::PushAnswer>> PushDesk::push(model::RunId run, api::PushBody body) {
  auto job = co_await needs_.store.read([this, &run, &body](store::Reader& reader) { return prepare(reader, run, body); });
  if (!job) co_return tl::unexpected(job.error());
  const auto& tree = job->place.run.workspace.tree;
  std::shared_ptr<void> hold;  // it is not trimmed meanwhile
  if (needs_.trees != nullptr && !tree.empty()) {
    auto held = co_await needs_.trees->get(tree, run.str());
    if (held) hold = std::move(held->hold);
  }
  auto answer = co_await pool_.run([this, &job] { return perform(*job); });
  if (!answer) co_return tl::unexpected(as_told(answer.error()));
  co_return answer;
}

}  // namespace agentrouter::apps
