#pragma once
// AWS Signature Version 4, as S3 wants it: each request says the digest of its body and is signed with all of
// its headers. Pure functions. Names and values are given as they are; escaping is done here, once, so that
// what is signed is what is sent.

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace agentrouter::blobs {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // may be empty
};

struct SignedRequest {
  std::string method;
  std::string host;            // with the port unless it is the scheme's own
  std::string path;            // "/bucket/key", not escaped
  Pairs query;                 // not escaped
  Pairs headers;               // names in lower case, each once; without host and x-amz-date
  std::string payload_sha256;  // 64 hex digits
};

struct SigningScope {
  std::string region;
  base::Time at;  // what the signature is dated; stores refuse it some minutes before and after
};

// The SHA-256 of no bytes.
inline constexpr std::string_view empty_sha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// All headers to send: those of the request, x-amz-date, x-amz-content-sha256, x-amz-security-token if there
// is one, and authorization.
[[nodiscard]] Pairs sign(const SignedRequest& request, const Credentials& credentials,
                         const SigningScope& scope);

// The escaped query of a GET that needs no headers, good for `lifetime` (at most 7 days). The body's digest
// and the request's headers are not looked at.
[[nodiscard]] std::string presign(const SignedRequest& request, const Credentials& credentials,
                                  const SigningScope& scope, std::chrono::seconds lifetime);

// RFC 3986: all but A-Z a-z 0-9 - _ . ~ as %XX; in a path also / stays.
[[nodiscard]] std::string escape(std::string_view text);
[[nodiscard]] std::string escape_path(std::string_view path);
// Sorted and escaped: "a=1&b=".
[[nodiscard]] std::string escape_query(Pairs query);

}  // namespace agentrouter::blobs
