#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

#include "base/log.h"
#include "keeper/plan.h"
#include "model/audit.h"
#include "runs/options.h"
#include "runs/prepare.h"
#include "runs/queue.h"
#include "worker/checkpoint_source.h"
#include "worker/image_environment.h"
#include "worker/run_driver.h"
#include "worker/trust.h"

namespace agentrouter::worker {

base::Result<ImageRoot> no_image(std::string_view name) {
  return base::fail(base::Code::invalid, "this server has no image \"" + std::string(name) + "\"", "image_unknown");
}

base::Result<std::optional<policy::Rules>> preset_named(std::string_view name) {
  if (name.empty()) return std::nullopt;
  if (const auto* rules = policy::preset(name)) return std::optional(*rules);
  return base::fail(base::Code::not_found, "there is no policy \"" + std::string(name) + "\"",
                    "policy_unknown");
}

namespace {

// A keeper that is on its way when the worker stops: the next worker may take it for dead before it has its
// lock.
constexpr std::chrono::milliseconds come_up_grace{500};

bool is_read_only(const model::Runtime& runtime) {
  return runtime.mode == "read_only" || runtime.mode == "plan";
}

sandbox::Limits sandbox_limits(sandbox::Limits limits, const policy::RunLimits& asked) {
  if (asked.memory_bytes) limits.memory_bytes = static_cast<std::uint64_t>(*asked.memory_bytes);
  if (asked.disk_bytes) limits.disk_bytes = static_cast<std::uint64_t>(*asked.disk_bytes);
  if (asked.cpu_percent) limits.cpu_percent = static_cast<std::uint32_t>(*asked.cpu_percent);
  if (asked.pids) limits.pids = static_cast<std::uint32_t>(*asked.pids);
  return limits;
}

sandbox::Plan sandbox_plan(const PreparedAgent& agent, const model::Run& run, const WorkerConfig& config,
                           const ImageRoot* image) {
  const auto& runtime = run.runtime;
  sandbox::Plan plan = image != nullptr ? sandbox::image_plan(image->shell) : sandbox::curated_plan();
  plan.limits = sandbox_limits(config.limits, runs::options_of(run.input).limits);
  plan.machine = config.machine;
  for (const auto& bind : agent.binds) plan.binds.push_back(bind);
  for (const auto& file : agent.program.files) plan.files.push_back({file.path, file.content});
  if (image != nullptr) plan.emptied = agent.program.system_settings;
  if (is_read_only(runtime)) plan.workspace = sandbox::WorkspaceMode::read_only;
  if (config.require_limits) plan.demand = sandbox::LimitsDemand::cgroup;
  return plan;
}

// What the run's policy lets it reach, with an authority of its own where connections are looked into.
base::Result<keeper::EgressPlan> egress_plan(const std::optional<policy::Rules>& rules, const keeper::EgressPlan& all,
                                             const model::RunId& run) {
  if (!rules) return keeper::EgressPlan();
  AGENTROUTER_TRY(auto plan, keeper::plan_for(*rules, all));
  if (rules->inspects()) {
    if (auto done = keeper::give_authority(plan, run.str()); !done) return tl::unexpected(done.error());
  }
  return plan;
}

// The reasons that the agents and the sandbox give are failure codes.
model::RunFailure failure_of(const base::Error& error, std::string_view otherwise) {
  return {error.reason.empty() ? std::string(otherwise) : error.reason, error.message, {}};
}

base::Result<base::FdPair> stream_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return base::fail_errno("cannot make the plan's stream", errno);
  }
  return base::FdPair{base::Fd(ends[0]), base::Fd(ends[1])};
}

base::Result<base::Fd> open_lower(const std::string& path) {
  if (path.empty()) return base::Fd();
  base::Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open the workspace " + path, errno);
  return fd;
}

}  // namespace

keeper::Provider RunDriver::plan_provider() const {
  if (context_.cassettes->mode() == CassetteMode::replay) return keeper::Provider::replay;
  return provider().kind == ProviderKind::sim ? keeper::Provider::sim : keeper::Provider::upstream;
}

