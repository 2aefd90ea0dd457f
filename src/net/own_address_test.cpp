#include "net/own_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"

namespace agentrouter::net {
namespace {

using boost::asio::ip::make_address;

bool is_own(const char* text) {
  return base::value_or_throw(is_own_address(make_address(text)));
}

std::vector<boost::asio::ip::address> left_of(const char* text, Reach reach) {
  return reachable({make_address(text)}, reach);
}

// In a network of its own, which begins without any address.
void take_address(const char* text) {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(2);
  const base::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq wanted{};
  std::strcpy(wanted.ifr_name, "lo");
  auto* const address = reinterpret_cast<sockaddr_in*>(&wanted.ifr_addr);
  address->sin_family = AF_INET;
  ::inet_pton(AF_INET, text, &address->sin_addr);
  if (::ioctl(socket.get(), SIOCSIFADDR, &wanted) != 0) ::_exit(3);
  wanted.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &wanted) != 0) ::_exit(4);
}

void expect_an_own_public_address() {
  constexpr const char* own = "93.184.215.77";
  const bool before = is_own(own);
  take_address(own);
  const bool known =
      is_own(own) && is_own("::ffff:93.184.215.77") && !is_own("1.1.1.1") && !is_own("2606:4700::1111");
  const bool judged = left_of(own, Reach::public_only).empty() &&
                      left_of("::ffff:93.184.215.77", Reach::public_only).empty() &&
                      !left_of(own, Reach::not_link_local).empty() && !left_of(own, Reach::anywhere).empty();
  ::_exit(!before && known && judged ? 0 : 1);
}

TEST(OwnAddress, TheMachinesLoopbackIsItsOwnAndWhatHasNoRouteIsNot) {
  for (const auto* text : {"127.0.0.1", "127.83.1.1", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(is_own(text)) << text;
  for (const auto* text : {"93.184.215.77", "2606:4700::1111"}) EXPECT_FALSE(is_own(text)) << text;
}

TEST(OwnAddress, APublicAddressOfThisMachineIsNotReachedAsAPublicOne) {
  EXPECT_EXIT(expect_an_own_public_address(), testing::ExitedWithCode(0), "");
}

TEST(OwnAddress, OthersAreLeftAsTheyWere) {
  EXPECT_EQ(left_of("93.184.215.77", Reach::public_only).size(), 1u);
  EXPECT_TRUE(left_of("10.0.0.1", Reach::public_only).empty());
  EXPECT_EQ(left_of("127.0.0.1", Reach::not_link_local).size(), 1u);
}

}  // namespace
}  // namespace agentrouter::net
