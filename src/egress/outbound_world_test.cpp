#include "egress/outbound_world_test.h"

#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <filesystem>
#include <fstream>

#include "net/dns_message.h"
#include "net/splice.h"

namespace agentrouter::egress {

using boost::system::error_code;
using TcpAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, base::Executor>;
using UdpSocket = asio::basic_datagram_socket<asio::ip::udp, base::Executor>;

namespace {

net::Response no_reply(const net::ServerError& error) {
  return net::Response{error.status, {}, std::string(error.message)};
}

// Who believes an authority: its certificate is read from a file.
std::unique_ptr<net::TlsContext> believer_of(const std::string& certificate) {
  std::string pattern = std::filesystem::temp_directory_path() / "outbound_test_XXXXXX";
  const std::string folder = ::mkdtemp(pattern.data());
  std::ofstream(folder + "/ca.pem") << certificate;
  auto context = net::TlsContext::create({.ca_file = folder + "/ca.pem"}).value();
  std::filesystem::remove_all(folder);
  return std::make_unique<net::TlsContext>(std::move(context));
}

std::pair<base::Fd, std::uint16_t> any_listener() {
  base::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  EXPECT_EQ(0, ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size));
  EXPECT_EQ(0, ::listen(fd.get(), 2048));
  EXPECT_EQ(0, ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size));
  return {std::move(fd), ntohs(address.sin_port)};
}

}  // namespace

struct LoopbackAcceptor {
  explicit LoopbackAcceptor(base::Executor executor)
      : socket(executor, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}
  TcpAcceptor socket;
};

TlsHost::TlsHost(base::Executor executor, net::Server& server, net::Handler& handler)
    : executor_(executor),
      server_(server),
      handler_(handler),
      reply_(no_reply),
      acceptor_(std::make_unique<LoopbackAcceptor>(executor)),
      scope_(executor) {
  port_ = acceptor_->socket.local_endpoint().port();
  scope_.spawn(accept());
}

TlsHost::~TlsHost() = default;

Task<void> TlsHost::stop() {
  acceptor_->socket.close();
  co_await scope_.cancel_and_join();
}

Task<void> TlsHost::accept() {
  for (;;) {
    error_code error;
    auto socket = co_await acceptor_->socket.async_accept(asio::redirect_error(base::use_task, error));
    if (error) co_return;
    scope_.spawn(serve(base::Fd(socket.release())));
  }
}

Task<void> TlsHost::serve(base::Fd socket) {
  using namespace asio::experimental::awaitable_operators;
  auto tls = co_await net::accept_tls(std::move(socket), "", Believers::get().host_identity, soon());
  if (!tls) co_return;
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) co_return;
  const auto plain = net::adopt_stream(executor_, base::Fd(fds[0]));
  std::ignore = co_await (net::splice(**tls, *plain, {}) && server_.serve_one(base::Fd(fds[1]), handler_, reply_));
}

EchoHost::EchoHost(base::Executor executor)
    : executor_(executor), acceptor_(std::make_unique<LoopbackAcceptor>(executor)), scope_(executor) {
  acceptor_->socket.listen(2048);
  port_ = acceptor_->socket.local_endpoint().port();
  scope_.spawn(accept());
}

EchoHost::~EchoHost() = default;

Task<void> EchoHost::stop() {
  acceptor_->socket.close();
  co_await scope_.cancel_and_join();
}

Task<void> EchoHost::accept() {
  for (;;) {
    error_code error;
    auto socket = co_await acceptor_->socket.async_accept(asio::redirect_error(base::use_task, error));
    if (error) co_return;
    ++accepted;
    scope_.spawn(echo(net::adopt_stream(executor_, base::Fd(socket.release()))));
  }
}

Task<void> EchoHost::echo(std::unique_ptr<net::Stream> stream) {
  std::string buffer(4096, '\0');
  if (!greeting.empty()) std::ignore = co_await stream->write(greeting, soon());
  for (;;) {
    auto got = co_await stream->read_some(buffer, base::Deadline::max());
    if (!got) co_return;
    if (*got == 0) break;
    auto written = co_await stream->write(std::string_view(buffer).substr(0, *got), soon());
    if (!written) co_return;
  }
  ++ended;
  std::ignore = co_await stream->write("bye", soon());
  co_await stream->end(soon());
}

Believers::Believers() {
  const auto upstream = make_authority("upstream").value();
  host_identity =
      net::CertificateIssuer::load(upstream.certificate, upstream.key.view()).value().issue("api.test").value();
  of_host = believer_of(upstream.certificate);
  const auto run = make_authority("run_test").value();
  authority = Authority::load(run.certificate, run.key.view()).value();
  of_run = believer_of(run.certificate);
}

const Believers& Believers::get() {
  static const Believers all;
  return all;
}

OutboundTest::OutboundTest()
    : provider(io.get_executor()),
      provider_server(io.get_executor(), provider, no_reply, {.idle_timeout = 200ms}) {
  http_port = provider_server.listen("127.0.0.1", 0).value();
  config.judge = [this](const policy::EgressRequest& request) { return judge(request); };
  config.knows_host = [this](const std::string& name) {
    return std::any_of(rules.begin(), rules.end(), [&](const TestRule& rule) { return rule.host == name; });
  };
  config.resolver = [this](std::string name, base::Deadline) { return resolve(std::move(name)); };
  config.names_network = asio::ip::make_address_v4("127.18.0.0");
  config.private_hosts = {"api.test", "plain.test", "raw.test"};
  config.authority = Believers::get().authority.get();
  config.tls = believes_host;
}

policy::EgressVerdict OutboundTest::judge(const policy::EgressRequest& request) const {
  policy::EgressVerdict out{.rule_id = "default", .reason = "no rule allows it"};
  for (const auto& rule : rules) {
    if (rule.host != request.host || rule.scheme != request.scheme) continue;
    const bool looks = !rule.method.empty() || !rule.path.empty() || !rule.secret.empty();
    const bool connection = request.method.empty();
    if (!connection && !rule.method.empty() && rule.method != request.method) continue;
    if (!connection && !request.path.starts_with(rule.path)) continue;
    if (connection && rule.decision == policy::Decision::blocked) continue;
    out = {.decision = rule.decision, .rule_id = rule.id, .reason = "says " + rule.id, .secret = rule.secret};
    out.inspect = looks && rule.scheme == Scheme::https;
    break;
  }
  return out;
}

Task<Result<std::vector<asio::ip::address>>> OutboundTest::resolve(std::string name) {
  looked_up.push_back(name);
  auto& answers = zone[name];
  if (answers.empty()) answers.push_back({"127.0.0.1"});
  std::vector<asio::ip::address> found;
  for (const auto& text : answers.front()) found.push_back(asio::ip::make_address(text));
  if (answers.size() > 1) answers.pop_front();
  co_return found;
}