std::optional<model::RunFailure> RunDriver::check_provider() const {
  if (provider().kind != ProviderKind::none || plan_provider() == keeper::Provider::replay) return std::nullopt;
  const bool codex = claim_.run.runtime.kind == model::RuntimeKind::codex;
  return model::RunFailure{"provider_unconfigured",
                           "No model provider is configured: set " +
                               std::string(codex ? "CODEX_API_KEY or OPENAI_API_KEY" : "ANTHROPIC_API_KEY") +
                               " in the server's environment, give the workspace a key of its own with agentrouter "
                               "provider-keys set, or start the server with --sim",
                           {}};
}

// The workspace's own key comes before the server's.
base::Task<std::optional<model::RunFailure>> RunDriver::find_provider() {
  own_key_.reset();
  const bool asks_nobody = provider().kind == ProviderKind::sim || plan_provider() == keeper::Provider::replay;
  if (asks_nobody || context_.needs.vault == nullptr) co_return check_provider();
  const auto name = runs::provider_of(claim_.run.runtime);
  auto key = co_await context_.needs.store.read(
      [&name, &run = claim_.run](store::Reader& reader) { return reader.provider_key(run.workspace_id, name); });
  if (key) co_return co_await take_own_key(std::move(*key));
  if (!context_.config.provider_keys.required) co_return check_provider();
  co_return model::RunFailure{"provider_unconfigured",
                              "The workspace has no key for " + std::string(name) +
                                  " any more, and this server runs nothing on its own keys: agentrouter provider-keys "
                                  "set " + std::string(name),
                              "provider_key_required"};
}

base::Task<std::optional<model::RunFailure>> RunDriver::take_own_key(store::ProviderKey key) {
  const auto& allowed = context_.config.provider_keys.base_urls;
  if (!key.base_url.empty() && std::ranges::find(allowed, key.base_url) == allowed.end())
    co_return model::RunFailure{"provider_unconfigured",
                                "The workspace's key names the base URL " + key.base_url +
                                    ", which this server does not allow any more (providers.base_urls)",
                                "provider_url_refused"};
  auto opened = co_await context_.needs.vault->open(vault::place_of(key), key.sealed);
  if (!opened)
    co_return model::RunFailure{"provider_unconfigured",
                                "The workspace's provider key cannot be opened: " + opened.error().message,
                                opened.error().reason};
  own_provider_ = {.kind = ProviderKind::upstream,
                   .base_url = key.base_url.empty() ? provider().base_url : key.base_url,
                   .api_key = {}};
  key_ = std::move(*opened);
  own_key_ = std::move(key);
  co_return std::nullopt;
}

// Not of one that was put in its place meanwhile.
void RunDriver::note_key_use(store::Transaction& tx) const {
  if (!own_key_) return;
  auto now = tx.provider_key(own_key_->workspace, own_key_->provider);
  if (!now || now->sealed != own_key_->sealed) return;
  now->used_at = context_.needs.clock.now();
  tx.put_provider_key(*now);
}

// What this machine gives may have become less since the run was asked for, and its policy stricter.
std::optional<model::RunFailure> RunDriver::check_isolation(const runs::RunOptions& options) const {
  auto demanded = options.isolation.value_or(model::Isolation::process);
  if (rules_) demanded = std::max(demanded, rules_->require_isolation());
  const auto given = context_.needs.launcher.isolation();
  if (model::satisfies(given, demanded)) return std::nullopt;
  return model::RunFailure{"isolation_unavailable",
                           "The run is to be isolated by \"" + std::string(model::to_string(demanded)) +
                               "\", and this server has \"" + std::string(model::to_string(given)) + "\"",
                           {}};
}

const ProviderConfig& RunDriver::provider() const {
  if (own_key_) return own_provider_;
  const auto& config = context_.config;
  return claim_.run.runtime.kind == model::RuntimeKind::codex ? config.provider : config.claude_provider;
}

std::string RunDriver::model_of_run() const {
  const auto& config = context_.config;
  const bool codex = claim_.run.runtime.kind == model::RuntimeKind::codex;
  return claim_.run.runtime.model.value_or(codex ? config.default_model : config.claude_model);
}

// Rules are about single actions, except those that are only about progress.
model::ApprovalScope RunDriver::scope_of(const runs::RunOptions& options) const {
  const bool judges = rules_ && rules_->judges_actions();
  return judges ? model::ApprovalScope::action : options.scope;
}

