#include "base/hmac.h"

#include <gtest/gtest.h>

namespace agentrouter::base {

namespace {

// RFC 4231, test case 2, and a key longer than a block (test case 6).
TEST(Hmac, GivesWhatTheStandardSays) {
  const auto short_key = hmac_sha256("Jefe", "what do ya want for nothing?");
  EXPECT_EQ(to_hex(short_key.data(), short_key.size()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const auto long_key =
      hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First");
  EXPECT_EQ(to_hex(long_key.data(), long_key.size()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Base64, IsReadAsItIsWritten) {
  for (const std::string& bytes : {std::string(), std::string("f"), std::string("fo"), std::string("foo"),
                                   std::string("\0\xff\x80", 3), std::string(1000, 'x')}) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  }
  EXPECT_EQ(to_base64("foob"), "Zm9vYg==");
  for (const auto* text : {"Zm9vYg", "Zm9vYg=", "Zm9v\n", "Zm9v!", "====", "Zm9vYh=="})
    EXPECT_FALSE(from_base64(text)) << text;
}

}  // namespace

}  // namespace agentrouter::base
