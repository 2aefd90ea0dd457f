#include "egress/authority.h"

namespace agentrouter::egress {

using base::Result;

Result<AuthorityPair> make_authority(std::string_view run_id, unsigned days) {
  AuthorityPair made;
  auto certificate = net::make_certificate_authority("AgentRouter run " + std::string(run_id), days,
                                                     [&](std::string_view key) {
                                                       made.key = SecretBuffer(key.size());
                                                       made.key.append(key);
                                                     });
  if (!certificate) return tl::unexpected(std::move(certificate).error());
  made.certificate = std::move(*certificate);
  return made;
}

Result<std::unique_ptr<Authority>> Authority::load(std::string_view certificate, std::string_view key) {
  AGENTROUTER_TRY(auto issuer, net::CertificateIssuer::load(certificate, key));
  return std::make_unique<Authority>(std::move(issuer));
}

Result<std::shared_ptr<const net::TlsIdentity>> Authority::identity_of(const std::string& host) const {
  const auto known = issued_.find(host);
  if (known != issued_.end()) {
    in_use_.splice(in_use_.begin(), in_use_, known->second.used);
    return known->second.identity;
  }
  AGENTROUTER_TRY(auto identity, issuer_.issue(host));
  if (issued_.size() >= max_identities) {
    issued_.erase(in_use_.back());
    in_use_.pop_back();
  }
  in_use_.push_front(host);
  issued_.emplace(host, Issued{identity, in_use_.begin()});
  return identity;
}

}  // namespace agentrouter::egress
