#include "apps/server.h"

#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <iostream>

#include "api/api.h"
#include "api/health.h"
#include "apps/agent_store.h"
#include "apps/data_folder.h"
#include "apps/folder_watch.h"
#include "apps/idle.h"
#include "apps/secrets.h"
#include "apps/spawn.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/redactor.h"
#include "blobs/fs/fs_blobs.h"
#include "net/server.h"
#include "sandbox/doctor.h"
#include "sandbox/warden.h"
#include "store/sqlite/sqlite_store.h"
#include "stream/hub.h"
#include "worker/run_files.h"
#include "webhooks/dispatcher.h"
#include "worker/worker.h"
#include "workspace/git_source.h"

namespace agentrouter::apps {

namespace {

using base::LogLevel;
using base::value_or_throw;

constexpr std::chrono::seconds stop_grace{4};
constexpr std::size_t file_threads = 4;

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// No more connections than there are descriptors for, some kept back for files and agents: beyond, accepting
// would fail and a client would wait for nothing.
net::ServerOptions http_options(const Config& config) {
  constexpr std::size_t kept_back = 256;
  auto options = config.http;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return options;
  const std::size_t files = std::max<std::size_t>(limit.rlim_cur, 2 * kept_back);
  options.max_connections = std::min(options.max_connections, files - kept_back);
  return options;
}

worker::ProviderConfig provider_of(const Config& config, const std::string& base_url,
                                   const std::optional<std::string>& key) {
  if (config.sim) return {.kind = worker::ProviderKind::sim};
  if (!key) return {};
  return {.kind = worker::ProviderKind::upstream, .base_url = base_url, .api_key = *key};
}

worker::CassetteRules cassette_rules(const Config& config) {
  if (!config.replay_dir.empty()) return {worker::CassetteMode::replay, config.replay_dir};
  if (config.record_dir.empty()) return {};
  value_or_throw(base::make_directories(config.record_dir));
  return {worker::CassetteMode::record, config.record_dir};
}

LogLevel log_level(const std::string& name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warn") return LogLevel::warn;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

workspace::AllowRules file_rules(const std::vector<std::string>& roots, const std::filesystem::path& data) {
  workspace::AllowRules rules;
  for (const auto& root : roots) rules.roots.emplace_back(root);
  rules.data_directory = data;
  return rules;
}

workspace::GitRules git_rules(const GitSettings& git, const std::filesystem::path& data) {
  std::vector<std::string> ssh_hosts;
  for (const auto& [host, access] : git.fetching.ssh) ssh_hosts.push_back(host);
  return {.http_hosts = git.http_hosts,
          .https_hosts = git.https_hosts,
          .ssh_hosts = std::move(ssh_hosts),
          .files = file_rules(git.file_roots, data)};
}

base::Result<model::GitSource> admit_source(model::GitSource source, const workspace::GitRules& rules) {
  AGENTROUTER_TRY(source.url, workspace::admit_git_url(source.url, rules));
  if (!source.ref.empty() && !workspace::is_git_ref(source.ref)) {
    return base::fail(base::Code::invalid, "cannot use this repository: the ref is not the name of one",
                      "workspace_forbidden");
  }
  if (!source.subdir.empty() && !workspace::is_git_subdir(source.subdir)) {
    return base::fail(base::Code::invalid,
                      "cannot use this repository: subdir is not a relative path without \"..\"",
                      "workspace_forbidden");
  }
  return source;
}

// As root the privileged steps are the warden's; a plain user's are done here.
std::unique_ptr<sandbox::Launcher> make_launcher() {
  if (::geteuid() != 0) return std::make_unique<sandbox::LocalLauncher>();
  const auto start = [] { return sandbox::start_warden({"agentrouter", "warden"}); };
  return std::make_unique<sandbox::WardenLauncher>(value_or_throw(start()), start);
}

}  // namespace

class Program {
 public:
  Program(const Config& config, bool drain);

  int run();

 private:
  base::Task<void> main();
  base::Task<void> stop();
  base::Task<void> report_machine();
  base::Task<void> watch_worker();
  void watch_policies();
  base::Task<void> wait_for_end();
  api::ApiOptions api_options();

