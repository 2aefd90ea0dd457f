#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <filesystem>

#include "base/task_scope.h"
#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using boost::system::error_code;
using testing::HasSubstr;
using testing::StartsWith;
using Tcp = asio::ip::tcp;

// A self-signed certificate for 127.0.0.1, made on the spot, and a provider that answers one request with it.
class OverTls : public EgressTest {
 protected:
  OverTls() {
    char name[] = "/tmp/agentrouter-tls-XXXXXX";
    folder = ::mkdtemp(name);
    make_certificate();
    context.use_certificate_chain_file(folder + "/cert.pem");
    context.use_private_key_file(folder + "/key.pem", asio::ssl::context::pem);
    const auto port = std::to_string(acceptor.local_endpoint().port());
    config.openai = {upstream_base("https://127.0.0.1:" + port + "/v1", BaseUrl::with_version).value(), &key};
  }
  ~OverTls() override { std::filesystem::remove_all(folder); }

  void make_certificate() {
    EVP_PKEY* pair = EVP_EC_gen("P-256");
    X509* cert = X509_new();
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, pair);
    auto* subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("t"), -1,
                               -1, 0);
    X509_set_issuer_name(cert, subject);
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, nullptr, nullptr, 0);
    auto* names = X509V3_EXT_conf_nid(nullptr, &ctx, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(cert, pair, EVP_sha256());
    write(folder + "/cert.pem", [&](std::FILE* file) { PEM_write_X509(file, cert); });
    write(folder + "/key.pem",
          [&](std::FILE* file) { PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr); });
    X509_free(cert);
    EVP_PKEY_free(pair);
  }
  static void write(const std::string& path, const std::function<void(std::FILE*)>& writer) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    ASSERT_NE(nullptr, file);
    writer(file);
    std::fclose(file);
  }

  Task<void> serve_once() {
    error_code error;
    auto socket = co_await acceptor.async_accept(asio::redirect_error(base::use_task, error));
    if (error) co_return;
    asio::ssl::stream<asio::basic_stream_socket<Tcp, base::Executor>> tls(std::move(socket), context);
    co_await tls.async_handshake(asio::ssl::stream_base::server, asio::redirect_error(base::use_task, error));
    std::string buffer(4096, '\0');
    while (!error && seen.find("\r\n\r\n{}") == std::string::npos) {
      const auto size =
          co_await tls.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
      seen.append(buffer, 0, size);
    }
    if (error) co_return;
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    co_await tls.async_write_some(asio::buffer(answer), asio::redirect_error(base::use_task, error));
  }
  Task<void> ask_once() {
    base::TaskScope scope(io.get_executor());
    scope.spawn(serve_once());
    answer = co_await ask(post("/v1/responses", "{}"));
    acceptor.close();
    co_await scope.join();
  }

  std::string folder;
  asio::ssl::context context{asio::ssl::context::tls_server};
  asio::basic_socket_acceptor<Tcp, base::Executor> acceptor{
      io.get_executor(), Tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::string seen;
  std::string answer;
};

TEST_F(OverTls, ProviderWithABelievedCertificateGetsTheKey) {
  const auto tls = net::TlsContext::create({.ca_file = folder + "/cert.pem"}).value();
  config.tls = &tls;
  run(ask_once());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(seen, HasSubstr("authorization: Bearer " + std::string(real_key) + "\r\n"));
}

TEST_F(OverTls, ProviderWithAnyOtherCertificateGetsNothing) {
  const auto tls = net::TlsContext::create({}).value();
  config.tls = &tls;
  run(ask_once());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 502"));
  EXPECT_THAT(answer, HasSubstr("provider_certificate"));
  EXPECT_EQ("", seen);
}

TEST_F(OverTls, WithoutAContextThereIsNoProvider) {
  run(ask_once());
  EXPECT_THAT(answer, HasSubstr("provider_unconfigured"));
}

}  // namespace
}  // namespace agentrouter::egress
