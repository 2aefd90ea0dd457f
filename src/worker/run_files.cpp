#include "worker/run_files.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>

#include "runs/queries.h"
#include "worker/attempt_folder.h"
#include "worker/run_logs.h"

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;
using base::Code;
using base::fail;
using base::Result;
using Answer = Result<std::unique_ptr<workspace::FileAnswer>>;

constexpr auto keeper_patience = 5s;  // for its first words

tl::unexpected<base::Error> not_now(const std::string& why) {
  return fail(Code::unavailable, "The files of the run cannot be read now: " + why);
}

// Reads past what the keeper says about its journal.
base::Task<Result<void>> wait_for_begin(keeper::LineSocket& socket) {
  base::Timer timer(co_await base::this_executor, base::after(keeper_patience));
  auto waiting = std::make_shared<bool>(true);
  timer.async_wait([&socket, waiting](boost::system::error_code error) {
    if (!error && *waiting) socket.close();
  });
  std::optional<keeper::FilesBegin> begin;
  bool greeted = false;
  while (!begin) {
    const auto line = co_await socket.read_line();
    if (!line) break;
    const auto message = keeper::parse_keeper_message(*line);
    if (!message) break;
    if (const auto* hello = std::get_if<keeper::Hello>(&*message))
      greeted = keeper::common_protocol(*hello).has_value();
    if (!greeted) break;
    if (const auto* found = std::get_if<keeper::FilesBegin>(&*message)) begin = *found;
  }
  *waiting = false;
  if (!begin) co_return not_now("its keeper does not answer");
  if (!begin->refused.empty()) co_return not_now(begin->refused);
  co_return Result<void>{};
}

Result<base::FdPair> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return base::fail_errno("cannot make a stream for files", errno);
  return base::FdPair{base::Fd(ends[0]), base::Fd(ends[1])};
}

Answer as_told(Answer answer) {
  if (answer || !answer.error().reason.empty()) return answer;
  if (answer.error().code == Code::corrupt)
    return fail(Code::not_found, "The files that the run left cannot be read: " + answer.error().message, "files_gone");
  return fail(Code::unavailable, answer.error().message);
}

}  // namespace

RunFiles::~RunFiles() {
  for (const auto pid : ending_) ::waitpid(pid, nullptr, 0);
}

Result<base::Fd> open_base_tree(const FilesPlace& place, const std::filesystem::path& data_dir) {
  const auto& tree = place.run.workspace.tree;
  const std::string path = tree.empty() ? place.attempt.lower_path : (data_dir / "trees" / tree / "tree").string();
  if (path.empty()) return base::Fd();
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(Code::not_found, "What the run worked on is not there any more", "files_gone");
  return fd;
}

Result<FilesPlace> find_files(store::Reader& reader, const model::RunId& id) {
  FilesPlace place;
  AGENTROUTER_TRY(place.run, runs::find_run(reader, id));
  auto attempt = reader.latest_attempt(id);
  if (attempt) place.attempt = std::move(*attempt);
  if (!model::is_terminal(place.run.status)) {
    if (!attempt) return fail(Code::conflict, "The run has not begun", "run_not_started");
    return place;
  }
  bool doomed = false;
  for (auto& checkpoint : reader.checkpoints(place.run.conversation_id)) {
    if (checkpoint.run_id != id) continue;
    doomed = checkpoint.doomed;
    if (!doomed) place.checkpoint = std::move(checkpoint);
  }
  if (place.checkpoint) return place;
  const auto conversation = reader.conversation(place.run.conversation_id);
  if (doomed || (conversation && conversation->reclaimed))
    return fail(Code::not_found, "The conversation is over and its files were thrown away", "files_gone");
  return fail(Code::not_found,
              "The run has ended and left no files: its agent was never started, or they could not be kept",
              "files_not_kept");
}

base::Task<Answer> RunFiles::ask(model::RunId run, workspace::FileRequest request) {
  auto answer = co_await look(std::move(run), workspace::to_json(request), false);
  co_return as_told(std::move(answer));
}

base::Task<Answer> RunFiles::ask_here(model::RunId run, std::string request) {
  auto answer = co_await look(std::move(run), std::move(request), true);
  co_return as_told(std::move(answer));
}

base::Task<Answer> RunFiles::look_at_log(model::RunId run, workspace::FileRequest request, bool here_only) {
  auto place = co_await needs_.store.read(
      [&run, &request](store::Reader& reader) { return find_log(reader, run, request.path); });
  if (!place) co_return tl::unexpected(place.error());
  const bool is_here = !place->attempt || place->attempt->host.empty() || place->attempt->host == needs_.host;
  if (needs_.elsewhere && !is_here) {
    if (here_only) co_return not_now("they are on another machine");
    co_return co_await needs_.elsewhere(place->attempt->host, run, workspace::to_json(request));
  }
  co_return co_await open_log({needs_.blobs, needs_.pool, needs_.data_dir / "attempts"}, std::move(*place),
                              std::move(request));
}

