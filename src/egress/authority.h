#pragma once
// The certificate authority of one run, made anew for it: programs of the sandbox believe it, nobody else
// does. Its key never enters the sandbox or a file.

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "egress/secret.h"

namespace agentrouter::egress {

// What a worker makes and hands over: the certificate is no secret.
struct AuthorityPair {
  std::string certificate;  // PEM
  SecretBuffer key;         // PEM
};
// P-256, valid from an hour ago for `days`, for this run only ("AgentRouter run <id>").
[[nodiscard]] base::Result<AuthorityPair> make_authority(std::string_view run_id, unsigned days = 8);

class Authority {
 public:
  // Errors: invalid.
  [[nodiscard]] static base::Result<std::unique_ptr<Authority>> load(std::string_view certificate,
                                                                     std::string_view key);
  virtual ~Authority() = default;
};

}  // namespace agentrouter::egress
