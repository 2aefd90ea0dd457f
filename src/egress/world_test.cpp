#include "egress/world_test.h"

namespace agentrouter::egress {

Task<void> Agent::send(std::string bytes) {
  auto written = co_await stream_->write(bytes, soon());
  base::value_or_throw(std::move(written));
}

Task<std::string> Agent::until(std::string end) {
  for (;;) {
    const auto at = seen_.find(end);
    if (at != std::string::npos) {
      auto out = seen_.substr(0, at + end.size());
      seen_.erase(0, out.size());
      co_return out;
    }
    const bool more = co_await fill();
    if (!more) base::throw_failure(base::Code::unavailable, "the end, after \"" + seen_ + "\"");
  }
}

Task<std::string> Agent::rest() {
  bool more = true;
  while (more) more = co_await fill();
  co_return std::exchange(seen_, {});
}

Task<bool> Agent::offer(std::string_view bytes, base::Deadline deadline) {
  auto written = co_await stream_->write(bytes, deadline);
  co_return written.has_value();
}

Task<void> Agent::finish() {
  return stream_->end(soon());
}

Task<bool> Agent::fill() {
  std::string piece(16384, '\0');
  auto got = co_await stream_->read_some(piece, soon());
  if (!got && got.error().code == base::Code::timeout) base::throw_failure(base::Code::timeout, "no bytes");
  const std::size_t size = got ? *got : 0;
  seen_.append(piece, 0, size);
  co_return size > 0;
}

Task<void> Provider::handle(net::Exchange& exchange) {
  requests.push_back({exchange.request(), {}});
  const auto at = requests.size() - 1;
  changed.notify();
  if (early) {
    co_await early(*this, exchange);
    co_return;
  }
  exchange.limit_body(1u << 30);
  for (;;) {
    auto piece = co_await exchange.read_some();
    if (!piece) broken = true;
    if (!piece) co_return;
    if (piece->empty()) break;
    requests[at].body += *piece;
    changed.notify();
  }
  if (script) {
    co_await script(*this, exchange);
  } else {
    co_await exchange.respond(reply("application/json", R"({"ok":true})"));
  }
}

Task<void> Provider::until(std::function<bool()> condition) {
  while (!condition()) {
    const bool woken = co_await changed.wait_until(soon());
    if (!woken) base::throw_failure(base::Code::timeout, "the provider saw nothing");
  }
}

Task<Result<void>> Log::on_first_forward() {
  ++asked;
  changed.notify();
  while (hold) co_await release.wait();
  co_return answer;
}

Task<void> Log::until(std::function<bool()> condition) {
  while (!condition()) {
    const bool woken = co_await changed.wait_until(soon());
    if (!woken) base::throw_failure(base::Code::timeout, "the observer was told nothing");
  }
}

Task<std::unique_ptr<Agent>> EgressTest::connect() {
  auto stream = co_await net::connect_tcp("127.0.0.1", port, soon());
  co_return std::make_unique<Agent>(base::value_or_throw(std::move(stream)));
}

Task<std::string> EgressTest::ask(std::string wire) {
  auto agent = co_await connect();
  co_await agent->send(std::move(wire));
  auto answer = co_await agent->rest();
  co_return answer;
}

Task<void> EgressTest::run_and_stop(Task<void> task) {
  std::exception_ptr failure;
  try {
    co_await std::move(task);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  co_await egress->stop();
  co_await provider_server.stop(base::SteadyClock::now());
  if (failure) std::rethrow_exception(failure);
}

}  // namespace agentrouter::egress
