#include "net/listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

namespace agentrouter::net {
namespace {

TEST(Listener, TellsWhereItListens) {
  for (const std::string host : {"127.0.0.1", "::1"}) {
    const auto fd = base::value_or_throw(open_listener(host, 0));
    const auto address = base::value_or_throw(listener_address(fd.get()));
    EXPECT_EQ(address.host, host);
    EXPECT_NE(address.port, 0);
    EXPECT_TRUE(listens_at(address, host, 0));
    EXPECT_TRUE(listens_at(address, host, address.port));
    EXPECT_FALSE(listens_at(address, host, static_cast<std::uint16_t>(address.port ^ 1)));
    EXPECT_FALSE(listens_at(address, "0.0.0.0", address.port));
    EXPECT_FALSE(listens_at(address, "no address", address.port));
  }
  EXPECT_EQ((ListenerAddress{"::1", 80}).name(), "[::1]:80");
  EXPECT_EQ((ListenerAddress{"127.0.0.1", 80}).name(), "127.0.0.1:80");
}

TEST(Listener, LocalhostIsTheLoopbackAddress) {
  const auto fd = base::value_or_throw(open_listener("localhost", 0));
  EXPECT_TRUE(listens_at(base::value_or_throw(listener_address(fd.get())), "localhost", 0));
}

TEST(Listener, AUnixSocketIsNamedByItsPath) {
  const base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, "listener-test", 13);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), offsetof(sockaddr_un, sun_path) + 14), 0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  const auto known = base::value_or_throw(listener_address(fd.get()));
  EXPECT_EQ(known.name(), "@listener-test");
  EXPECT_FALSE(listens_at(known, "127.0.0.1", 0));
}

TEST(Listener, WhatDoesNotListenIsRefused) {
  const base::Fd connected(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const base::Fd datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto pipe = base::value_or_throw(base::make_pipe());
  for (const int fd : {connected.get(), datagrams.get(), pipe.first.get(), -1})
    EXPECT_EQ(listener_address(fd).error().code, base::Code::invalid);
}

}  // namespace
}  // namespace agentrouter::net
