#include "keeper/keeper.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <csignal>

#include "agents/claude/claude_session.h"
#include "agents/codex/codex_session.h"
#include "base/log.h"
#include "base/pool.h"
#include "keeper/attempt_lock.h"
#include "keeper/control.h"

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

base::Result<Journal> make_journal(int attempt_dir, const base::Clock& clock) {
  base::Fd fd(::openat(attempt_dir, "journal", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail_errno("cannot make the journal", errno);
  return Journal::create(open_journal_file(std::move(fd)), clock);
}

// Passes what the server says on to the attempt, and remembers that it is done.
class Switchboard final : public ControlHandler {
 public:
  explicit Switchboard(base::Executor executor) : changed_(executor) {}
  void attach(Attempt* attempt) { attempt_ = attempt; }
  void on_decision(const DecisionMessage& message) override {
    if (attempt_ != nullptr) attempt_->decide(message);
  }
  void on_policy(const PolicyMessage& message) override {
    if (attempt_ != nullptr) attempt_->tighten(message);
  }
  void on_cancel() override {
    if (attempt_ != nullptr) attempt_->cancel();
  }
  void on_allowance(const LeaseMessage::Allowance& allowance) override {
    if (attempt_ != nullptr) attempt_->grant(allowance);
  }
  base::Result<base::Fd> on_files(const FilesMessage& message) override {
    if (attempt_ == nullptr) return base::fail(base::Code::unavailable, "the run has ended");
    return attempt_->open_files(message.request);
  }
  void on_done() override {
    done_ = true;
    changed_.notify();
  }
  base::Task<void> wait_for_done(std::chrono::milliseconds limit) {
    const auto deadline = base::SteadyClock::now() + limit;
    while (!done_ && base::SteadyClock::now() < deadline) co_await changed_.wait_until(deadline);
  }

 private:
  Attempt* attempt_ = nullptr;
  bool done_ = false;
  base::Event changed_;
};

// Puts the journal on the disk in short batches, off the loop.
class Syncer {
 public:
  Syncer(base::Executor executor, JournalFile& file) : file_(file), dirty_event_(executor), pool_(1) {}
  void touch() {
    dirty_ = true;
    dirty_event_.notify();
  }
  base::Task<void> run() {
    for (;;) {
      while (!dirty_) co_await dirty_event_.wait();
      co_await base::sleep_for(100ms);
      dirty_ = false;
      // A disk that refuses shows itself at the next durable record, which waits for the same call.
      (void)co_await pool_.run([this] { return file_.sync().has_value(); });
    }
  }

 private:
  JournalFile& file_;
  bool dirty_ = false;
  base::Event dirty_event_;
  base::Pool pool_;
};

std::vector<std::string_view> secrets_of(const KeeperNeeds& needs) {
  std::vector<std::string_view> secrets;
  if (needs.key != nullptr) secrets.push_back(needs.key->view());
  for (const auto& secret : needs.mcp_secrets) secrets.push_back(secret.view());
  if (needs.egress != nullptr) {
    for (const auto view : needs.egress->views()) secrets.push_back(view);
  }
  return secrets;
}

// Whole, or but for the word before it ("Bearer"), which is no secret: of one of which only the end is known
// the beginning would stay.
bool knows(const base::Needles& known, std::string_view secret) {
  const auto is_one = [&known](std::string_view text) {
    const auto found = known.find(text);
    return found && found->begin == 0 && found->size == text.size();
  };
  return is_one(secret) || is_one(secret.substr(secret.rfind(' ') + 1));
}

// The secrets of this attempt, and what only the server knows.
base::Result<base::Redactor> redactor_of(const KeeperNeeds& needs) {
  std::vector<base::Needles> sets;
  if (!needs.plan.hidden.empty()) {
    AGENTROUTER_TRY(base::Needles hidden, base::Needles::parse(needs.plan.hidden));
    sets.push_back(std::move(hidden));
  }
  // The server has told about most of them already.
  auto secrets = secrets_of(needs);
  if (!sets.empty())
    std::erase_if(secrets, [&sets](std::string_view secret) { return knows(sets[0], secret); });
  if (!secrets.empty()) sets.emplace_back(secrets, needs.entropy);
  return base::Redactor(std::move(sets));
}

json::object hello_of(const AttemptPlan& plan) {
  return {{"protocol", journal_protocol},
          {"attemptId", plan.attempt_id.str()},
          {"runId", plan.run_id.str()},
          {"token", plan.token}};
}

base::Task<void> serve_attempt(KeeperNeeds& needs, Recorder& recorder, ControlServer& control,
                               Switchboard& switchboard) {
  {
    Attempt attempt({.executor = needs.executor,
                     .sandbox = needs.sandbox,
                     .attempt_dir = needs.attempt_dir,
                     .plan = needs.plan,
                     .key = needs.key,
                     .mcp_secrets = needs.mcp_secrets,
                     .tls = needs.tls,
                     .egress = needs.egress,
                     .outbound_tls = needs.outbound_tls,
                     .recorder = recorder,
                     .clock = needs.clock,
                     .entropy = needs.entropy,
                     .make_session = needs.make_session});
    attempt.on_wish([&control](const policy::Amount& have, const policy::Amount& needed) {
      control.ask_allowance({have, needed});
    });
    switchboard.attach(&attempt);
    const bool written = co_await attempt.run();
    switchboard.attach(nullptr);
    if (!written) co_return;
  }
  control.say_bye();
  co_await switchboard.wait_for_done(needs.linger);
}

}  // namespace

base::Task<base::Result<void>> keep(KeeperNeeds needs) {
  AGENTROUTER_CO_TRY(Journal journal, make_journal(needs.attempt_dir, needs.clock));
  const base::Redactor redactor = base::value_or_throw(redactor_of(needs));
  base::hide_in_logs(redactor);
  Recorder recorder(std::move(journal), needs.clock, needs.entropy, redactor,
                    model::parse_event_source(model::to_string(needs.plan.runtime.kind)));
  recorder.durable("hello", hello_of(needs.plan));

  Switchboard switchboard(needs.executor);
  ControlServer control(needs.executor,
                        {.attempt_id = needs.plan.attempt_id.str(),
                         .run_id = needs.plan.run_id.str(),
                         .token = needs.plan.token},
                        switchboard);
  control.set_length(recorder.length());
  auto listening = control.listen(needs.attempt_dir);
  if (!listening) {
    co_await control.stop();
    co_return listening;
  }
  Syncer syncer(needs.executor, recorder.file());
  recorder.on_length([&](std::uint64_t length) {
    control.set_length(length);
    syncer.touch();
  });
  base::TaskScope background(needs.executor);
  background.spawn(syncer.run());
  if (needs.on_ready) needs.on_ready();

  co_await serve_attempt(needs, recorder, control, switchboard);

  recorder.on_length({});
  co_await background.cancel_and_join();
  co_await control.stop();
  co_return base::Result<void>{};
}

namespace {

struct Started {
  sandbox::Box box;
  base::Fd lock;
  base::Fd plan_stream;
  ReceivedPlan received;
};

base::Result<Started> start_up() {
  AGENTROUTER_TRY(sandbox::Box box, sandbox::Box::adopt());
  AGENTROUTER_TRY(base::Fd lock, take_attempt_lock(box.attempt_dir()));
  base::Fd stream = box.take_plan_pipe();
  AGENTROUTER_TRY(ReceivedPlan received, receive_plan(stream.get()));
  return Started{std::move(box), std::move(lock), std::move(stream), std::move(received)};
}

std::unique_ptr<agents::Session> session_of(const AttemptPlan& plan, policy::NoProgress& progress,
                                            const base::Redactor& hidden) {
  agents::TurnSpec spec{.runtime = plan.runtime,
                        .model = plan.model,
                        .prompt = plan.task,
                        .resume_thread = plan.resume_thread,
                        .gates_calls = plan.approval_scope == model::ApprovalScope::action,
                        .progress = &progress,
                        .hidden = &hidden};
  const agents::SessionLimits limits{.output_bytes = plan.limits.output_bytes};
  return plan.runtime.kind == model::RuntimeKind::codex
             ? agents::make_codex_session(std::move(spec), limits)
             : agents::make_claude_session(std::move(spec), limits);
}

// The launcher waits for this before it believes in the keeper.
void say_ready(base::Fd& stream) {
  (void)base::write_all(stream.get(), "ready\n");
  stream.reset();
}

bool needs_tls(const AttemptPlan& plan) {
  return plan.provider == Provider::upstream ||
         std::any_of(plan.mcp.begin(), plan.mcp.end(),
                     [](const McpPlan& server) { return server.url.starts_with("https:"); });
}

base::Task<base::Result<void>> keep_started(base::Executor executor, Started& started) {
  const auto sandbox = hold(started.box);
  std::optional<net::TlsContext> tls;
  if (needs_tls(started.received.plan)) tls.emplace(base::value_or_throw(net::TlsContext::create({})));
  std::optional<net::TlsContext> outbound_tls;
  const auto& egress = started.received.plan.egress;
  if (!egress.authority.empty())
    outbound_tls.emplace(base::value_or_throw(net::TlsContext::create({.ca_pem = egress.ca_certificates})));
  base::Fd& stream = started.plan_stream;
  KeeperNeeds needs{.executor = executor,
                    .sandbox = *sandbox,
                    .attempt_dir = started.box.attempt_dir(),
                    .plan = started.received.plan,
                    .mcp_secrets = started.received.mcp_secrets,
                    .key = started.received.key ? &*started.received.key : nullptr,
                    .tls = tls ? &*tls : nullptr,
                    .egress = &started.received.egress,
                    .outbound_tls = outbound_tls ? &*outbound_tls : nullptr,
                    .clock = base::system_clock(),
                    .entropy = base::system_entropy(),
                    .make_session = session_of,
                    .on_ready = [&stream] { say_ready(stream); }};
  co_return co_await keep(std::move(needs));
}

}  // namespace

int run_keeper() {
  ::signal(SIGPIPE, SIG_IGN);
  auto started = start_up();
  if (!started) {
    base::log(base::LogLevel::error, "the keeper cannot start", {{"cause", started.error().message}});
    return 1;
  }
  asio::io_context io(1);
  base::Result<void> kept = base::fail(base::Code::internal, "the keeper ended early");
  std::exception_ptr broken;
  asio::co_spawn(io.get_executor(), keep_started(io.get_executor(), *started),
                 [&](std::exception_ptr error, base::Result<void> result) {
                   broken = error;
                   if (!error) kept = std::move(result);
                 });
  io.run();
  std::string cause = kept ? std::string() : kept.error().message;
  if (broken) {
    try {
      std::rethrow_exception(broken);
    } catch (const std::exception& error) {
      cause = error.what();
    }
  }
  if (cause.empty()) return 0;
  base::log(base::LogLevel::error, "the keeper failed", {{"cause", cause}});
  return 1;
}

}  // namespace agentrouter::keeper
