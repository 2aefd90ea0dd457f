#include "apps/server.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <iostream>

#include "apps/open_store.h"
#include "apps/program.h"
#include "apps/secrets.h"
#include "apps/server_parts.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/redactor.h"
#include "sandbox/doctor.h"

namespace agentrouter::apps {

using base::LogLevel;
using base::value_or_throw;

namespace {

std::string key_of(const Config& config, const DataFolder& data) {
  if (!config.api_key) return value_or_throw(data.api_key());
  value_or_throw(data.save_api_key(*config.api_key));
  return *config.api_key;
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
      store_(value_or_throw(open_store(config.store, data_, holdings.lock))),
      vault_({*store_, base::system_clock(), base::system_entropy()},
             value_or_throw(vault::Keyring::open(keyring_config(config.vault, data_.path())))),
      figures_(*store_),
      blobs_(
          value_or_throw(open_blobs(config.blobs, data_.path(), [this](const auto& keys) { hide(keys); }))),
      trees_(
          value_or_throw(workspace::Trees::open(data_.trees(), config.trees.trees, base::system_entropy()))),
      images_(config.role == Role::api ? ImageStore()
                                       : value_or_throw(ImageStore::open(
                                             data_.images(), config.images, base::system_entropy(),
                                             {.disk_reserve = config.machine.limits.disk_reserve_bytes}))),
      desk_(data_.trees(), *trees_, unpacker_, config.trees.uploads, base::system_entropy()),
      shared_trees_(is_shared() ? std::make_unique<worker::SharedTrees>(tree_needs()) : nullptr),
      launcher_(config.role == Role::api ? nullptr : make_launcher()),
      hub_(io_.get_executor(), *store_),
      activity_(io_.get_executor(), *store_),
      agents_(config.agents_dir, config.mcp_servers),
      files_(file_needs()),
      remote_files_({*blobs_, pool_, files_}),
      policies_(value_or_throw(PolicyCatalog::open(config.policy, data_.path()))),
      policy_watch_(io_.get_executor()),
      push_({*store_, *blobs_, data_.path().string(), git_program(), shared_trees_.get()}, config.push),
      sender_(base::system_clock(), config.webhooks_ca_file),
      dispatcher_({io_.get_executor(), *store_, sender_, vault_, base::system_clock(), base::system_entropy(),
                   [this] { return may_send(); }},
                  config.webhooks),
      api_({*store_, *blobs_, hub_, pool_, vault_, base::system_clock(), base::system_entropy()},
           api::Authenticator(api_key_ = key_of(config, data_)), api_options()),
      health_(*store_, base::system_entropy()),
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
  secrets_ = secrets;
  if (!config_.webhooks_ca_file.empty()) value_or_throw(sender_.read_certificates());
  if (const auto rules = value_or_throw(policies_.rules_for("")))
    value_or_throw(check_secrets(*rules, config_.egress));
  desk_.share_by(shared_trees_.get());
  if (config_.role != Role::api) make_worker(secrets);
  make_member();
  make_metrics();
}

api::ApiOptions Program::api_options() {
  const auto rules = file_rules(config_.workspace_roots, data_.path());
  api::ApiOptions options;
  options.admit_workspace = [rules, this](std::string_view path) -> base::Result<std::string> {
    if (is_shared()) return admit_unseen(config_.workspace_roots, path);
    AGENTROUTER_TRY(const auto real, workspace::admit(path, rules));
    return real.string();
  };
  const auto git = git_rules(config_.trees.git, data_.path());
  options.admit_git = [git](const model::GitSource& source) { return admit_source(source, git); };
  options.uploads = &desk_;
  options.conversations = config_.conversations;
  options.spending = config_.spending.rules;
  options.queue = config_.keeping.queue;
  options.provider_keys = provider_key_rules(config_);
  options.queue.needs_provider_key = options.provider_keys.required;
  options.queue.roots = config_.workspace_roots;
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
  if (is_shared()) {
    // Some worker may have it; a run that none has it for waits, and is told so.
    options.isolations = {model::Isolation::process, model::Isolation::user_kernel, model::Isolation::vm};
    options.check_image = [](std::string_view) { return base::Result<void>(); };
  }
  options.has_cassettes = !config_.record_dir.empty() || !config_.replay_dir.empty();
  options.webhook_rules = config_.webhooks;
  options.on_request = [this] { activity_.touch(); };
  options.on_key_used = [this](const std::string& key, base::Time at) {
    tasks_.spawn(note_key_use(key, at));
  };
  options.on_answer = [this](std::string_view route, int status) { figures_.answered(route, status); };
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
  tasks_.spawn(settle_vault());
  tasks_.spawn(dispatcher_.run());
  if (blobs_->is_remote()) tasks_.spawn(sweep_blobs());
  tasks_.spawn(member_->run());
  if (metrics_server_) tasks_.spawn(open_metrics());
  if (config_.idle_exit_seconds > 0) tasks_.spawn(wait_for_end());
  if (const auto interval = needs_.notify.watchdog()) tasks_.spawn(feed_watchdog(*interval));
  say_ready(url);
  if (needs_.reload_again) begin_reload();
  while (!ending_) co_await ended_.wait();
  if (how_.next == Ending::Next::exit) {
    co_await stop();
  } else {
    co_await pass_on();
  }
  needs_.hear_between();
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

// On whatever thread asks the blob store.
void Program::hide(const blobs::Credentials& keys) {
  base::hide_in_logs(base::Redactor({secrets_, needles_of_blob_keys(keys)}));
}

// What processes that died have left in a store elsewhere: of all machines, once a day by each of them.
base::Task<void> Program::sweep_blobs() {
  for (;;) {
    std::string problem;
    co_await pool_.run([this, &problem] {
      try {
        blobs_->sweep(sweep_ends_);
      } catch (const base::Failure& failure) {
        problem = failure.error().message;
      }
    });
    if (!problem.empty()) base::log(LogLevel::warn, "the blob store was not swept", {{"cause", problem}});
    co_await base::sleep_for(std::chrono::hours(24));
  }
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

// A use that cannot be written down is not worth more than this: it is written down a minute later.
base::Task<void> Program::note_key_use(std::string key, base::Time at) {
  try {
    co_await store_->write([&key, at](store::Transaction& tx) { tx.note_key_use(key, at); });
  } catch (const base::Failure& failure) {
    base::log(LogLevel::warn, "the last use of a key is not written down",
              {{"cause", failure.error().message}});
  }
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

// What an older version has stored in clear is sealed, and a rotation that was cut off goes on.
base::Task<void> Program::settle_vault() {
  try {
    const auto status = co_await vault_.status();
    if (!status.problem.empty()) base::log(LogLevel::error, "the vault is locked", {{"cause", status.problem}});
    if (!status.rotation_open() || !status.problem.empty()) co_return;
    for (bool more = true; more;) {
      const auto step = co_await vault_.rotate({});
      if (!step) base::log(LogLevel::error, "secrets could not be sealed", {{"cause", step.error().message}});
      if (step && step->stuck > 0)
        base::log(LogLevel::error, "sealed values cannot be opened", {{"cause", step->problem}, {"count", step->stuck}});
      more = step && !step->done() && step->progress();
    }
  } catch (const base::Failure& failure) {
    base::log(LogLevel::error, "secrets could not be sealed", {{"cause", failure.error().message}});
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
