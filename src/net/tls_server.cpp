#include "net/tls_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "net/socket_stream.h"
#include "net/tls_identity.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

using AcceptedSocket = asio::basic_stream_socket<asio::generic::stream_protocol, base::Executor>;
using AcceptedTls = asio::ssl::stream<AcceptedSocket>;

// A client that offers protocols must offer the one that is spoken here.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  static constexpr unsigned char spoken[] = "\x08http/1.1";
  unsigned char* out = nullptr;
  if (SSL_select_next_proto(&out, chosen_size, spoken, sizeof spoken - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

// An alert of the client's that says what it thinks of the certificate.
bool disbelieves(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return false;
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  return reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
         reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN || reason == SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED;
}

}  // namespace

TlsIdentity::TlsIdentity(std::unique_ptr<Native> native) : native_(std::move(native)) {}
TlsIdentity::~TlsIdentity() = default;

std::unique_ptr<TlsIdentity::Native> TlsIdentity::Native::create(X509* certificate, EVP_PKEY* key) {
  auto* made = SSL_CTX_new(TLS_server_method());
  if (made == nullptr) return nullptr;
  auto native = std::make_unique<Native>(made);
  SSL_CTX_set_options(made, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(made, 0);
  SSL_CTX_set_alpn_select_cb(made, choose_protocol, nullptr);
  const bool good = SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) == 1 &&
                    SSL_CTX_use_certificate(made, certificate) == 1 && SSL_CTX_use_PrivateKey(made, key) == 1;
  return good ? std::move(native) : nullptr;
}

Task<Result<std::unique_ptr<Stream>>> accept_tls(base::Fd fd, std::string begun,
                                                 std::shared_ptr<const TlsIdentity> identity,
                                                 base::Deadline deadline) {
  const std::string action = "cannot accept a TLS connection";
  const auto executor = co_await base::this_executor;
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  AcceptedSocket accepted(executor);
  error_code error;
  accepted.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
  if (error) co_return stream_error(action, error, false);
  std::ignore = fd.release();
  AcceptedTls socket(std::move(accepted), identity->native().context);
  Alarm alarm(executor, [&socket] { socket.lowest_layer().cancel(); });
  alarm.set(deadline);
  const auto used = co_await socket.async_handshake(asio::ssl::stream_base::server, asio::buffer(begun),
                                                    asio::redirect_error(base::use_task, error));
  alarm.clear();
  if (error && disbelieves(error))
    co_return base::fail(base::Code::denied, action + ": the client does not believe the certificate");
  if (error && error.category() == asio::error::get_ssl_category())
    co_return base::fail(base::Code::invalid, action + ": " + error.message());
  if (error) co_return stream_error(action, error, alarm.fired());
  if (used != begun.size()) co_return base::fail(base::Code::invalid, action + ": bytes before their time");
  std::unique_ptr<Stream> stream = std::make_unique<SocketStream<AcceptedTls>>(executor, std::move(socket));
  co_return std::move(stream);
}

}  // namespace agentrouter::net
