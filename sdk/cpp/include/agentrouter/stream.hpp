#pragma once
// A run's events as they happen. One connection is held open; the server pushes, nothing polls. When the
// connection breaks or falls silent it is opened again where it stopped, with growing pauses, and the reader
// notices nothing: every event comes once, in order, without gaps, until the run's last one.
//
// A server that ends its reply after each batch is asked again: at once while there are events, else after
// `poll_interval`, when the run itself is looked at too, so that one that ended without a last event is seen.

#include <agentrouter/export.hpp>
#include <agentrouter/iterator.hpp>
#include <agentrouter/types.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace agentrouter {

struct StreamOptions {
  std::int64_t after_seq = 0;  // events up to this one are not wanted
  std::stop_token stop = {};
  // How long the run may take from now on; none: for ever. When it has passed and the run has not ended, the
  // stream is over with wait_timeout. An ended run is read to its end whatever the time.
  std::optional<std::chrono::milliseconds> max_wait = {};
  std::chrono::milliseconds poll_interval{1'000};  // only with a server that does not push
  std::chrono::milliseconds min_delay{500};  // first pause before a reconnection; the server may ask for more
  std::chrono::milliseconds max_delay{5'000};        // pauses double up to this
  std::chrono::milliseconds idle_timeout{45'000};    // a live server is heard every 10 s
  std::chrono::milliseconds give_up_after{120'000};  // without any sign of the server
};

// Everything happens on the caller's thread, inside next(); what is not read stays in the socket, so a slow
// reader slows the sender and loses nothing. One thread at a time. It may outlive its Client.
class AGENTROUTER_API EventStream {
 public:
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;
  ~EventStream();

  // Waits for the next event; nothing when the run has ended and all of it was delivered.
  // Throws Error: the server's refusal (run_not_found, unauthorized, ...), cancelled, wait_timeout,
  // network_error once the server was silent for `give_up_after`, protocol_error. It is over then; a new one
  // from last_sequence() goes on exactly where this one stopped.
  [[nodiscard]] std::optional<RunEvent> next();
  // The same, but waits no longer than `wait` (with a server that does not push, a call may come on top):
  // nothing may also mean "not yet", which done() tells.
  [[nodiscard]] std::optional<RunEvent> next_for(std::chrono::milliseconds wait);
  [[nodiscard]] bool done() const;

  // The sequence of the last event that was handed out, or `after_seq`.
  [[nodiscard]] std::int64_t last_sequence() const;
  // False while a broken connection is being restored.
  [[nodiscard]] bool connected() const;

  // for (const auto& event : stream).
  using Iterator = InputIterator<EventStream, RunEvent>;
  [[nodiscard]] Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() { return {}; }

 private:
  friend class Client;
  struct AGENTROUTER_LOCAL State;
  explicit EventStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter
