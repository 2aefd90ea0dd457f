#pragma once
// The certificate authority of one run, made anew for it: programs of the sandbox believe it, nobody else
// does. Its key never enters the sandbox or a file.

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "egress/secret.h"
#include "net/tls_server.h"

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
  explicit Authority(net::CertificateIssuer issuer) : issuer_(std::move(issuer)) {}

  // What a server of this name proves itself with. The last max_identities are kept. Not thread-safe.
  // Errors: invalid (no host name).
  static constexpr std::size_t max_identities = 256;
  [[nodiscard]] base::Result<std::shared_ptr<const net::TlsIdentity>> identity_of(const std::string& host) const;

 private:
  struct Issued {
    std::shared_ptr<const net::TlsIdentity> identity;
    std::list<std::string>::iterator used;
  };

  net::CertificateIssuer issuer_;
  mutable std::map<std::string, Issued> issued_;
  mutable std::list<std::string> in_use_;  // what was asked for last is first
};

}  // namespace agentrouter::egress
