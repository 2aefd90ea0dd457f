// Certificates made here, TLS ended here, connections carried and connections that were accepted elsewhere.
#include "net/tls_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <filesystem>
#include <fstream>

#include "net/incoming.h"
#include "net/loopback_test.h"
#include "net/splice.h"

namespace agentrouter::net {
namespace {

using namespace asio::experimental::awaitable_operators;
using testing::HasSubstr;
using testing::StartsWith;

struct MadeAuthority {
  std::string certificate;
  std::string key;
};
MadeAuthority make_one(unsigned days = 2) {
  MadeAuthority made;
  made.certificate =
      make_certificate_authority("Test run", days, [&](std::string_view key) { made.key = key; }).value();
  return made;
}

std::pair<base::Fd, base::Fd> socket_pair() {
  int fds[2];
  EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  return {base::Fd(fds[0]), base::Fd(fds[1])};
}

using Cert = std::unique_ptr<X509, decltype(&X509_free)>;
Cert parse(const std::string& pem) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

TEST(CertificateAuthority, IsOneAndSaysForHowLong) {
  const auto made = make_one(3);
  const auto certificate = parse(made.certificate);
  EXPECT_EQ(X509_check_ca(certificate.get()), 1);
  EXPECT_THAT(made.key, StartsWith("-----BEGIN PRIVATE KEY-----"));
  int days = 0;
  int seconds = 0;
  ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate.get()), X509_get0_notAfter(certificate.get()));
  EXPECT_EQ(days, 3);
  EXPECT_EQ(seconds, 3600);
  EXPECT_NE(made.certificate, make_one(3).certificate);
}

TEST(CertificateIssuer, RefusesWhatIsNoAuthority) {
  const auto made = make_one();
  const auto other = make_one();
  EXPECT_TRUE(CertificateIssuer::load(made.certificate, made.key));
  EXPECT_EQ(CertificateIssuer::load(made.certificate, other.key).error().code, base::Code::invalid);
  EXPECT_EQ(CertificateIssuer::load("nothing", made.key).error().code, base::Code::invalid);
  EXPECT_EQ(CertificateIssuer::load(made.certificate, "").error().code, base::Code::invalid);
}

TEST(CertificateIssuer, IssuesForNamesAndAddressesOnly) {
  const auto made = make_one();
  const auto issuer = CertificateIssuer::load(made.certificate, made.key).value();
  EXPECT_TRUE(issuer.issue("registry.npmjs.org"));
  EXPECT_TRUE(issuer.issue("192.0.2.7"));
  for (const auto* host : {"", "a,DNS:b", "a b", "UPPER", "a\nb", "a/b"})
    EXPECT_EQ(issuer.issue(host).error().code, base::Code::invalid) << host;
}

class AcceptsTls : public testing::Test {
 protected:
  AcceptsTls() {
    const auto made = make_one();
    identity = CertificateIssuer::load(made.certificate, made.key).value().issue("a.test").value();
    std::string pattern = std::filesystem::temp_directory_path() / "tls_server_test_XXXXXX";
    folder = ::mkdtemp(pattern.data());
    std::ofstream(folder + "/ca.pem") << made.certificate;
    context = std::make_unique<TlsContext>(TlsContext::create({.ca_file = folder + "/ca.pem"}).value());
  }
  ~AcceptsTls() override { std::filesystem::remove_all(folder); }

  // A client for `name` against one accepted connection.
  Task<void> shake(std::string name) {
    base::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(0, ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size));
    EXPECT_EQ(0, ::listen(listener.get(), 4));
    EXPECT_EQ(0, ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size));
    Addressed to{std::move(name), {asio::ip::make_address("127.0.0.1")}, ntohs(address.sin_port)};
    co_await (connect(std::move(to)) && accept(listener.get()));
  }
  Task<void> connect(Addressed to) {
    auto made = co_await connect_tls(std::move(to), *context, soon());
    if (made) client = std::move(*made);
    if (!made) client_error = made.error().message;
  }
  Task<void> accept(int listener) {
    // The connection is in the backlog once the client writes.
    base::Fd fd;
    while (!fd) {
      fd = base::Fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) co_await base::sleep_for(1ms);
    }
    Incoming incoming(co_await base::this_executor, std::move(fd));
    for (std::size_t most = read_first; incoming.begun().size() < most;) {
      auto more = co_await incoming.read_more(soon());
      if (!more) co_return;
    }
    auto made = co_await accept_tls(incoming.release(), incoming.begun(), identity, soon());
    if (made) server = std::move(*made);
    if (!made) server_code = made.error().code;
  }
  Task<void> talk() {
    co_await shake("a.test");
    if (!client || !server) co_return;
    std::string buffer(100, '\0');
    std::ignore = co_await client->write("ping", soon());
    buffer.resize(base::value_or_throw(co_await server->read_some(buffer, soon())));
    EXPECT_EQ(buffer, "ping");
    // The end of TLS is told and waited for.
    std::string rest(100, '\0');
    co_await (server->end(soon()) && read_end());
  }
  Task<void> read_end() {
    std::string rest(100, '\0');
    auto got = co_await client->read_some(rest, soon());
    EXPECT_EQ(base::value_or_throw(std::move(got)), 0u);
    co_await client->end(soon());
  }
  void run(Task<void> task) {
    std::exception_ptr failure;
    asio::co_spawn(io, std::move(task), [&](std::exception_ptr error) { failure = error; });
    io.run();
    if (failure) std::rethrow_exception(failure);
  }

  asio::io_context io{1};
  std::shared_ptr<const TlsIdentity> identity;
  std::unique_ptr<TlsContext> context;
  std::string folder;
  std::size_t read_first = 1;
  std::unique_ptr<Stream> client;
  std::unique_ptr<Stream> server;
  std::string client_error;
  base::Code server_code = base::Code::internal;
};

