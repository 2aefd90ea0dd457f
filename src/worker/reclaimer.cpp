#include "worker/reclaimer.h"

#include "base/log.h"
#include "runs/conversations.h"

namespace agentrouter::worker {

using namespace std::chrono_literals;

namespace {
constexpr int at_once = 100;
constexpr int keys_at_once = 500;
constexpr auto after_trouble = 60s;
}  // namespace

Reclaimer::Reclaimer(DriverContext& context)
    : context_(context), retention_(context), wake_(context.needs.executor) {}

base::Task<void> Reclaimer::run() {
  for (;;) {
    auto until = base::SteadyClock::now() + after_trouble;
    due_ = false;
    try {
      co_await purge_keys();
      const bool all = co_await reclaim_due();
      const bool more = co_await retention_.sweep();
      co_await purge_uploads();
      co_await trim_layers();
      if (more) due_ = true;
      if (all) until = co_await next_look();
    } catch (const base::Failure& failure) {
      base::log(base::LogLevel::warn, "conversations could not be reclaimed",
                {{"cause", failure.error().message}});
    }
    if (!due_) co_await wake_.wait_until(until);
  }
}

// False when something is left that could not be reclaimed.
base::Task<bool> Reclaimer::reclaim_due() {
  for (;;) {
    const auto due = co_await context_.needs.store.read([this](store::Reader& reader) {
      return reader.conversations_to_reclaim(context_.needs.clock.now(), at_once);
    });
    for (const auto& conversation : due) co_await reclaim(conversation.id);
    if (due.empty()) co_return true;
    const auto first = due.front().id;
    const bool stuck = co_await context_.needs.store.read([&first](store::Reader& reader) {
      const auto found = reader.conversation(first);
      return found && !found->reclaimed;
    });
    if (stuck) co_return false;
  }
}

base::Task<void> Reclaimer::reclaim(model::RunId conversation) {
  const auto checkpoints = co_await context_.needs.store.write([this, &conversation](store::Transaction& tx) {
    return runs::begin_reclaim(tx, conversation, context_.now());
  });
  if (!checkpoints) co_return;  // continued meanwhile
  co_await context_.pool.run([this, &checkpoints] {
    for (const auto& checkpoint : *checkpoints) {
      if (context_.layers != nullptr) context_.layers->forget(checkpoint.run_id);
      context_.needs.blobs.remove(checkpoint.key);
      // Nothing else may be there: its run may have been deleted.
      context_.needs.blobs.remove_empty("runs/" + checkpoint.run_id.str());
    }
  });
  const auto done = co_await context_.needs.store.write([this, &conversation](store::Transaction& tx) {
    return runs::reclaim(tx, conversation, context_.now());
  });
  if (done) base::log(base::LogLevel::info, "conversation reclaimed", {{"runId", conversation.str()}});
}

base::Task<void> Reclaimer::purge_keys() {
  const auto next = co_await context_.needs.store.read(
      [](store::Reader& reader) { return reader.next_idempotency_expiry(); });
  const auto now = context_.needs.clock.now();
  if (!next || *next >= now) co_return;
  for (int gone = keys_at_once; gone == keys_at_once;) {
    gone = co_await context_.needs.store.write(
        [now](store::Transaction& tx) { return tx.purge_idempotency_keys(now, keys_at_once); });
  }
}

// Uploads are forgotten; their trees stay as long as there is room.
base::Task<void> Reclaimer::purge_uploads() {
  const auto now = context_.needs.clock.now();
  const auto next =
      co_await context_.needs.store.read([](store::Reader& reader) { return reader.next_upload_expiry(); });
  if (next && *next <= now)
    co_await context_.needs.store.write([now](store::Transaction& tx) { tx.purge_uploads(now); });
  auto* const trees = context_.needs.trees;
  if (trees == nullptr) co_return;
  const bool fits = co_await context_.pool.run([trees] { return trees->fits(); });
  if (fits) co_return;
  const auto in_use =
      co_await context_.needs.store.read([](store::Reader& reader) { return reader.trees_in_use(); });
  (void)co_await context_.pool.run([trees, &in_use] { return trees->trim(in_use); });
}

base::Task<void> Reclaimer::trim_layers() {
  if (context_.layers != nullptr) co_await context_.pool.run([this] { context_.layers->trim(); });
}

base::Task<base::Deadline> Reclaimer::next_look() {
  const auto next = co_await context_.needs.store.read([this](store::Reader& reader) {
    return std::min({retention_.next_look().value_or(store::never),
                     reader.next_conversation_expiry().value_or(store::never),
                     reader.next_idempotency_expiry().value_or(store::never),
                     reader.next_upload_expiry().value_or(store::never)});
  });
  if (next == store::never) co_return base::Deadline::max();
  co_return deadline_of(next, context_.needs.clock);
}

}  // namespace agentrouter::worker
