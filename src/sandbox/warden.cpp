#include "sandbox/warden.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/log.h"
#include "sandbox/warm.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Fd;
using base::Result;

enum Operation : std::uint32_t { op_launch = 1, op_release = 2, op_sweep = 3 };

constexpr std::uint32_t protocol_version = 4;
constexpr unsigned max_fds = init::max_sources + 1;
constexpr unsigned max_live = 256;
constexpr int client_patience_ms = 120'000;

struct WardenRequest {
  std::uint32_t version;
  std::uint32_t operation;
  std::uint32_t remove;  // Remove
  std::uint32_t reserved;
  LaunchRecord launch;  // of a release only the attempt's id
};

struct WardenReply {
  std::uint32_t version;
  std::uint32_t failed;
  std::uint32_t code;  // base::Code
  std::uint32_t limits;
  std::int32_t keeper_pid;
  std::uint32_t cgroups_removed;
  std::uint32_t processes_killed;
  std::uint32_t live_count;
  std::uint32_t warm;
  char message[480];
  char reason[64];
  char live[max_live][max_attempt_id];
};

// As base::send_message, for more descriptors.
Result<void> send_record(int socket, const void* bytes, std::size_t size, const std::vector<int>& fds) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return base::fail_errno("cannot send to the warden", errno);
  }
  return {};
}

// Returns the size; 0 when the other end is closed. A message that was cut has size 0 as well.
Result<std::size_t> receive_record(int socket, void* bytes, std::size_t size, std::vector<Fd>& fds) {
  iovec part{bytes, size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  while ((got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return base::fail_errno("cannot receive", errno);
  }
  for (auto* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    return base::fail(Code::invalid, "cannot receive: too long");
  return static_cast<std::size_t>(got);
}

void put_text(char* to, std::size_t size, std::string_view text) {
  const auto count = std::min(size - 1, text.size());
  std::memcpy(to, text.data(), count);
  to[count] = 0;
}

void put_error(WardenReply& reply, const base::Error& error) {
  reply.failed = 1;
  reply.code = static_cast<std::uint32_t>(error.code);
  put_text(reply.message, sizeof reply.message, error.message);
  put_text(reply.reason, sizeof reply.reason, error.reason);
}

Fd serve_launch(const WardenRequest& request, const std::vector<int>& fds, WarmPool& pool, WardenReply& reply) {
  auto checked = check(request.launch, fds);
  if (!checked) {
    put_error(reply, checked.error());
    return {};
  }
  auto pair = launch_checked(*checked, {}, &pool);
  if (!pair) {
    put_error(reply, pair.error());
    return {};
  }
  reply.limits = static_cast<std::uint32_t>(pair->limits);
  reply.keeper_pid = pair->keeper.pid;
  reply.warm = pair->warm ? 1 : 0;
  return std::move(pair->keeper.pidfd);
}

Result<AttemptRef> attempt_of(const WardenRequest& request, const std::vector<int>& fds) {
  if (fds.size() != 1 || std::memchr(request.launch.attempt_id, 0, max_attempt_id) == nullptr) {
    return base::fail(Code::invalid, "cannot release: bad request");
  }
  return AttemptRef{fds[0], request.launch.attempt_id};
}

void serve_release(const WardenRequest& request, const std::vector<int>& fds, WardenReply& reply) {
  auto attempt = attempt_of(request, fds);
  if (!attempt) return put_error(reply, attempt.error());
  if (request.remove > static_cast<std::uint32_t>(Remove::all))
    return put_error(reply, {Code::invalid, "cannot release: bad request"});
  auto done = release_attempt(*attempt, static_cast<Remove>(request.remove));
  if (!done) put_error(reply, done.error());
}

void serve_sweep(const std::vector<int>& fds, WardenReply& reply) {
  if (fds.size() != 1) return put_error(reply, {Code::invalid, "cannot sweep: bad request"});
  auto report = sweep_attempts(fds[0]);
  if (!report) return put_error(reply, report.error());
  reply.cgroups_removed = report->cgroups_removed;
  reply.processes_killed = report->processes_killed;
  for (const auto& id : report->live) {
    if (reply.live_count == max_live) break;
    put_text(reply.live[reply.live_count++], max_attempt_id, id);
  }
}

Fd serve(const WardenRequest& request, const std::vector<int>& fds, WarmPool& pool, WardenReply& reply) {
  if (request.version != protocol_version) {
    put_error(reply, {Code::unsupported, "cannot serve this version of the warden's protocol"});
  } else if (request.operation == op_launch) {
    return serve_launch(request, fds, pool, reply);
  } else if (request.operation == op_release) {
    serve_release(request, fds, reply);
  } else if (request.operation == op_sweep) {
    pool.clear();
    serve_sweep(fds, reply);
  } else {
    put_error(reply, {Code::unsupported, "cannot serve this request"});
  }
  return {};
}

bool has_request(int socket, std::chrono::milliseconds patience) {
  pollfd ready{socket, POLLIN, 0};
  return ::poll(&ready, 1, static_cast<int>(patience.count())) != 0;
}

}  // namespace

Result<void> run_warden(int socket) {
  // Ended children are nobody's business here: callers hold pidfds.
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, nullptr);
  ::prctl(PR_SET_NAME, "warden", 0, 0, 0);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return base::fail_errno("cannot close the warden", errno);
  auto request = std::make_unique<WardenRequest>();
  auto reply = std::make_unique<WardenReply>();
  WarmPool pool;
  bool first = true;
  for (;;) {
    // Boxes are made while nothing is asked for.
    while (pool.wants() && !has_request(socket, WarmPool::quiet)) pool.make_one();
    std::vector<Fd> received;
    auto size = receive_record(socket, request.get(), sizeof(WardenRequest), received);
    if (size && *size == 0) return {};
    *reply = {};
    reply->version = protocol_version;
    Fd answer;
    if (!size || *size != sizeof(WardenRequest)) {
      put_error(*reply, {Code::invalid, "cannot serve a request of that size"});
    } else {
      std::vector<int> fds;
      for (const auto& fd : received) fds.push_back(fd.get());
      // Of a warden before this one that has died.
      if (first && !fds.empty()) remove_warm(fds.front());
      first = false;
      answer = serve(*request, fds, pool, *reply);
    }
    const auto sent = send_record(socket, reply.get(), sizeof(WardenReply),
                                  answer ? std::vector<int>{answer.get()} : std::vector<int>{});
    if (!sent) return {};
  }
}

namespace {

bool is_lost(const base::Error& error) {
  return error.code == Code::unavailable && error.reason == "sandbox_unavailable";
}

struct Answer {
  std::unique_ptr<WardenReply> reply = std::make_unique<WardenReply>();
  std::vector<Fd> fds;
};

Result<Answer> ask(int socket, const WardenRequest& request, const std::vector<int>& fds) {
  const auto unavailable = [](const char* why) {
    return base::fail(Code::unavailable, std::string("cannot reach the warden: ") + why,
                      "sandbox_unavailable");
  };
  if (!send_record(socket, &request, sizeof request, fds)) return unavailable("it has ended");
  pollfd ready{socket, POLLIN, 0};
  int rc = 0;
  while ((rc = ::poll(&ready, 1, client_patience_ms)) < 0 && errno == EINTR) {
  }
  if (rc == 0) {
    // A late answer would be taken for that of the next request.
    ::shutdown(socket, SHUT_RDWR);
    return unavailable("it does not answer");
  }
  Answer answer;
  auto size = receive_record(socket, answer.reply.get(), sizeof(WardenReply), answer.fds);
  if (!size || *size != sizeof(WardenReply)) return unavailable("it has ended");
  const auto& reply = *answer.reply;
  if (reply.failed) return base::fail(static_cast<Code>(reply.code), reply.message, reply.reason);
  return answer;
}

}  // namespace

Result<int> WardenLauncher::reach() {
  pollfd there{socket_.get(), POLLIN, 0};
  const bool ended = ::poll(&there, 1, 0) > 0;  // it never speaks unasked
  if (!ended || !again_) return socket_.get();
  base::log(base::LogLevel::warn, "the warden has ended; another one is started");
  // With its socket the old one has no way to be of use, should it still be there.
  if (process_) {
    (void)send_signal(process_.get(), SIGKILL);
    (void)wait_for_end(process_.get(), 5000);
  }
  AGENTROUTER_TRY(auto started, again_());
  socket_ = std::move(started.socket);
  process_ = std::move(started.process);
  return socket_.get();
}

Result<Launched> WardenLauncher::launch(const LaunchRequest& request) {
  auto encoded = encode(request);
  if (!encoded) {
    encoded.error().reason = "sandbox_unavailable";
    return tl::unexpected(encoded.error());
  }
  auto wire = std::make_unique<WardenRequest>();
  wire->version = protocol_version;
  wire->operation = op_launch;
  std::memcpy(&wire->launch, encoded->bytes.data(), sizeof(LaunchRecord));
  const std::lock_guard lock(mutex_);
  AGENTROUTER_TRY(const int socket, reach());
  auto answer = ask(socket, *wire, encoded->fds);
  if (!answer && is_lost(answer.error())) answer.error().reason = "launcher_lost";
  if (!answer) return tl::unexpected(answer.error());
  if (answer->fds.size() != 1)
    return base::fail(Code::internal, "cannot launch: the warden returned no keeper");
  return Launched{std::move(answer->fds[0]), answer->reply->keeper_pid,
                  static_cast<LimitsMode>(answer->reply->limits), answer->reply->warm != 0};
}

Result<void> WardenLauncher::release(const AttemptRef& attempt, Remove what) {
  if (auto good = check_attempt_id(attempt.id); !good) return good;
  auto wire = std::make_unique<WardenRequest>();
  wire->version = protocol_version;
  wire->operation = op_release;
  wire->remove = static_cast<std::uint32_t>(what);
  put_text(wire->launch.attempt_id, max_attempt_id, attempt.id);
  const std::lock_guard lock(mutex_);
  AGENTROUTER_TRY(int socket, reach());
  auto answer = ask(socket, *wire, {attempt.attempts});
  if (!answer && is_lost(answer.error()) && again_) {
    AGENTROUTER_TRY(socket, reach());
    answer = ask(socket, *wire, {attempt.attempts});
  }
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

Result<SweepReport> WardenLauncher::sweep(int attempts) {
  auto wire = std::make_unique<WardenRequest>();
  wire->version = protocol_version;
  wire->operation = op_sweep;
  const std::lock_guard lock(mutex_);
  AGENTROUTER_TRY(const int socket, reach());
  auto answer = ask(socket, *wire, {attempts});
  if (!answer) return tl::unexpected(answer.error());
  SweepReport report;
  report.cgroups_removed = answer->reply->cgroups_removed;
  report.processes_killed = answer->reply->processes_killed;
  for (std::uint32_t i = 0; i < std::min(answer->reply->live_count, max_live); ++i) {
    report.live.emplace_back(answer->reply->live[i]);
  }
  return report;
}

}  // namespace agentrouter::sandbox
