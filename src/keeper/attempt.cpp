#include "keeper/attempt.h"

#include "base/log.h"

namespace agentrouter::keeper {
namespace {

std::string sandbox_id(const AttemptPlan& plan) {
  return "sandbox_" + plan.attempt_id.str().substr(sizeof "attempt_" - 1);
}

json::string provider_of(const AttemptPlan& plan) {
  return json::string(model::to_string(plan.runtime.kind));
}

egress::SpendingRules spending_rules(const SpendingPlan& plan) {
  return {.limits = {plan.limits.tokens.value_or(policy::unbounded), plan.limits.cost.value_or(policy::unbounded)},
          .allowance = plan.allowance,
          .prices = plan.prices};
}

const EgressSecrets& no_secrets() {
  static const EgressSecrets none;
  return none;
}

}  // namespace

model::RunFailure failure_of_error(const base::Error& error) {
  if (error.reason == "storage_full") return {"storage_full", error.message, {}};
  return {"worker_failed", error.message, {}};
}

Attempt::Attempt(Needs needs)
    : needs_(std::move(needs)),
      notices_(needs_.executor, needs_.sandbox),
      watch_(needs_.recorder),
      limits_(needs_.recorder, needs_.plan.spending),
      spending_(needs_.executor, spending_rules(needs_.plan.spending), limits_),
      turn_plan_(needs_.plan),
      gate_(needs_.executor, needs_.recorder, turn_plan_, needs_.clock),
      progress_(needs_.recorder, turn_plan_),
      tape_(needs_.recorder, needs_.plan, needs_.attempt_dir),
      network_({.plan = turn_plan_,
                .clock = needs_.clock,
                .entropy = needs_.entropy,
                .hidden = needs_.recorder.redactor()}),
      way_out_({.executor = needs_.executor,
                .sandbox = needs_.sandbox,
                .plan = turn_plan_,
                .secrets = needs_.egress != nullptr ? *needs_.egress : no_secrets(),
                .tls = needs_.outbound_tls,
                .clock = needs_.clock,
                .gate = network_,
                .observer = watch_}),
      scope_(needs_.executor) {}

Attempt::~Attempt() = default;

base::Task<bool> Attempt::run() {
  scope_.spawn(notices_.watch());
  std::optional<model::RunFailure> broken;
  try {
    co_await drive();
  } catch (const base::Failure& failure) {
    broken = failure_of_error(failure.error());
  } catch (const std::exception& error) {
    broken = model::RunFailure{"worker_failed", error.what(), {}};
  }
  if (broken) {
    result_.kind = Result::Kind::failed;
    result_.failure = std::move(*broken);
  }
  bool written = true;
  if (lost_ && !cancelled_) {
    co_await scope_.cancel_and_join();
    co_return false;
  }
  try {
    co_await finish();
  } catch (const std::exception&) {
    written = false;
  }
  co_await scope_.cancel_and_join();
  co_return written;
}

base::Task<void> Attempt::drive() {
  stdout_log_ =
      base::value_or_throw(AgentLog::create(needs_.attempt_dir, "stdout.ndjson", needs_.recorder.redactor()));
  stderr_log_ =
      base::value_or_throw(AgentLog::create(needs_.attempt_dir, "stderr.ndjson", needs_.recorder.redactor()));
  if (!co_await restore()) co_return;
  files_open_ = true;
  announce();
  const bool held = co_await prove_boundary();
  if (!held) co_return;
  if (result_.failure.code.empty()) {
    GateResult gate = co_await gate_.pass();
    if (gate.kind == GateResult::Kind::released) {
      released_ = true;
      co_await take_turn(std::move(gate));
    } else if (gate.kind == GateResult::Kind::cancelled) {
      result_.kind = Result::Kind::cancelled;
    } else {
      result_.failure = std::move(gate.failure);
    }
  }
}

// The state that an earlier turn has left; false when the attempt is over.
base::Task<bool> Attempt::restore() {
  if (!needs_.plan.restores) co_return true;
  helping_ = true;
  const auto part = needs_.plan.files_only ? RestorePart::files : RestorePart::all;
  const auto restored = co_await restore_checkpoint(needs_.sandbox, notices_, needs_.attempt_dir, part);
  helping_ = false;
  if (cancelled_) {
    result_.kind = Result::Kind::cancelled;
  } else if (!restored) {
    lost_ = has_lost_sandbox(restored.error());
    set_failure("checkpoint_unavailable", restored.error().message);
  }
  co_return restored && !cancelled_;
}

// With what an agent remembers, not only with files.
bool Attempt::goes_on() const {
  return (needs_.plan.restores || needs_.plan.kept) && !needs_.plan.files_only;
}

TurnStart Attempt::turn_start() const {
  if (!released_ || !(needs_.plan.restores || needs_.plan.kept)) return TurnStart::afresh;
  return needs_.plan.kept ? TurnStart::kept : TurnStart::restored;
}

void Attempt::announce() {
  json::object sandbox{{"sandboxId", sandbox_id(needs_.plan)},
                       {"isolation", model::to_string(needs_.plan.isolation)},
                       {"limits", sandbox::to_string(needs_.sandbox.limits())},
                       {"landlock", needs_.sandbox.landlock()}};
  if (goes_on()) {
    needs_.recorder.event("sandbox.resumed", model::Visibility::internal, std::move(sandbox));
  } else {
    sandbox["provider"] = "process";
    sandbox["persistent"] = false;
    put_driver(sandbox);
    needs_.recorder.event("sandbox.created", model::Visibility::internal, std::move(sandbox));
  }
}

// False when the attempt is over.
base::Task<bool> Attempt::prove_boundary() {
  helping_ = true;
  const auto system =
      needs_.plan.image.empty() ? BoundaryView::System::of_host : BoundaryView::System::of_image;
  auto report = co_await check_boundary(needs_.sandbox, notices_, needs_.plan.program, system,
                                        needs_.recorder.redactor());
  helping_ = false;
  if (cancelled_) {
    result_.kind = Result::Kind::cancelled;
    co_return false;
  }
  const bool holds = report && report->surface.empty();
  if (!holds) {
    fail_boundary(report);
  } else if (!goes_on()) {
    needs_.recorder.event("credential_boundary.verified", model::Visibility::internal,
                          {{"provider", provider_of(needs_.plan)},
                           {"credentialStrategy", "provider_proxy"},
                           {"checkedSurfaces", {"env", "proc", "home"}},
                           {"alsoChecked", {"files", "sockets", "descriptors"}},
                           {"files", report->files},
                           {"bytes", report->bytes},
                           {"processes", report->processes},
                           {"complete", report->complete},
                           {"workspaceHoldsSecret", report->workspace_holds_secret},
                           {"workspaceComplete", report->workspace_complete}});
  }
  co_return holds;
}

bool Attempt::has_lost_sandbox(const base::Error& error) {
  notices_.poll();
  return error.reason == "sandbox_gone" || notices_.gone();
}

void Attempt::fail_boundary(const base::Result<BoundaryReport>& report) {
  if (!report) {
    lost_ = has_lost_sandbox(report.error());
    result_.failure = {"credential_boundary_failed",
                       "It could not be proven that no secret is in the sandbox, so the agent was not started: " +
                           report.error().message,
                       "unproven"};
    return;
  }
  const bool secret = report->surface != "sockets" && report->surface != "descriptors";
  result_.failure = {"credential_boundary_failed",
                     std::string(secret ? "A secret that belongs outside of the sandbox is in it"
                                        : "Something leads out of the sandbox") +
                         ", so the agent was not started: " + report->surface + " (" + report->where + ")",
                     report->surface};
}

base::Task<void> Attempt::take_turn(GateResult gate) {
  if (auto opened = open_egress(); !opened) {
    const auto& error = opened.error();
    const bool cassette = needs_.plan.provider == Provider::replay && !error.reason.empty();
    set_failure(cassette ? "cassette_invalid" : "worker_failed", error.message);
    if (cassette) result_.failure.cause = error.reason;
    egress_.reset();
  }
  const std::string started = model::new_event_id(needs_.entropy);
  const std::string execution = "execution_" + base::new_uuid(needs_.entropy);
  json::object payload = model::control_payload(gate.action, {started, gate.prior_event_id, "runtime"});
  payload["executionId"] = execution;
  payload["status"] = "started";
  needs_.recorder.event("execution.started", model::Visibility::open, std::move(payload));

  if (result_.failure.code.empty()) co_await run_turns(started);
  co_await close_egress();
  tape_.close();
  if (watch_.trouble() && result_.kind == Result::Kind::completed) {
    result_.kind = Result::Kind::failed;
    result_.failure = failure_of_error(*watch_.trouble());
  }
  close_execution(gate, started, execution);
}

void Attempt::judge(TurnEnd end) {
  if (end.exited && end.exited->signal == 0) result_.exit_code = end.exited->code;
  result_.closing_event = std::move(end.closing_event);
  result_.outcome = std::move(end.outcome);
  if (end.cancelled) {
    result_.kind = Result::Kind::cancelled;
  } else if (end.failure) {
    result_.failure = std::move(*end.failure);
  } else if (result_.outcome && result_.outcome->kind == agents::OutcomeKind::completed) {
    result_.kind = Result::Kind::completed;
  } else if (result_.outcome) {
    result_.failure = result_.outcome->failure;
    if (result_.failure.code.empty())
      set_failure("provider_runtime_failed", "The agent's turn was interrupted");
  }
}

void Attempt::close_execution(const GateResult& gate, const std::string& started,
                              const std::string& execution) {
  const bool completed = result_.kind == Result::Kind::completed;
  const bool cancelled = result_.kind == Result::Kind::cancelled;
  const std::string reason = cancelled ? "cancelled" : result_.failure.reason;
  if (result_.closing_event && (result_.closing_event->type == "agent.completed") == completed) {
    auto& event = *result_.closing_event;
    needs_.recorder.agent_event(event.type, event.provider_event_type, std::move(event.payload));
  } else {
    needs_.recorder.agent_event(
        completed ? "agent.completed" : "agent.error", {},
        {{"provider", provider_of(needs_.plan)}, {"message", completed ? std::string("completed") : reason}});
  }
  const std::string id = model::new_event_id(needs_.entropy);
  json::object payload = model::control_payload(gate.action, {id, started, "runtime"});
  const char* status = completed ? "completed" : "failed";
  payload["executionId"] = execution;
  payload["status"] = status;
  if (completed || (result_.exit_code.value_or(0) != 0 && !cancelled))
    payload["exitCode"] = result_.exit_code.value_or(0);
  else
    payload["reason"] = cancelled ? std::string("cancelled") : result_.failure.code;
  payload["terminalState"] = status;
  needs_.recorder.event(completed ? "execution.completed" : "execution.failed", model::Visibility::open,
                        std::move(payload));
}

base::Result<base::Fd> Attempt::open_files(const std::string& request) {
  constexpr std::size_t readers_at_most = 8;
  if (!files_open_)
    return base::fail(base::Code::unavailable, "the workspace is not ready, or the run is ending");
  std::erase_if(readers_, [this](pid_t pid) {
    const bool ended = notices_.exited(pid) != nullptr;
    if (ended) notices_.forget(pid);
    return ended;
  });
  if (readers_.size() >= readers_at_most)
    return base::fail(base::Code::exhausted, "too many requests for the files of the run at once");
  return start_reader(needs_.sandbox, request, readers_);
}

void Attempt::set_failure(std::string_view code, std::string reason) {
  if (result_.failure.code.empty()) result_.failure = {std::string(code), std::move(reason), {}};
}

void Attempt::decide(const DecisionMessage& message) {
  gate_.decide(message);
  if (decide_progress(message)) return;
  if (turn_) turn_->decide(message);
}

void Attempt::grant(const LeaseMessage::Allowance& allowance) {
  spending_.grant(allowance.total, allowance.exhausted);
}

void Attempt::tighten(const PolicyMessage& message) {
  if (!turn_plan_.rules) return;
  const auto document = base::parse_json(message.document, {.max_bytes = policy_line_bytes});
  const auto* object = document ? document->if_object() : nullptr;
  auto now = policy::Rules::parse(object != nullptr ? *object : json::object());
  if (!now) {
    base::log(base::LogLevel::error, "a policy that came while a run was going on is not understood",
              {{"runId", needs_.plan.run_id.str()}, {"cause", now.error().message}});
    return;
  }
  auto both = policy::tightened(*turn_plan_.rules, *now);
  if (both.version() == turn_plan_.rules->version()) return;
  turn_plan_.rules = std::move(both);
  progress_.tighten(*turn_plan_.rules);
  try {
    needs_.recorder.event("policy.tightened", model::Visibility::open,
                          {{"policyId", now->name()},
                           {"policyVersion", now->version()},
                           {"pinnedVersion", needs_.plan.rules->version()},
                           {"effectiveVersion", turn_plan_.rules->version()}});
  } catch (const base::Failure& failure) {
    if (turn_) turn_->abort(failure_of_error(failure.error()));
  }
  gate_.judge_again();
  if (turn_) turn_->judge_again();
}

void Attempt::cancel() {
  cancelled_ = true;
  gate_.cancel();
  if (helping_) {
    (void)needs_.sandbox.kill_all();
    notices_.poll();  // what came with the reply
  }
  if (turn_) turn_->cancel();
  notices_.changed().notify();
}

}  // namespace agentrouter::keeper
