#include "store/postgres/writer.h"

#include <algorithm>

#include "base/log.h"

namespace agentrouter::store::postgres {

namespace {

constexpr std::chrono::seconds purge_interval{60};

// What is left of a connection that was lost in a transaction: the server may not have noticed, and keeps the
// turn.
const Statement end_others{
    "end_others",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND "
    "datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"};

// What several callers are told, for one of them: no two threads have the same exception.
std::exception_ptr own_copy(const std::exception_ptr& failed) {
  if (!failed) return nullptr;
  try {
    std::rethrow_exception(failed);
  } catch (const base::Failure& failure) {
    return std::make_exception_ptr(base::Failure(failure.error()));
  } catch (...) {
    return std::current_exception();
  }
}

std::exception_ptr unavailable(const std::string& message, const std::string& reason) {
  return std::make_exception_ptr(base::Failure({base::Code::unavailable, message, reason}));
}

}  // namespace

Writer::Writer(WriterOptions options, Feed& feed, base::Histogram& batches)
    : options_(std::move(options)), feed_(feed), batches_(batches), session_(options_.session) {}

void Writer::submit(Work work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      queue_.push_back({std::move(work), std::move(done), nullptr});
      if (draining_) return;
      draining_ = true;
      thread_.post([this] { drain(); });
      return;
    }
  }
  done(store_closed());
}

void Writer::drain() {
  while (has_queued()) {
    const auto refused = begin();
    // What has come while others had their turn goes into this one.
    auto batch = take_queued();
    refused ? give_back(batch, refused) : commit(batch);
  }
}

bool Writer::has_queued() {
  const std::lock_guard lock(mutex_);
  draining_ = !queue_.empty();
  return draining_;
}

std::vector<Writer::Item> Writer::take_queued() {
  std::vector<Item> batch;
  const std::lock_guard lock(mutex_);
  const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), options_.batch_cap));
  std::move(queue_.begin(), queue_.begin() + count, std::back_inserter(batch));
  queue_.erase(queue_.begin(), queue_.begin() + count);
  return batch;
}

// Null when it is this node's turn.
std::exception_ptr Writer::begin() {
  if (unknown_) {
    return unavailable(
        "cannot write to the store: it does not know yet whether its last commit has happened, and waits "
        "for the database to say it",
        "storage_failed");
  }
  if (auto refused = connect()) return refused;
  auto refused = capture([&] {
    session_.begin(Session::Access::write);
    take_turn(session_);
    transaction_.begun();
  });
  if (refused) session_.rollback();
  return refused;
}

void Writer::commit(std::vector<Item>& batch) {
  capture_ = {};
  const auto failed = capture([&] {
    for (auto& item : batch) run_one(item);
    if (std::ranges::any_of(batch, &Item::kept)) return record(batch.size());
    session_.rollback();
  });
  if (failed && session_.outcome_unknown()) {
    unknown_.emplace(
        Unknown{std::move(batch), {options_.node, tickets_}, std::move(capture_), base::SteadyClock::now()});
    base::log(base::LogLevel::warn,
              "the answer to a commit is lost: the store asks for it before it writes again", {});
    return settle();
  }
  if (failed) session_.rollback();
  give_back(batch, failed);
}

void Writer::run_one(Item& item) {
  const auto mark = capture_.mark();
  session_.savepoint();
  item.error = capture([&] { item.kept = item.work(transaction_); });
  if (!item.error && item.kept) {
    item.error = capture([&] {
      transaction_.finish();
      session_.release();
      session_.sync();
    });
    if (!item.error) return;
  }
  item.kept = false;
  if (!session_.connected()) {
    if (item.error) std::rethrow_exception(item.error);
    base::throw_failure(base::Code::unavailable, "cannot write to the store: the connection is lost",
                        "storage_failed");
  }
  capture_.forget_after(mark);
  transaction_.undone();
  undo_one();
}

void Writer::undo_one() {
  // What the closure sent and did not wait for may have been refused, too.
  (void)capture([&] { session_.sync(); });
  session_.rollback_to();
  session_.release();
  session_.sync();
}

void Writer::record(std::size_t writes) {
  purge_sometimes();
  const CommitName name{options_.node, ++tickets_};
  const auto position = commit_logged(session_, name, capture_);
  feed_.committed(position, name, std::exchange(capture_, {}));
  batches_.add(static_cast<double>(writes));
}

void Writer::purge_sometimes() {
  const auto now = base::SteadyClock::now();
  if (now < purge_at_) return;
  purge_at_ = now + purge_interval;
  forget_commits(session_, options_.keep_commits);
}

// Null when there is a connection.
std::exception_ptr Writer::connect() {
  if (session_.is_alive()) return nullptr;
  if (away_ && base::SteadyClock::now() < try_again_) return away_;
  const bool was_away = away_ != nullptr;
  away_ = capture([&] {
    session_.connect();
    end_predecessor();
  });
  if (away_) {
    session_.disconnect();
    try_again_ = base::SteadyClock::now() + backoff_.next();
    if (!was_away) base::log(base::LogLevel::warn, "the store is away: its database cannot be reached", {});
    return away_;
  }
  backoff_.reset();
  if (was_away) base::log(base::LogLevel::info, "the store's database is back", {});
  return nullptr;
}

void Writer::end_predecessor() {
  (void)session_.query(end_others, session_.options().application);
}

void Writer::settle() {
  if (try_to_settle()) return;
  thread_.post_after(backoff_.next(), [this] {
    if (unknown_) settle();
  });
}

// Under the turn: whoever had it then is gone, so what the log says is final.
bool Writer::try_to_settle() {
  if (connect()) return false;
  std::optional<std::int64_t> position;
  const auto failed = capture([&] {
    session_.begin(Session::Access::write);
    take_turn(session_);
    position = position_of(session_, unknown_->name);
    session_.rollback();
  });
  if (failed) {
    session_.disconnect();
    return false;
  }
  auto settled = *std::exchange(unknown_, std::nullopt);
  base::log(base::LogLevel::info, "the commit without an answer is settled",
            {{"happened", position.has_value()}});
  if (position) feed_.committed(*position, settled.name, std::move(settled.capture));
  // The log forgets what is old: what is not in it after so long may have happened all the same.
  const bool forgotten = base::SteadyClock::now() - settled.since >= options_.keep_commits / 2;
  if (position) {
    give_back(settled.items, nullptr);
  } else if (forgotten) {
    give_back(settled.items,
              unavailable("it is not known whether this was stored: the answer of the database was "
                          "lost, and the database was away for too long",
                          "commit_unknown"));
  } else {
    give_back(settled.items,
              unavailable("cannot write to the store: the connection was lost before the commit",
                          "storage_failed"));
  }
  return true;
}

void Writer::give_back(std::vector<Item>& batch, const std::exception_ptr& failed) {
  for (auto& item : batch) {
    item.work = nullptr;
    item.done(item.error ? std::move(item.error) : own_copy(failed));
  }
}

std::size_t Writer::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Writer::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  thread_.join();
  if (!unknown_ || try_to_settle()) return;
  give_back(unknown_->items,
            unavailable("it is not known whether this was stored: the answer of the database was lost, "
                        "and the store is closed",
                        "commit_unknown"));
  unknown_.reset();
}

}  // namespace agentrouter::store::postgres
