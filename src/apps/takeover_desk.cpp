#include "apps/takeover_desk.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <cerrno>

#include "base/file.h"
#include "base/log.h"

namespace agentrouter::apps {

namespace {

constexpr std::chrono::seconds hello_time{5};
constexpr std::chrono::seconds go_time{10};
constexpr std::chrono::milliseconds after_failed_accept{100};
constexpr int waiting_peers = 16;
constexpr std::size_t peers_at_once = 16;

}  // namespace

base::Result<void> TakeoverDesk::open(const std::filesystem::path& data, const std::vector<ListeningSocket>& sockets,
                                      std::function<void(Successor)> taken) {
  AGENTROUTER_TRY(const auto folder, base::open_directory(data));
  const auto path = base::path_through_fd(folder.get(), takeover::socket_name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlinkat(folder.get(), takeover::socket_name, 0);
  base::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Nobody can connect before listen(), so nobody does before the mode is right.
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::fchmodat(folder.get(), takeover::socket_name, 0600, 0) != 0 || ::listen(fd.get(), waiting_peers) != 0) {
    return base::fail_errno("cannot listen on " + (data / takeover::socket_name).string(), errno);
  }
  for (const auto& socket : sockets) {
    if (sockets_.size() == takeover::fds_of_message) break;
    sockets_.emplace_back(::fcntl(socket.fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!sockets_.back()) return base::fail_errno("cannot keep a listening socket", errno);
    welcome_.activated.push_back(socket.activated);
  }
  taken_ = std::move(taken);
  listener_.assign(fd.release());
  scope_.spawn(accept());
  return {};
}

base::Task<void> TakeoverDesk::stop() {
  boost::system::error_code ignored;
  listener_.close(ignored);
  co_await scope_.cancel_and_join();
  sockets_.clear();
}

base::Task<void> TakeoverDesk::accept() {
  for (;;) {
    boost::system::error_code error;
    co_await listener_.async_wait(Socket::wait_read, asio::redirect_error(base::use_task, error));
    if (error) co_return;
    base::Fd socket(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket && scope_.size() <= peers_at_once) {
      scope_.spawn(serve(std::move(socket)));
    } else if (!socket && errno != EAGAIN && errno != EINTR) {
      co_await base::sleep_for(after_failed_accept);
    }
  }
}

base::Task<std::optional<takeover::Received>> TakeoverDesk::receive(Socket& socket, std::chrono::milliseconds most) {
  base::Timer timer(executor_);
  // Cancelled with the timer: it does not outlive this call, and the loop runs one handler at a time.
  auto open = std::make_shared<bool>(true);
  timer.expires_after(most);
  timer.async_wait([&socket, open](boost::system::error_code error) {
    boost::system::error_code ignored;
    if (!error && *open) socket.cancel(ignored);
  });
  boost::system::error_code error;
  co_await socket.async_wait(Socket::wait_read, asio::redirect_error(base::use_task, error));
  *open = false;
  if (error) co_return std::nullopt;
  auto got = takeover::receive(socket.native_handle(), base::SteadyClock::now());
  if (!got) co_return std::nullopt;
  co_return std::optional(std::move(*got));
}

std::optional<takeover::Refused> TakeoverDesk::objection(const takeover::Peer& peer,
                                                         const takeover::Message& message) const {
  const auto* hello = std::get_if<takeover::Hello>(&message);
  if (hello == nullptr) return takeover::Refused{"takeover_protocol", "the first message is no hello"};
  if (hello->protocol != takeover::protocol) {
    return takeover::Refused{"takeover_protocol", "the running server hands over by protocol " +
                                                      std::to_string(takeover::protocol) + ", not " +
                                                      std::to_string(hello->protocol)};
  }
  if (!takeover::admits(peer.uid, ::geteuid()))
    return takeover::Refused{"takeover_denied", "the running server is another user's"};
  if (stopping_) return takeover::Refused{"server_stopping", "the running server is stopping"};
  if (busy_) return takeover::Refused{"takeover_in_progress", "another server is taking over right now"};
  return std::nullopt;
}

base::Task<void> TakeoverDesk::serve(base::Fd fd) {
  auto peer = takeover::peer_of(fd.get());
  Socket socket(executor_, fd.release());
  if (!peer) co_return;
  auto hello = co_await receive(socket, hello_time);
  if (!hello) co_return;
  if (const auto refused = objection(*peer, hello->message)) {
    base::log(base::LogLevel::warn, "a takeover was refused",
              {{"code", refused->code}, {"pid", peer->pid}, {"uid", static_cast<long long>(peer->uid)}});
    (void)takeover::send(socket.native_handle(), *refused);
    co_return;
  }
  busy_ = true;
  std::vector<int> fds;
  for (const auto& one : sockets_) fds.push_back(one.get());
  std::optional<takeover::Received> go;
  if (takeover::send(socket.native_handle(), welcome_, fds)) go = co_await receive(socket, go_time);
  if (!go || !std::holds_alternative<takeover::Go>(go->message) || stopping_) {
    busy_ = false;
    co_return;
  }
  base::log(base::LogLevel::info, "another server takes over", {{"pid", peer->pid}});
  taken_(Successor(base::Fd(socket.release()), std::move(*peer)));
}

}  // namespace agentrouter::apps
