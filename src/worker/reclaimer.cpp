#include "worker/reclaimer.h"

#include "base/log.h"
#include "runs/conversations.h"
#include "runs/kept_trees.h"
#include "runs/node_requests.h"
#include "worker/checkpoint_source.h"
#include "worker/shared_trees.h"

namespace agentrouter::worker {

using namespace std::chrono_literals;

namespace {
constexpr int at_once = 100;
constexpr int keys_at_once = 500;
constexpr auto after_trouble = 60s;
constexpr auto look_at_shared_again = 10min;
constexpr auto look_at_held_up_again = 2s;  // nobody tells of the end of another worker's attempt
constexpr auto look_at_layers_again = 1min;

// Runs whose states are on this machine (kept_layers.h).
std::vector<model::RunId> states_here(const std::filesystem::path& data) {
  std::vector<model::RunId> runs;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(data / "layers/states", error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (base::is_prefixed_uuid(name, "run_")) runs.emplace_back(name);
  }
  return runs;
}

// Of those that no conversation has any more: another worker has reclaimed them, or their runs were deleted
// there.
base::Task<void> forget_layers_of_others(DriverContext& context) {
  if (context.layers == nullptr || context.config.owns_store) co_return;
  const auto runs = co_await context.pool.run([&context] { return states_here(context.config.data_dir); });
  if (runs.empty()) co_return;
  const auto gone = co_await context.needs.store.read([&runs](store::Reader& reader) {
    std::vector<model::RunId> unnamed;
    for (const auto& run : runs) {
      // Of no conversation: whether any has it.
      if (!reader.is_shared({.run_id = run, .conversation_id = model::RunId(""), .key = checkpoint_key(run)}))
        unnamed.push_back(run);
    }
    return unnamed;
  });
  co_await context.pool.run([&context, &gone] {
    for (const auto& run : gone) context.layers->forget(run);
  });
}
}  // namespace

Reclaimer::Reclaimer(DriverContext& context)
    : context_(context), retention_(context), unplaced_(context), wake_(context.needs.executor) {}

base::Task<void> Reclaimer::run() {
  for (;;) {
    auto until = base::SteadyClock::now() + after_trouble;
    due_ = false;
    try {
      bool all = true;
      const bool mine = context_.config.may_tidy();
      if (mine) all = co_await tidy_shared();
      co_await trim_trees();  // after uploads were forgotten
      co_await forget_layers_of_others(context_);
      context_.removal_due();  // of layers that are forgotten
      if (all) until = co_await next_look();
      if (mine && retention_.is_held_up()) until = std::min(until, base::after(look_at_held_up_again));
    } catch (const base::Failure& failure) {
      base::log(base::LogLevel::warn, "conversations could not be reclaimed",
                {{"cause", failure.error().message}});
    }
    if (!due_) co_await wake_.wait_until(until);
  }
}

// What the store and the blobs hold, for all workers. False when something is left that could not be
// reclaimed.
base::Task<bool> Reclaimer::tidy_shared() {
  co_await purge_keys();
  const bool all = co_await reclaim_due();
  const bool more = co_await retention_.sweep();
  co_await purge_uploads();
  co_await unplaced_.sweep();
  if (context_.needs.shared_trees != nullptr) {
    co_await remove_kept_trees();
    co_await remove_stale_requests();
  }
  if (more) due_ = true;
  co_return all;
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
  co_await context_.blob_pool.run([this, &checkpoints] {
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
}

base::Task<void> Reclaimer::trim_trees() {
  auto* const trees = context_.needs.trees;
  if (trees == nullptr) co_return;
  const bool fits = co_await context_.pool.run([trees] { return trees->fits(); });
  if (fits) co_return;
  const auto in_use =
      co_await context_.needs.store.read([](store::Reader& reader) { return reader.trees_in_use(); });
  (void)co_await context_.pool.run([trees, &in_use] { return trees->trim(in_use); });
}

base::Task<void> Reclaimer::remove_kept_trees() {
  const auto doomed = co_await context_.needs.store.write(
      [this](store::Transaction& tx) { return runs::doom_trees(tx, at_once, context_.now()); });
  for (const auto& tree : doomed) {
    co_await context_.pool.run([this, &tree] {
      for (const auto& part : tree.parts) context_.needs.blobs.remove(part.key);
    });
    co_await context_.needs.store.write([&tree](store::Transaction& tx) { runs::forget_doomed(tx, tree); });
  }
  if (doomed.size() == at_once) due_ = true;
}

base::Task<void> Reclaimer::remove_stale_requests() {
  const auto now = context_.needs.clock.now();
  const auto stale = co_await context_.needs.store.read(
      [now](store::Reader& reader) { return runs::stale_requests(reader, now); });
  for (const auto& request : stale) {
    const auto key = runs::answer_key(request);
    co_await context_.pool.run([this, &key] { context_.needs.blobs.remove(key); });
    co_await context_.needs.store.write(
        [&request](store::Transaction& tx) { runs::forget_request(tx, request); });
  }
}

base::Task<base::Deadline> Reclaimer::next_look() {
  const auto next = co_await context_.needs.store.read([this](store::Reader& reader) {
    return std::min({retention_.next_look().value_or(store::never),
                     reader.next_conversation_expiry().value_or(store::never),
                     reader.next_idempotency_expiry().value_or(store::never),
                     reader.next_upload_expiry().value_or(store::never)});
  });
  auto until = unplaced_.next_look();
  // Nothing says when an archive or a question comes of age.
  if (context_.needs.shared_trees != nullptr) until = std::min(until, base::after(look_at_shared_again));
  if (context_.layers != nullptr && !context_.config.owns_store)
    until = std::min(until, base::after(look_at_layers_again));
  if (next == store::never) co_return until;
  co_return std::min(until, deadline_of(next, context_.needs.clock));
}

}  // namespace agentrouter::worker
