#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "net/socket_stream.h"

namespace agentrouter::net {

using boost::system::error_code;
using TlsSocket = asio::ssl::stream<TcpSocket>;

struct TlsContext::Native {
  asio::ssl::context context{asio::ssl::context::tls_client};
};

TlsContext::TlsContext(std::unique_ptr<Native> native) : native_(std::move(native)) {}
TlsContext::TlsContext(TlsContext&&) noexcept = default;
TlsContext& TlsContext::operator=(TlsContext&&) noexcept = default;
TlsContext::~TlsContext() = default;

Result<TlsContext> TlsContext::create(Options options) {
  auto native = std::make_unique<Native>();
  auto& context = native->context;
  error_code error;
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  context.set_verify_mode(asio::ssl::verify_peer, error);
  // A machine without certificates still reaches servers of `ca_file`; all others fail at the handshake.
  context.set_default_verify_paths(error);
  if (!options.ca_file.empty()) {
    context.load_verify_file(options.ca_file, error);
    if (error) {
      return base::fail(base::Code::invalid,
                        "cannot read certificates from " + options.ca_file + ": " + error.message());
    }
  }
  if (!options.ca_pem.empty()) {
    context.add_certificate_authority(asio::buffer(options.ca_pem), error);
    if (error) return base::fail(base::Code::invalid, "cannot read certificates: " + error.message());
  }
  return TlsContext(std::move(native));
}

namespace {

// Names the server that the certificate must belong to, to OpenSSL and, for names, to the server (SNI).
bool expect_host(SSL* ssl, const std::string& host) {
  error_code not_numeric;
  asio::ip::make_address(host, not_numeric);
  if (!not_numeric) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

tl::unexpected<base::Error> handshake_error(TlsSocket& socket, const std::string& host,
                                            const error_code& error, bool timed_out) {
  const std::string action = "cannot open a TLS connection to " + host;
  const long verdict = SSL_get_verify_result(socket.native_handle());
  if (!timed_out && verdict != X509_V_OK) {
    return base::fail(base::Code::denied, action + ": " + X509_verify_cert_error_string(verdict));
  }
  return stream_error(action, error, timed_out);
}

Task<Result<std::unique_ptr<Stream>>> shake_hands(Task<Result<TcpSocket>> connecting, std::string host,
                                                  const TlsContext& context, base::Deadline deadline) {
  const auto executor = co_await base::this_executor;
  auto connected = co_await std::move(connecting);
  if (!connected) co_return tl::unexpected(std::move(connected).error());
  TlsSocket socket(std::move(*connected), context.native().context);
  if (!expect_host(socket.native_handle(), host)) {
    co_return base::fail(base::Code::invalid,
                         "cannot open a TLS connection to \"" + host + "\": not a host name");
  }
  error_code error;
  Alarm alarm(executor, [&socket] { socket.lowest_layer().cancel(); });
  alarm.set(deadline);
  co_await socket.async_handshake(asio::ssl::stream_base::client,
                                  asio::redirect_error(base::use_task, error));
  if (error) co_return handshake_error(socket, host, error, alarm.fired());
  std::unique_ptr<Stream> stream = std::make_unique<SocketStream<TlsSocket>>(executor, std::move(socket));
  co_return std::move(stream);
}

}  // namespace

Task<Result<std::unique_ptr<Stream>>> connect_tls(std::string host, std::uint16_t port,
                                                  const TlsContext& context, base::Deadline deadline,
                                                  Reach reach) {
  auto connecting = connect_socket(host, port, deadline, reach);
  return shake_hands(std::move(connecting), std::move(host), context, deadline);
}

Task<Result<std::unique_ptr<Stream>>> connect_tls(Addressed to, const TlsContext& context,
                                                  base::Deadline deadline) {
  auto host = to.host;
  return shake_hands(connect_socket(std::move(to), deadline), std::move(host), context, deadline);
}

}  // namespace agentrouter::net
