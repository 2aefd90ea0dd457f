#include "worker/retention.h"

#include "base/log.h"

namespace agentrouter::worker {

namespace {

constexpr int runs_at_once = 50;
constexpr int rows_at_once = 1000;
constexpr std::size_t artifacts_at_once = 100;

}  // namespace

base::Task<bool> Retention::sweep() {
  const int removed = co_await remove_deleted();
  const int deleted = co_await delete_overdue();
  co_return removed == runs_at_once || deleted > 0;
}

base::Task<int> Retention::remove_deleted() {
  const auto runs = co_await context_.needs.store.read(
      [](store::Reader& reader) { return reader.deleted_runs(runs_at_once); });
  for (const auto& run : runs) co_await remove(run);
  co_return static_cast<int>(runs.size());
}

base::Task<void> Retention::remove(store::DeletedRun run) {
  co_await remove_state(run);
  co_await remove_artifacts(run);
  const std::string folder = "runs/" + run.id.str();
  co_await context_.blob_pool.run([this, &folder] { context_.needs.blobs.remove_empty(folder); });
  for (int gone = rows_at_once; gone == rows_at_once && !context_.stopping;) {
    gone = co_await context_.needs.store.write(
        [&run](store::Transaction& tx) { return tx.remove_deleted(run.id, rows_at_once); });
  }
}

base::Task<void> Retention::remove_state(const store::DeletedRun& run) {
  const auto state = co_await context_.needs.store.read(
      [&run](store::Reader& reader) { return runs::doomed_state(reader, run); });
  if (!state) co_return;
  co_await context_.blob_pool.run([this, &state] {
    if (context_.layers != nullptr) context_.layers->forget(state->run_id);
    context_.needs.blobs.remove(state->key);
  });
  co_await context_.needs.store.write(
      [&state](store::Transaction& tx) { tx.delete_checkpoint(state->conversation_id, state->turn_number); });
}

base::Task<void> Retention::remove_artifacts(const store::DeletedRun& run) {
  const auto artifacts =
      co_await context_.needs.store.read([&run](store::Reader& reader) { return reader.artifacts(run.id); });
  for (std::size_t begin = 0; begin < artifacts.size(); begin += artifacts_at_once) {
    const auto end = std::min(begin + artifacts_at_once, artifacts.size());
    co_await context_.blob_pool.run([&, begin, end] {
      for (auto i = begin; i < end; ++i) context_.needs.blobs.remove(artifacts[i].r2_key);
    });
    co_await context_.needs.store.write([&artifacts, begin, end](store::Transaction& tx) {
      for (auto i = begin; i < end; ++i) tx.delete_artifact(artifacts[i].id);
    });
  }
}

base::Task<int> Retention::delete_overdue() {
  next_look_.reset();
  is_held_up_ = false;
  const auto& rules = context_.config.retention;
  if (!rules.any()) co_return 0;
  const auto now = context_.needs.clock.now();
  const auto overdue = co_await context_.needs.store.read(
      [&rules, now](store::Reader& reader) { return runs::overdue_runs(reader, rules, now, runs_at_once); });
  next_look_ = overdue.next_look;
  int deleted = 0;
  for (const auto& run : overdue.runs) {
    const auto done = co_await context_.needs.store.write([this, &run](store::Transaction& tx) {
      return runs::delete_run(tx, {.run = run, .why = runs::Deletion::Why::retention}, context_.now());
    });
    if (done) ++deleted;
    is_held_up_ = is_held_up_ || !done;
  }
  if (deleted > 0) base::log(base::LogLevel::info, "runs deleted by retention", {{"runs", deleted}});
  co_return deleted;
}

}  // namespace agentrouter::worker