  Config config_;
  bool drain_;
  asio::io_context io_{1};
  base::Pool pool_{file_threads};
  DataFolder data_;
  std::string api_key_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<blobs::BlobStore> blobs_;
  std::unique_ptr<workspace::Trees> trees_;
  ImageStore images_;
  Unpacker unpacker_;
  TreeDesk desk_;
  std::unique_ptr<sandbox::Launcher> launcher_;
  stream::Hub hub_;
  Activity activity_;
  AgentStore agents_;
  worker::RunFiles files_;
  PolicyCatalog policies_;
  FolderWatch policy_watch_;
  PushDesk push_;
  webhooks::HttpSender sender_;
  webhooks::Dispatcher dispatcher_;
  api::Api api_;
  api::Health health_;
  net::Server server_;
  std::unique_ptr<worker::Worker> worker_;
  asio::basic_signal_set<base::Executor> signals_;
  base::Event ended_;
  bool ending_ = false;
  int exit_code_ = 0;
  base::TaskScope tasks_;
};

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

Program::Program(const Config& config, bool drain)
    : config_(config),
      drain_(drain),
      data_(value_or_throw(DataFolder::open(config.data))),
      store_(value_or_throw(store::open_sqlite_store(data_.database(), {}))),
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
      signals_(io_.get_executor()),
      ended_(io_.get_executor()),
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

int Program::run() {
  asio::co_spawn(io_.get_executor(), main(), [this](std::exception_ptr error) {
    // What is left then (a name look-up that nobody waits for) must not hold the process up.
    io_.stop();
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& failure) {
      std::cerr << "agentrouter: " << failure.what() << std::endl;
      exit_code_ = 1;
    }
  });
  io_.run();
  store_->close();
  return exit_code_;
}

base::Task<void> Program::main() {
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  const auto port = value_or_throw(server_.listen(config_.listen_host, config_.listen_port));
  const auto host = config_.listen_host.find(':') == std::string::npos ? config_.listen_host
                                                                       : "[" + config_.listen_host + "]";
  const auto url = "http://" + host + ":" + std::to_string(port);
  value_or_throw(data_.announce(url, base::system_clock().now(),
                                config_.sim ? DataFolder::Models::simulated : DataFolder::Models::real));
  if (worker_) {
    tasks_.spawn(watch_worker());
    tasks_.spawn(report_machine());
    watch_policies();
  }
  tasks_.spawn(dispatcher_.run());
  if (config_.idle_exit_seconds > 0) tasks_.spawn(wait_for_end());
  std::cout << "agentrouter: listening on " << url << std::endl;
  base::log(LogLevel::info, "listening",
            {{"url", url}, {"data", data_.path().string()}, {"sim", config_.sim}});
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    base::log(LogLevel::info, "stopping", {{"signal", signal}});
    ending_ = true;
    ended_.notify();
  });
  while (!ending_) co_await ended_.wait();
  co_await stop();
}

base::Task<void> Program::watch_worker() {
  std::string problem;
  try {
    co_await worker_->run();
  } catch (const base::Failure& failure) {
    problem = failure.what();
  }
  if (ending_) co_return;
  std::cerr << "agentrouter: the worker has ended: " << problem << std::endl;
  exit_code_ = 1;
  ending_ = true;
  ended_.notify();
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
  ending_ = true;
  ended_.notify();
}

base::Task<void> Program::stop() {
  data_.withdraw();
  signals_.cancel();
  if (drain_) co_await activity_.wait_for_runs();
  if (worker_) worker_->stop();
  unpacker_.stop();
  hub_.end_waits();
  co_await server_.stop(base::SteadyClock::now() + stop_grace);
  co_await tasks_.cancel_and_join();
}

int serve(const Config& config, bool drain) {
  base::set_log_level(log_level(config.log_level));
  raise_open_files();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    Program program(config, drain);
    return program.run();
  } catch (const base::Failure& failure) {
    std::cerr << "agentrouter: " << failure.what() << std::endl;
    return 1;
  }
}

}  // namespace agentrouter::apps
