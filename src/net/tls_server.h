#pragma once
// The server's half of TLS, for connections whose requests have to be seen: an authority that is made here
// signs a certificate for the name that the client has asked for. TLS 1.2 and up, HTTP/1.1 only (ALPN).

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "net/stream.h"

namespace agentrouter::net {

// A new authority (P-256) named `name`, valid from an hour ago for `days`. Returns its certificate as PEM;
// `take_key` is given its key as PEM, which is wiped behind it. Errors: internal.
[[nodiscard]] Result<std::string> make_certificate_authority(
    const std::string& name, unsigned days, const std::function<void(std::string_view key)>& take_key);

// What one host proves itself with. Immutable; any number of connections at once.
class TlsIdentity {
 public:
  struct Native;
  explicit TlsIdentity(std::unique_ptr<Native> native);
  ~TlsIdentity();

  [[nodiscard]] Native& native() const { return *native_; }

 private:
  std::unique_ptr<Native> native_;
};

// An authority with its key. Issues certificates that end when its own does.
class CertificateIssuer {
 public:
  // Errors: invalid (no PEM, no authority, or a key that is not its own).
  [[nodiscard]] static Result<CertificateIssuer> load(std::string_view certificate, std::string_view key);
  CertificateIssuer(CertificateIssuer&&) noexcept;
  CertificateIssuer& operator=(CertificateIssuer&&) noexcept;
  ~CertificateIssuer();

  // For one name in lower case, or one address. All have the same key, which was made by load().
  // Errors: invalid (neither a name nor an address).
  [[nodiscard]] Result<std::shared_ptr<const TlsIdentity>> issue(const std::string& host) const;

 private:
  struct Parts;
  explicit CertificateIssuer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Shakes hands with a client on a connected socket; `begun` is what has been read from it already.
// Errors: timeout, unavailable (it left), denied (it does not believe the certificate), invalid (it does not
// speak TLS as is done here).
[[nodiscard]] Task<Result<std::unique_ptr<Stream>>> accept_tls(base::Fd socket, std::string begun,
                                                               std::shared_ptr<const TlsIdentity> identity,
                                                               base::Deadline deadline);

}  // namespace agentrouter::net
