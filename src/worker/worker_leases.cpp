// Leases: held, renewed, and taken over where nobody holds them any more.

#include <algorithm>
#include <map>

#include "base/log.h"
#include "runs/nodes.h"
#include "worker/leftovers.h"
#include "worker/worker_state.h"

namespace agentrouter::worker {

namespace {

// The newest attempt of each run: it is driven; what is left of older ones is only removed.
std::map<model::RunId, model::AttemptId> newest_of(const std::vector<store::Attempt>& open) {
  std::map<model::RunId, std::pair<int, model::AttemptId>> newest;
  for (const auto& attempt : open) {
    auto& place = newest[attempt.run_id];
    if (attempt.number > place.first) place = {attempt.number, attempt.id};
  }
  std::map<model::RunId, model::AttemptId> ids;
  for (auto& [run, place] : newest) ids.emplace(run, std::move(place.second));
  return ids;
}

}  // namespace

base::Task<std::vector<store::Attempt>> Worker::State::open_attempts() {
  co_return co_await context_.needs.store.read([](store::Reader& reader) { return reader.open_attempts(); });
}

base::Task<void> Worker::State::adopt_all() {
  const auto folders = co_await pool_.run([this] { return attempts_with_folders(context_.attempts); });
  const auto open = co_await open_attempts();
  const auto newest = newest_of(open);
  const auto& config = context_.config;
  if (!config.owns_store && !config.owns_host) co_return;
  for (const auto& attempt : open) {
    if (!config.owns_store && attempt.host != config.host) continue;
    if (driver_of(attempt.run_id) != nullptr) continue;  // taken before the store went away
    if (newest.at(attempt.run_id) == attempt.id) {
      co_await adopt(attempt, std::nullopt);
    } else {
      co_await retire_older(attempt);
    }
  }
  co_await remove_leftovers(folders);
}

base::Task<void> Worker::State::adopt(const store::Attempt& attempt,
                                      std::optional<runs::LeaseSeen> stood_still) {
  auto claim = co_await context_.needs.store.write([this, &attempt, &stood_still](store::Transaction& tx) {
    return runs::take_over(tx, attempt.id, context_.lease(), stood_still, context_.now());
  });
  if (!claim) {
    if (claim.error().reason != "lease_held")
      base::log(base::LogLevel::warn, "an attempt could not be taken over",
                {{"cause", claim.error().message}});
    co_return;
  }
  if (stood_still) {
    base::log(
        base::LogLevel::warn, "an attempt is taken over whose lease nobody renews",
        {{"runId", attempt.run_id.str()}, {"attemptId", attempt.id.str()}, {"from", attempt.worker_id}});
  }
  start(std::move(*claim), RunDriver::Origin::adopted);
}

base::Task<void> Worker::State::retire_older(const store::Attempt& attempt) {
  base::Result<void> removed;
  if (context_.is_here(attempt)) removed = co_await remove_leftover(context_, attempt.id);
  if (!removed) {
    base::log(base::LogLevel::warn, "an old attempt could not be removed",
              {{"attemptId", attempt.id.str()}, {"cause", removed.error().message}});
    co_return;
  }
  auto retired = co_await context_.needs.store.write(
      [&attempt](store::Transaction& tx) { return runs::retire_attempt(tx, {attempt.id, attempt.token}); });
  (void)retired;
  if (layers_) layers_->done(attempt.id);
}

// Folders here of attempts that are over, or that the store does not know.
base::Task<void> Worker::State::remove_leftovers(const std::vector<model::AttemptId>& folders) {
  if (folders.empty()) co_return;
  const auto over = co_await context_.needs.store.read([&folders](store::Reader& reader) {
    std::vector<model::AttemptId> ids;
    for (const auto& id : folders) {
      const auto attempt = reader.attempt(id);
      if (!attempt || !attempt->open) ids.push_back(id);
    }
    return ids;
  });
  for (const auto& id : over) {
    auto removed = co_await remove_leftover(context_, id);
    if (removed) {
      lost_.erase(id);
      if (layers_) layers_->done(id);
    } else {
      base::log(base::LogLevel::warn, "what is left of an attempt could not be removed",
                {{"attemptId", id.str()}, {"cause", removed.error().message}});
    }
  }
}

void Worker::State::note_stranger(const model::RunId& run) {
  strangers_.insert(run);
  wake_.notify();
}

// Runs that are driven here are none of it.
bool Worker::State::is_look_due() {
  std::erase_if(strangers_, [this](const model::RunId& run) { return driver_of(run) != nullptr; });
  return look_due_ || !strangers_.empty();
}

// Takes what nobody holds any more: of a worker that is dead, frozen or cut off.
base::Task<void> Worker::State::look_after_others() {
  if (!is_look_due() && !base::passed(next_look())) co_return;
  if (draining_) {
    look_due_ = false;
    strangers_.clear();
    watch_ = LeaseWatch(context_.config.lease);
    if (base::passed(tidy_due_)) co_await tidy_lost();
    co_return;
  }
  // Whatever is heard from here on is another look; while the store is away this one stays due.
  look_due_ = false;
  strangers_.clear();
  std::vector<store::Attempt> others;
  try {
    others = co_await open_attempts();
  } catch (const base::Failure&) {
    look_due_ = true;
    throw;
  }
  const auto newest = newest_of(others);
  std::erase_if(others,
                [this](const store::Attempt& attempt) { return driver_of(attempt.run_id) != nullptr; });
  for (const auto& attempt : watch_.look(others, base::SteadyClock::now())) {
    if (context_.stopping) co_return;
    if (co_await is_for_others(attempt)) continue;
    if (newest.at(attempt.run_id) == attempt.id) {
      co_await adopt(attempt, runs::seen(attempt));
    } else {
      co_await retire_older(attempt);
    }
  }
  if (base::passed(tidy_due_)) co_await tidy_lost();
}

// Of another machine, to be begun again by a worker that has what this one lacks. Whoever is there for it
// takes it; this one looks again after a lease.
base::Task<bool> Worker::State::is_for_others(const store::Attempt& attempt) {
  if (context_.is_here(attempt)) co_return false;
  const auto& own = context_.config.host;
  co_return co_await context_.needs.store.read([this, &attempt, &own](store::Reader& reader) {
    const auto run = reader.run(attempt.run_id);
    if (!run || context_.can_carry_out(*run) || !runs::did_nothing(reader, attempt)) return false;
    const auto needs = context_.needs_of(*run);
    const auto all = runs::nodes(reader);
    return std::ranges::any_of(all, [&](const runs::Node& one) {
      return one.id != own && one.takes_runs() && one.offers.missing(needs).empty();
    });
  });
}

base::Task<void> Worker::State::tidy_lost() {
  const std::vector<model::AttemptId> folders(lost_.begin(), lost_.end());
  co_await remove_leftovers(folders);
  tidy_due_ = lost_.empty() ? base::Deadline::max() : base::after(context_.config.lease);
}

base::Task<void> Worker::State::keep_leases() {
  for (;;) {
    while (drivers_.empty()) co_await leases_wake_.wait();
    co_await base::sleep_for(context_.config.lease / 3);
    try {
      co_await renew_leases();
    } catch (const base::Failure& failure) {
      base::log(base::LogLevel::warn, "leases could not be renewed", {{"cause", failure.error().message}});
    }
  }
}

base::Task<void> Worker::State::renew_leases() {
  const auto asked = base::SteadyClock::now();
  std::vector<runs::Fence> fences;
  for (const auto& driver : drivers_) fences.push_back(driver.fence());
  const auto kept = co_await context_.needs.store.write([this, &fences](store::Transaction& tx) {
    std::vector<bool> all;
    for (const auto& fence : fences)
      all.push_back(runs::renew_lease(tx, fence, context_.config.lease, context_.now()).has_value());
    return all;
  });
  std::map<model::AttemptId, std::size_t> places;
  for (std::size_t i = 0; i < fences.size(); ++i) places.emplace(fences[i].attempt, i);
  for (auto& driver : drivers_) {
    const auto place = places.find(driver.attempt().id);
    if (place == places.end()) continue;
    const auto& fence = fences[place->second];
    kept[place->second] ? driver.lease_renewed(fence, asked) : driver.lease_lost(fence);
  }
}

}  // namespace agentrouter::worker
