#include "store/sqlite/checkpointer.h"

#include "base/log.h"

namespace agentrouter::store {

namespace {
constexpr std::chrono::seconds when_refused{1};
}  // namespace

Checkpointer::Checkpointer(Connection connection, std::chrono::milliseconds delay)
    : connection_(std::move(connection)), delay_(delay) {
  // A connection that has read nothing does not know of the WAL yet and would checkpoint nothing.
  connection_.statement("SELECT count(*) FROM sqlite_schema").run();
}

void Checkpointer::poke() {
  if (closed_ || scheduled_.exchange(true)) return;
  thread_.post_after(refused_ ? std::max<std::chrono::milliseconds>(delay_, when_refused) : delay_,
                     [this] { checkpoint(); });
}

void Checkpointer::checkpoint() {
  scheduled_ = false;
  int pages = 0;
  int moved = 0;
  const int status =
      sqlite3_wal_checkpoint_v2(connection_.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  // A full disk or a reader in the way: nothing is lost, the WAL only stays longer.
  if (status != SQLITE_OK && may_have_lost(sqlite3_extended_errcode(connection_.handle()))) suspect_ = true;
  const bool refused = status != SQLITE_OK && status != SQLITE_BUSY;
  // Said once each time it changes.
  if (refused && !refused_)
    base::log(base::LogLevel::warn, "checkpoints fail", {{"error", sqlite3_errstr(status)}});
  if (!refused && refused_) base::log(base::LogLevel::info, "checkpoints work again", {});
  refused_ = refused;
  if (status != SQLITE_OK || moved < pages) poke();
}

void Checkpointer::close() {
  if (closed_.exchange(true)) return;
  thread_.join();
}

}  // namespace agentrouter::store
