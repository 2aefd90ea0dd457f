#include "store/postgres/feed.h"

#include "base/log.h"
#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {
constexpr int commits_at_once = 100;
}

Feed::Feed(FeedOptions options, Listeners& listeners, std::int64_t told, std::optional<CommitName> told_name)
    : options_(std::move(options)),
      listeners_(listeners),
      session_(options_.session),
      told_(told),
      told_name_(std::move(told_name)) {
  thread_.post([this] { follow(); });
}

void Feed::close() {
  if (closed_.exchange(true)) return;
  waker_.wake();
  thread_.join();
}

std::int64_t Feed::told() const {
  const std::lock_guard lock(mutex_);
  return told_;
}

void Feed::committed(std::int64_t position, const CommitName& name, Capture capture) {
  const std::lock_guard lock(mutex_);
  if (position <= told_) return;
  if (position == told_ + 1) {
    deliver(position, name, std::move(capture));
    return deliver_own();
  }
  if (own_.size() < options_.own_commits) own_.emplace(position, Own{name, std::move(capture)});
  waker_.wake();
}

void Feed::follow() {
  while (!closed_) {
    try {
      if (!session_.is_alive()) connect();
      waker_.clear();
      catch_up();
      if (closed_) return;
      const auto pause = options_.listens ? options_.look_again : options_.poll;
      (void)session_.wait_notices(base::SteadyClock::now() + pause, waker_.fd());
    } catch (const base::Failure& failure) {
      note_failure(failure);
      const auto again = base::SteadyClock::now() + backoff_.next();
      // A wake means news that cannot be fetched yet, or the end.
      for (waker_.clear(); !closed_ && base::SteadyClock::now() < again; waker_.clear())
        waker_.wait_until(again);
    }
  }
}

void Feed::note_failure(const base::Failure& failure) {
  if (std::exchange(is_away_, true)) return;
  base::log(base::LogLevel::warn, "what other nodes commit is not heard of: the database is away",
            {{"cause", failure.error().message}});
}

// The log may be another one now, of a server that took over and had not got everything; or have forgotten
// too much.
void Feed::connect() {
  session_.connect();
  if (options_.listens) (void)session_.query_text("LISTEN " + std::string(commit_channel));
  std::int64_t position = 0;
  std::optional<CommitName> name;
  {
    const std::lock_guard lock(mutex_);
    position = told_;
    name = told_name_;
  }
  const auto head = head_of(session_, position);
  const bool is_other = head.position < position || (head.at_position && name && *head.at_position != *name);
  const bool is_forgotten = head.position > position && (head.first == 0 || head.first > position + 1);
  if (is_other || is_forgotten) start_over(head);
  backoff_.reset();
  if (std::exchange(is_away_, false))
    base::log(base::LogLevel::info, "what other nodes commit is heard of again", {});
}

void Feed::catch_up() {
  for (;;) {
    const auto after = told();
    const auto commits = commits_after(session_, after, commits_at_once);
    if (!commits.empty() && commits.front().position > told() + 1) start_over(head_of(session_, after));
    for (const auto& commit : commits) tell(commit);
    if (commits.size() < commits_at_once) return;
  }
}

void Feed::tell(const LoggedCommit& commit) {
  {
    const std::lock_guard lock(mutex_);
    if (commit.position <= told_) return;
    const auto own = own_.find(commit.position);
    if (own != own_.end() && own->second.name == commit.name) return deliver_own();
  }
  auto capture = read_capture(commit);
  const std::lock_guard lock(mutex_);
  if (commit.position == told_ + 1) deliver(commit.position, commit.name, std::move(capture));
  deliver_own();
}

Capture Feed::read_capture(const LoggedCommit& commit) {
  Capture capture{.events = {},
                  .changes = commit.changes,
                  .outbox_changed = commit.outbox_changed,
                  .note_kinds = commit.note_kinds};
  PgReader reader(session_);
  for (const auto& range : commit.events) {
    // Of a run that was deleted since there are none.
    auto events = reader.events(range.run, range.first - 1, static_cast<int>(range.last - range.first + 1));
    std::move(events.begin(), events.end(), std::back_inserter(capture.events));
  }
  return capture;
}

void Feed::deliver(std::int64_t position, const CommitName& name, Capture capture) {
  listeners_.tell(std::move(capture.events), capture.changes, capture.outbox_changed,
                  capture.kinds_of_notes());
  told_ = position;
  told_name_ = name;
}

void Feed::deliver_own() {
  while (!own_.empty() && own_.begin()->first <= told_ + 1) {
    auto next = own_.extract(own_.begin());
    if (next.key() == told_ + 1) deliver(next.key(), next.mapped().name, std::move(next.mapped().capture));
  }
}

void Feed::start_over(const LogHead& head) {
  base::log(base::LogLevel::warn, "commits were missed: everything is looked at again",
            {{"position", head.position}});
  const std::lock_guard lock(mutex_);
  own_.clear();
  told_ = head.position;
  told_name_.reset();
  listeners_.tell_missed();
}

}  // namespace agentrouter::store::postgres
