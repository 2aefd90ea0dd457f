// What makes a server one that carries out runs, and one of several.

#include "apps/program.h"
#include "apps/server_parts.h"
#include "apps/spawn.h"
#include "base/log.h"
#include "base/version.h"
#include "net/listener.h"

namespace agentrouter::apps {

using base::value_or_throw;

namespace {

// Duties that one server has.
constexpr std::string_view housekeeping = "housekeeping";
constexpr std::string_view sending = "webhooks";

constexpr std::size_t scrapers = 16;
constexpr std::chrono::milliseconds listen_again{500};
constexpr std::chrono::milliseconds scrape_grace{500};

base::Result<pid_t> start_reader(int base, int archive, int out, const std::string& request) {
  AGENTROUTER_TRY(const base::Fd asked, base::make_memory_file(request));
  return start_self({"read-files", "kept"}, {base, archive, -1, out, asked.get()});
}

}  // namespace

void Program::make_worker(const base::Needles& secrets) {
  worker::WorkerConfig options;
  options.worker_id = "worker_" + base::new_uuid(base::system_entropy());
  options.host = value_or_throw(data_.host_id());
  options.owns_store = !is_shared();
  options.owns_host = true;  // by the lock of the data folder
  options.max_attempts = config_.max_attempts;
  options.lease = config_.cluster.lease;
  options.claim = {.offers = offers_of(config_, agents_.installed(), launcher_->isolation()),
                   .max_active_of_workspace = config_.keeping.max_active_runs_of_workspace};
  options.unplaceable_after = config_.keeping.unplaceable;
  options.on_claim = [this](std::chrono::milliseconds waited) { figures_.claimed(waited); };
  options.may_tidy = [this] { return member_ && member_->has(housekeeping); };
  if (is_shared()) {
    options.admit_path = [rules = file_rules(config_.workspace_roots, data_.path())](std::string_view path) {
      return workspace::admit(path, rules).map([](const auto& real) { return real.string(); });
    };
  }
  options.data_dir = data_.path();
  options.concurrency = slots();
  options.default_model = config_.codex_model;
  options.claude_model = config_.claude_model;
  options.provider = provider_of(config_, config_.openai_base_url, config_.openai_key);
  options.claude_provider = provider_of(config_, config_.anthropic_base_url, config_.anthropic_key);
  options.require_limits = config_.require_limits;
  options.warm_sandboxes = static_cast<unsigned>(config_.machine.warm_sandboxes);
  options.git = config_.trees.git.fetching;
  options.layers = config_.trees.layers;
  options.git.rules = git_rules(config_.trees.git, data_.path());
  options.conversations = config_.conversations;
  options.quota = config_.quota;
  options.spending = config_.spending.rules;
  options.egress = config_.egress.plan;
  options.spending.limits = within(options.spending.limits, config_.machine);
  options.limits = config_.machine.limits;
  options.machine = config_.machine.machine;
  options.retention = config_.keeping.retention;
  options.max_waiting = config_.keeping.max_waiting_runs.value_or(options.concurrency);
  options.wall_time = config_.machine.wall_time;
  options.output_bytes = config_.machine.output_bytes;
  options.output_rate = config_.machine.output_bytes_per_second;
  options.image_named = [this](std::string_view name) { return images_.named(name); };
  options.default_image = config_.image;
  options.policy_named = [this](std::string_view name) { return policies_.rules_for(name); };
  options.hidden = secrets.to_text();
  options.cassettes = cassette_rules(config_);
  options.provider_keys = provider_key_rules(config_);
  worker_ = std::make_unique<worker::Worker>(
      worker::Worker::Needs{io_.get_executor(), *store_, *blobs_, *launcher_, agents_, base::system_clock(),
                            base::system_entropy(), worker::kill_process, trees_.get(), &unpacker_,
                            worker::connect_by_socket, &vault_, shared_trees_.get()},
      options);
}

worker::SharedTrees::Needs Program::tree_needs() {
  return {*store_,
          *blobs_,
          pool_,
          *trees_,
          unpacker_,
          base::system_clock(),
          base::system_entropy(),
          config_.trees.uploads.unpack,
          worker::git_unpack_limits(config_.trees.git.fetching)};
}

worker::RunFiles::Needs Program::file_needs() {
  worker::RunFiles::Needs needs{io_.get_executor(), *store_, *blobs_, pool_, data_.path(), start_reader};
  if (!is_shared()) return needs;
  needs.host = value_or_throw(data_.host_id());
  needs.elsewhere = [this](std::string host, model::RunId run, std::string request) {
    return remote_files_.ask(*member_, std::move(host), std::move(run), std::move(request));
  };
  needs.trees = shared_trees_.get();
  return needs;
}

void Program::make_member() {
  static constexpr std::string_view roles[] = {"all", "api", "worker"};
  nodes::MemberConfig config;
  config.self.id = value_or_throw(data_.host_id());
  config.self.role = roles[static_cast<int>(config_.role)];
  config.self.version = base::version;
  config.self.started_at = base::system_clock().now();
  config.wants = {std::string(sending)};
  config.owns_store = !is_shared();
  config.lease = config_.cluster.lease * 2 / 3;
  if (worker_) {
    config.self.offers = offers_of(config_, agents_.installed(), launcher_->isolation());
    config.self.capacity = slots();
    config.wants.emplace_back(housekeeping);
  }
  nodes::MemberHooks hooks;
  hooks.used = [this] { return worker_ ? worker_->active() : 0; };
  hooks.drain = [this](bool draining) { drain(draining); };
  hooks.duties_changed = [this] {
    dispatcher_.wake();
    if (worker_) worker_->duties_changed();
  };
  if (worker_ && is_shared()) {
    hooks.answer = [this](runs::NodeRequest request) { return remote_files_.answer(std::move(request)); };
    hooks.discard = [this](const std::string& key) { remote_files_.discard(key); };
  }
  member_ = std::make_unique<nodes::Member>(
      nodes::Member::Needs{io_.get_executor(), *store_, base::system_clock(), base::system_entropy()},
      std::move(config), std::move(hooks));
}

void Program::make_metrics() {
  if (config_.cluster.metrics_host.empty()) return;
  static constexpr std::string_view roles[] = {"all", "api", "worker"};
  metrics_ = std::make_unique<MetricsPage>(MetricsPage::Needs{
      *store_, hub_, figures_, base::system_clock(), member_->id(), std::string(roles[static_cast<int>(config_.role)]),
      [this] { return api_.in_flight(); }, [this] { return worker_ ? worker_->active() : 0; }});
  net::ServerOptions options;
  options.max_connections = scrapers;
  metrics_server_ = std::make_unique<net::Server>(
      io_.get_executor(), *metrics_,
      [](const net::ServerError& error) { return MetricsPage::error_reply(error.status, error.message); }, options);
}

// The server before this one may have the address yet.
base::Task<void> Program::open_metrics() {
  const auto& cluster = config_.cluster;
  for (bool told = false;; told = true) {
    const auto port = metrics_server_->listen(cluster.metrics_host, cluster.metrics_port);
    if (port) {
      base::log(base::LogLevel::info, "figures are served",
                {{"url", "http://" + net::ListenerAddress{cluster.metrics_host, *port}.name() + "/metrics"}});
      co_return;
    }
    if (!told) base::log(base::LogLevel::warn, "figures are not served yet", {{"cause", port.error().message}});
    co_await base::sleep_for(listen_again);
  }
}

base::Task<void> Program::close_metrics() {
  if (metrics_server_) co_await metrics_server_->stop(base::after(scrape_grace));
}

int Program::slots() const {
  return config_.concurrency > 0 ? config_.concurrency : worker::default_concurrency();
}

bool Program::may_send() const {
  return member_ && member_->has(sending);
}

void Program::drain(bool draining) {
  if (!worker_) return;
  worker_->drain(draining);
  if (draining && needs_.drain) tasks_.spawn(end_when_drained());
}

// With --drain a server that is drained has nothing more to do when its runs have ended.
base::Task<void> Program::end_when_drained() {
  co_await worker_->idle();
  if (!member_->draining() || ending_) co_return;
  base::log(base::LogLevel::info, "stopping: drained");
  end(Ending::Next::exit);
}

// Of several servers each waits for what it carries out itself.
base::Task<void> Program::wait_for_own_runs() {
  if (!is_shared()) co_return co_await activity_.wait_for_runs();
  if (!worker_) co_return;
  worker_->drain(true);
  co_await worker_->idle();
}

}  // namespace agentrouter::apps
