#include "blobs/s3/sigv4.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace agentrouter::blobs {

namespace {

// The examples of the S3 documentation, "Signature Calculations for the Authorization Header" and "Using
// Query Parameters".
const Credentials example_keys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const SigningScope example_scope{"us-east-1",
                                 base::Time(std::chrono::seconds(1'369'353'600))};  // 20130524T000000Z

SignedRequest example(std::string method, std::string path, Pairs query = {}, Pairs headers = {},
                      std::string payload = std::string(empty_sha256)) {
  return {std::move(method),  "examplebucket.s3.amazonaws.com",
          std::move(path),    std::move(query),
          std::move(headers), std::move(payload)};
}

std::string authorization(const SignedRequest& request) {
  for (const auto& [name, value] : sign(request, example_keys, example_scope)) {
    if (name == "authorization") return value;
  }
  return "none";
}

std::string signature_of(const SignedRequest& request) {
  const auto text = authorization(request);
  return text.substr(text.rfind('=') + 1);
}

TEST(SigV4, PublishedGetObject) {
  EXPECT_EQ(authorization(example("GET", "/test.txt", {}, {{"range", "bytes=0-9"}})),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, PublishedPutObject) {
  EXPECT_EQ(signature_of(example(
                "PUT", "/test$file.text", {},
                {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                base::Sha256::hex_of("Welcome to Amazon S3."))),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(SigV4, PublishedGetOfASubresource) {
  EXPECT_EQ(signature_of(example("GET", "/", {{"lifecycle", ""}})),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(SigV4, PublishedListing) {
  EXPECT_EQ(signature_of(example("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}})),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, PublishedPresignedGet) {
  EXPECT_EQ(presign(example("GET", "/test.txt"), example_keys, example_scope, std::chrono::seconds(86'400)),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
            "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(SigV4, ASessionTokenIsSignedToo) {
  auto keys = example_keys;
  keys.session_token = "token";
  const auto headers = sign(example("GET", "/a"), keys, example_scope);
  EXPECT_NE(std::find(headers.begin(), headers.end(),
                      std::pair<std::string, std::string>("x-amz-security-token", "token")),
            headers.end());
  EXPECT_NE(headers.back().second.find(";x-amz-security-token,"), std::string::npos);
  EXPECT_NE(presign(example("GET", "/a"), keys, example_scope, std::chrono::seconds(1))
                .find("X-Amz-Security-Token=token"),
            std::string::npos);
}

TEST(SigV4, EscapingIsOfRfc3986) {
  EXPECT_EQ(escape("a b/c~d+\xc3\xa4"), "a%20b%2Fc~d%2B%C3%A4");
  EXPECT_EQ(escape_path("/a b/c$d"), "/a%20b/c%24d");
  EXPECT_EQ(escape_query({{"b", ""}, {"a", "x=y"}, {"a", "&"}}), "a=%26&a=x%3Dy&b=");
}

}  // namespace

}  // namespace agentrouter::blobs
