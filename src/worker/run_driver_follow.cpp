#include <sys/stat.h>

#include "base/log.h"
#include "runs/approvals.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

// The collector and the checkpointer have 90 s each.
constexpr auto collecting_bound = 240s;

std::vector<keeper::DecisionMessage> decisions_of(store::Reader& reader, const model::RunId& run) {
  std::vector<keeper::DecisionMessage> decisions;
  for (const auto& approval : reader.undelivered_approvals(run)) {
    keeper::DecisionMessage message{
        approval.action_id.str(), approval.action_digest, keeper::DecisionKind::denied, {}, approval.reason};
    if (approval.state == store::ApprovalState::approved) message.decision = keeper::DecisionKind::approved;
    if (approval.state == store::ApprovalState::expired) message.decision = keeper::DecisionKind::expired;
    if (const auto event = reader.event(run, approval.decided_seq)) {
      const auto payload = base::parse_json(event->payload);
      if (payload && payload->is_object()) {
        message.event_id = base::get_string(payload->get_object(), "eventId").value_or("");
        if (const auto* input = base::get_object(payload->get_object(), "updatedInput"))
          message.input = base::to_text(*input);
      }
    }
    decisions.push_back(std::move(message));
  }
  return decisions;
}

keeper::LeaseMessage lease_message(std::int64_t token, const std::optional<runs::Allowance>& allowance) {
  keeper::LeaseMessage message{token};
  if (allowance) message.allowance = keeper::LeaseMessage::Allowance{allowance->total, allowance->exhausted};
  return message;
}

}  // namespace

base::Task<bool> RunDriver::connect() {
  if (link_ && !link_->closed()) co_return true;
  co_await drop_link();
  auto link = co_await KeeperLink::open(context_.needs.connect, folder_->fd(), base::after(500ms), wake_);
  check_lease();
  if (!link) {
    const bool stranger = link.error().code == base::Code::unsupported;
    if (stranger && !std::exchange(stranger_told_, true)) {
      base::log(base::LogLevel::error, "a run goes on without this server",
                {{"runId", claim_.run.id.str()}, {"attemptId", claim_.attempt.id.str()}, {"cause", link.error().message}});
    }
    co_await kill_deaf_keeper();
    co_await pause(stranger ? 500ms : 100ms);
    co_return false;
  }
  link_ = std::move(*link);
  co_await check_token();
  link_scope_.spawn(link_->listen());
  link_scope_.spawn(stage_logs());
  const auto run = claim_.run.id;
  const auto allowance = co_await context_.needs.store.read(
      [this, &run](store::Reader& reader) { return runs::allowance_of(reader, run, context_.config.spending); });
  holds_allowance_ = allowance.has_value();
  co_await read_waits();
  const auto sent = co_await link_->send(lease_message(claim_.attempt.token, allowance));
  decisions_due_ = true;
  allowance_due_ = true;
  policy_due_ = true;
  policy_sent_.clear();
  co_return sent.has_value();
}

// The keeper wants more of the budgets. What others have reserved may still come back: then it is asked about
// again.
base::Task<void> RunDriver::grow_allowance() {
  const auto wish = link_->wish();
  waits_for_allowance_ = false;
  if (!wish) co_return;
  std::int64_t tokens = 0;  // that it still holds
  std::int64_t cost = 0;
  auto allowance = co_await context_.needs.store.write([this, &wish, &tokens, &cost](store::Transaction& tx) {
    for (const auto& lot : tx.allowance(claim_.run.id)) {
      tokens += std::max<std::int64_t>(0, lot.granted_tokens - lot.spent_tokens);
      cost += std::max<std::int64_t>(0, lot.granted_nano_usd - lot.spent_nano_usd);
    }
    return runs::grow_allowance(tx, claim_.fence(), wish->have, wish->needed, context_.config.spending,
                                context_.now());
  });
  auto grown = base::value_or_throw(std::move(allowance));
  if (!grown) co_return;
  holds_allowance_ = true;
  const bool more = grown->total.tokens > wish->have.tokens || grown->total.cost > wish->have.cost;
  if (!more && grown->exhausted.empty()) {
    const bool bound_tokens = wish->have.tokens != policy::unbounded && wish->needed.tokens > tokens;
    const bool bound_cost = wish->have.cost != policy::unbounded && wish->needed.cost > cost;
    waits_for_allowance_ = bound_tokens || bound_cost;
    if (!waits_for_allowance_ || !context_.all_wait()) co_return;
    grown->exhausted = "what is left of it is reserved by runs that wait for more, too";
    waits_for_allowance_ = false;
  }
  link_->forget_wish();
  (void)co_await link_->send(lease_message(claim_.attempt.token, grown));
}

base::Task<void> RunDriver::drop_link() {
  if (link_) link_->close();
  co_await link_scope_.cancel_and_join();
  link_.reset();
}

