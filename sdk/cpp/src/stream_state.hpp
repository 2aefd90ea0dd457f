#pragma once
// The state machine behind EventStream: disconnected -> connecting -> open -> disconnected ... -> ended.

#include <agentrouter/stream.hpp>
#include <deque>

#include "sse.hpp"
#include "transport.hpp"

namespace agentrouter {

struct EventStream::State {
  using SteadyTime = std::chrono::steady_clock::time_point;
  using milliseconds = std::chrono::milliseconds;

  State(std::shared_ptr<detail::Transport> transport, std::string run_path, StreamOptions options);
  ~State();

  // One step towards the next event, no longer than `deadline`. Throws what ends the stream.
  void step(SteadyTime deadline);
  void end();

  [[nodiscard]] detail::Channel* channel() { return channel_.get(); }

  std::deque<RunEvent> ready;
  StreamOptions options;
  std::int64_t handed_out;  // the reader's position
  std::int64_t received;    // the connection's position, ahead of it by `ready`
  bool ended = false;
  bool open = false;  // connected and speaking the protocol

 private:
  void connect();
  void drive(SteadyTime deadline);
  void take_body();
  void take_frame(const detail::SseFrame& frame);
  void judge_refusal();
  // The server ended its reply and has said all that it had.
  void batch_ended();
  // Looks at the run itself. Whether it has ended and nothing of it is missing; nothing when it cannot be
  // told now, which has planned the next connection.
  std::optional<bool> finished();
  void judge_overdue();
  [[nodiscard]] Run get_run() const;
  // Drops the connection and plans the next one, or throws `why` when it has gone on for too long.
  void lost(const Error& why, milliseconds at_least = {});

  std::shared_ptr<detail::Transport> transport_;
  std::string run_path_;
  std::optional<SteadyTime> overdue_at_;
  std::int64_t begun_at_ = 0;  // `received` when this connection began
  std::unique_ptr<detail::Channel> channel_;
  bool connected_ = false;  // an exchange is under way
  std::string refusal_;     // body of a reply that is not a stream
  detail::SseParser parser_;
  detail::Backoff backoff_;
  SteadyTime heard_at_;     // the last sign of a live server
  SteadyTime activity_at_;  // the last byte, or the beginning, of this connection
  SteadyTime resume_at_;    // when to connect again
  int broken_ = 0;          // connections in a row that broke the protocol
};

}  // namespace agentrouter
