#include "apps/takeover_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace agentrouter::apps::takeover {

using base::Code;
using base::fail;

namespace {

constexpr timeval longest_send{5, 0};

bool readable_before(int fd, base::Deadline deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - base::SteadyClock::now()).count();
    pollfd source{fd, POLLIN, 0};
    const int ready = ::poll(&source, 1, static_cast<int>(std::clamp<long long>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 60'000) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

base::Result<void> send(int socket, const Message& message, std::span<const int> fds) {
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &longest_send, sizeof longest_send);
  if (auto sent = base::send_message(socket, to_text(message), fds); !sent)
    return fail(Code::unavailable, "the other server is gone: " + sent.error().message);
  return {};
}

base::Result<Received> receive(int socket, base::Deadline deadline) {
  if (!readable_before(socket, deadline)) return fail(Code::timeout, "the other server says nothing");
  auto got = base::receive_message(socket, message_bytes);
  if (!got && got.error().code != Code::exhausted)
    return fail(Code::unavailable, "the other server is gone: " + got.error().message);
  if (!got) return tl::unexpected(std::move(got).error());
  if (got->bytes.empty()) return fail(Code::unavailable, "the other server is gone");
  AGENTROUTER_TRY(auto message, parse(got->bytes));
  return Received{std::move(message), std::move(got->fds)};
}

base::Result<Peer> peer_of(int socket) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
    return base::fail_errno("cannot see who takes over", errno);
  Peer peer{who.pid, who.uid, base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, who.pid, 0)))};
  if (!peer.process) return base::fail(Code::unavailable, "the other server is gone");
  return peer;
}

bool wait_for_end(const Peer& peer, base::Deadline deadline) {
  return readable_before(peer.process.get(), deadline);
}

}  // namespace agentrouter::apps::takeover
