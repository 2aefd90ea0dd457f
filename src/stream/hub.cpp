#include "stream/hub.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <unordered_map>

#include "stream/feed.h"
#include "stream/sse.h"

namespace agentrouter::stream {

// What the hub and its subscriptions share. Belongs to the executor's thread but for `following`. Shared,
// because a commit may be on its way to the executor when the hub goes.
class HubState {
 public:
  HubState(base::Executor executor, store::Store& store, HubOptions options)
      : executor(executor), store(store), options(options) {}

  void deliver(const std::vector<model::Event>& events);
  void end(const model::RunId& run);
  void missed();

  void note_questions(std::uint64_t more) {
    questions += more;
    for (auto* waiter : waiters) waiter->notify();
  }

  base::Executor executor;
  store::Store& store;
  const HubOptions options;
  std::uint64_t questions = 0;
  std::vector<base::Event*> waiters;  // for a question
  bool waits_ended = false;
  std::atomic<std::size_t> following{0};
  std::unordered_map<model::RunId, std::vector<Feed*>> feeds;
};

class Feed {
 public:
  Feed(std::shared_ptr<HubState> state, model::RunId run, model::Seq after)
      : state_(std::move(state)),
        run_(std::move(run)),
        backlog_(after, state_->options),
        wake_(state_->executor, base::Deadline::max()) {
    // Before the first read: a commit is seen by the one or by the other.
    state_->feeds[run_].push_back(this);
    ++state_->following;
  }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  ~Feed() {
    --state_->following;
    auto& of_run = state_->feeds[run_];
    std::erase(of_run, this);
    if (of_run.empty()) state_->feeds.erase(run_);
  }

  void offer(const Frame& frame, bool terminal) {
    backlog_.offer(frame, terminal);
    wake_.cancel();
  }
  void run_is_over() {
    backlog_.run_is_over();
    wake_.cancel();
  }
  void missed() {
    ++misses_;
    backlog_.missed();
    wake_.cancel();
  }
  base::Task<Batch> next(base::Deadline deadline);
  [[nodiscard]] model::Seq cursor() const { return backlog_.cursor(); }

 private:
  base::Task<void> read_page();
  base::Task<void> wait_until(base::Deadline deadline);

  std::shared_ptr<HubState> state_;
  const model::RunId run_;
  Backlog backlog_;
  int misses_ = 0;
  base::Timer wake_;
};

namespace {

struct Page {
  std::vector<model::Event> events;
  bool last = false;   // nothing behind it
  bool ended = false;  // the run is over or unknown
};

Page read_events(store::Reader& reader, const model::RunId& id, model::Seq after, int limit) {
  Page page;
  page.events = reader.events(id, after, limit);
  page.last = page.events.size() < static_cast<std::size_t>(limit);
  if (page.last && page.events.empty()) {
    const auto run = reader.run(id);
    page.ended = !run || model::is_terminal(run->status);
  }
  return page;
}

}  // namespace

base::Task<void> Feed::read_page() {
  // Captures references only: g++ 12 destroys a closure in a co_await expression twice.
  const auto after = backlog_.cursor();
  const int misses = misses_;
  const auto page = co_await state_->store.read([this, after](store::Reader& reader) {
    return read_events(reader, run_, after, state_->options.page_events);
  });
  // What was missed while it was read may be behind it.
  backlog_.add_page(page.events, page.last && misses == misses_);
  if (page.ended) backlog_.end();
}

base::Task<void> Feed::wait_until(base::Deadline deadline) {
  wake_.expires_at(deadline);
  boost::system::error_code woken;
  co_await wake_.async_wait(asio::redirect_error(base::use_task, woken));
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

base::Task<Batch> Feed::next(base::Deadline deadline) {
  while (true) {
    if (backlog_.must_read()) co_await read_page();
    auto batch = backlog_.take();
    if (!batch.frames.empty() || batch.ended) co_return batch;
    if (backlog_.must_read()) continue;
    if (base::SteadyClock::now() >= deadline) co_return batch;
    co_await wait_until(deadline);
  }
}

void HubState::deliver(const std::vector<model::Event>& events) {
  for (const auto& event : events) {
    const auto found = feeds.find(event.run_id);
    if (found == feeds.end()) continue;
    const Frame frame{event.sequence, std::make_shared<const std::string>(event_frame(event))};
    const bool terminal = is_terminal_type(event.type);
    for (auto* feed : found->second) feed->offer(frame, terminal);
  }
}

void HubState::end(const model::RunId& run) {
  const auto found = feeds.find(run);
  if (found == feeds.end()) return;
  for (auto* feed : found->second) feed->run_is_over();
}

void HubState::missed() {
  for (const auto& [run, all] : feeds) {
    for (auto* feed : all) feed->missed();
  }
  note_questions(1);
}

namespace {

// One waiter's place in the list.
struct Waiting {
  explicit Waiting(HubState& state) : state(state), event(state.executor) { state.waiters.push_back(&event); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { std::erase(state.waiters, &event); }
  HubState& state;
  base::Event event;
};

}  // namespace

Subscription::Subscription(std::unique_ptr<Feed> feed) : feed_(std::move(feed)) {}

Subscription::~Subscription() = default;

base::Task<Batch> Subscription::next(base::Deadline deadline) {
  return feed_->next(deadline);
}

model::Seq Subscription::cursor() const {
  return feed_->cursor();
}

Hub::Hub(base::Executor executor, store::Store& store, HubOptions options)
    : store_(store), state_(std::make_shared<HubState>(executor, store, options)) {
  store_.add_listener(this);
}

Hub::~Hub() {
  store_.remove_listener(this);
}

std::unique_ptr<Subscription> Hub::subscribe(model::RunId run, model::Seq after) {
  return std::make_unique<Subscription>(
      std::make_unique<Feed>(state_, std::move(run), std::max<model::Seq>(after, 0)));
}

std::size_t Hub::subscribers() const {
  return state_->following;
}

std::uint64_t Hub::questions() const {
  return state_->questions;
}

base::Task<void> Hub::question_after(std::uint64_t seen, base::Deadline deadline) {
  const auto state = state_;
  Waiting waiting(*state);
  while (state->questions == seen && !state->waits_ended && !base::passed(deadline))
    co_await waiting.event.wait_until(deadline);
}

bool Hub::stopping() const {
  return state_->waits_ended;
}

void Hub::end_waits() {
  state_->waits_ended = true;
  state_->note_questions(0);
}

void Hub::committed(std::shared_ptr<const std::vector<model::Event>> events) {
  const auto asked = static_cast<std::uint64_t>(
      std::ranges::count(*events, std::string_view("approval.requested"), &model::Event::type));
  if (asked > 0) asio::post(state_->executor, [state = state_, asked] { state->note_questions(asked); });
  if (state_->following == 0) return;
  asio::post(state_->executor, [state = state_, events = std::move(events)] { state->deliver(*events); });
}

// Its followers hear of the end from the terminal event. Of one that was deleted there is none any more.
void Hub::run_changed(const model::RunId& run, model::RunStatus status) {
  if (!model::is_terminal(status) || state_->following == 0) return;
  asio::post(state_->executor, [state = state_, run] { state->end(run); });
}

void Hub::missed() {
  asio::post(state_->executor, [state = state_] { state->missed(); });
}

}  // namespace agentrouter::stream
