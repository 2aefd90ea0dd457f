#include "base/log.h"
#include "runs/archive.h"
#include "sandbox/remove_tree.h"
#include "worker/leftovers.h"

namespace agentrouter::worker {

using namespace std::chrono_literals;

namespace {

// Written, not yet stored: that may take long, and what is read from the store is not held for it.
struct Archive {
  std::unique_ptr<blobs::BlobWriter> events;
  std::unique_ptr<blobs::BlobWriter> manifest;
};

runs::ArchivedBlob archived(const blobs::BlobInfo& info) {
  return {info.size, info.sha256};
}

Archive write_archive(store::Reader& reader, blobs::BlobStore& blobs, const model::RunId& run,
                      const runs::Closing& closing) {
  const auto begin = [&](std::string_view kind) { return blobs.create(model::named_artifact(run, kind).r2_key); };
  Archive archive{begin("session_events"), begin("session_manifest")};
  runs::write_session_events(reader, run, closing,
                             [&archive](std::string_view bytes) { archive.events->write(bytes); });
  runs::write_session_manifest(reader, run, closing, archived(archive.events->written()),
                               [&archive](std::string_view bytes) { archive.manifest->write(bytes); });
  return archive;
}

runs::Archived store_archive(const Archive& archive) {
  runs::Archived stored;
  stored.events = archived(archive.events->commit());
  stored.manifest = archived(archive.manifest->commit());
  return stored;
}

}  // namespace

base::Task<void> RunDriver::close(ExitRecord exit, std::string open_execution_reason) {
  check_time();
  ++closing_tries_;
  co_await refresh();
  co_await hold_lease();
  const model::RunId run = claim_.run.id;
  auto closers = co_await context_.needs.store.read([&](store::Reader& reader) {
    return close_open_executions(reader, run, open_execution_reason, context_.now());
  });
  if (!open_folder()) {
    // Not even a folder: the attempt never began.
    base::value_or_throw(AttemptFolder::make(context_.attempts, claim_.attempt.id));
    open_folder();
  }
  runs::Ending ending = co_await context_.blob_pool.run([this, &exit] {
    return gather_ending({.folder = *folder_,
                          .stdout_log = *stdout_log_,
                          .stderr_log = *stderr_log_,
                          .blobs = context_.needs.blobs,
                          .run = claim_.run,
                          .attempt = claim_.attempt,
                          .exit = exit,
                          .now = context_.needs.clock.now()});
  });
  ending.tail.insert(ending.tail.begin(), std::make_move_iterator(closers.begin()),
                     std::make_move_iterator(closers.end()));
  co_await keep_layer(exit, ending);
  if (!exit.cassette.empty()) co_await keep_cassette(exit.cassette);
  auto closing = co_await context_.needs.store.write([this, &ending](store::Transaction& tx) {
    return runs::begin_close(tx, claim_.fence(), ending, context_.now());
  });
  base::value_or_throw(std::move(closing));
  closing_tries_ = 0;
}

// What the attempt has left stays where a next turn can stand on it, beside its archive.
base::Task<void> RunDriver::keep_layer(const ExitRecord& exit, const runs::Ending& ending) {
  const bool gone = exit.sandbox && base::get_bool(*exit.sandbox, "gone").value_or(false);
  if (context_.layers == nullptr || !gone || !ending.checkpoint || !exit.checkpoint->layer_bytes) co_return;
  const auto bytes = static_cast<std::uint64_t>(*exit.checkpoint->layer_bytes);
  co_await context_.pool.run([this, &ending, bytes] {
    context_.layers->keep(claim_.attempt.id, claim_.run.id, ending.checkpoint->sha256, bytes);
  });
}

// The disk is full and the run's end has to be stored. Index, patch and checkpoint are made, so nobody needs
// what the agent wrote itself, but for its layer, whose archive is as good. Nor would another worker that has
// the run now.
base::Task<void> RunDriver::drop_box() {
  co_await context_.pool.run([this] {
    if (context_.layers != nullptr) context_.layers->forget(claim_.run.id);
    const auto folder = AttemptFolder::open(context_.attempts, claim_.attempt.id);
    if (!folder) return;
    const auto as = claim_.attempt.id.str() + "." + sandbox::box_folder;
    if (context_.gone != nullptr && context_.gone->put(folder->fd(), sandbox::box_folder, as)) return;
    // What is left of it goes at the next try.
    (void)sandbox::remove_tree(folder->fd(), sandbox::box_folder, {.time = 500ms});
  });
  context_.removal_due();
}

// One that could not be written is said in the log: the run itself is as good as it was.
base::Task<void> RunDriver::keep_cassette(const std::string& name) {
  if (context_.cassettes->mode() != CassetteMode::record) co_return;
  const auto taken = co_await context_.pool.run(
      [this, &name] { return context_.cassettes->take(claim_.run, name, *folder_); });
  if (!taken)
    base::log(base::LogLevel::error, "a cassette could not be kept",
              {{"runId", claim_.run.id.str()}, {"cassette", name}, {"cause", taken.error().message}});
}

base::Task<void> RunDriver::fail(model::RunFailure failure) {
  auto closing = co_await context_.needs.store.write([this, &failure](store::Transaction& tx) {
    return runs::fail_run(tx, claim_.fence(), failure, context_.now());
  });
  base::value_or_throw(std::move(closing));
}

base::Task<void> RunDriver::archive() {
  ++closing_tries_;
  co_await hold_lease();
  const auto closing = base::value_or_throw(runs::Closing::from_json_text(claim_.attempt.closing));
  const model::RunId run = claim_.run.id;
  const auto archive = co_await context_.needs.store.read(
      [&](store::Reader& reader) { return write_archive(reader, context_.needs.blobs, run, closing); });
  check_time();
  const auto stored = co_await context_.blob_pool.run([&archive] { return store_archive(archive); });
  check_time();
  auto finished = co_await context_.needs.store.write([this, &stored](store::Transaction& tx) {
    return runs::finish_close(tx, claim_.fence(), stored, context_.now(), context_.config.conversations);
  });
  base::value_or_throw(std::move(finished));
  closing_tries_ = 0;
}

base::Task<void> RunDriver::clean_up() {
  co_await hold_lease();
  if (open_folder()) co_await dismiss_keeper();
  co_await drop_link();
  if (folder_) {
    co_await context_.pool.run([this] {
      stdout_log_->clear();
      stderr_log_->clear();
    });
  }
  close_folder();
  co_await release(claim_);
}

// The store has everything: the keeper may end. One that stays is killed.
base::Task<void> RunDriver::dismiss_keeper() {
  const auto obey_until = base::after(context_.config.cancel_bound);
  while (co_await keeper_lives()) {
    check_time();
    if (!co_await connect()) {
      if (base::passed(obey_until)) co_return;
      continue;
    }
    (void)co_await link_->send(keeper::DoneMessage{});
    const auto limit = base::after(5s);
    while (!link_->closed() && !base::passed(limit) && !context_.out_of_time())
      co_await wake_.wait_until(limit);
    co_await hold_lease();
    if (!link_->closed() && !context_.out_of_time()) context_.needs.kill_keeper(link_->keeper_pid());
    co_await pause(5ms);
  }
}

base::Task<void> RunDriver::release(const runs::Claim& claim) {
  const model::AttemptId attempt = claim.attempt.id;
  for (const auto give_up = base::after(30s);;) {
    co_await hold_lease();
    // Many may wait for their turn when the worker stops: the next one tidies them.
    auto released = co_await context_.pool.run([this, &attempt]() -> base::Result<void> {
      if (context_.out_of_time()) return base::fail(base::Code::cancelled, "the worker is stopping");
      return put_attempt_away(context_, attempt);
    });
    if (released) break;
    const bool more = released.error().code == base::Code::exhausted;
    const bool held = released.error().code == base::Code::conflict && !base::passed(give_up);
    if (!more && !held) throw base::Failure(std::move(released).error());
    check_time();
    if (held) co_await pause(20ms);
  }
  if (context_.layers != nullptr) context_.layers->done(claim.attempt.id);
  const runs::Fence fence = claim.fence();
  auto retired = co_await context_.needs.store.write(
      [&fence](store::Transaction& tx) { return runs::retire_attempt(tx, fence); });
  base::value_or_throw(std::move(retired));
  context_.released();
}

}  // namespace agentrouter::worker
