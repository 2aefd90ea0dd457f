// The way out to other hosts, seen from inside and from the end that is served outside.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include "sandbox/spec.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using testing::HasSubstr;

constexpr const char* connect_python = R"(python3 -c '
import socket, sys
for where in sys.argv[1:]:
  host, port = where.rsplit("/", 1)
  kind = socket.AF_INET6 if ":" in host else socket.AF_INET
  s = socket.socket(kind)
  s.settimeout(5)
  try:
    s.connect((host, int(port)))
    print("connected")
  except OSError as e:
    print(e.strerror)
' )";

std::string name_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(address.sin_port));
}

struct WayOut : testing::Test {
  rig::Rig rig;

  void launch(std::vector<std::uint16_t> ports) {
    let_out(rig.plan, std::move(ports));
    auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  std::string out(const std::string& script) {
    const auto ran = rig.run(script);
    return ran.error.empty() ? ran.output : ran.error;
  }
  std::string connects(const std::string& where) { return out(connect_python + where); }
  // What the next connection was made to.
  static std::string next(const base::Fd& listener) {
    pollfd ready{listener.get(), POLLIN, 0};
    if (::poll(&ready, 1, 20'000) != 1) return "nobody";
    const base::Fd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return name_of(connection.get());
  }
};

TEST_F(WayOut, WithoutPortsNothingIsRouted) {
  launch({});
  const auto out_of_it = rig.outbound();
  EXPECT_FALSE(out_of_it.names_udp);
  EXPECT_TRUE(out_of_it.listeners.empty());
  EXPECT_EQ(connects("198.18.0.1/443 169.254.169.254/80 127.0.0.1/443"),
            "Network is unreachable\nNetwork is unreachable\nConnection refused\n");
  EXPECT_EQ(out("cat /etc/resolv.conf; grep hosts /etc/nsswitch.conf"),
            "options timeout:1 attempts:1\nhosts: files\n");
}

TEST_F(WayOut, ConnectionsToAnyAddressArriveOutsideAndSayWhereTheyWantedToGo) {
  launch({80, 443, 8443});
  const auto way = rig.outbound();
  ASSERT_EQ(way.listeners.size(), 3u);
  EXPECT_EQ(way.listeners[1].port, 443);
  EXPECT_EQ(connects("198.18.0.1/443 8.8.8.8/443 169.254.169.254/80 10.0.0.1/8443"),
            "connected\nconnected\nconnected\nconnected\n");
  EXPECT_EQ(next(way.listeners[1].fd), "198.18.0.1:443");
  EXPECT_EQ(next(way.listeners[1].fd), "8.8.8.8:443");
  EXPECT_EQ(next(way.listeners[0].fd), "169.254.169.254:80");
  EXPECT_EQ(next(way.listeners[2].fd), "10.0.0.1:8443");
}

TEST_F(WayOut, OtherPortsAreRefusedAndThereIsNoOtherProtocol) {
  launch({443});
  const auto way = rig.outbound();
  EXPECT_EQ(connects("198.18.0.1/80 8.8.8.8/22 8.8.8.8/53"),
            "Connection refused\nConnection refused\nConnection refused\n");
  EXPECT_EQ(connects("2606:4700:4700::1111/443 ::ffff:8.8.8.8/22 fe80::1/443"),
            "Network is unreachable\nConnection refused\nInvalid argument\n");
  EXPECT_EQ(out("python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(5)\n"
                "s.connect((\"8.8.8.8\",53))\ntry:\n  s.send(b\"x\"); s.recv(9); print(\"answered\")\n"
                "except OSError as e: print(e.strerror)'"),
            "Connection refused\n");
  EXPECT_EQ(out("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
}

TEST_F(WayOut, NamesAreAskedForOutside) {
  launch({443});
  const auto way = rig.outbound();
  EXPECT_EQ(name_of(way.names_udp.get()), "127.83.1.1:53");
  EXPECT_EQ(name_of(way.names_tcp.get()), "127.83.1.1:53");
  ASSERT_EQ(rig.start("getent ahostsv4 asked.example.test"), "");
  pollfd ready{way.names_udp.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 20'000), 1);
  char question[512];
  const auto size = ::recv(way.names_udp.get(), question, sizeof question, 0);
  ASSERT_GT(size, 12);
  EXPECT_THAT(std::string(question, static_cast<std::size_t>(size)), HasSubstr(std::string("\x05" "asked\x07" "example\x04" "test")));
}

TEST_F(WayOut, TheProvidersListenerStaysItsOwn) {
  launch({53, 80});
  const auto way = rig.outbound();
  const auto provider = rig.listener();
  EXPECT_EQ(connects("127.83.1.1/80 127.83.1.2/80 127.83.1.1/53 9.9.9.9/53"),
            "connected\nconnected\nconnected\nconnected\n");
  EXPECT_EQ(next(provider), "127.83.1.1:80");
  EXPECT_EQ(next(way.listeners[1].fd), "127.83.1.2:80");
  EXPECT_EQ(next(way.names_tcp), "127.83.1.1:53");
  EXPECT_EQ(next(way.listeners[0].fd), "9.9.9.9:53");
}

TEST_F(WayOut, ASandboxCannotTakeTheListenersPlaceOrChangeTheRoute) {
  launch({443});
  const auto way = rig.outbound();
  EXPECT_EQ(out("python3 -c 'import socket\ns=socket.socket()\ns.setsockopt(socket.SOL_SOCKET,15,1)\n"
                "try: s.bind((\"198.18.0.1\",443)); print(\"bound\")\nexcept OSError as e: print(e.strerror)'"),
            "Permission denied\n");
  EXPECT_THAT(out("ip route del local 0.0.0.0/0 dev lo table local 2>&1; ip link set lo down 2>&1; true"),
              HasSubstr("not permitted"));
  EXPECT_EQ(connects("198.18.0.1/443"), "connected\n");
}

TEST_F(WayOut, ItsListenersEndWithTheSandbox) {
  launch({443});
  EXPECT_EQ(rig.ask("destroy").substr(0, 4), "gone");
}

TEST(OutboundPlan, HostilePortsAreRefused) {
  rig::Rig rig;
  const auto with = [&](std::vector<std::uint16_t> ports) {
    rig.plan.outbound_ports = std::move(ports);
    const auto launched = rig.launch();
    return launched ? std::string() : launched.error().message;
  };
  EXPECT_THAT(with({0}), HasSubstr("bad ports"));
  EXPECT_THAT(with({443, 443}), HasSubstr("bad ports"));
  std::vector<std::uint16_t> many;
  for (std::uint16_t port = 1; port <= max_outbound_ports + 1; ++port) many.push_back(port);
  EXPECT_THAT(with(many), HasSubstr("that many ports"));
  auto encoded = encode({.attempt = rig.ref(), .plan = curated_plan(), .keeper_argv = {"x"}});
  ASSERT_TRUE(encoded);
  auto& record = *reinterpret_cast<LaunchRecord*>(encoded->bytes.data());
  ASSERT_TRUE(check(record, encoded->fds));
  record.spec.outbound_count = max_outbound_ports + 1;
  EXPECT_EQ(check(record, encoded->fds).error().code, Code::invalid);
  record.spec.outbound_count = 0xffffffff;
  EXPECT_EQ(check(record, encoded->fds).error().code, Code::invalid);
}

TEST_F(WayOut, AsManyPortsAsMayBe) {
  std::vector<std::uint16_t> many;
  for (std::uint16_t port = 65535; many.size() < max_outbound_ports; --port) many.push_back(port);
  launch(many);
  const auto way = rig.outbound();
  ASSERT_EQ(way.listeners.size(), max_outbound_ports);
  EXPECT_EQ(connects("1.2.3.4/65520"), "connected\n");
  EXPECT_EQ(next(way.listeners.back().fd), "1.2.3.4:65520");
}

}  // namespace
}  // namespace agentrouter::sandbox