base::Task<std::optional<model::RunFailure>> RunDriver::start() {
  auto no_provider = co_await find_provider();
  if (no_provider) co_return no_provider;
  if (context_.cassettes->mode() != CassetteMode::none) {
    auto name = context_.cassettes->name_of(claim_.run);
    if (!name) co_return cassette_failure(name.error());
    cassette_ = std::move(*name);
  }
  const auto options = runs::options_of(claim_.run.input);
  auto rules = context_.config.policy_named(options.policy);
  if (!rules) co_return failure_of(rules.error(), "policy_unknown");
  rules_ = std::move(*rules);
  if (auto refused = check_isolation(options)) co_return refused;
  auto egress = egress_plan(rules_, context_.config.egress, claim_.run.id);
  if (!egress) co_return failure_of(egress.error(), "worker_failed");
  egress_ = std::move(*egress);
  const AgentRequest wanted{.runtime = claim_.run.runtime,
                            .model = model_of_run(),
                            .simulated = plan_provider() != keeper::Provider::upstream,
                            .mcp = options.mcp,
                            .gates_calls = scope_of(options) == model::ApprovalScope::action};
  auto agent = co_await context_.pool.run([this, &wanted] { return context_.needs.agents.prepare(wanted); });
  if (!agent) {
    co_return failure_of(agent.error(), "agent_missing");
  }
  if (auto refused = find_image(options.image)) co_return refused;
  if (needs_trust(egress_)) {
    for (auto& variable : trust_environment()) agent->program.env.push_back(std::move(variable));
  }
  if (image_) take_environment(agent->program, *image_);
  co_await hold_lease();
  // Whatever may have had a keeper has a folder.
  base::value_or_throw(AttemptFolder::make(context_.attempts, claim_.attempt.id));
  if (auto refused = co_await reserve_allowance()) co_return refused;
  auto no_cassette = co_await place_cassette();
  if (no_cassette) co_return no_cassette;
  if (auto missing = co_await find_base()) co_return missing;
  const auto placed = co_await place_state();
  if (!placed) co_return failure_of(placed.error(), "checkpoint_unavailable");
  co_await hold_lease();
  if (cancel_due_) co_return model::RunFailure{"run_cancelled", "The run was cancelled", {}};
  auto stream = base::value_or_throw(stream_pair());
  auto launched = co_await launch_on_state(*agent, stream.second.get());
  stream.second.reset();
  if (!launched) {
    co_return failure_of(launched.error(), "worker_failed");
  }
  const bool ready = co_await hand_over_plan(std::move(stream.first), *agent);
  if (ground_) ground_->layers.clear();
  // What follows from a keeper that did not come up is found out from its lock.
  check_lease();
  if (!ready && !context_.stopping) context_.needs.kill_keeper(launched->keeper_pid);
  co_return std::nullopt;
}

model::RunFailure RunDriver::cassette_failure(const base::Error& error) {
  return {"cassette_invalid", error.message, error.reason};
}

base::Task<std::optional<model::RunFailure>> RunDriver::place_cassette() {
  if (context_.cassettes->mode() != CassetteMode::replay) co_return std::nullopt;
  const auto placed = co_await context_.pool.run([this]() -> base::Result<void> {
    AGENTROUTER_TRY(const AttemptFolder folder, AttemptFolder::open(context_.attempts, claim_.attempt.id));
    return context_.cassettes->place(claim_.run, cassette_, folder);
  });
  if (placed) co_return std::nullopt;
  co_return cassette_failure(placed.error());
}

std::optional<model::RunFailure> RunDriver::find_image(const std::string& asked) {
  image_.reset();
  const auto& name = asked.empty() ? context_.config.default_image : asked;
  if (name.empty()) return std::nullopt;
  auto found = context_.config.image_named(name);
  if (!found) return failure_of(found.error(), "image_unknown");
  image_ = std::move(*found);
  return std::nullopt;
}

// A part of the budgets that count for this run, or why there is none: everything is spent. Where others have
// reserved the rest, the run begins with nothing and its first request waits for what they give back.
base::Task<std::optional<model::RunFailure>> RunDriver::reserve_allowance() {
  using Reserved = base::Result<std::optional<runs::Allowance>>;
  auto allowance = co_await context_.needs.store.write([this](store::Transaction& tx) -> Reserved {
    if (auto noted = runs::note_launch(tx, claim_.fence()); !noted) return tl::unexpected(std::move(noted).error());
    note_key_use(tx);
    return runs::grow_allowance(tx, claim_.fence(), {}, {}, context_.config.spending, context_.now());
  });
  allowance_ = base::value_or_throw(std::move(allowance));
  if (!allowance_ || allowance_->exhausted.empty()) co_return std::nullopt;
  co_return model::RunFailure{"limit_exceeded", "Used up: " + allowance_->exhausted, "budget"};
}

