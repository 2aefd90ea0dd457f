#pragma once
// The rooms of one server, joined. Of server.h; server.cpp makes and runs them, server_handover.cpp is about
// how they begin and end: sockets, signals, the service manager, the server before and the one after.

#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <atomic>
#include <memory>
#include <string>

#include "api/api.h"
#include "api/health.h"
#include "apps/agent_store.h"
#include "apps/data_folder.h"
#include "apps/folder_watch.h"
#include "apps/idle.h"
#include "apps/metrics_page.h"
#include "apps/remote_files.h"
#include "apps/server.h"
#include "apps/server_parts.h"
#include "apps/takeover_desk.h"
#include "apps/tree_desk.h"
#include "base/needles.h"
#include "base/pool.h"
#include "net/server.h"
#include "nodes/member.h"
#include "stream/hub.h"
#include "vault/vault.h"
#include "webhooks/dispatcher.h"
#include "worker/run_files.h"
#include "worker/worker.h"

namespace agentrouter::apps {

class Program {
 public:
  Program(const Config& config, const ServerNeeds& needs, Holdings& holdings);

  Ending run();

 private:
  base::Task<void> main();
  void open_sockets();
  void announce(const std::string& url);
  void say_ready(const std::string& url);
  void end(Ending::Next next);
  base::Task<void> stop();
  base::Task<void> pass_on();
  base::Task<void> watch_signals();
  void hear(int signal);
  void begin_reload();
  base::Task<void> reload();
  base::Task<void> feed_watchdog(std::chrono::microseconds interval);
  base::Task<void> follow_predecessor(std::string ready);
  base::Task<void> note_key_use(std::string key, base::Time at);
  base::Task<void> report_machine();
  base::Task<void> watch_worker();
  base::Task<void> sweep_blobs();
  void hide(const blobs::Credentials& keys);
  void watch_policies();
  base::Task<void> settle_vault();
  base::Task<void> wait_for_end();
  api::ApiOptions api_options();
  void make_worker(const base::Needles& secrets);
  void make_member();
  void drain(bool draining);
  base::Task<void> end_when_drained();
  void make_metrics();
  base::Task<void> open_metrics();
  base::Task<void> close_metrics();
  base::Task<void> wait_for_own_runs();

  [[nodiscard]] bool is_shared() const { return shares_store(config_); }
  worker::RunFiles::Needs file_needs();
  worker::SharedTrees::Needs tree_needs();
  [[nodiscard]] int slots() const;
  [[nodiscard]] bool may_send() const;

  Config config_;
  const ServerNeeds& needs_;
  Holdings& holdings_;
  asio::io_context io_{1};
  base::Pool pool_{4};  // for file system calls
  DataFolder data_;
  std::string api_key_;
  base::Needles secrets_;
  std::unique_ptr<store::Store> store_;
  vault::Vault vault_;
  Figures figures_;
  std::unique_ptr<blobs::BlobStore> blobs_;
  std::unique_ptr<workspace::Trees> trees_;
  ImageStore images_;
  Unpacker unpacker_;
  TreeDesk desk_;
  std::unique_ptr<worker::SharedTrees> shared_trees_;  // with a store that others have, too
  std::unique_ptr<sandbox::Launcher> launcher_;
  stream::Hub hub_;
  Activity activity_;
  AgentStore agents_;
  worker::RunFiles files_;
  RemoteFiles remote_files_;
  PolicyCatalog policies_;
  FolderWatch policy_watch_;
  PushDesk push_;
  webhooks::HttpSender sender_;
  webhooks::Dispatcher dispatcher_;
  api::Api api_;
  api::Health health_;
  net::Server server_;
  std::unique_ptr<MetricsPage> metrics_;  // where they are served
  std::unique_ptr<net::Server> metrics_server_;
  std::unique_ptr<worker::Worker> worker_;
  std::unique_ptr<nodes::Member> member_;
  TakeoverDesk takeover_;
  asio::basic_signal_set<base::Executor> signals_;
  base::Event ended_;
  std::atomic<bool> sweep_ends_ = false;
  bool ending_ = false;
  bool worker_done_ = true;
  bool reloading_ = false;
  bool read_again_ = false;
  const bool at_terminal_ = ::isatty(STDIN_FILENO) == 1;
  Ending how_;
  base::TaskScope hearing_;
  base::TaskScope tasks_;
};

}  // namespace agentrouter::apps
