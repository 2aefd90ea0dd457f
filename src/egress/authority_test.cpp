#include "egress/authority.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

TEST(Authority, OfARunIsLoadedFromWhatWasMade) {
  const auto made = make_authority("run_1").value();
  EXPECT_TRUE(Authority::load(made.certificate, made.key.view()));
  EXPECT_FALSE(Authority::load(made.certificate, make_authority("run_2").value().key.view()));
  EXPECT_FALSE(Authority::load("", ""));
}

TEST(Authority, KeepsTheIdentitiesThatWereAskedForLast) {
  const auto made = make_authority("run_1").value();
  const auto authority = Authority::load(made.certificate, made.key.view()).value();
  const auto first = authority->identity_of("a.test").value();
  const std::weak_ptr<const net::TlsIdentity> second = authority->identity_of("b.test").value();
  for (std::size_t i = 2; i < Authority::max_identities; ++i)
    ASSERT_TRUE(authority->identity_of(std::to_string(i) + ".test"));
  EXPECT_EQ(authority->identity_of("a.test").value(), first);
  EXPECT_FALSE(second.expired());
  ASSERT_TRUE(authority->identity_of("one.more.test"));
  EXPECT_TRUE(second.expired());
  EXPECT_EQ(authority->identity_of("a.test").value(), first);
  EXPECT_FALSE(authority->identity_of("not a name"));
}

}  // namespace
}  // namespace agentrouter::egress
