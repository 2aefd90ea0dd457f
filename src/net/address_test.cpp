#include "net/address.h"

#include <gtest/gtest.h>

#include "net/loopback_test.h"
#include "net/stream.h"

namespace agentrouter::net {
namespace {

bool reaches(const char* text, Reach reach) {
  return may_reach(boost::asio::ip::make_address(text), reach);
}

TEST(Reach, PublicOnlyLeavesOutThisMachinePrivateNetworksAndWhatIsSetApart) {
  for (const auto* text : {"127.0.0.1",
                           "127.83.1.1",
                           "0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "100.127.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.8",
                           "192.168.0.1",
                           "198.19.1.1",
                           "203.0.113.9",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "168.63.129.16",
                           "::ffff:168.63.129.16",
                           "ff02::1",
                           "2001:db8::1",
                           "2001:0:1::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::a00:1",
                           "2002:7f00:1::1",
                           "2002:c0a8:1::1",
                           "64:ff9b:1::1",
                           "fec0::1",
                           "::ffff:169.254.1.1"})
    EXPECT_FALSE(reaches(text, Reach::public_only)) << text;
}

TEST(Reach, PublicOnlyLetsPublicAddressesThrough) {
  for (const auto* text : {"1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
                           "192.0.3.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111",
                           "2001:4860:4860::8888", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"})
    EXPECT_TRUE(reaches(text, Reach::public_only)) << text;
}

TEST(Reach, NotLinkLocalLeavesOutMetadataServicesOnly) {
  for (const auto* text :
       {"169.254.169.254", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
        "192.0.0.192", "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1", "ff02::1"})
    EXPECT_FALSE(reaches(text, Reach::not_link_local)) << text;
  for (const auto* text : {"127.0.0.1", "10.0.0.1", "192.168.1.1", "fd12::1", "fd20:cf::254",
                           "100.100.100.201", "::1", "1.1.1.1"})
    EXPECT_TRUE(reaches(text, Reach::not_link_local)) << text;
}

TEST(Reach, AnywhereIsAnywhere) {
  EXPECT_TRUE(reaches("169.254.169.254", Reach::anywhere));
}

}  // namespace
}  // namespace agentrouter::net
