#pragma once
// For tests of TLS clients: an authority and a certificate made on the spot, and a server that echoes.

#include <cstdint>
#include <memory>
#include <string>

#include "base/asio.h"

namespace agentrouter::net {

enum class Validity { now, over };

struct CertificateNames {
  std::string names;  // "DNS:localhost,IP:127.0.0.1"
  Validity validity = Validity::now;
};

// PEM files in a folder of their own, removed with this object.
class Certificates {
 public:
  explicit Certificates(CertificateNames names);
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  ~Certificates();

  [[nodiscard]] std::string ca_file() const { return folder_ + "/ca.pem"; }
  [[nodiscard]] std::string chain_file() const { return folder_ + "/server.pem"; }
  [[nodiscard]] std::string key_file() const { return folder_ + "/key.pem"; }

 private:
  std::string folder_;
};

// Takes one connection and sends back what it gets.
class TlsServer {
 public:
  explicit TlsServer(const Certificates& certificates);
  ~TlsServer();

  [[nodiscard]] std::uint16_t port() const;
  // The name that the client asked for (SNI).
  [[nodiscard]] const std::string& seen_name() const;
  // Runs the server and `client`; rethrows what the client throws.
  void run(base::Task<void> client);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::net
