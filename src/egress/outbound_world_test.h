#pragma once
// For tests of the way out to other hosts: names and connections are served on loopback as a sandbox would see
// them (names stand for addresses of 127.18.0.0/15, so that no network has to be set up), and the hosts behind
// them are a plain and a TLS server with the same scripted provider.

#include <deque>
#include <map>
#include <set>

#include "base/task_scope.h"
#include "egress/authority.h"
#include "egress/outbound.h"
#include "egress/world_test.h"

namespace agentrouter::egress {

using Scheme = policy::EgressScheme;

struct TestRule {
  std::string host;
  Scheme scheme = Scheme::https;
  std::string method = {};  // empty: any
  std::string path = {};    // what it begins with; empty: any
  policy::Decision decision = policy::Decision::allowed;
  std::string secret = {};
  std::string id = "rule";
};

struct LoopbackAcceptor;

// Authorities and who believes them, made once for all tests of the process.
struct Believers {
  Believers();
  static const Believers& get();

  std::shared_ptr<const net::TlsIdentity> host_identity;  // of "api.test"
  std::unique_ptr<net::TlsContext> of_host;
  std::unique_ptr<Authority> authority;  // of the run
  std::unique_ptr<net::TlsContext> of_run;
};

// A server that ends TLS as "api.test" and hands requests to `handler`.
class TlsHost {
 public:
  TlsHost(base::Executor executor, net::Server& server, net::Handler& handler);
  ~TlsHost();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  Task<void> stop();

 private:
  Task<void> accept();
  Task<void> serve(base::Fd socket);

  base::Executor executor_;
  net::Server& server_;
  net::Handler& handler_;
  net::ErrorReply reply_;
  std::uint16_t port_ = 0;
  std::unique_ptr<LoopbackAcceptor> acceptor_;
  base::TaskScope scope_;
};

// Sends back what it gets, and its end.
class EchoHost {
 public:
  explicit EchoHost(base::Executor executor);
  ~EchoHost();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  Task<void> stop();

  std::string greeting;  // said first
  int accepted = 0;
  std::size_t ended = 0;  // connections whose end was seen

 private:
  Task<void> accept();
  Task<void> echo(std::unique_ptr<net::Stream> stream);

  base::Executor executor_;
  std::uint16_t port_ = 0;
  std::unique_ptr<LoopbackAcceptor> acceptor_;
  base::TaskScope scope_;
};

class OutboundTest : public testing::Test {
 protected:
  static constexpr std::string_view field_value = "Bearer sk-real-0123456789/canary+x";
  static constexpr std::string_view field_word = "sk-real-0123456789/canary+x";

  OutboundTest();

  // Runs `task` against an Outbound made of `config`, then stops everything. Rethrows what the task throws.
  void run(Task<void> task);

  // The sandbox's side.
  [[nodiscard]] Task<std::string> ask_names(std::string message);
  // A connection to who answers names.
  [[nodiscard]] Task<std::unique_ptr<Agent>> reach_names();
  // A question for the address of `name`.
  [[nodiscard]] static std::string question_for(const std::string& name);
  [[nodiscard]] Task<asio::ip::address> address_of(std::string name);
  [[nodiscard]] Task<std::unique_ptr<Agent>> reach(std::string host, std::uint16_t port);
  [[nodiscard]] Task<std::unique_ptr<Agent>> reach_address(asio::ip::address address, std::uint16_t port);
  // With TLS for `name`, which is believed when the run's authority vouches for it.
  [[nodiscard]] Task<Result<std::unique_ptr<net::Stream>>> reach_tls(std::string host, std::uint16_t port,
                                                                     std::string name, const net::TlsContext& by);
  // One request; all that comes back.
  [[nodiscard]] Task<std::string> ask(std::string host, std::string wire);
  [[nodiscard]] Task<std::string> ask_tls(std::string host, std::string wire);
  [[nodiscard]] std::string get(const std::string& host, std::uint16_t port, const std::string& target = "/",
                                const std::string& fields = "") const {
    return "GET " + target + " HTTP/1.1\r\nHost: " + host + ":" + std::to_string(port) +
           "\r\nConnection: close\r\n" + fields + "\r\n";
  }
  void secret(const std::string& name, const std::string& host, const std::string& paths = "");
  [[nodiscard]] bool was_denied(const std::string& reason) const;

  asio::io_context io{1};
  Provider provider;
  net::Server provider_server;
  std::uint16_t http_port = 0;
  EchoHost echo{io.get_executor()};
  TlsHost host{io.get_executor(), provider_server, provider};
  Log log{io.get_executor()};
  std::vector<TestRule> rules;
  // What look-ups find, one after the other; the last one stays. By default 127.0.0.1.
  std::map<std::string, std::deque<std::vector<std::string>>> zone;
  std::vector<std::string> looked_up;
  const net::TlsContext* believes_host = Believers::get().of_host.get();
  const net::TlsContext* believes_run = Believers::get().of_run.get();
  Secret value = Secret::create_field(field_value).value();
  OutboundConfig config;
  std::unique_ptr<Outbound> outbound;

 private:
  [[nodiscard]] policy::EgressVerdict judge(const policy::EgressRequest& request) const;
  [[nodiscard]] Task<Result<std::vector<asio::ip::address>>> resolve(std::string host);
  [[nodiscard]] Task<void> run_and_stop(Task<void> task);

  std::map<std::uint16_t, std::uint16_t> listeners_;  // of the sandbox, by the port that they stand for
  std::uint16_t names_port_ = 0;
};

}  // namespace agentrouter::egress
