// What the way out to other hosts adds: egress_bench [requests]. Everything runs on loopback in one process, in
// three threads: clients, the way out, hosts. "direct" is the same client and host without it.
//
//   round trip   connect, one byte there and back, on a connection of its own: direct and carried, interleaved
//   throughput   1 GiB in one direction on one connection
//   streams      1,000 connections opened at once, each says a word and is answered, then all again
//   requests     so many requests over http (default 200,000), 20 a connection; memory and descriptors as they go

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <future>
#include <iomanip>
#include <iostream>
#include <thread>

#include "base/task_scope.h"
#include "egress/outbound.h"
#include "net/server.h"

namespace {

using namespace agentrouter;
using base::Fd;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, base::Executor>;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void check(bool good, const char* what) {
  if (!good) base::throw_errno(what, errno);
}

sockaddr_in endpoint(std::uint32_t address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(address);
  out.sin_port = htons(port);
  return out;
}

std::pair<Fd, std::uint16_t> bound(int kind, std::uint16_t port = 0) {
  Fd fd(::socket(AF_INET, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  auto address = endpoint(INADDR_ANY, port);
  socklen_t size = sizeof address;
  check(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  if (kind == SOCK_STREAM) check(::listen(fd.get(), 4096) == 0, "listen");
  check(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  return {std::move(fd), ntohs(address.sin_port)};
}

// Blocking clients.
Fd connected(std::uint32_t address, std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto to = endpoint(address, port);
  check(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, "connect");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void send_all(const Fd& fd, std::string_view bytes) {
  base::value_or_throw(base::write_all(fd.get(), bytes));
}

std::string receive(const Fd& fd, std::size_t least) {
  std::string out;
  std::array<char, 65536> piece;
  while (out.size() < least) {
    const auto got = ::recv(fd.get(), piece.data(), piece.size(), 0);
    check(got > 0, "recv");
    out.append(piece.data(), static_cast<std::size_t>(got));
  }
  return out;
}

// One thread with an io_context of its own.
class Loop {
 public:
  Loop() : work_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}
  ~Loop() {
    work_.reset();
    thread_.join();
  }
  base::Executor executor() { return io_.get_executor(); }
  void run(const std::function<base::Task<void>()>& task) {
    std::promise<void> done;
    asio::post(io_, [&] {
      asio::co_spawn(io_, task(), [&](std::exception_ptr error) {
        if (error) done.set_exception(error);
        if (!error) done.set_value();
      });
    });
    done.get_future().get();
  }
  void call(const std::function<void()>& function) {
    std::promise<void> done;
    asio::post(io_, [&] {
      function();
      done.set_value();
    });
    done.get_future().get();
  }

 private:
  asio::io_context io_{1};
  asio::executor_work_guard<base::Executor> work_;
  std::thread thread_;
};

// Sends everything back; what begins with "S" is only swallowed.
class Host final : public net::Handler {
 public:
  explicit Host(base::Executor executor)
      : executor_(executor),
        server_(executor, *this, [](const net::ServerError& error) { return net::Response{.status = error.status}; }),
        scope_(executor) {}

  void start() {
    http_port = server_.listen("127.0.0.1", 0).value();
    auto [listener, port] = bound(SOCK_STREAM);
    echo_port = port;
    listener_ = std::move(listener);
    scope_.spawn(accept());
  }
  base::Task<void> stop() {
    co_await scope_.cancel_and_join();
    co_await server_.stop(Clock::now());
  }
  base::Task<void> handle(net::Exchange& exchange) override {
    net::Response response;
    response.body = "{\"ok\":true}";
    co_await exchange.respond(std::move(response));
  }

  std::uint16_t http_port = 0;
  std::uint16_t echo_port = 0;

 private:
  base::Task<void> accept() {
    Acceptor acceptor(executor_, asio::ip::tcp::v4(), listener_.release());
    for (;;) {
      auto socket = co_await acceptor.async_accept(base::use_task);
      scope_.spawn(echo(net::adopt_stream(executor_, Fd(socket.release()))));
    }
  }
  base::Task<void> echo(std::unique_ptr<net::Stream> stream) {
    std::string buffer(65536, '\0');
    for (bool first = true, swallow = false;; first = false) {
      auto got = co_await stream->read_some(buffer, base::Deadline::max());
      if (!got || *got == 0) break;
      if (first) swallow = buffer[0] == 'S';
      if (swallow) continue;
      auto written = co_await stream->write(std::string_view(buffer).substr(0, *got), base::Deadline::max());
      if (!written) break;
    }
    co_await stream->end(base::Deadline::max());
  }

  base::Executor executor_;
  net::Server server_;
  Fd listener_;
  base::TaskScope scope_;
};

struct Silent final : egress::Observer {
  base::Task<base::Result<void>> on_first_forward() override { co_return base::Result<void>(); }
  void on_request_done(const egress::RequestRecord&) override { ++done; }
  void on_denied(const egress::RequestRecord& record, std::uint64_t) override {
    std::cerr << "denied: " << record.reason << "\n";
  }
  std::size_t done = 0;
};

// What the sandbox's kernel does: a listener for each port, names on another.
class WayOut {
 public:
  WayOut(Loop& loop, const Host& host) : loop_(loop) {
    egress::OutboundConfig config;
    config.knows_host = [](const std::string&) { return true; };
    config.judge = [port = host.http_port](const policy::EgressRequest& request) {
      const auto scheme = request.port == port ? policy::EgressScheme::http : policy::EgressScheme::tcp;
      policy::EgressVerdict verdict;
      if (request.scheme == scheme) verdict.decision = policy::Decision::allowed;
      return verdict;
    };
    config.private_hosts = {"host.test"};
    config.resolver = loopback;
    config.names_network = asio::ip::make_address_v4("127.18.0.0");
    config.max_connections = 2048;
    config.total_bytes = UINT64_MAX;
    loop_.call([&] {
      outbound_ = std::make_unique<egress::Outbound>(loop_.executor(), std::move(config), observer_);
      for (const auto port : {host.http_port, host.echo_port}) {
        auto [listener, at] = bound(SOCK_STREAM);
        ports_[port] = at;
        base::value_or_throw(outbound_->serve(std::move(listener), port));
      }
      auto [listener, at] = bound(SOCK_STREAM);
      names_port_ = at;
      base::value_or_throw(outbound_->serve_names(bound(SOCK_DGRAM, at).first, std::move(listener)));
    });
    look_up();
  }
  ~WayOut() {
    loop_.run([this] { return outbound_->stop(); });
    loop_.call([this] { outbound_.reset(); });
  }
  [[nodiscard]] std::uint16_t at(std::uint16_t port) const { return ports_.at(port); }

 private:
  static base::Task<base::Result<std::vector<asio::ip::address>>> loopback(std::string, base::Deadline) {
    co_return std::vector<asio::ip::address>{asio::ip::address_v4::loopback()};
  }
  void look_up() const {
    Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const std::string question("\1\2\1\0\0\1\0\0\0\0\0\0\4host\4test\0\0\1\0\1", 27);
    const auto to = endpoint(INADDR_LOOPBACK, names_port_);
    check(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, "connect");
    check(::send(fd.get(), question.data(), question.size(), 0) > 0, "send");
    std::array<char, 512> answer;
    check(::recv(fd.get(), answer.data(), answer.size(), 0) > 27, "recv");
  }

  Loop& loop_;
  Silent observer_;
  std::unique_ptr<egress::Outbound> outbound_;
  std::map<std::uint16_t, std::uint16_t> ports_;
  std::uint16_t names_port_ = 0;
};

constexpr std::uint32_t name_address = 127u << 24 | 18u << 16 | 1;

struct Way {
  const char* name;
  std::uint32_t address;
  std::uint16_t port;
};

void round_trips(const std::vector<Way>& ways) {
  constexpr int samples = 2000;
  std::map<std::string, std::vector<double>> took;
  for (int i = 0; i < samples; ++i) {
    for (const auto& way : ways) {
      const auto begin = Clock::now();
      const auto fd = connected(way.address, way.port);
      send_all(fd, "x");
      receive(fd, 1);
      took[way.name].push_back(ms_since(begin));
    }
  }
  for (const auto& way : ways) {
    auto& values = took[way.name];
    std::sort(values.begin(), values.end());
    std::cout << "round trip  " << std::setw(8) << way.name << "  p50 " << values[samples / 2] << "  p99 "
              << values[samples * 99 / 100] << " ms\n";
  }
}

void throughput(const Way& way) {
  constexpr std::size_t total = 1u << 30;
  const std::string piece(1u << 20, 'S');
  const auto fd = connected(way.address, way.port);
  const auto begin = Clock::now();
  for (std::size_t sent = 0; sent < total; sent += piece.size()) send_all(fd, piece);
  ::shutdown(fd.get(), SHUT_WR);
  char end = 0;
  check(::recv(fd.get(), &end, 1, 0) == 0, "recv");
  const double seconds = ms_since(begin) / 1000;
  std::cout << "throughput  " << std::setw(8) << way.name << "  " << std::setprecision(0)
            << static_cast<double>(total) / seconds / (1 << 20) << " MiB/s\n"
            << std::setprecision(3);
}

std::string resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return line.substr(line.find_first_of("0123456789"));
  return "?";
}

std::size_t descriptors() {
  std::size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count - 3;
}

void streams(const Way& way) {
  constexpr std::size_t wanted = 1000;
  const auto begin = Clock::now();
  std::vector<Fd> open;
  for (std::size_t i = 0; i < wanted; ++i) open.push_back(connected(way.address, way.port));
  for (const auto& fd : open) send_all(fd, "hello");
  for (const auto& fd : open) receive(fd, 5);
  const auto first = ms_since(begin);
  for (const auto& fd : open) send_all(fd, "again");
  for (const auto& fd : open) receive(fd, 5);
  std::cout << "streams     " << std::setw(8) << way.name << "  1,000 open and answered after " << std::setprecision(0)
            << first << " ms, again after " << ms_since(begin) - first << " ms; memory of all three " << resident()
            << "\n"
            << std::setprecision(3);
}

void requests(const Way& way, std::size_t host_port, std::size_t count) {
  constexpr std::size_t on_each = 20;
  const std::string request = "GET /x HTTP/1.1\r\nHost: host.test:" + std::to_string(host_port) + "\r\n\r\n";
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < count; i += on_each) {
    if (i % (count / 10) < on_each)
      std::cout << "requests    " << std::setw(8) << i << "  memory " << resident() << "  descriptors "
                << descriptors() << "\n";
    const auto fd = connected(way.address, way.port);
    for (std::size_t k = 0; k < on_each; ++k) {
      send_all(fd, request);
      std::string answer;
      while (answer.find("{\"ok\":true}") == std::string::npos) answer += receive(fd, 1);
    }
  }
  std::cout << "requests    " << std::setw(8) << count << "  memory " << resident() << "  descriptors "
            << descriptors() << "  " << std::setprecision(0)
            << static_cast<double>(count) / ms_since(begin) * 1000 << " a second\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::stoul(argv[1]) : 200'000;
  const rlimit files{8192, 8192};
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::cout << std::fixed << std::setprecision(3);
  Loop hosts;
  Loop between;
  Host host(hosts.executor());
  hosts.call([&] { host.start(); });
  {
    const WayOut out(between, host);
    const Way direct{"direct", INADDR_LOOPBACK, host.echo_port};
    const Way carried{"carried", name_address, out.at(host.echo_port)};
    round_trips({direct, carried});
    for (const auto& way : {direct, carried}) throughput(way);
    for (const auto& way : {direct, carried}) streams(way);
    requests({"judged", name_address, out.at(host.http_port)}, host.http_port, count);
  }
  hosts.run([&] { return host.stop(); });
  return 0;
}
