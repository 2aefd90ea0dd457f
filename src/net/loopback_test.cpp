#include "net/loopback_test.h"

#include <boost/asio/this_coro.hpp>

namespace agentrouter::net {

namespace {

Response plain(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "text/plain"}}, .body = std::move(body)};
}

Response render(const ServerError& error) {
  auto response = plain(error.status, std::string(error.code) + ": " + std::string(error.message));
  response.headers.add("X-Asked", error.request ? error.request->path : "nothing");
  return response;
}

}  // namespace

Task<void> Peer::send(std::string bytes) {
  auto written = co_await stream_->write(bytes, soon());
  base::value_or_throw(std::move(written));
}

Task<std::string> Peer::until(std::string end) {
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

Task<std::string> Peer::rest() {
  bool more = true;
  while (more) more = co_await fill();
  co_return std::exchange(seen_, {});
}

Task<bool> Peer::fill() {
  std::string piece(4096, '\0');
  auto got = co_await stream_->read_some(piece, soon());
  if (!got && got.error().code == base::Code::timeout) base::throw_failure(base::Code::timeout, "no bytes");
  const std::size_t size = got ? *got : 0;
  seen_.append(piece, 0, size);
  co_return size > 0;
}

Task<void> Behaviours::handle(Exchange& exchange) {
  ++calls;
  changed.notify();
  const std::string path = exchange.request().path;
  if (path == "/echo") {
    co_await echo(exchange);
  } else if (path == "/pieces") {
    co_await pieces(exchange);
  } else if (path == "/refuse") {
    co_await exchange.respond(plain(401, "no"));
  } else if (path == "/stream" || path == "/sized" || path == "/short" || path == "/breaks") {
    co_await stream(exchange);
  } else if (path == "/quiet") {
    co_await quiet(exchange);
  } else if (path == "/endless") {
    co_await endless(exchange);
  } else if (path == "/hold") {
    co_await hold(exchange);
  } else if (path == "/file") {
    co_await exchange.send_file(plain(200, ""), file, 0, file_size);
  } else if (path == "/throws") {
    base::throw_failure(base::Code::unavailable, "the secret reason");
  } else if (path == "/large") {
    co_await exchange.respond(plain(200, std::string(32 << 20, 'x')));
  } else if (path == "/empty") {
    co_await exchange.respond(plain(204, "dropped"));
  } else if (path != "/silent") {
    co_await exchange.respond(plain(200, exchange.request().method + " " + exchange.request().target));
  }
}

Task<void> Behaviours::echo(Exchange& exchange) {
  auto body = co_await exchange.read_body();
  if (body) {
    co_await exchange.respond(plain(200, "[" + *body + "]"));
  } else {
    co_await exchange.respond(plain(status_of_body_error(body.error()), body.error().message));
  }
}

Task<void> Behaviours::pieces(Exchange& exchange) {
  exchange.limit_body(100);
  std::string seen;
  for (;;) {
    auto piece = co_await exchange.read_some();
    if (!piece || piece->empty()) break;
    seen += "<" + *piece + ">";
    changed.notify();
  }
  co_await exchange.respond(plain(200, seen));
}

Task<void> Behaviours::stream(Exchange& exchange) {
  const std::string path = exchange.request().path;
  Response head = plain(200, "");
  if (path == "/sized" || path == "/short") head.headers.add("Content-Length", path == "/sized" ? "6" : "9");
  StreamWriter* writer = co_await exchange.start_stream(std::move(head));
  for (const char* frame : {"one", "two"}) {
    const bool sent = co_await writer->write(frame);
    if (!sent) co_return;
  }
  if (path == "/breaks") base::throw_failure(base::Code::internal, "a broken stream");
}

// An open stream with nothing to say, as an idle follower of a run.
Task<void> Behaviours::quiet(Exchange& exchange) {
  StreamWriter* writer = co_await exchange.start_stream(plain(200, ""));
  ++streams;
  changed.notify();
  base::Event wake(co_await base::this_executor);
  writer->on_end([&wake] { wake.notify(); });
  while (!writer->ended()) co_await wake.wait();
  ++ends;
  changed.notify();
  std::ignore = co_await writer->write("bye");
}

Task<void> Behaviours::endless(Exchange& exchange) {
  StreamWriter* writer = co_await exchange.start_stream(plain(200, ""));
  ++streams;
  const std::string piece(32 * 1024, 'x');
  for (;;) {
    const bool sent = co_await writer->write(piece);
    if (!sent) break;
    ++passed;
  }
  ++ends;
  changed.notify();
}

Task<void> Behaviours::hold(Exchange& exchange) {
  try {
    while (!released) co_await released_.wait();
  } catch (const std::exception&) {
    ++cancelled;
    throw;
  }
  co_await exchange.respond(plain(200, "held"));
}

Loopback::Loopback(ServerOptions options) : server(io.get_executor(), handler, render, options) {
  port = base::value_or_throw(server.listen("127.0.0.1", 0));
}

void Loopback::run(Task<void> task, std::chrono::milliseconds stop_time) {
  std::exception_ptr failure;
  asio::co_spawn(io, run_and_stop(std::move(task), stop_time),
                 [&](std::exception_ptr error) { failure = error; });
  io.run();
  if (failure) std::rethrow_exception(failure);
}

Task<void> Loopback::run_and_stop(Task<void> task, std::chrono::milliseconds stop_time) {
  std::exception_ptr failure;
  try {
    co_await std::move(task);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  co_await server.stop(base::SteadyClock::now() + stop_time);
  if (failure) std::rethrow_exception(failure);
}

Task<std::unique_ptr<Peer>> Loopback::connect() {
  auto stream = co_await connect_tcp("127.0.0.1", port, soon());
  co_return std::make_unique<Peer>(base::value_or_throw(std::move(stream)));
}

Task<std::string> Loopback::ask(std::string wire) {
  auto peer = co_await connect();
  co_await peer->send(std::move(wire));
  auto all = co_await peer->rest();
  co_return all;
}

}  // namespace agentrouter::net
