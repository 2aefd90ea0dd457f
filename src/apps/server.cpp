#include "apps/server.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <iostream>

#include "apps/program.h"
#include "apps/secrets.h"
#include "apps/server_parts.h"
#include "apps/spawn.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/redactor.h"
#include "blobs/fs/fs_blobs.h"
#include "sandbox/doctor.h"
#include "store/sqlite/sqlite_store.h"

namespace agentrouter::apps {

using base::LogLevel;
using base::value_or_throw;

namespace {

std::string key_of(const Config& config, const DataFolder& data) {
  if (!config.api_key) return value_or_throw(data.api_key());
  value_or_throw(data.save_api_key(*config.api_key));
  return *config.api_key;
}

base::Result<pid_t> start_reader(int base, int archive, int out, const std::string& request) {
  return start_self({"read-files", "kept", request}, {base, archive, -1, out});
}

// agentrouter-git stands beside this program.
std::string git_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "agentrouter-git" : (self.parent_path() / "agentrouter-git").string();
}

net::Handler& handler_of(const Config& config, api::Api& api, net::Handler& health) {
  return config.role == Role::worker ? health : static_cast<net::Handler&>(api);
}

}  // namespace

Program::Program(const Config& config, const ServerNeeds& needs, Holdings& holdings)
    : config_(config),
      needs_(needs),
      holdings_(holdings),
      data_(value_or_throw(DataFolder::open(config.data))),
      store_(value_or_throw(store::open_sqlite_store(data_.database(), {.lock = holdings.lock}))),
      blobs_(value_or_throw(blobs::open_fs_blobs(data_.blobs()))),
      trees_(
          value_or_throw(workspace::Trees::open(data_.trees(), config.trees.trees, base::system_entropy()))),
      images_(config.role == Role::api
                  ? ImageStore()
                  : value_or_throw(ImageStore::open(data_.images(), config.images, base::system_entropy()))),
      desk_(data_.trees(), *trees_, unpacker_, config.trees.uploads, base::system_entropy()),
      launcher_(config.role == Role::api ? nullptr : make_launcher()),
      hub_(io_.get_executor(), *store_),
      activity_(io_.get_executor(), *store_),
      agents_(config.agents_dir, config.mcp_servers),
      files_({io_.get_executor(), *store_, *blobs_, pool_, data_.path(), start_reader}),
      policies_(value_or_throw(PolicyCatalog::open(config.policy, data_.path()))),
      policy_watch_(io_.get_executor()),
      push_({*store_, *blobs_, data_.path().string(), git_program()}, config.push),
      sender_(base::system_clock(), config.webhooks_ca_file),
      dispatcher_({io_.get_executor(), *store_, sender_, base::system_clock(), base::system_entropy()},
                  config.webhooks),
      api_({*store_, *blobs_, hub_, pool_, base::system_clock(), base::system_entropy()},
           api::Authenticator(api_key_ = key_of(config, data_)), api_options()),
      health_(base::system_entropy()),
      server_(
          io_.get_executor(), handler_of(config_, api_, health_),
          [this](const net::ServerError& error) { return api_.error_reply(error); }, http_options(config)),
      takeover_(io_.get_executor()),
      signals_(io_.get_executor()),
      ended_(io_.get_executor()),
      hearing_(io_.get_executor()),
      tasks_(io_.get_executor()) {
  const base::Needles secrets = needles_of_secrets(config_, api_key_);
  base::hide_in_logs(base::Redactor({secrets}));
  if (!config_.webhooks_ca_file.empty()) value_or_throw(sender_.read_certificates());
  if (const auto rules = value_or_throw(policies_.rules_for(""))) value_or_throw(check_secrets(*rules, config_.egress));
  if (config_.role == Role::api) return;
  worker::WorkerConfig options;
  options.worker_id = "worker_" + base::new_uuid(base::system_entropy());
  options.host = value_or_throw(data_.host_id());
  options.max_attempts = config_.max_attempts;
  options.data_dir = data_.path();
  options.concurrency = config_.concurrency > 0 ? config_.concurrency : worker::default_concurrency();
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
  worker_ = std::make_unique<worker::Worker>(
      worker::Worker::Needs{io_.get_executor(), *store_, *blobs_, *launcher_, agents_, base::system_clock(),
                            base::system_entropy(), worker::kill_process, trees_.get(), &unpacker_},
      options);
}

