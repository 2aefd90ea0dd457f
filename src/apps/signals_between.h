#pragma once
// The signals of a server while its rooms are closed to be opened again, or while it hands over: they do not
// end the process, and what they want is not forgotten.

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/asio.h"

namespace agentrouter::apps {

// One thread uses it at a time. It hears each signal, whoever else does.
class SignalsBetween {
 public:
  SignalsBetween();
  SignalsBetween(const SignalsBetween&) = delete;
  SignalsBetween& operator=(const SignalsBetween&) = delete;

  // Forgets what came so far: rooms have heard it, or will (whoever waits for a signal has it by now).
  void begin();
  // Whether SIGTERM or SIGINT came since then.
  [[nodiscard]] bool told_to_end();
  // Whether SIGHUP did.
  [[nodiscard]] bool told_to_reload();

 private:
  void wait();
  void poll();

  asio::io_context io_{1};
  asio::basic_signal_set<base::Executor> signals_{io_.get_executor()};
  bool ended_ = false;
  bool reloaded_ = false;
};

}  // namespace agentrouter::apps