TEST_F(AcceptsTls, FromAClientWhoseFirstBytesWereReadAlready) {
  run(talk());
  EXPECT_TRUE(client && server) << client_error;
}
TEST_F(AcceptsTls, ThatTheClientDoesNotBelieveForAnotherName) {
  run(shake("b.test"));
  EXPECT_FALSE(client);
  EXPECT_THAT(client_error, HasSubstr("hostname mismatch"));
  EXPECT_EQ(server_code, base::Code::denied);
}

// A client that offers protocols, which connect_tls() does not.
class OffersProtocols : public AcceptsTls {
 protected:
  Task<void> shake(std::string protocols) {
    auto [ours, theirs] = socket_pair();
    const auto stream = adopt_stream(io.get_executor(), std::move(theirs));
    co_await (offer(*stream, std::move(protocols)) && take(std::move(ours)));
  }
  Task<void> take(base::Fd socket) {
    auto made = co_await accept_tls(std::move(socket), "", identity, soon());
    accepted = made.has_value();
  }
  Task<void> offer(Stream& stream, std::string protocols) {
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> native(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(native.get()), SSL_free);
    BIO* in = BIO_new(BIO_s_mem());
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned>(protocols.size()));
    for (bool more = true; more;) {
      const int result = SSL_connect(ssl.get());
      more = result < 0 && SSL_get_error(ssl.get(), result) == SSL_ERROR_WANT_READ;
      std::string bytes(BIO_ctrl_pending(out), '\0');
      if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
      if (!bytes.empty()) std::ignore = co_await stream.write(bytes, soon());
      if (!more) break;
      bytes.resize(4096);
      auto got = co_await stream.read_some(bytes, soon());
      more = got && *got > 0;
      if (more) BIO_write(in, bytes.data(), static_cast<int>(*got));
    }
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl.get(), &name, &size);
    chosen.assign(reinterpret_cast<const char*>(name), size);
    stream.close();
  }

  bool accepted = false;
  std::string chosen;
};

TEST_F(OffersProtocols, OfWhichHttp1IsChosen) {
  run(shake("\x02h2\x08http/1.1"));
  EXPECT_TRUE(accepted);
  EXPECT_EQ(chosen, "http/1.1");
}
TEST_F(OffersProtocols, WithoutHttp1AreRefused) {
  run(shake("\x02h2"));
  EXPECT_FALSE(accepted);
  EXPECT_EQ(chosen, "");
}

class Splices : public AcceptsTls {
 protected:
  Splices() {
    auto [a, b] = socket_pair();
    auto [c, d] = socket_pair();
    const auto executor = io.get_executor();
    near = adopt_stream(executor, std::move(b));
    far = adopt_stream(executor, std::move(c));
    left = adopt_stream(executor, std::move(a));
    right = adopt_stream(executor, std::move(d));
  }
  Task<void> carry() { end = co_await splice(*near, *far, options); }
  Task<std::string> read(Stream& stream) {
    std::string buffer(100, '\0');
    auto got = co_await stream.read_some(buffer, soon());
    co_return got ? buffer.substr(0, *got) : "(broken)";
  }
  Task<void> both_ways_and_half_closed() {
    std::ignore = co_await left->write("to the right", soon());
    const auto there = co_await read(*right);
    EXPECT_EQ(there, "to the right");
    co_await left->end(soon());
    const auto nothing = co_await read(*right);
    EXPECT_EQ(nothing, "");
    std::ignore = co_await right->write("still here", soon());
    const auto back = co_await read(*left);
    EXPECT_EQ(back, "still here");
    co_await right->end(soon());
  }
  Task<void> nothing() { co_return; }
  Task<void> until_it_stops() {
    std::ignore = co_await left->write("12345", soon());
    const auto there = co_await read(*right);
    EXPECT_EQ(there, "12345");
    std::ignore = co_await left->write("6", soon());
    const auto cut = co_await read(*right);
    EXPECT_NE(cut, "6");
  }
  Task<void> far_breaks() {
    right->close();
    while (!end) {
      auto written = co_await left->write("x", soon());
      if (!written) break;
      co_await base::sleep_for(1ms);
    }
  }
  Task<void> during(Task<void> task) { co_await (carry() && std::move(task)); }