base::Task<Answer> RunFiles::look(model::RunId run, std::string request, bool here_only) {
  AGENTROUTER_CO_TRY(auto asked, workspace::parse_file_request(request));
  if (asked.what == workspace::FileRequest::What::log)
    co_return co_await look_at_log(std::move(run), std::move(asked), here_only);
  auto place = co_await needs_.store.read([&run](store::Reader& reader) { return find_files(reader, run); });
  if (!place) co_return tl::unexpected(place.error());
  // Of a run that has ended, the state and a tree are to be had anywhere; a folder of its machine is not.
  const bool anywhere = place->checkpoint && (place->attempt.lower_path.empty() || !place->run.workspace.tree.empty());
  const bool is_here = place->attempt.host.empty() || place->attempt.host == needs_.host;
  if (needs_.elsewhere && !anywhere && !is_here) {
    if (here_only) co_return not_now("they are on another machine");
    co_return co_await needs_.elsewhere(place->attempt.host, run, std::move(request));
  }
  if (!place->checkpoint) co_return co_await ask_keeper(std::move(place->attempt), std::move(request));
  co_return co_await look_at_kept(std::move(*place), std::move(request),
                                  needs_.elsewhere && !here_only && !is_here);
}

base::Task<Answer> RunFiles::look_at_kept(FilesPlace place, std::string request, bool may_ask_elsewhere) {
  auto reader = readers_.take(place.run.workspace_id);
  if (!reader) co_return not_now("too many requests at once");
  if (may_ask_elsewhere && !co_await has_base(place)) {
    reader.reset();
    co_return co_await needs_.elsewhere(place.attempt.host, place.run.id, std::move(request));
  }
  co_return co_await ask_reader(std::move(place), std::move(request), std::move(*reader));
}

// False when only the machine of the run may have the tree: the blobs were away when it was to be kept there.
base::Task<bool> RunFiles::has_base(const FilesPlace& place) {
  const auto& tree = place.run.workspace.tree;
  if (needs_.trees == nullptr || tree.empty()) co_return true;
  const auto held = co_await needs_.trees->get(tree, place.run.id.str());
  co_return held || held.error().code == Code::unavailable;
}

base::Task<Result<base::Fd>> RunFiles::open_base(const FilesPlace& place) {
  const auto& tree = place.run.workspace.tree;
  if (needs_.trees != nullptr && !tree.empty()) {
    auto held = co_await needs_.trees->get(tree, place.run.id.str());
    if (!held && held.error().code == Code::unavailable) co_return tl::unexpected(held.error());
  }
  co_return open_base_tree(place, needs_.data_dir);
}

base::Task<Answer> RunFiles::ask_keeper(store::Attempt attempt, std::string request) {
  const auto folder = AttemptFolder::open(needs_.data_dir / "attempts", attempt.id);
  if (!folder) co_return not_now("its sandbox is being made");
  auto socket = keeper::connect_to_keeper(needs_.executor, folder->fd());
  if (!socket) co_return not_now("its sandbox is being made or taken apart");
  const auto hello = keeper::to_line(keeper::ServerMessage(keeper::LeaseMessage{attempt.token}));
  const auto asked = keeper::to_line(keeper::ServerMessage(keeper::FilesMessage{std::move(request)}));
  const auto written = co_await socket->write(hello + asked);
  if (!written) co_return not_now("its keeper does not answer");
  const auto begun = co_await wait_for_begin(*socket);
  if (!begun) co_return tl::unexpected(begun.error());
  auto answer = co_await FramedAnswer::open(std::move(*socket), needs_.patience, {});
  if (!answer && answer.error().code == Code::corrupt) co_return not_now(answer.error().message);
  co_return answer;
}

base::Task<Answer> RunFiles::ask_reader(FilesPlace place, std::string request, base::Shares::Place reader) {
  reap();
  auto base_tree = co_await open_base(place);
  if (!base_tree) co_return tl::unexpected(base_tree.error());
  const auto& kept = *place.checkpoint;
  auto blob = co_await needs_.pool.run([this, &kept] { return needs_.blobs.open(kept.key, kept.sha256); });
  if (!blob && blob.error().code == Code::unavailable) co_return tl::unexpected(blob.error());
  if (!blob) co_return fail(Code::not_found, "The files that the run left are not there any more", "files_gone");
  AGENTROUTER_CO_TRY(auto ends, make_socket_pair());
  AGENTROUTER_CO_TRY(const pid_t pid, needs_.start_reader(base_tree->get(), blob->fd.get(), ends.second.get(), request));
  ends.second.reset();
  keeper::LineSocket::Socket socket(needs_.executor, asio::local::stream_protocol(), ends.first.release());
  const auto held = std::make_shared<base::Shares::Place>(std::move(reader));
  co_return co_await FramedAnswer::open(keeper::LineSocket(std::move(socket)), needs_.patience,
                                        [this, pid, held] { end_reader(pid); });
}

void RunFiles::end_reader(pid_t pid) {
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  ending_.push_back(pid);
  reap();
}

void RunFiles::reap() {
  std::erase_if(ending_, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

}  // namespace agentrouter::worker
