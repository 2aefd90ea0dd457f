#pragma once
// The OpenSSL side of TlsIdentity. Internal to net.

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "net/tls_server.h"

namespace agentrouter::net {

struct TlsIdentity::Native {
  explicit Native(SSL_CTX* made) : context(made) {}
  // Null when OpenSSL refuses.
  [[nodiscard]] static std::unique_ptr<Native> create(X509* certificate, EVP_PKEY* key);

  asio::ssl::context context;
};

}  // namespace agentrouter::net