  std::unique_ptr<Stream> near;
  std::unique_ptr<Stream> far;
  std::unique_ptr<Stream> left;
  std::unique_ptr<Stream> right;
  SpliceOptions options;
  std::optional<SpliceEnd> end;
};

TEST_F(Splices, BothWaysAndPassesAnEndOn) {
  run(during(both_ways_and_half_closed()));
  EXPECT_EQ(end, SpliceEnd::done);
}
TEST_F(Splices, UntilNothingMovesForTooLong) {
  options.idle_timeout = 30ms;
  run(during(nothing()));
  EXPECT_EQ(end, SpliceEnd::idle);
}
TEST_F(Splices, UntilWhoCountsSaysSo) {
  std::uint64_t seen = 0;
  options.counts = [&](std::uint64_t from_near, std::uint64_t from_far) {
    seen += from_near;
    EXPECT_EQ(from_far, 0u);
    return seen <= 5;
  };
  run(during(until_it_stops()));
  EXPECT_EQ(end, SpliceEnd::stopped);
  EXPECT_EQ(seen, 6u);
}
TEST_F(Splices, UntilOneSideBreaks) {
  run(during(far_breaks()));
  EXPECT_TRUE(end == SpliceEnd::far_left || end == SpliceEnd::done);
}

class IncomingConnection : public Splices {
 protected:
  Task<void> is_looked_at() {
    auto [ours, theirs] = socket_pair();
    const auto peer = adopt_stream(io.get_executor(), std::move(theirs));
    Incoming incoming(io.get_executor(), std::move(ours));
    auto none = co_await incoming.first_byte(base::after(10ms));
    EXPECT_EQ(none.error().code, base::Code::timeout);
    std::ignore = co_await peer->write("hello", soon());
    for (int i = 0; i < 2; ++i) {
      auto first = co_await incoming.first_byte(soon());
      EXPECT_EQ(base::value_or_throw(std::move(first)), 'h');
    }
    auto more = co_await incoming.read_more(soon());
    EXPECT_TRUE(more);
    EXPECT_EQ(incoming.begun(), "hello");
    EXPECT_TRUE(incoming.destination().is_unspecified());
    peer->close();
    const bool gone = co_await incoming.left();
    EXPECT_TRUE(gone);
    auto end = co_await incoming.read_more(soon());
    EXPECT_EQ(end.error().code, base::Code::unavailable);
  }
  Task<void> is_refused_with_a_word() {
    auto [ours, theirs] = socket_pair();
    const auto peer = adopt_stream(io.get_executor(), std::move(theirs));
    Incoming incoming(io.get_executor(), std::move(ours));
    incoming.settle();
    const bool gone = co_await incoming.left();
    EXPECT_FALSE(gone);
    incoming.refuse("go away");
    const auto word = co_await read(*peer);
    EXPECT_EQ(word, "go away");
    const auto end = co_await read(*peer);
    EXPECT_EQ(end, "");
  }
};

TEST_F(IncomingConnection, IsLookedAtReadAndMissed) {
  run(is_looked_at());
}
TEST_F(IncomingConnection, IsRefusedWithAWord) {
  run(is_refused_with_a_word());
}

// A handler and replies of a connection that somebody else has accepted.
class OtherHandler final : public Handler {
 public:
  Task<void> handle(Exchange& exchange) override {
    Response response;
    response.body = "the other handler";
    co_await exchange.respond(std::move(response));
  }
};

class ServesOne : public testing::Test {
 protected:
  Task<void> ask() {
    auto [ours, theirs] = socket_pair();
    Peer peer(adopt_stream(loopback.io.get_executor(), std::move(theirs)));
    co_await (loopback.server.serve_one(std::move(ours), other, reply) && talk(peer));
    EXPECT_EQ(loopback.server.connections(), 0u);
  }
  Task<void> talk(Peer& peer) {
    co_await peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nbroken\r\n\r\n");
    const auto all = co_await peer.rest();
    EXPECT_THAT(all, testing::AllOf(HasSubstr("the other handler"), HasSubstr("the other reply")));
    peer.leave();
  }

  Loopback loopback;
  OtherHandler other;
  ErrorReply reply = [](const ServerError& error) { return Response{error.status, {}, "the other reply"}; };
};

TEST_F(ServesOne, ConnectionWithTheHandlerThatItIsGiven) {
  loopback.run(ask());
  EXPECT_EQ(loopback.handler.calls, 0);
}

}  // namespace
}  // namespace agentrouter::net
