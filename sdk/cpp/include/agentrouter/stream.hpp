#pragma once
// A run's events as they happen. One connection is held open; the server pushes, nothing polls. When the
// connection breaks or falls silent it is opened again where it stopped, with growing pauses, and the reader
// notices nothing: every event comes once, in order, without gaps, until the run's last one.

#include <agentrouter/types.hpp>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace agentrouter {

struct StreamOptions {
  std::int64_t after_seq = 0;  // events up to this one are not wanted
  std::stop_token stop = {};
  std::chrono::milliseconds min_delay{500};  // first pause before a reconnection; the server may ask for more
  std::chrono::milliseconds max_delay{5'000};        // pauses double up to this
  std::chrono::milliseconds idle_timeout{45'000};    // a live server is heard every 10 s
  std::chrono::milliseconds give_up_after{120'000};  // without any sign of the server
};

// Everything happens on the caller's thread, inside next(); what is not read stays in the socket, so a slow
// reader slows the sender and loses nothing. One thread at a time. It may outlive its Client.
class EventStream {
 public:
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;
  ~EventStream();

  // Waits for the next event; nothing when the run has ended and all of it was delivered.
  // Throws Error: the server's refusal (run_not_found, unauthorized, ...), cancelled, network_error once the
  // server was silent for `give_up_after`, protocol_error. The stream is over then; a new one from
  // last_sequence() goes on exactly where this one stopped.
  [[nodiscard]] std::optional<RunEvent> next();
  // The same, but waits no longer than `wait`: nothing may also mean "not yet", which done() tells.
  [[nodiscard]] std::optional<RunEvent> next_for(std::chrono::milliseconds wait);
  [[nodiscard]] bool done() const;

  // The sequence of the last event that was handed out, or `after_seq`.
  [[nodiscard]] std::int64_t last_sequence() const;
  // False while a broken connection is being restored.
  [[nodiscard]] bool connected() const;

  // for (const auto& event : stream): input iterators over next().
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = RunEvent;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    const RunEvent& operator*() const { return *event_; }
    const RunEvent* operator->() const { return &*event_; }
    Iterator& operator++() {
      event_ = stream_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& at, std::default_sentinel_t) { return !at.event_; }

   private:
    friend class EventStream;
    explicit Iterator(EventStream* stream) : stream_(stream), event_(stream->next()) {}
    EventStream* stream_ = nullptr;
    std::optional<RunEvent> event_;
  };
  [[nodiscard]] Iterator begin() { return Iterator(this); }
  [[nodiscard]] std::default_sentinel_t end() { return {}; }

 private:
  friend class Client;
  struct State;
  explicit EventStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter
