#include "cli/interrupt.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::cli {

Interrupts::Interrupts() : end_(base::value_or_throw(base::make_pipe())) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &wanted, &before_);
  signals_ = base::Fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) base::throw_errno("cannot watch for signals", errno);
  watcher_ = std::thread([this] { watch(); });
}

Interrupts::~Interrupts() {
  end_.second.reset();
  watcher_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Interrupts::watch() {
  pollfd sources[] = {{signals_.get(), POLLIN, 0}, {end_.first.get(), POLLIN, 0}};
  while (::poll(sources, 2, -1) >= 0 || errno == EINTR) {
    if (sources[1].revents) return;
    signalfd_siginfo info;
    if (::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
    auto& source = first_.stop_requested() ? second_ : first_;
    source.request_stop();
  }
}

}  // namespace agentrouter::cli
