#include "apps/inherited_sockets.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "base/event.h"

namespace agentrouter::apps {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr int first_fd = 3;
constexpr int most_sockets = 16;

std::vector<std::string> split_names(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream words(text);
  for (std::string name; std::getline(words, name, ':');) names.push_back(name);
  return names;
}

Result<ListeningSocket> activated_socket(int fd, const std::string& name) {
  const auto which = "socket activation: descriptor " + std::to_string(fd) + (name.empty() ? "" : " (" + name + ")");
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0 || ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0)
    return fail(Code::invalid, which + " is not open, though LISTEN_FDS counts it");
  auto address = net::listener_address(fd);
  if (!address)
    return fail(Code::invalid, which + " is no stream socket that listens: want ListenStream= and Accept=no");
  return ListeningSocket{base::Fd(fd), std::move(*address), true};
}

}  // namespace

Result<std::vector<ListeningSocket>> activated_sockets(const Environment& environment, pid_t self) {
  const auto pid = environment.get("LISTEN_PID");
  const auto count = environment.get("LISTEN_FDS");
  std::vector<ListeningSocket> sockets;
  if (!pid || !count || *pid != std::to_string(self)) return sockets;
  AGENTROUTER_TRY(const auto number, parse_number(*count, "LISTEN_FDS", 0, most_sockets));
  const auto names = split_names(environment.get("LISTEN_FDNAMES").value_or(""));
  if (!names.empty() && static_cast<long long>(names.size()) != number) {
    return fail(Code::invalid, "LISTEN_FDNAMES has " + std::to_string(names.size()) + " names for " + *count +
                                   " descriptors: want as many as LISTEN_FDS says");
  }
  for (int i = 0; i < number; ++i) {
    const auto place = static_cast<std::size_t>(i);
    AGENTROUTER_TRY(auto socket, activated_socket(first_fd + i, place < names.size() ? names[place] : ""));
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

AddressWait wait_for_address() {
  return [deadline = base::after(std::chrono::seconds(2))] {
    constexpr int try_again_ms = 20;
    ::poll(nullptr, 0, try_again_ms);
    return !base::passed(deadline);
  };
}

Result<SocketChoice> choose_sockets(const Config& config, std::vector<ListeningSocket>& activated,
                                    std::vector<ListeningSocket>& passed, const AddressWait& wait) {
  const auto fits = [&](const ListeningSocket& socket) {
    return activated.empty() &&
           (socket.activated || net::listens_at(socket.address, config.listen_host, config.listen_port));
  };
  SocketChoice choice;
  if (activated.empty() && std::ranges::none_of(passed, fits)) {
    auto opened = net::open_listener(config.listen_host, config.listen_port);
    while (!opened && opened.error().code == Code::conflict && passed.empty() && wait())
      opened = net::open_listener(config.listen_host, config.listen_port);
    AGENTROUTER_TRY(auto fd, std::move(opened));
    AGENTROUTER_TRY(auto address, net::listener_address(fd.get()));
    choice.serve.push_back({std::move(fd), std::move(address), false});
  }
  for (auto& socket : passed) (fits(socket) ? choice.serve : choice.retire).push_back(std::move(socket));
  for (auto& socket : activated) choice.serve.push_back(std::move(socket));
  return choice;
}

std::string url_of(const Config& config, const ListeningSocket& socket) {
  if (socket.address.unix_socket) return "unix:" + socket.address.host;
  auto address = socket.address;
  if (!socket.activated) {
    address.host = config.listen_host;
  } else if (address.any_host()) {
    address.host = address.host == "::" ? "::1" : "127.0.0.1";
  }
  return "http://" + address.name();
}

}  // namespace agentrouter::apps
