#include "keeper/fetch/fetcher.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>

#include "base/log.h"
#include "egress/ssh_gate.h"
#include "keeper/protocol.h"
#include "workspace/git_source.h"

namespace agentrouter::keeper {

namespace {

struct Held {
  sandbox::Box box;
  base::Fd stream;
  ReceivedFetch received;
};

base::Result<Held> take_over_fetch() {
  AGENTROUTER_TRY(sandbox::Box box, sandbox::Box::adopt());
  base::Fd stream = box.take_plan_pipe();
  AGENTROUTER_TRY(ReceivedFetch received, receive_fetch(stream.get()));
  return Held{std::move(box), std::move(stream), std::move(received)};
}

// Everything of one fetch, until the worker's end is closed.
class Session {
 public:
  Session(base::Executor executor, Held& held, LineSocket::Socket socket)
      : executor_(executor),
        held_(held),
        sandbox_(hold(held.box)),
        lines_(std::move(socket)),
        told_to_fetch_(executor) {}

  // Reads what the worker says. Ends with the worker.
  base::Task<void> listen() {
    for (;;) {
      const auto line = co_await lines_.read_line();
      if (!line) co_return;
      fetch_due_ = *line == "fetch";
      told_to_fetch_.notify();
    }
  }

  base::Task<void> work() {
    base::TaskScope background(executor_);
    Notices notices(executor_, *sandbox_);
    background.spawn(notices.watch());
    auto opened = open_way();
    if (opened) {
      const egress::GitWay* way = ssh_ ? static_cast<egress::GitWay*>(&*ssh_) : nullptr;
      if (gate_) way = &*gate_;
      co_await talk(notices, way);
    } else {
      const FetchFailure failure{"workspace_unavailable", opened.error().message};
      (void)co_await lines_.write(failed_line(failure));
    }
    if (gate_) co_await gate_->stop();
    if (ssh_) co_await ssh_->stop();
    co_await background.cancel_and_join();
  }

 private:
  base::Result<void> open_way() {
    const auto& plan = held_.received.plan;
    if (plan.is_local()) return {};
    if (plan.is_over_ssh()) return open_ssh();
    AGENTROUTER_TRY(auto url, net::parse_url(plan.source.url));
    if (url.scheme == net::Scheme::https || plan.source.lfs) {
      AGENTROUTER_TRY(auto tls, net::TlsContext::create({}));
      tls_.emplace(std::move(tls));
    }
    gate_.emplace(
        executor_,
        egress::GitGateConfig{.repository = url,
                              .credential = held_.received.credential ? &*held_.received.credential : nullptr,
                              .tls = tls_ ? &*tls_ : nullptr,
                              .reach = plan.public_only ? net::Reach::public_only : net::Reach::anywhere,
                              .response_bytes = plan.bytes});
    if (plan.source.lfs) {
      lfs_.emplace(
          egress::LfsConfig{.repository = url,
                            .credential = held_.received.credential ? &*held_.received.credential : nullptr,
                            .tls = tls_ ? &*tls_ : nullptr,
                            .reach = plan.public_only ? net::Reach::public_only : net::Reach::anywhere,
                            .https_hosts = plan.https_hosts});
    }
    base::Fd listener(::dup(held_.box.listener()));
    held_.box.close_listener();
    return gate_->serve(std::move(listener));
  }

  base::Result<void> open_ssh() {
    const auto& plan = held_.received.plan;
    const auto address = workspace::ssh_address(plan.source.url);
    if (!address || !held_.received.credential)
      return base::fail(base::Code::invalid, "there is no key for " + plan.source.url);
    if (plan.source.lfs)
      return base::fail(base::Code::unsupported, "LFS objects are not fetched over ssh: use https for them");
    ssh_.emplace(executor_, egress::SshGateConfig{.host = address->host,
                                                  .port = address->port,
                                                  .user = address->user,
                                                  .path = address->path,
                                                  .key = &*held_.received.credential,
                                                  .known_hosts = plan.known_hosts,
                                                  .response_bytes = plan.bytes});
    base::Fd listener(::dup(held_.box.listener()));
    held_.box.close_listener();
    ssh_->serve(std::move(listener));
    return {};
  }

  base::Task<void> talk(Notices& notices, const egress::GitWay* gate) {
    const auto& plan = held_.received.plan;
    Fetch fetch({.executor = executor_,
                 .sandbox = *sandbox_,
                 .notices = notices,
                 .attempt_dir = held_.box.attempt_dir(),
                 .plan = plan,
                 .gate = gate,
                 .lfs = lfs_ ? &*lfs_ : nullptr});
    ResolvedRef at{plan.commit, {}};
    if (at.commit.empty()) {
      auto resolved = co_await fetch.resolve();
      if (!resolved) {
        (void)co_await lines_.write(failed_line(resolved.error()));
        co_return;
      }
      at = std::move(*resolved);
    }
    (void)co_await lines_.write(resolved_line(at));
    while (!fetch_due_) co_await told_to_fetch_.wait();
    const auto fetched = co_await fetch.fetch(at);
    const std::string line = fetched ? fetched_line(*fetched) : failed_line(fetched.error());
    (void)co_await lines_.write(line);
  }

  base::Executor executor_;
  Held& held_;
  std::unique_ptr<Sandbox> sandbox_;
  LineSocket lines_;
  std::optional<net::TlsContext> tls_;
  std::optional<egress::LfsClient> lfs_;
  std::optional<egress::GitGate> gate_;
  std::optional<egress::SshGate> ssh_;
  bool fetch_due_ = false;
  base::Event told_to_fetch_;
};

// Whatever is still under way ends with the process.
[[noreturn]] void end_fetch(Held& held, int status) {
  (void)held.box.destroy();
  ::_exit(status);
}

}  // namespace

int run_fetcher() {
  ::signal(SIGPIPE, SIG_IGN);
  auto held = take_over_fetch();
  if (!held) {
    base::log(base::LogLevel::error, "the fetcher cannot start", {{"cause", held.error().message}});
    return 1;
  }
  asio::io_context io(1);
  Session session(
      io.get_executor(), *held,
      LineSocket::Socket(io.get_executor(), asio::local::stream_protocol(), held->stream.release()));
  asio::co_spawn(io.get_executor(), session.listen(), [&](std::exception_ptr) { end_fetch(*held, 0); });
  asio::co_spawn(io.get_executor(), session.work(), [&](std::exception_ptr error) {
    if (!error) return;  // the worker closes its end when it has read the answer
    base::log(base::LogLevel::error, "the fetcher failed");
    end_fetch(*held, 1);
  });
  io.run();
  end_fetch(*held, 1);
}

}  // namespace agentrouter::keeper