base::Task<std::optional<ExitRecord>> RunDriver::follow() {
  if (!co_await connect()) co_return std::nullopt;
  bool cancel_sent = false;
  for (;;) {
    co_await pass_cancel(cancel_sent);
    check_stopping();
    const auto exit = co_await copy_up_to(link_->journal_length());
    if (exit) co_return exit;
    if (std::exchange(approvals_due_, false) || base::passed(approval_deadline_)) co_await expire_approvals();
    if (std::exchange(policy_due_, false)) co_await deliver_policy();
    if (std::exchange(decisions_due_, false)) co_await deliver_decisions();
    if (const auto wishes = link_->wishes(); std::exchange(allowance_due_, false) || wishes != wishes_seen_) {
      wishes_seen_ = wishes;
      co_await grow_allowance();
    }
    if (link_->closed()) {
      co_await pause(10ms);
      co_return std::nullopt;
    }
    const bool news = link_->journal_length() > static_cast<std::uint64_t>(claim_.attempt.journal_offset);
    const bool errands = decisions_due_ || policy_due_ || allowance_due_ || link_->wishes() != wishes_seen_ ||
                         (cancel_due_ && !cancel_sent) || link_->closed() || context_.stopping || lost_;
    if (!news && !errands) {
      co_await wake_.wait_until(
          std::min(approval_deadline_, cancel_deadline_.value_or(base::Deadline::max())));
    }
  }
}

// Says it once on each link. A keeper that does not hear it in time is killed, and its sandbox with it: soon if it is
// stopped, later if it is only slow, since what it has not written down is lost. One that has heard it empties its
// sandbox by itself, and is given the time that collecting may take.
base::Task<void> RunDriver::pass_cancel(bool& sent) {
  if (!cancel_due_ || link_->closed()) co_return;
  const auto& config = context_.config;
  if (!sent) {
    sent = true;
    cancel_heard_ = cancel_late_ = false;
    cancel_deadline_ = base::after(link_->acknowledges_cancel() ? config.cancel_patience : config.cancel_bound);
    (void)co_await link_->send(keeper::CancelMessage{});
  }
  if (link_->is_cancelling() && !std::exchange(cancel_heard_, true)) {
    cancel_deadline_ = base::after(collecting_bound);
  } else if (cancel_deadline_ && base::passed(*cancel_deadline_)) {
    co_await hold_lease();
    if (!cancel_heard_ && !cancel_late_ && !is_stopped(link_->keeper_pid())) {
      cancel_late_ = true;
      cancel_deadline_ = base::after(3 * config.cancel_patience);
      co_return;
    }
    base::log(base::LogLevel::warn, "a keeper does not cancel and is killed", {{"runId", claim_.run.id.str()}});
    context_.needs.kill_keeper(link_->keeper_pid());
    cancel_deadline_ = base::after(config.cancel_bound);
  }
}

// One that does not even greet, of a run that is cancelled.
base::Task<void> RunDriver::kill_deaf_keeper() {
  if (!cancel_due_ || !cancel_deadline_ || !base::passed(*cancel_deadline_)) co_return;
  co_await hold_lease();
  const auto lines = context_.needs.connect(context_.needs.executor, folder_->fd());
  if (!lines) co_return;
  base::log(base::LogLevel::warn, "a keeper does not answer a cancel and is killed",
            {{"runId", claim_.run.id.str()}});
  context_.needs.kill_keeper((*lines)->peer());
}

// Brings the store up to `length`, or to the exit record.
base::Task<std::optional<ExitRecord>> RunDriver::copy_up_to(std::uint64_t length) {
  if (!journal_) {
    auto file = folder_->file("journal");
    if (!file && file.error().code == base::Code::not_found) co_return std::nullopt;
    journal_ = base::value_or_throw(std::move(file));
  }
  for (;;) {
    check_stopping();
    const auto from = static_cast<std::uint64_t>(claim_.attempt.journal_offset);
    if (from >= length) co_return std::nullopt;
    const CopySource source{journal_.get(), claim_.run.id, claim_.attempt.number};
    JournalPiece piece = co_await context_.pool.run(
        [this, &source, from, length] { return copy_journal(source, from, length, context_.needs.blobs); });
    const bool progress = piece.batch.to_offset > piece.batch.from_offset;
    if (progress) {
      auto offset = co_await context_.needs.store.write([this, &piece](store::Transaction& tx) {
        return runs::commit_journal(tx, claim_.fence(), piece.batch, context_.now());
      });
      claim_.attempt.journal_offset = base::value_or_throw(std::move(offset));
      staging_.notify();
      note_waits(piece.batch);
      approvals_due_ = true;
      // A wish may have come before what was spent was known here.
      if (!piece.batch.spendings.empty() && link_ && link_->wish()) allowance_due_ = true;
    }
    if (piece.exit) co_return std::move(piece.exit);
    if (!progress) co_return std::nullopt;
  }
}

