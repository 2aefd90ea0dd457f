#include "apps/takeover_request.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::chrono::seconds answer_time{5};
// The owner's worker comes to its end, then its requests.
constexpr std::chrono::seconds handover_time{20};
constexpr std::chrono::seconds end_time{10};
// One that has died is gone by then; one that goes on, because it was told to reload at the same moment,
// serves again.
constexpr std::chrono::milliseconds drop_time{1000};

// Empty when nobody listens there.
Result<base::Fd> connect_to_owner(const std::filesystem::path& data) {
  AGENTROUTER_TRY(const auto folder, base::open_directory(data));
  const auto path = base::path_through_fd(folder.get(), takeover::socket_name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return base::fail_errno("cannot open a socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED) return base::Fd();
  return base::fail_errno("cannot reach the server of " + data.string(), errno);
}

Result<std::vector<ListeningSocket>> sockets_of(const takeover::Welcome& welcome, std::vector<base::Fd> fds) {
  if (fds.size() != welcome.activated.size())
    return fail(Code::invalid, "the owner's sockets are not those that it told of");
  std::vector<ListeningSocket> sockets;
  for (std::size_t i = 0; i < fds.size(); ++i) {
    AGENTROUTER_TRY(auto address, net::listener_address(fds[i].get()));
    sockets.push_back({std::move(fds[i]), std::move(address), welcome.activated[i]});
  }
  return sockets;
}

tl::unexpected<base::Error> other_protocol(int theirs) {
  return fail(Code::unsupported,
              "cannot take over: the running server hands over by protocol " + std::to_string(theirs) +
                  ", this one by " + std::to_string(takeover::protocol) + "; stop it (SIGTERM) and start this one",
              "takeover_protocol");
}

tl::unexpected<base::Error> refusal(const takeover::Refused& refused) {
  if (refused.protocol != takeover::protocol) return other_protocol(refused.protocol);
  const auto code = refused.code == "takeover_in_progress" ? Code::conflict : Code::denied;
  return fail(code, "cannot take over: " + refused.message, refused.code);
}

}  // namespace

Result<std::unique_ptr<TakeoverRequest>> TakeoverRequest::to(const std::filesystem::path& data) {
  AGENTROUTER_TRY(auto channel, connect_to_owner(data));
  if (!channel) return std::unique_ptr<TakeoverRequest>();
  auto owner = takeover::peer_of(channel.get());
  if (!owner) return std::unique_ptr<TakeoverRequest>();
  if (!takeover::admits(owner->uid, ::geteuid())) {
    return fail(Code::denied,
                "cannot take over: the server of " + data.string() + " runs as user " + std::to_string(owner->uid) +
                    ": start this one as that user",
                "takeover_denied");
  }
  const auto until = base::after(answer_time);
  auto answer = takeover::send(channel.get(), takeover::Hello{}).and_then([&] {
    return takeover::receive(channel.get(), until);
  });
  const auto* refused = answer ? std::get_if<takeover::Refused>(&answer->message) : nullptr;
  if (refused != nullptr && refused->code != "server_stopping") return refusal(*refused);
  if (refused != nullptr || (!answer && answer.error().code == Code::unavailable)) {
    if (!takeover::wait_for_end(*owner, base::after(end_time)))
      return fail(Code::timeout, "cannot take over: the server of " + data.string() + " stops, but does not end");
    return std::unique_ptr<TakeoverRequest>();
  }
  if (!answer) return fail(answer.error().code, "cannot take over: " + answer.error().message);
  const auto* welcome = std::get_if<takeover::Welcome>(&answer->message);
  if (welcome == nullptr) return fail(Code::invalid, "cannot take over: the running server does not say welcome");
  if (welcome->protocol != takeover::protocol) return other_protocol(welcome->protocol);
  AGENTROUTER_TRY(auto sockets, sockets_of(*welcome, std::move(answer->fds)));
  return std::make_unique<TakeoverRequest>(std::move(channel), std::move(*owner), std::move(sockets));
}

Result<TakeoverRequest::Given> TakeoverRequest::go() {
  const auto until = base::after(handover_time);
  Given given;
  auto said = takeover::send(channel_.get(), takeover::Go{});
  for (;;) {
    auto got = said.and_then([&] { return takeover::receive(channel_.get(), until); });
    if (!got && got.error().code == Code::unavailable) {
      if (takeover::wait_for_end(owner_, base::after(drop_time))) {
        base::log(base::LogLevel::warn, "the server that was to hand over has died", {{"pid", owner_.pid}});
        return given;
      }
      return fail(Code::unavailable, "cannot take over: the running server goes on", "takeover_dropped");
    }
    if (!got) return fail(got.error().code, "cannot take over: " + got.error().message);
    if (std::holds_alternative<takeover::Connections>(got->message)) {
      for (auto& fd : got->fds) given.connections.push_back(std::move(fd));
    } else if (std::holds_alternative<takeover::Yours>(got->message) && got->fds.size() == 1) {
      given.lock = std::move(got->fds.front());
      return given;
    } else {
      return fail(Code::invalid, "cannot take over: the running server says something else");
    }
  }
}

void TakeoverRequest::say_ready() {
  if (const auto said = takeover::send(channel_.get(), takeover::Ready{}); !said)
    base::log(base::LogLevel::debug, "nobody waits for this server", {{"cause", said.error().message}});
}

}  // namespace agentrouter::apps
