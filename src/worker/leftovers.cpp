#include "worker/leftovers.h"

#include "base/log.h"

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

constexpr auto leftover_patience = 2s;  // for a keeper that was killed, and its sandbox

// Kills who listens on its socket: true when somebody was there.
bool kill_listener(DriverContext& context, const AttemptFolder& folder) {
  const auto lines = context.needs.connect(context.needs.executor, folder.fd());
  if (!lines) return false;
  context.needs.kill_keeper((*lines)->peer());
  return true;
}

}  // namespace

std::vector<model::AttemptId> attempts_with_folders(const std::filesystem::path& attempts) {
  std::vector<model::AttemptId> all;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(attempts, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (base::is_prefixed_uuid(name, "attempt_")) all.emplace_back(name);
  }
  return all;
}

base::Result<void> put_attempt_away(DriverContext& context, const model::AttemptId& attempt) {
  const sandbox::AttemptRef place{context.attempts_dir, attempt.str()};
  auto& launcher = context.needs.launcher;
  if (context.gone == nullptr) return launcher.release(place, sandbox::Remove::all);
  if (auto released = launcher.release(place, sandbox::Remove::groups); !released) return released;
  if (context.gone->put(place.attempts, place.id, place.id)) return {};
  return launcher.release(place, sandbox::Remove::all);
}

base::Task<base::Result<void>> remove_leftover(DriverContext& context, const model::AttemptId& attempt) {
  auto folder = AttemptFolder::open(context.attempts, attempt);
  if (!folder && folder.error().code == base::Code::not_found) co_return base::Result<void>();
  if (!folder) co_return tl::unexpected(folder.error());
  const int fd = folder->fd();
  for (const auto limit = base::after(leftover_patience);;) {
    AGENTROUTER_CO_TRY(const auto life, co_await context.pool.run([fd] { return keeper::settle_keeper_life(fd); }));
    if (life == keeper::KeeperLife::dead) break;
    if (base::passed(limit)) co_return base::fail(base::Code::conflict, "its keeper lives");
    if (kill_listener(context, *folder))
      base::log(base::LogLevel::warn, "a keeper is ended whose attempt is over", {{"attemptId", attempt.str()}});
    co_await base::sleep_for(20ms);
  }
  for (;;) {
    const auto away =
        co_await context.pool.run([&context, &attempt] { return put_attempt_away(context, attempt); });
    if (!away && away.error().code == base::Code::exhausted) continue;
    if (away) context.removal_due();
    co_return away;
  }
}

}  // namespace agentrouter::worker