// What it waits for as the store knows it; from then on the journal says so.
base::Task<void> RunDriver::read_waits() {
  const model::RunId run = claim_.run.id;
  std::set<model::ActionId> questions;
  const bool waits_for_quota = co_await context_.needs.store.read([&run, &questions](store::Reader& reader) {
    for (const auto& approval : reader.pending_approvals(run)) questions.insert(approval.action_id);
    const auto waiting = reader.last_event_of_type(run, "run.waiting");
    const auto resumed = reader.last_event_of_type(run, "run.resumed");
    return waiting && (!resumed || resumed->sequence < waiting->sequence);
  });
  const bool before = waits();
  open_questions_ = std::move(questions);
  waits_for_quota_ = waits_for_quota;
  if (waits() != before) context_.waits_changed();
}

void RunDriver::note_waits(const runs::JournalBatch& batch) {
  const bool before = waits();
  for (const auto& event : batch.events) {
    if (event.type == "run.waiting") waits_for_quota_ = true;
    if (event.type == "run.resumed") waits_for_quota_ = false;
  }
  for (const auto& question : batch.questions) open_questions_.insert(question.action_id);
  for (const auto& answer : batch.answers) open_questions_.erase(answer.action_id);
  if (waits() != before) context_.waits_changed();
}

base::Task<void> RunDriver::deliver_decisions() {
  const model::RunId run = claim_.run.id;
  const auto decisions =
      co_await context_.needs.store.read([&run](store::Reader& reader) { return decisions_of(reader, run); });
  for (const auto& decision : decisions) {
    if (!co_await link_->send(decision)) co_return;
  }
}

// What the policy that the run is held to says now. The keeper pins what the run began with and can only
// become stricter; one that began without rules takes none.
base::Task<void> RunDriver::deliver_policy() {
  if (!link_->takes_policy()) co_return;
  const auto rules = context_.config.policy_named(runs::options_of(claim_.run.input).policy);
  // What is gone or broken leaves the run with what it has.
  if (!rules || !*rules || (*rules)->version() == policy_sent_) co_return;
  const auto sent = co_await link_->send(keeper::PolicyMessage{base::to_text((*rules)->document())});
  if (sent) policy_sent_ = (*rules)->version();
}

// Questions whose time is over, also while no server was there, expire; the keeper hears of it as of a
// decision.
base::Task<void> RunDriver::expire_approvals() {
  approval_deadline_ = base::Deadline::max();
  if (!claim_.run.approval_timeout) co_return;
  const model::RunId run = claim_.run.id;
  const auto pending = co_await context_.needs.store.read(
      [&run](store::Reader& reader) { return reader.pending_approvals(run); });
  for (const auto& approval : pending) {
    if (!approval.expires_at) continue;
    if (*approval.expires_at > context_.needs.clock.now()) {
      const auto deadline = deadline_of(*approval.expires_at, context_.needs.clock);
      approval_deadline_ = std::min(approval_deadline_, deadline);
      continue;
    }
    const model::ActionId action = approval.action_id;
    // Refused when a person was faster.
    const runs::Fence fence = claim_.fence();
    auto expired = co_await context_.needs.store.write([this, &fence, &action](store::Transaction& tx) {
      return runs::expire_approval(tx, fence, action, context_.now());
    });
    if (!expired && expired.error().reason == "lease_lost") throw base::Failure(std::move(expired).error());
    decisions_due_ = true;
  }
}

// Full pieces of the logs become blobs while the agent runs.
base::Task<void> RunDriver::stage_logs() {
  for (;;) {
    co_await staging_.wait();
    try {
      co_await context_.pool.run([this] {
        stdout_log_->stage();
        stderr_log_->stage();
      });
    } catch (const base::Failure& failure) {
      // They are made again at the end.
      base::log(base::LogLevel::warn, "a piece of a log could not be stored",
                {{"cause", failure.error().message}});
    }
  }
}

// The keeper is dead: what its journal still holds.
base::Task<std::optional<ExitRecord>> RunDriver::read_rest() {
  if (!folder_) co_return std::nullopt;
  // Behind the store: the machine lost power after the store had more than the disk. Nothing is appended
  // then.
  const std::uint64_t length = folder_->size_of("journal");
  if (length < static_cast<std::uint64_t>(claim_.attempt.journal_offset)) co_return std::nullopt;
  std::optional<ExitRecord> exit;
  try {
    exit = co_await copy_up_to(length);
  } catch (const base::Failure& failure) {
    if (failure.error().code != base::Code::corrupt) throw;
    damaged_ = true;
  }
  co_return exit;
}

}  // namespace agentrouter::worker
