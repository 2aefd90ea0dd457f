#include <agentrouter/stream.hpp>
#include <algorithm>

#include "codec.hpp"
#include "steady.hpp"
#include "stream_state.hpp"

namespace agentrouter {
namespace {

using detail::now;
using std::chrono::milliseconds;

// A server may die in the middle of a line; one that does it again and again is none of ours.
constexpr int max_broken = 5;
constexpr std::size_t max_refusal = 1u << 20;

milliseconds until(detail::SteadyTime time) {
  const auto left = time - now();
  return std::clamp(std::chrono::ceil<milliseconds>(left), milliseconds(0), milliseconds(3'600'000));
}

bool may_pass(int status) {
  return status == 408 || status == 429 || status >= 500;
}

}  // namespace

EventStream::State::State(std::shared_ptr<detail::Transport> transport, std::string run_path,
                          StreamOptions opts)
    : options(std::move(opts)),
      handed_out(options.after_seq),
      received(options.after_seq),
      transport_(std::move(transport)),
      run_path_(std::move(run_path)),
      channel_(transport_->take_channel()),
      backoff_(options.min_delay, options.max_delay),
      heard_at_(now()),
      activity_at_(heard_at_),
      resume_at_(heard_at_) {
  if (options.max_wait) overdue_at_ = heard_at_ + *options.max_wait;
}

EventStream::State::~State() {
  transport_->give_back(std::move(channel_));
}

void EventStream::State::end() {
  channel_->abandon();
  connected_ = false;
  open = false;
  ended = true;
}

void EventStream::State::step(SteadyTime deadline) {
  if (overdue_at_) {
    if (now() >= *overdue_at_) return judge_overdue();
    deadline = std::min(deadline, *overdue_at_);
  }
  if (connected_) return drive(deadline);
  if (now() < resume_at_) return channel_->pause(until(std::min(resume_at_, deadline)));
  connect();
}

void EventStream::State::connect() {
  parser_.reset();
  refusal_.clear();
  begun_at_ = received;
  detail::HttpRequest request{.target = run_path_ + "/stream",
                              .headers = {"accept: text/event-stream", "cache-control: no-store"}};
  if (received > 0) {
    // A live server takes the larger one; servers that know only one of the two get it as well.
    request.target += "?afterSeq=" + std::to_string(received);
    request.headers.push_back("last-event-id: " + std::to_string(received));
  }
  channel_->start(transport_->options(), transport_->completed(request));
  connected_ = true;
  activity_at_ = now();
}

void EventStream::State::drive(SteadyTime deadline) {
  const auto silence = open ? options.idle_timeout : transport_->options().timeout;
  const bool running = channel_->drive(until(std::min(deadline, activity_at_ + silence)));
  const int status = channel_->status();
  if (status == 204) return end();
  if (status == 200 && channel_->content_type().starts_with("text/event-stream")) {
    open = true;
    take_body();
    if (!connected_ || ended) return;
    if (!running) {
      if (const auto failure = channel_->failure()) return lost(*failure);
      return batch_ended();
    }
  } else if (status != 0) {
    if (refusal_.size() < max_refusal) refusal_ += channel_->take_body();
    if (!running) return judge_refusal();
  } else if (!running) {
    lost(channel_->failure().value_or(Error("network_error", "the server sent no reply")));
  }
  if (connected_ && now() >= activity_at_ + silence) {
    lost(Error("network_error", "the server has fallen silent"));
  }
}

void EventStream::State::take_body() {
  const auto bytes = channel_->take_body();
  if (bytes.empty()) return;
  activity_at_ = now();
  try {
    parser_.feed(bytes);
    while (const auto frame = parser_.next()) {
      take_frame(*frame);
      if (ended) return;
    }
    heard_at_ = activity_at_;
  } catch (const Error& error) {
    if (++broken_ >= max_broken) {
      end();
      throw Error("protocol_error", "the server's event stream cannot be read: " + error.message());
    }
    lost(error);
  }
}

void EventStream::State::take_frame(const detail::SseFrame& frame) {
  if (frame.event == "heartbeat") return;
  auto event = detail::decode_event(Json::parse(frame.data));
  if (event.sequence <= received) return;
  if (event.sequence != received + 1) {
    throw Error("protocol_error", "the server's event stream skips from " + std::to_string(received) +
                                      " to " + std::to_string(event.sequence));
  }
  received = event.sequence;
  broken_ = 0;
  backoff_.reset();
  const bool last = is_terminal_event(event.type);
  ready.push_back(std::move(event));
  if (last) end();
}

Run EventStream::State::get_run() const {
  const auto body = transport_->call({.target = run_path_}, {.stop = options.stop}, detail::Repeat::never);
  return detail::decode_run(Json::parse(body));
}

void EventStream::State::batch_ended() {
  heard_at_ = now();
  channel_->abandon();
  connected_ = false;
  open = false;
  backoff_.reset();
  resume_at_ = now();
  if (received > begun_at_) return;
  const auto all = finished();
  if (!all) return;
  if (*all) return end();
  resume_at_ = now() + options.poll_interval;
}

std::optional<bool> EventStream::State::finished() {
  try {
    const auto run = get_run();
    return is_terminal(run.status) && run.last_event_seq <= received;
  } catch (const Error& error) {
    const int status = error.status();
    if (error.code() == "cancelled" || (status >= 400 && !may_pass(status))) {
      end();
      throw;
    }
    lost(error);
    return std::nullopt;
  }
}

// Who waits for an ended run gets the rest of it, however late.
void EventStream::State::judge_overdue() {
  try {
    const auto run = get_run();
    overdue_at_.reset();
    if (is_terminal(run.status)) return;
    end();
    throw detail::wait_timeout(run);
  } catch (const Error&) {
    end();
    throw;
  }
}

void EventStream::State::judge_refusal() {
  const int status = channel_->status();
  if (status >= 200 && status < 300) {
    const Error error("protocol_error", "the server's reply is not an event stream");
    if (++broken_ >= max_broken) {
      end();
      throw error;
    }
    return lost(error);
  }
  const auto error = detail::reply_error(status, refusal_);
  const auto pause = channel_->retry_after();
  if (may_pass(status)) return lost(error, pause ? milliseconds(*pause) : milliseconds(0));
  end();
  throw error;
}

void EventStream::State::lost(const Error& why, milliseconds at_least) {
  channel_->abandon();
  connected_ = false;
  open = false;
  if (now() - heard_at_ >= options.give_up_after) {
    end();
    throw why;
  }
  resume_at_ = now() + backoff_.next(std::max(at_least, parser_.retry().value_or(milliseconds(0))));
}

EventStream::EventStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;
EventStream::~EventStream() = default;

std::optional<RunEvent> EventStream::next() {
  for (;;) {
    auto event = next_for(milliseconds(3'600'000));
    if (event || done()) return event;
  }
}

std::optional<RunEvent> EventStream::next_for(milliseconds wait) {
  auto& state = *state_;
  const auto deadline = now() + wait;
  auto* channel = state.channel();
  const std::stop_callback on_stop(state.options.stop, [channel] { channel->wake(); });
  while (state.ready.empty() && !state.ended) {
    if (state.options.stop.stop_requested()) {
      state.end();
      throw Error("cancelled", "reading the event stream was cancelled");
    }
    state.step(deadline);
    if (now() >= deadline) break;
  }
  if (state.ready.empty()) return std::nullopt;
  auto event = std::move(state.ready.front());
  state.ready.pop_front();
  state.handed_out = event.sequence;
  return event;
}

bool EventStream::done() const {
  return state_->ended && state_->ready.empty();
}
std::int64_t EventStream::last_sequence() const {
  return state_->handed_out;
}
bool EventStream::connected() const {
  return state_->open;
}

}  // namespace agentrouter
