#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "api/problem.h"
#include "apps/commands.h"
#include "apps/flags.h"
#include "apps/settings.h"
#include "base/event.h"
#include "net/listener.h"
#include "net/server.h"
#include "sim/simulator.h"

namespace agentrouter::apps {

namespace {

// The simulated provider over HTTP: what `egress` does in-process under --sim, for tests of the upstream
// path.
class SimHandler final : public net::Handler {
 public:
  explicit SimHandler(const std::string& key) : simulator_(key) {}

  base::Task<void> handle(net::Exchange& exchange) override {
    exchange.limit_body(64u << 20);
    const auto body = co_await exchange.read_body();
    if (!body) {
      const net::ServerError error{net::status_of_body_error(body.error()), "bad_request",
                                   body.error().message, &exchange.request()};
      co_await exchange.respond(api::problem(error, base::system_entropy()));
      co_return;
    }
    const auto& request = exchange.request();
    std::vector<sim::Header> headers;
    for (const auto& header : request.headers) headers.push_back({header.name, header.value});
    const auto reply = simulator_.handle(
        {.method = request.method, .target = request.target, .headers = headers, .body = *body});
    net::Response head;
    head.status = reply.status;
    for (const auto& header : reply.headers) head.headers.add(header.name, header.value);
    if (!reply.is_event_stream() && reply.ending == sim::Ending::complete) {
      head.body = reply.body();
      co_await exchange.respond(std::move(head));
      co_return;
    }
    auto* writer = co_await exchange.start_stream(std::move(head));
    for (const auto& chunk : reply.chunks) {
      if (chunk.delay.count() > 0) co_await base::sleep_for(chunk.delay);
      if (!co_await writer->write(chunk.bytes)) co_return;
    }
    if (reply.ending == sim::Ending::cut) writer->abort();
  }

 private:
  sim::Simulator simulator_;
};

base::Task<void> serve_until_signal(net::Server& server, std::string host, std::uint16_t port) {
  const auto bound = base::value_or_throw(server.listen(host, port));
  std::cout << "agentrouter sim: listening on http://" << net::ListenerAddress{host, bound}.name() << "/v1"
            << std::endl;
  asio::basic_signal_set<base::Executor> signals(co_await base::this_executor, SIGTERM, SIGINT);
  co_await signals.async_wait(base::use_task);
  co_await server.stop(std::chrono::steady_clock::now() + std::chrono::seconds(1));
}

}  // namespace

int sim_command(const std::vector<std::string>& arguments) {
  const auto flags = parse_flags(arguments, {.values = {"listen", "require-key"}, .switches = {"help"}});
  if (!flags || flags->has("help")) {
    (flags ? std::cout : std::cerr)
        << "Usage: agentrouter sim [--listen HOST:PORT] [--require-key KEY]\n\n"
           "Serves the simulated model provider (OpenAI Responses, Anthropic Messages) for tests and CI.\n\n"
           "Example: agentrouter sim --listen 127.0.0.1:0 --require-key test\n";
    return flags ? 0 : 2;
  }
  const auto listen = parse_listen("--listen", flags->value("listen").value_or("127.0.0.1:0"));
  if (!listen) {
    std::cerr << "agentrouter: " << listen.error().message << "\n";
    return 2;
  }
  asio::io_context io{1};
  SimHandler handler(flags->value("require-key").value_or(""));
  net::Server server(io.get_executor(), handler, [](const net::ServerError& error) {
    return api::problem(error, base::system_entropy());
  });
  int exit_code = 0;
  asio::co_spawn(io.get_executor(), serve_until_signal(server, listen->host, listen->port),
                 [&exit_code](std::exception_ptr error) {
                   if (!error) return;
                   try {
                     std::rethrow_exception(error);
                   } catch (const std::exception& failure) {
                     std::cerr << "agentrouter: " << failure.what() << "\n";
                     exit_code = 1;
                   }
                 });
  io.run();
  return exit_code;
}

}  // namespace agentrouter::apps