void OutboundTest::run(Task<void> task) {
  outbound = std::make_unique<Outbound>(io.get_executor(), config, log);
  for (const auto port : {http_port, host.port(), echo.port()}) {
    auto [listener, bound] = any_listener();
    listeners_[port] = bound;
    EXPECT_TRUE(outbound->serve(std::move(listener), port));
  }
  auto [names, port] = any_listener();
  base::Fd datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(0, ::bind(datagrams.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
  names_port_ = port;
  EXPECT_TRUE(outbound->serve_names(std::move(datagrams), std::move(names)));
  std::exception_ptr failure;
  asio::co_spawn(io, run_and_stop(std::move(task)), [&](std::exception_ptr error) { failure = error; });
  io.run();
  io.restart();
  if (failure) std::rethrow_exception(failure);
}

Task<void> OutboundTest::run_and_stop(Task<void> task) {
  std::exception_ptr failure;
  try {
    co_await std::move(task);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  co_await outbound->stop();
  co_await host.stop();
  co_await echo.stop();
  co_await provider_server.stop(base::SteadyClock::now());
  if (failure) std::rethrow_exception(failure);
}

Task<std::string> OutboundTest::ask_names(std::string message) {
  const asio::ip::udp::endpoint to(asio::ip::address_v4::loopback(), names_port_);
  UdpSocket socket(io.get_executor(), asio::ip::udp::endpoint(asio::ip::udp::v4(), 0));
  co_await socket.async_send_to(asio::buffer(message), to, base::use_task);
  std::string answer(4096, '\0');
  asio::ip::udp::endpoint from;
  answer.resize(co_await socket.async_receive_from(asio::buffer(answer), from, base::use_task));
  co_return answer;
}

Task<std::unique_ptr<Agent>> OutboundTest::reach_names() {
  auto stream = co_await net::connect_tcp("127.0.0.1", names_port_, soon());
  co_return std::make_unique<Agent>(base::value_or_throw(std::move(stream)));
}

std::string OutboundTest::question_for(const std::string& name) {
  std::string question("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  for (std::string_view rest = name; !rest.empty();) {
    const auto label = rest.substr(0, rest.find('.'));
    question += static_cast<char>(label.size());
    question += label;
    rest.remove_prefix(std::min(rest.size(), label.size() + 1));
  }
  return question + std::string("\x00\x00\x01\x00\x01", 5);
}

Task<asio::ip::address> OutboundTest::address_of(std::string name) {
  const auto question = question_for(name);
  const auto answer = co_await ask_names(question);
  if (answer.size() != question.size() + 16) co_return asio::ip::address();
  asio::ip::address_v4::bytes_type bytes;
  std::copy(answer.end() - 4, answer.end(), bytes.begin());
  co_return asio::ip::address_v4(bytes);
}

Task<std::unique_ptr<Agent>> OutboundTest::reach_address(asio::ip::address address, std::uint16_t port) {
  net::Addressed to{"sandbox", {address}, listeners_.at(port)};
  auto stream = co_await net::connect_tcp(std::move(to), soon());
  co_return std::make_unique<Agent>(base::value_or_throw(std::move(stream)));
}

Task<std::unique_ptr<Agent>> OutboundTest::reach(std::string name, std::uint16_t port) {
  const auto address = co_await address_of(name);
  co_return co_await reach_address(address, port);
}

Task<Result<std::unique_ptr<net::Stream>>> OutboundTest::reach_tls(std::string name, std::uint16_t port,
                                                                   std::string asked, const net::TlsContext& by) {
  const auto address = co_await address_of(std::move(name));
  net::Addressed to{std::move(asked), {address}, listeners_.at(port)};
  co_return co_await net::connect_tls(std::move(to), by, soon());
}

Task<std::string> OutboundTest::ask(std::string name, std::string wire) {
  auto agent = co_await reach(std::move(name), http_port);
  co_await agent->send(std::move(wire));
  co_return co_await agent->rest();
}

Task<std::string> OutboundTest::ask_tls(std::string name, std::string wire) {
  auto stream = co_await reach_tls(name, host.port(), name, *believes_run);
  Agent agent(base::value_or_throw(std::move(stream)));
  co_await agent.send(std::move(wire));
  co_return co_await agent.rest();
}

void OutboundTest::secret(const std::string& name, const std::string& bound, const std::string& paths) {
  OutboundSecret added{.name = name, .host = bound + ":" + std::to_string(host.port()), .header = "authorization",
                       .value = &value};
  if (!paths.empty()) added.paths = {paths};
  config.secrets[name] = added;
}

bool OutboundTest::was_denied(const std::string& reason) const {
  return std::any_of(log.denied.begin(), log.denied.end(),
                     [&](const RequestRecord& record) { return record.reason == reason; });
}

}  // namespace agentrouter::egress
