// Fills a data folder's store with runs that have ended and their events, through the store's own code, for
// bench/recovery.py: big_store DATA RUNS EVENTS_OF_EACH [QUEUED]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/task_scope.h"
#include "model/artifact.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/run_task.h"

namespace {

using namespace agentrouter;

constexpr int runs_at_once = 200;  // in one commit
constexpr std::int64_t a_month_of_ms = 30ll * 24 * 3600 * 1000;

constexpr const char* types[] = {"agent.message", "agent.progress", "agent.tool_started", "agent.tool_completed",
                                 "egress.request"};

struct Size {
  int runs = 0;
  int events = 0;
  int queued = 0;
};

model::Run make_run(int number, base::Time now, int all) {
  model::Run run;
  run.id = model::RunId("run_" + base::uuid_from_text("big " + std::to_string(number)));
  run.conversation_id = run.id;
  run.turn_id = "turn_" + base::uuid_from_text("big turn " + std::to_string(number));
  run.task = "Task " + std::to_string(number) + ": find out why the tests are slow and mend what can be mended";
  run.input = base::to_text(json::object{{"task", run.task}, {"runtime", run.runtime.to_json()}});
  run.tags = {{"team", "team-" + std::to_string(number % 50)}};
  const auto age = std::chrono::milliseconds(a_month_of_ms / std::max(all, 1) * (all - number) + 3'600'000);
  run.queued_at = now - age;
  run.started_at = run.queued_at;
  return run;
}

void append_events(store::Transaction& tx, const model::Run& run, int events) {
  model::EventDraft draft;
  draft.created_at = run.queued_at;
  for (int i = 1; i < events; ++i) {
    draft.type = types[i % std::size(types)];
    draft.payload = R"({"text":"line )" + std::to_string(i) +
                    R"( of what an agent says, as long as most of them are","callId":"call_0123456789abcdef"})";
    tx.append(run.id, draft);
  }
  draft.type = "run.completed";
  draft.payload = R"({"status":"completed"})";
  tx.append(run.id, draft);
}

// As a run is when its conversation has been reclaimed.
void add_ended(store::Transaction& tx, const model::Run& made, int events) {
  auto run = made;
  tx.insert_run(run, "key_0123456789ab");
  run.status = model::RunStatus::starting;
  run.attempts = 1;
  tx.update_run(run);
  append_events(tx, run, events);
  for (const auto* kind : {"stdout_log", "stderr_log", "workspace_file_index", "workspace_patch", "session_events",
                           "session_manifest"}) {
    auto artifact = model::named_artifact(run.id, kind);
    artifact.size_bytes = 1000;
    artifact.created_at = run.queued_at;
    tx.put_artifact(artifact);
  }
  store::Attempt attempt;
  attempt.id = model::AttemptId("attempt_" + base::uuid_from_text(run.id.str() + "/attempt/1"));
  attempt.run_id = run.id;
  attempt.worker_id = "worker_big";
  attempt.slot = 0;
  attempt.open = false;
  attempt.created_at = run.queued_at;
  tx.insert_attempt(attempt);
  tx.put_spending({.run_id = run.id, .api_key = "key_0123456789ab"});
  run.status = model::RunStatus::completed;
  run.completed_at = run.queued_at + std::chrono::seconds(60);
  run.session_id = model::SessionId("sess_" + base::uuid_from_text(run.id.str()));
  tx.update_run(run);
  auto conversation = *tx.conversation(run.id);
  conversation.session_id = run.session_id;
  conversation.state = store::ConversationState::closed;
  conversation.closed_at = conversation.expires_at = *run.completed_at;
  conversation.reclaimed = true;
  tx.put_conversation(conversation);
}

using Add = std::function<void(store::Transaction&, int number)>;

base::Task<void> write_some(store::Store& store, int& next, int all, const Add& add) {
  while (next < all) {
    const int number = next++;
    co_await store.write([&add, number](store::Transaction& tx) { add(tx, number); });
  }
}

// One run in each closure and many of them in a commit: what a savepoint costs grows with the pages in it.
base::Task<void> write_all(asio::io_context& io, store::Store& store, int all, Add add) {
  base::TaskScope scope(io.get_executor());
  int next = 0;
  for (int i = 0; i < runs_at_once; ++i) scope.spawn(write_some(store, next, all, add));
  co_await scope.join();
}

void fill(const std::filesystem::path& data, const Size& size) {
  asio::io_context io;
  auto store = base::value_or_throw(
      store::open_sqlite_store(data / "agentrouter.db", {.wal_cap_bytes = 256ll << 20}));
  const auto now = base::system_clock().now();
  const auto begun = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  testing::run_task(io, write_all(io, *store, size.runs, [&](store::Transaction& tx, int number) {
    add_ended(tx, make_run(number, now, size.runs), size.events);
    if (number % 10'000 == 0) std::printf("%d runs, %.0f s\n", number, seconds()), std::fflush(stdout);
  }));
  testing::run_task(io, write_all(io, *store, size.queued, [&](store::Transaction& tx, int number) {
    auto run = make_run(size.runs + number, now, size.runs + size.queued);
    run.started_at.reset();
    tx.insert_run(run, "tag:" + std::to_string(number % 10));
  }));
  store->close();
  const double took = seconds();
  const double events = static_cast<double>(size.runs) * size.events;
  std::printf("%d runs, %.0f events, %d queued in %.1f s: %.2f million events a minute\n", size.runs, events,
              size.queued, took, events / took * 60 / 1e6);
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) {
    std::fprintf(stderr, "usage: big_store DATA RUNS EVENTS_OF_EACH [QUEUED]\n");
    return 2;
  }
  std::filesystem::create_directories(words[1]);
  fill(words[1], {std::atoi(words[2]), std::atoi(words[3]), count > 4 ? std::atoi(words[4]) : 0});
  return 0;
}