api::ApiOptions Program::api_options() {
  const auto rules = file_rules(config_.workspace_roots, data_.path());
  api::ApiOptions options;
  options.admit_workspace = [rules](std::string_view path) -> base::Result<std::string> {
    AGENTROUTER_TRY(const auto real, workspace::admit(path, rules));
    return real.string();
  };
  const auto git = git_rules(config_.trees.git, data_.path());
  options.admit_git = [git](const model::GitSource& source) { return admit_source(source, git); };
  options.uploads = &desk_;
  options.conversations = config_.conversations;
  options.spending = config_.spending.rules;
  options.queue = config_.keeping.queue;
  options.overload = overload_rules(config_.keeping);
  options.spending.limits = within(options.spending.limits, config_.machine);
  options.files = [this](model::RunId run, workspace::FileRequest request) {
    return files_.ask(std::move(run), std::move(request));
  };
  options.push = [this](model::RunId run, api::PushBody body) {
    return push_.push(std::move(run), std::move(body));
  };
  for (const auto& one : config_.mcp_servers)
    options.mcp_servers.push_back({one.server.name, one.codex, one.claude_code});
  options.check_policy = [this](std::string_view name) -> base::Result<model::Isolation> {
    AGENTROUTER_TRY(const auto rules, policies_.rules_for(name));
    if (!rules) return model::Isolation::process;
    if (auto known = check_secrets(*rules, config_.egress); !known) return tl::unexpected(known.error());
    return rules->require_isolation();
  };
  if (launcher_) options.isolations = {launcher_->isolation()};
  options.check_image = [this](std::string_view name) { return check_image(config_.images, name); };
  options.webhook_rules = config_.webhooks;
  options.on_request = [this] { activity_.touch(); };
  return options;
}

Ending Program::run() {
  asio::co_spawn(io_.get_executor(), main(), [this](std::exception_ptr error) {
    // What is left then (a name look-up that nobody waits for) must not hold the process up.
    io_.stop();
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& failure) {
      std::cerr << "agentrouter: " << failure.what() << std::endl;
      how_.next = Ending::Next::exit;
      how_.exit_code = 1;
    }
  });
  io_.run();
  store_->close();
  return std::move(how_);
}

base::Task<void> Program::main() {
  const auto url = url_of(config_, holdings_.sockets.front());
  announce(url);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) signals_.add(signal);
  hearing_.spawn(watch_signals());
  if (needs_.told_to_end()) end(Ending::Next::exit);
  open_sockets();
  if (worker_) {
    worker_done_ = false;
    tasks_.spawn(watch_worker());
    tasks_.spawn(report_machine());
    watch_policies();
  }
  tasks_.spawn(dispatcher_.run());
  if (config_.idle_exit_seconds > 0) tasks_.spawn(wait_for_end());
  if (const auto interval = needs_.notify.watchdog()) tasks_.spawn(feed_watchdog(*interval));
  say_ready(url);
  while (!ending_) co_await ended_.wait();
  if (how_.next == Ending::Next::exit) {
    co_await stop();
  } else {
    co_await pass_on();
  }
  co_await hearing_.cancel_and_join();
}

base::Task<void> Program::watch_worker() {
  std::string problem;
  try {
    co_await worker_->run();
  } catch (const base::Failure& failure) {
    problem = failure.what();
  }
  worker_done_ = true;
  ended_.notify();
  if (ending_) co_return;
  std::cerr << "agentrouter: the worker has ended: " << problem << std::endl;
  how_.exit_code = 1;
  end(Ending::Next::exit);
}

// A run that is held to a policy hears when its files become stricter.
void Program::watch_policies() {
  policies_.on_change([this] { worker_->policies_changed(); });
  if (policies_.folder().empty()) return;
  if (const auto opened = policy_watch_.open(policies_.folder()); !opened) {
    base::log(LogLevel::warn,
              "the policies' folder cannot be watched: runs that go on hear of a change later",
              {{"cause", opened.error().message}});
    return;
  }
  tasks_.spawn(policy_watch_.run([this] { policies_.refresh(); }));
}

// Says once what this machine lacks; a launch itself refuses what is required.
base::Task<void> Program::report_machine() {
  const auto path = data_.attempts().string();
  const auto probes = co_await pool_.run([&path] { return sandbox::probe_machine(path); });
  for (const auto& probe : probes) {
    if (probe.found == sandbox::Found::ok) continue;
    base::log(probe.required && probe.found == sandbox::Found::missing ? LogLevel::error : LogLevel::warn,
              "sandbox",
              {{"control", probe.name},
               {"found", to_string(probe.found)},
               {"detail", probe.detail},
               {"remedy", probe.remedy}});
  }
}

base::Task<void> Program::wait_for_end() {
  co_await activity_.wait_for_quiet(std::chrono::seconds(config_.idle_exit_seconds),
                                    [this] { return api_.in_flight(); });
  base::log(LogLevel::info, "stopping: idle");
  end(Ending::Next::exit);
}

Ending run_server(const Config& config, const ServerNeeds& needs, Holdings& holdings) {
  return Program(config, needs, holdings).run();
}

}  // namespace agentrouter::apps
