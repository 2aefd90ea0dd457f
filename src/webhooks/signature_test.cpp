#include "webhooks/signature.h"

#include <gtest/gtest.h>

#include "base/hmac.h"
#include "testing/fixed_entropy.h"

namespace agentrouter::webhooks {

namespace {

constexpr const char* known_secret = "whsec_plJ3nmyCDGBKInavdOK15jsl";
constexpr const char* known_body = R"({"event_type":"ping","data":{"success":true}})";

// The example of the Standard Webhooks document.
TEST(Signatures, AreThoseOfTheStandard) {
  EXPECT_EQ(signatures({known_secret}, "msg_loFOjxBNrRLzqYUf", 1731705121, known_body),
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=");
}

TEST(Signatures, OneForEachSecret) {
  testing::FixedEntropy entropy;
  const auto other = new_secret(entropy);
  const auto both = signatures({known_secret, other}, "msg_1", 1, "{}");
  EXPECT_EQ(both, signatures({known_secret}, "msg_1", 1, "{}") + " " + signatures({other}, "msg_1", 1, "{}"));
}

TEST(Signatures, CoverIdTimeAndBody) {
  const auto one = signatures({known_secret}, "msg_1", 1, "{}");
  EXPECT_NE(one, signatures({known_secret}, "msg_2", 1, "{}"));
  EXPECT_NE(one, signatures({known_secret}, "msg_1", 2, "{}"));
  EXPECT_NE(one, signatures({known_secret}, "msg_1", 1, "{ }"));
}

TEST(Secrets, AreRandomAndOfTheStandardsForm) {
  testing::FixedEntropy entropy;
  const auto secret = new_secret(entropy);
  EXPECT_TRUE(is_secret(secret)) << secret;
  EXPECT_NE(secret, new_secret(entropy));
  EXPECT_TRUE(is_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
  EXPECT_FALSE(is_secret(known_secret)) << "the example is shorter than the standard allows";
  EXPECT_TRUE(is_secret("whsec_" + base::to_base64(std::string(64, 'a'))));
  for (const std::string& text :
       {std::string(), std::string("whsec_"), std::string("plJ3nmyCDGBKInavdOK15jsl"), std::string("whsec_!!!!"),
        std::string("whsec_plJ3nmyCDGBKInavdOK15js"), "whsec_" + base::to_base64(std::string(23, 'a')),
        "whsec_" + base::to_base64(std::string(65, 'a'))})
    EXPECT_FALSE(is_secret(text)) << text;
}

}  // namespace

}  // namespace agentrouter::webhooks