// Finds what the turn begins with: layers, else an archive. Errors: unavailable (checkpoint_unavailable), those
// of writing.
base::Task<base::Result<void>> RunDriver::place_state() {
  state_.reset();
  ground_.reset();
  restores_ = false;
  auto found = co_await context_.needs.store.read(
      [this](store::Reader& reader) { return checkpoint_before(reader, claim_.run); });
  if (!found) co_return tl::unexpected(std::move(found).error());
  if (!*found) co_return base::Result<void>();
  state_ = std::move(**found);
  // The files of another run, without what its agent remembers.
  files_only_ = state_->turn_number == 0 && claim_.run.workspace.from_run == state_->run_id;
  resume_thread_ = files_only_ ? std::string() : state_->thread_id;
  if (context_.layers != nullptr) {
    const auto part = files_only_ ? KeptLayers::Part::files : KeptLayers::Part::all;
    ground_ = co_await context_.pool.run(
        [this, part] { return context_.layers->take(*state_, part, claim_.attempt.id); });
  }
  if (ground_) co_return base::Result<void>();
  co_return co_await place_archive();
}

// A store of blobs that is away comes back, and with it the state: until then the turn waits.
base::Task<base::Result<void>> RunDriver::place_archive() {
  for (int tries = 1;; ++tries) {
    const auto placed = co_await context_.blob_pool.run([this]() -> base::Result<void> {
      AGENTROUTER_TRY(const AttemptFolder folder, AttemptFolder::open(context_.attempts, claim_.attempt.id));
      return place_checkpoint(context_.needs.blobs, *state_, folder);
    });
    restores_ = placed.has_value();
    if (placed || placed.error().reason != "storage_failed") co_return placed;
    base::log(base::LogLevel::warn, "a turn waits for its state",
              {{"runId", claim_.run.id.str()}, {"cause", placed.error().message}});
    const auto until = base::SteadyClock::now() + rest_after(base::Code::unavailable, tries);
    while (!cancel_due_ && !context_.stopping && base::SteadyClock::now() < until) co_await wake_.wait_until(until);
    check_stopping();
    if (cancel_due_) co_return base::fail(base::Code::cancelled, "The run was cancelled", "run_cancelled");
    co_await hold_lease();
  }
}

// Where layers cannot be mounted, their archive is as good.
base::Task<base::Result<sandbox::Launched>> RunDriver::launch_on_state(const PreparedAgent& agent,
                                                                       int plan_end) {
  auto launched = co_await launch(agent, plan_end);
  if (launched || !ground_ || launched.error().reason == launcher_lost) co_return launched;
  base::log(base::LogLevel::warn, "a turn could not begin on kept layers; their archive is tried",
            {{"runId", claim_.run.id.str()}, {"cause", launched.error().message}});
  ground_.reset();
  context_.layers->done(claim_.attempt.id);
  const auto placed = co_await place_archive();
  if (!placed) co_return tl::unexpected(placed.error());
  launched = co_await launch(agent, plan_end);
  if (launched) context_.layers->forget(state_->run_id);
  co_return launched;
}

base::Task<base::Result<sandbox::Launched>> RunDriver::launch(const PreparedAgent& agent, int plan_end) {
  AGENTROUTER_CO_TRY(const base::Fd lower, open_lower(lower_));
  AGENTROUTER_CO_TRY(const base::Fd image, image_ ? open_image_root(*image_) : base::Fd());
  sandbox::LaunchRequest request{
      .attempt = {context_.attempts_dir, claim_.attempt.id.str()},
      .plan = sandbox_plan(agent, claim_.run, context_.config, image_ ? &*image_ : nullptr),
      .lower = lower.get(),
      .layers = {},
      .home_layers = ground_ ? ground_->home_layers : 0,
      .image = image.get(),
      .plan_pipe = plan_end,
      .keeper_argv = context_.config.keeper_argv,
      .slot = static_cast<std::uint32_t>(claim_.attempt.slot),
      .warm = context_.config.warm_sandboxes};
  if (ground_) {
    for (const auto& layer : ground_->layers) request.layers.push_back(layer.get());
  }
  if (rules_) sandbox::let_out(request.plan, rules_->egress().ports());
  co_return co_await context_.pool.run([this, &request]() -> base::Result<sandbox::Launched> {
    if (needs_trust(egress_)) {
      AGENTROUTER_TRY(const auto folder, AttemptFolder::open(context_.attempts, claim_.attempt.id));
      const auto path = (context_.attempts / claim_.attempt.id.str()).string();
      if (auto done = give_trust(egress_, folder.fd(), path, request.plan); !done) return tl::unexpected(done.error());
    }
    return context_.needs.launcher.launch(request);
  });
}

