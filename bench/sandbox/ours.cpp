#include "sandbox/ours.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <variant>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/box.h"
#include "sandbox/clone.h"
#include "sandbox/init/protocol.h"
#include "sandbox/remove_tree.h"
#include "sandbox/stats.h"

namespace agentrouter::bench {

using namespace agentrouter::sandbox;
using base::value_or_throw;

namespace {

constexpr const char* stamp_inside = "/opt/bench/stamp";
constexpr int patience_ms = 20'000;

// `explain` says what is known about a program that has said nothing.
template <class Explain>
double read_stamp(int fd, Explain explain) {
  pollfd readable{fd, POLLIN, 0};
  timespec time{};
  const int ready = ::poll(&readable, 1, patience_ms);
  const auto got = ready == 1 ? ::read(fd, &time, sizeof time) : 0;
  if (got == sizeof time) return ms_of(time);
  const std::string how = ready == 0 ? "nothing came in time"
                          : ready < 0 || got < 0 ? std::string(std::strerror(errno))
                                                 : "its output ended after " + std::to_string(got) + " bytes";
  throw std::runtime_error("the program inside did not start: " + how + "; " + explain());
}

// What init has told its keeper so far.
std::string said_by_init(int control) {
  std::string said = "init:";
  for (pollfd readable{control, POLLIN, 0}; ::poll(&readable, 1, 100) == 1;) {
    const auto message = base::receive_message(control, sizeof(init::Reply));
    init::Reply reply{};
    if (!message || message->bytes.size() != sizeof reply) return said + " has ended";
    std::memcpy(&reply, message->bytes.data(), sizeof reply);
    reply.stage[sizeof reply.stage - 1] = 0;
    said += " [reply " + std::to_string(reply.type) + ", value " + std::to_string(reply.value) + ", error " +
            std::to_string(reply.error) + " " + reply.stage + "]";
  }
  return said + " lives";
}

void ask_init_to_start(int control, int input, int output) {
  init::Request request{};
  request.type = init::request_spawn;
  request.id = 1;
  request.argc = 2;
  std::string bytes(reinterpret_cast<const char*>(&request), sizeof request);
  for (const char* text : {"/", stamp_inside, "hold"}) bytes.append(text, std::strlen(text) + 1);
  const std::array fds{input, output, output};
  value_or_throw(base::send_message(control, bytes, fds));
}

}  // namespace

Held::~Held() {
  if (!init_.process.pidfd) return;
  input_.reset();
  {
    const RunningInit ending = std::move(init_);
  }
  groups_.reset();
  (void)remove_tree(attempt_.attempts, attempt_.id);
}

Ours::Ours(std::filesystem::path folder, const std::filesystem::path& stamp) : folder_(std::move(folder)) {
  programs_ = folder_ / "programs";
  std::filesystem::create_directories(programs_);
  std::filesystem::create_directories(folder_ / "attempts");
  std::filesystem::copy_file(stamp, programs_ / "stamp");
  attempts_ = value_or_throw(base::open_directory(folder_ / "attempts"));
}

Ours::~Ours() {
  attempts_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Ours::Attempt Ours::prepare() {
  Attempt attempt;
  attempt.request.attempt = {attempts_.get(), "attempt_" + base::new_uuid(base::system_entropy())};
  if (::mkdirat(attempts_.get(), attempt.request.attempt.id.c_str(), 0700) != 0)
    base::throw_errno("cannot make the attempt's folder", errno);
  attempt.request.plan = curated_plan();
  attempt.request.plan.binds.push_back({programs_, "/opt/bench"});
  attempt.request.keeper_argv = {"sandbox_bench"};
  attempt.request.slot = next_slot_++ % UidRange::slots;
  return attempt;
}

void Ours::make_ready(const Attempt& attempt) {
  const auto encoded = value_or_throw(encode(attempt.request));
  value_or_throw(pool_.make(
      value_or_throw(check(*reinterpret_cast<const LaunchRecord*>(encoded.bytes.data()), encoded.fds))));
}

void Ours::build(const CheckedLaunch& launch, int folder, Groups groups, Held& held) {
  CgroupSite site;
  if (groups == Groups::limits) {
    site = find_cgroup_site();
    if (!site.unified.empty() || !site.v1.empty())
      held.groups_.emplace(value_or_throw(CgroupSet::make(site, cgroup_label(held.attempt_), {})));
  }
  held.init_ = value_or_throw(start_init(launch, folder, held.groups_ ? &*held.groups_ : nullptr, site.mode));
}

Held Ours::start(const Attempt& attempt, Groups groups) {
  Held held;
  held.attempt_ = attempt.request.attempt;
  const auto encoded = value_or_throw(encode(attempt.request));
  const auto checked =
      value_or_throw(check(*reinterpret_cast<const LaunchRecord*>(encoded.bytes.data()), encoded.fds));
  const auto folder = value_or_throw(open_attempt(held.attempt_));
  if (groups == Groups::warm) {
    auto launch = checked;
    auto box = pool_.take(launch);
    if (!box) throw std::runtime_error("no box was ready");
    value_or_throw(claim(*box, launch, folder.get()));
    held.ids_.emplace(std::move(box->ids));
    if (box->cgroups) held.groups_.emplace(std::move(*box->cgroups));
    held.init_ = std::move(box->init);
  } else {
    build(checked, folder.get(), groups, held);
  }
  held.ready_ms = now_ms();

  auto input = value_or_throw(base::make_pipe());
  auto output = value_or_throw(base::make_pipe());
  ask_init_to_start(held.init_.control.get(), input.first.get(), output.second.get());
  output.second.reset();
  held.input_ = std::move(input.second);
  held.started_ms = read_stamp(output.first.get(), [&] { return said_by_init(held.init_.control.get()); });
  return held;
}

double Ours::launch(Attempt attempt, const std::vector<std::string>& keeper) {
  auto pipe = value_or_throw(base::make_pipe());
  attempt.request.plan_pipe = pipe.second.get();
  attempt.request.keeper_argv = keeper;
  const auto launched = value_or_throw(launcher_.launch(attempt.request));
  pipe.second.reset();
  const double started = read_stamp(pipe.first.get(), [&] {
    (void)wait_for_end(launched.keeper.get(), patience_ms);
    const auto log = folder_ / "attempts" / attempt.request.attempt.id / "keeper.log";
    return "its keeper: " + base::read_file(log).value_or("no log");
  });
  (void)wait_for_end(launched.keeper.get(), patience_ms);
  value_or_throw(release_whole(launcher_, attempt.request.attempt, Remove::all));
  return started;
}

// The plan's descriptor is a pipe that the program inside writes to.
int keep_for_launch() {
  auto box = value_or_throw(Box::adopt());
  const auto out = box.take_plan_pipe();
  Spawn spawn;
  spawn.argv = {stamp_inside};
  spawn.cwd = "/";
  spawn.stdio = {-1, out.get(), -1};
  value_or_throw(box.spawn(spawn));
  // It has begun when init answers, and may not have come as far as its first instruction.
  for (;;) {
    const auto notice = value_or_throw(box.read_notice());
    if (notice && (std::holds_alternative<Exited>(*notice) || std::holds_alternative<Gone>(*notice))) break;
    pollfd readable{box.control_fd(), POLLIN, 0};
    if (!notice && ::poll(&readable, 1, patience_ms) != 1) break;
  }
  value_or_throw(box.destroy());
  return 0;
}

}  // namespace agentrouter::bench
