#include "net/tls_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cstdio>
#include <filesystem>

#include "base/error.h"
#include "base/task_scope.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

constexpr long day = 24 * 3600;

Key make_key() {
  return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}

void extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Cert make_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                      const CertificateNames& names) {
  Cert made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), issuer == nullptr ? 1 : 2);
  const bool over = issuer != nullptr && names.validity == Validity::over;
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -2 * day);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), over ? -day : day);
  X509_set_pubkey(made.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509* signer = issuer == nullptr ? made.get() : issuer;
  X509_set_issuer_name(made.get(), X509_get_subject_name(signer));
  if (issuer == nullptr) {
    extend(made.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    extend(made.get(), signer, NID_subject_alt_name, names.names);
  }
  X509_sign(made.get(), issuer_key, EVP_sha256());
  return made;
}

File open_file(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) base::throw_errno("cannot write " + path, errno);
  return file;
}

}  // namespace

Certificates::Certificates(CertificateNames names) {
  std::string pattern = std::filesystem::temp_directory_path() / "net_test_XXXXXX";
  folder_ = ::mkdtemp(pattern.data());
  const Key ca_key = make_key();
  const Key key = make_key();
  const Cert ca = make_certificate("Test authority", ca_key.get(), nullptr, ca_key.get(), names);
  const Cert server = make_certificate("Test server", key.get(), ca.get(), ca_key.get(), names);
  PEM_write_X509(open_file(ca_file()).get(), ca.get());
  PEM_write_X509(open_file(chain_file()).get(), server.get());
  PEM_write_PrivateKey(open_file(key_file()).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

Certificates::~Certificates() {
  for (const auto& file : {ca_file(), chain_file(), key_file()}) ::unlink(file.c_str());
  ::rmdir(folder_.c_str());
}

struct TlsServer::State {
  using Tcp = asio::ip::tcp;
  asio::io_context io{1};
  asio::ssl::context context{asio::ssl::context::tls_server};
  asio::basic_socket_acceptor<Tcp, base::Executor> acceptor{io.get_executor(), Tcp::endpoint(Tcp::v4(), 0)};
  std::string seen_name;

  base::Task<void> echo_once() {
    error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(base::use_task, error));
    if (error) co_return;
    asio::ssl::stream<asio::basic_stream_socket<Tcp, base::Executor>> tls(std::move(socket), context);
    co_await tls.async_handshake(asio::ssl::stream_base::server, asio::redirect_error(base::use_task, error));
    const char* name = SSL_get_servername(tls.native_handle(), TLSEXT_NAMETYPE_host_name);
    seen_name = name != nullptr ? name : "";
    std::string buffer(4096, '\0');
    while (!error) {
      const auto size =
          co_await tls.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
      std::size_t sent = 0;
      while (!error && sent < size) {
        sent += co_await tls.async_write_some(asio::buffer(buffer.data() + sent, size - sent),
                                              asio::redirect_error(base::use_task, error));
      }
    }
  }

  base::Task<void> both(base::Task<void> client) {
    base::TaskScope scope(io.get_executor());
    scope.spawn(echo_once());
    std::exception_ptr failure;
    try {
      co_await std::move(client);
    } catch (const std::exception&) {
      failure = std::current_exception();
    }
    acceptor.close();
    co_await scope.join();
    if (failure) std::rethrow_exception(failure);
  }
};

TlsServer::TlsServer(const Certificates& certificates) : state_(std::make_unique<State>()) {
  state_->context.use_certificate_chain_file(certificates.chain_file());
  state_->context.use_private_key_file(certificates.key_file(), asio::ssl::context::pem);
}

TlsServer::~TlsServer() = default;

std::uint16_t TlsServer::port() const {
  return state_->acceptor.local_endpoint().port();
}

const std::string& TlsServer::seen_name() const {
  return state_->seen_name;
}

void TlsServer::run(base::Task<void> client) {
  std::exception_ptr failure;
  asio::co_spawn(state_->io, state_->both(std::move(client)),
                 [&](std::exception_ptr error) { failure = error; });
  state_->io.run();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace agentrouter::net