// True when the keeper has answered that it serves its socket.
base::Task<bool> RunDriver::hand_over_plan(base::Fd end, const PreparedAgent& agent) {
  const auto options = runs::options_of(claim_.run.input);
  const keeper::AttemptPlan plan{
      .attempt_id = claim_.attempt.id,
      .run_id = claim_.run.id,
      .token = claim_.attempt.token,
      .runtime = claim_.run.runtime,
      .model = model_of_run(),
      .task = claim_.run.task,
      .restores = restores_,
      .kept = ground_.has_value(),
      .files_only = files_only_,
      .resume_thread = resume_thread_,
      .approval_mode = claim_.run.approval_mode,
      .approval_scope = scope_of(options),
      .rules = rules_,
      .tags = claim_.run.tags,
      .provider = plan_provider(),
      .base_url = provider().base_url,
      .program = agent.program,
      .mcp = agent.mcp,
      .wait_for_quota = options.wait_for_quota,
      .quota = context_.config.quota,
      .limits = {.wall_time = context_.config.wall_time,
                 .cancel_grace = context_.config.cancel_grace,
                 .output_bytes = context_.config.output_bytes,
                 .output_rate = context_.config.output_rate},
      .isolation = context_.needs.launcher.isolation(),
      .spending = {.limits = options.limits,
                   .prices = context_.config.spending.prices,
                   .allowance = allowance_ ? std::optional(allowance_->total) : std::nullopt},
      .cassette = cassette_,
      .hidden = context_.config.hidden,
      .egress = egress_,
      .image = image_ ? image_->name : std::string(),
      .image_digest = image_ ? image_->digest : std::string()};
  std::string text = keeper::frame_plan(plan);
  std::string_view key;
  if (plan.provider == keeper::Provider::upstream) key = own_key_ ? key_.view() : std::string_view(provider().api_key);
  const std::array<asio::const_buffer, 2> frame{asio::buffer(text), asio::buffer(key)};
  keeper::LineSocket::Socket socket(context_.needs.executor, asio::local::stream_protocol(), end.release());
  base::Timer limit(context_.needs.executor);
  auto waiting = std::make_shared<bool>(true);
  const auto wait_at_most = [&socket, &limit, waiting](std::chrono::milliseconds time) {
    limit.expires_after(time);
    limit.async_wait([&socket, waiting](boost::system::error_code error) {
      boost::system::error_code ignored;
      if (!error && *waiting) socket.close(ignored);
    });
  };
  wait_at_most(context_.stopping ? come_up_grace : context_.config.launch_wait);
  stop_waiting_ = [&socket] {
    boost::system::error_code ignored;
    socket.cancel(ignored);
  };
  hurry_ = [&wait_at_most] { wait_at_most(come_up_grace); };
  boost::system::error_code error;
  co_await asio::async_write(socket, frame, asio::redirect_error(base::use_task, error));
  base::wipe(text);
  key_ = {};
  boost::system::error_code ignored;
  socket.shutdown(keeper::LineSocket::Socket::shutdown_send, ignored);
  char answer[8] = {};
  std::size_t got = 0;
  if (!error && !cancel_due_ && !lost_)
    got = co_await socket.async_read_some(asio::buffer(answer), asio::redirect_error(base::use_task, error));
  *waiting = false;
  stop_waiting_ = {};
  hurry_ = {};
  if (got == 0 && !context_.stopping && !cancel_due_ && !lost_) {
    base::log(
        base::LogLevel::warn, "a keeper did not come up",
        {{"runId", claim_.run.id.str()}, {"attemptId", claim_.attempt.id.str()}, {"cause", error.message()}});
  }
  co_return got != 0;
}

}  // namespace agentrouter::worker
