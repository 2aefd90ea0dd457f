// What a driver may touch, and what becomes of a run whose attempt is lost.

#include "base/log.h"
#include "worker/git_fetch.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {

namespace {

bool is_same(const runs::Fence& one, const runs::Fence& other) {
  return one.attempt == other.attempt && one.token == other.token;
}

}  // namespace

runs::Needs DriverContext::needs_of(const model::Run& run) const {
  const auto roots = config.claim.offers.values.find("root");
  if (roots == config.claim.offers.values.end()) return runs::needs_of(run);
  return runs::needs_of(run, {roots->second.begin(), roots->second.end()});
}

// Well before anybody else can have seen the lease stand still for its whole time.
void RunDriver::hold_until(base::Deadline asked) {
  lease_until_ = asked + context_.config.lease * 2 / 3;
}

void RunDriver::lease_renewed(const runs::Fence& fence, base::Deadline asked) {
  if (is_same(fence, claim_.fence())) hold_until(asked);
}

void RunDriver::lease_lost(const runs::Fence& fence) {
  if (!is_same(fence, claim_.fence())) return;
  lost_ = true;
  if (link_) link_->close();
  if (fetch_ != nullptr) fetch_->abandon();
  if (stop_waiting_) stop_waiting_();
  wake_.notify();
}

void RunDriver::check_lease() const {
  if (lost_) base::throw_failure(base::Code::conflict, "the lease of the attempt was lost", "lease_lost");
}

// Before it touches what the store does not guard: processes, files. A worker that has slept learns here that
// it is not needed any more.
base::Task<void> RunDriver::hold_lease() {
  check_lease();
  const auto now = base::SteadyClock::now();
  if (now < lease_until_) co_return;
  const runs::Fence fence = claim_.fence();
  auto renewed = co_await context_.needs.store.write([this, &fence](store::Transaction& tx) {
    return runs::renew_lease(tx, fence, context_.config.lease, context_.now());
  });
  base::value_or_throw(std::move(renewed));
  hold_until(now);
}

// A keeper that obeys a newer lease than ours: either that is what the store says, too, or it does not tell
// the truth and is ended.
base::Task<void> RunDriver::check_token() {
  if (link_->newest_token() <= claim_.attempt.token) co_return;
  lease_until_ = {};
  co_await hold_lease();
  base::log(base::LogLevel::error, "a keeper speaks of a lease that nobody has, and is killed",
            {{"runId", claim_.run.id.str()}});
  context_.needs.kill_keeper(link_->keeper_pid());
}

// The attempt ended without an exit, or nobody here can look at it: try again where nothing has happened yet,
// else end the run with what there is.
base::Task<void> RunDriver::give_up_attempt() {
  const bool here = context_.is_here(claim_.attempt);
  const bool safe = co_await is_safe_to_repeat();
  if (!safe) {
    co_await end_lost("attempt_lost",
                      here ? "The keeper of the run was lost and the run cannot safely be repeated"
                           : "The machine that worked on the run is gone and it is not known what "
                             "was done there");
    co_return;
  }
  if (claim_.run.attempts >= context_.config.max_attempts) {
    co_await end_lost("attempts_exhausted", "Each of " + std::to_string(claim_.run.attempts) +
                                                " attempts was lost before the agent had begun");
    co_return;
  }
  if (!here && !context_.can_carry_out(claim_.run)) {
    co_await end_lost("attempt_lost", "The machine that worked on the run is gone, and no worker that is there has what it needs");
    co_return;
  }
  const runs::Claim lost = claim_;
  auto next = co_await next_attempt(lost, here ? "attempt_lost" : "machine_lost");
  if (!next) co_return;
  claim_ = std::move(*next);
  close_folder();
  fresh_ = true;
  damaged_ = false;
  co_await release(lost);
}

// Nothing when it is not safe any more, or the run is ending.
base::Task<std::optional<runs::Claim>> RunDriver::next_attempt(const runs::Claim& lost,
                                                               std::string_view reason) {
  using Next = base::Result<runs::Claim>;
  auto next = co_await context_.needs.store.write([this, &lost, reason](store::Transaction& tx) -> Next {
    if (!context_.is_here(lost.attempt) && !runs::did_nothing(tx, lost.attempt))
      return base::fail(base::Code::conflict, "the attempt may have done something", "run_not_active");
    return runs::start_next_attempt(tx, lost.fence(), context_.lease(), reason, context_.now());
  });
  if (!next && next.error().reason == "run_not_active") co_return std::nullopt;
  co_return base::value_or_throw(std::move(next));
}

base::Task<bool> RunDriver::is_safe_to_repeat() {
  if (cancel_due_ || damaged_) co_return false;
  if (!context_.is_here(claim_.attempt) && context_.config.owns_store) co_return false;
  if (!folder_) {
    const auto& attempt = claim_.attempt;
    co_return co_await context_.needs.store.read(
        [&attempt](store::Reader& reader) { return runs::did_nothing(reader, attempt); });
  }
  if (static_cast<std::uint64_t>(claim_.attempt.journal_offset) > folder_->size_of("journal"))
    co_return false;
  if (!journal_) co_return true;
  const int journal = journal_.get();
  const JournalFacts facts = co_await context_.pool.run([journal] { return read_facts(journal); });
  co_return facts.safe_to_repeat;
}

// The state went with the keeper. It is said and no error of the conversation: its next turn begins with what
// the turn before this one has left.
base::Task<void> RunDriver::end_lost(std::string_view code, std::string why) {
  ExitRecord exit;
  exit.outcome = cancel_due_ ? model::RunStatus::cancelled : model::RunStatus::failed;
  exit.failure = {std::string(code), std::move(why), {}};
  exit.provider = keeper::to_string(plan_provider());
  const model::RunId run = claim_.run.id;
  exit.lost = co_await context_.needs.store.read([&run](store::Reader& reader) {
    return reader.last_event_of_type(run, "execution.started").has_value();
  });
  co_await close(std::move(exit), cancel_due_ ? "cancelled" : "outcome_unknown");
}

}  // namespace agentrouter::worker
