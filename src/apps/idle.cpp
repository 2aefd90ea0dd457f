#include "apps/idle.h"

namespace agentrouter::apps {

Activity::Activity(base::Executor executor, store::Store& store)
    : executor_(executor), store_(store), changed_(executor), last_(base::SteadyClock::now()) {
  store_.add_listener(this);
}

Activity::~Activity() {
  store_.remove_listener(this);
  *alive_ = false;
}

void Activity::touch() {
  last_ = base::SteadyClock::now();
}

void Activity::committed(std::shared_ptr<const std::vector<model::Event>>) {}

void Activity::run_changed(const model::RunId&, model::RunStatus) {
  look_again();
}

void Activity::look_again() {
  asio::post(executor_, [this, alive = alive_] {
    if (!*alive) return;
    touch();
    changed_.notify();
  });
}

base::Task<bool> Activity::runs_are_active() {
  co_return co_await store_.read([](store::Reader& reader) { return reader.has_active_runs(); });
}

base::Task<void> Activity::wait_for_quiet(std::chrono::seconds quiet,
                                          std::function<std::size_t()> in_flight) {
  for (;;) {
    const auto now = base::SteadyClock::now();
    if (now >= last_ + quiet) {
      const bool busy = in_flight() > 0 || co_await runs_are_active();
      if (!busy) co_return;
      touch();
    }
    co_await base::sleep_for(last_ + quiet - now);
  }
}

base::Task<void> Activity::wait_for_runs() {
  while (!given_up_) {
    const bool busy = co_await runs_are_active();
    if (!busy || given_up_) co_return;
    co_await changed_.wait();
  }
}

void Activity::give_up() {
  given_up_ = true;
  changed_.notify();
}

}  // namespace agentrouter::apps
