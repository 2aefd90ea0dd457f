#pragma once
// The worker leases queued runs, starts or re-adopts their keepers, copies their journals into the store
// exactly once, collects what they leave and closes them: whatever happens, a run that it took reaches a
// terminal state. Each step can be repeated, so a kill -9 at any point costs nothing but time.
//
// Nothing polls: commits of the store and lines on the keepers' sockets wake it. The only timers renew
// leases, bound waits, look whether leases of other workers stand still, and look again at a disk that was
// nearly full.

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/asio.h"
#include "base/clock.h"
#include "base/id.h"
#include "blobs/blob_store.h"
#include "model/defaults.h"
#include "policy/quota.h"
#include "policy/rules.h"
#include "runs/budgets.h"
#include "runs/conversations.h"
#include "runs/delete.h"
#include "runs/placement.h"
#include "sandbox/launch.h"
#include "store/store.h"
#include "vault/provider_keys.h"
#include "worker/cassettes.h"
#include "worker/image_root.h"
#include "worker/kept_layers.h"
#include "worker/ports.h"
#include "workspace/git_source.h"
#include "workspace/trees.h"

namespace agentrouter::worker {

enum class ProviderKind { none, sim, upstream };

struct ProviderConfig {
  ProviderKind kind = ProviderKind::none;
  std::string base_url;  // of an upstream: "https://api.openai.com/v1", "https://api.anthropic.com"
  std::string api_key;
};

// How repositories are fetched. A credential is what follows "Basic ", by host as the address writes it.
struct SshAccess {
  std::string key;          // base64 of the private key's file
  std::string known_hosts;  // lines as in OpenSSH's file
};

struct GitConfig {
  std::vector<std::string> fetcher_argv = {"agentrouter", "fetcher"};  // of this same program
  std::uint64_t max_bytes = 4ull << 30;  // of what comes over the network, and of the files
  std::uint64_t max_entries = 200'000;
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  std::map<std::string, std::string> credentials = {};
  std::map<std::string, SshAccess> ssh = {};  // by host, with its port when it is not 22
  workspace::GitRules rules = {};             // judged again for submodules
};

// One of the policies that are always there; nothing without a name.
[[nodiscard]] base::Result<std::optional<policy::Rules>> preset_named(std::string_view name);

[[nodiscard]] base::Result<ImageRoot> no_image(std::string_view name);

struct WorkerConfig {
  std::string worker_id;
  // store::Attempt::host: this folder of attempts on this machine. Keepers of another host cannot be reached.
  std::string host = {};
  // No other worker uses this store: whoever held its attempts before is gone, and those of another host came
  // with a store that was restored from a backup. It may be older than what they have done, so none of them
  // is repeated. Without it their leases have to stand still first.
  bool owns_store = true;
  // No other worker has this folder of attempts: whoever held attempts of `host` before is gone, whoever uses
  // the store.
  bool owns_host = false;
  std::filesystem::path data_dir;
  int concurrency = 1;
  // So many runs that wait for a person or for their provider's limit do not count as one of them. Their
  // sandboxes stay, so there may be as many more.
  int max_waiting = 0;
  // Which runs are taken: what this worker has, and how many a workspace may have.
  runs::ClaimRules claim = {};
  // Runs that wait for something that no worker has fail after so long; 0: never.
  std::chrono::milliseconds unplaceable_after{0};
  // Told of each run that is taken: how long it had waited.
  std::function<void(std::chrono::milliseconds waited)> on_claim = [](std::chrono::milliseconds) {};
  // It has the duties of one server only: to throw away what is over, and to fail what nobody can take.
  std::function<bool()> may_tidy = [] { return true; };
  // A path of a workspace as it is here: the server that was asked for the run may have been on another machine.
  // None: it was checked here. Errors: invalid.
  std::function<base::Result<std::string>(std::string_view path)> admit_path = {};
  std::string default_model = "gpt-5.5";                             // for a Codex run that names none
  std::string claude_model = "claude-opus-5-5";                      // for a Claude Code run that names none
  std::vector<std::string> keeper_argv = {"agentrouter", "keeper"};  // of this same program
  bool require_limits = false;                                       // refuse machines without cgroup limits
  unsigned warm_sandboxes = 0;                                       // boxes that are kept ready
  ProviderConfig provider;                                           // of Codex
  ProviderConfig claude_provider;                                    // of Claude Code
  // Of each sandbox, but where a run asks for less (or more, as far as it may), and of all together. With
  // less free in the data folder than limits.disk_reserve_bytes and _inode_percent say no run is taken.
  sandbox::Limits limits = {};
  sandbox::MachineLimits machine = {};
  std::chrono::seconds wall_time = std::chrono::seconds{3600};
  std::uint64_t output_bytes = 256ull << 20;
  std::uint64_t output_rate = 64ull << 20;  // in a second
  GitConfig git = {};
  policy::QuotaRules quota = {};  // of runs with waitForQuota
  runs::SpendingRules spending = {};
  // [secrets] and [egress]: all of it; a run gets what its policy names.
  keeper::EgressPlan egress = {};
  // What a run is held to that names this policy (empty: none), as it is now; pinned into the attempt's plan.
  // A run that is held to rules is asked about each action, whatever its scope. Errors: not_found, invalid,
  // unavailable.
  std::function<base::Result<std::optional<policy::Rules>>(std::string_view name)> policy_named =
      preset_named;
  // The image of this name. Errors: invalid (image_unknown).
  std::function<base::Result<ImageRoot>(std::string_view name)> image_named = no_image;
  std::string default_image = {};  // of a run that names none; empty: the host's programs
  runs::ConversationRules conversations = {};
  runs::RetentionRules retention = {};
  LayerRules layers = {};
  // For an agent to end by itself, cancelled or at a limit; then its sandbox is emptied.
  std::chrono::milliseconds cancel_grace = model::defaults::cancel_grace;
  std::chrono::milliseconds lease = std::chrono::seconds{30};        // renewed every third of it
  int max_attempts = 3;                                              // at a run
  std::chrono::milliseconds launch_wait = std::chrono::seconds{20};  // for the keeper's socket to answer
  // For a keeper to say that it has heard a cancel; then one that is stopped is killed, and its sandbox with
  // it, and one that is only slow (its disk, the machine) after four times as long.
  std::chrono::milliseconds cancel_patience = std::chrono::milliseconds{1000};
  // For one that cannot say so, or that does not end when its run has.
  std::chrono::milliseconds cancel_bound = std::chrono::seconds{30};
  CassetteRules cassettes = {};  // record what providers are asked, or play it
  std::string hidden = {};       // AttemptPlan's: what secrets of the server look like
  // A workspace's own key is used instead of that of `provider`, unless that is the simulator.
  vault::ProviderKeyRules provider_keys = {};
};

// min(2 x cores, (RAM - 2 GiB) / 1 GiB), at least 1.
[[nodiscard]] int default_concurrency();

class SharedTrees;

class Worker {
 public:
  // Everything that is passed by reference outlives the worker. `run` and `stop` belong to `executor`.
  struct Needs {
    base::Executor executor;
    store::Store& store;
    blobs::BlobStore& blobs;
    sandbox::Launcher& launcher;
    AgentPreparer& agents;
    const base::Clock& clock;
    base::Entropy& entropy;
    KillKeeper kill_keeper = kill_process;
    workspace::Trees* trees = nullptr;  // none: no run can stand on a base tree
    TreeUnpacker* unpacker = nullptr;   // none: no repository can be fetched
    ConnectKeeper connect = connect_by_socket;
    vault::Vault* vault = nullptr;  // none: no workspace has a key of its own
    SharedTrees* shared_trees = nullptr;  // none: nobody else needs the trees, and nobody else has any
  };
  Worker(Needs needs, WorkerConfig config);
  ~Worker();

  // Takes over what a previous process left, then works until stop() or cancellation; resumes when no
  // coroutine of the worker is left. Keepers go on running.
  //
  // Throws Failure (unavailable, corrupt) when the store cannot be read at the start.
  base::Task<void> run();

  // Policies say something else now: runs that are held to one hear of it. On the executor.
  void policies_changed();
  // Lets run() return soon: no new run is taken, running keepers are left alone.
  void stop();
  // No new run is taken, and none of a worker that is gone; those that are here go on. May be taken back.
  void drain(bool draining);
  // Runs that are carried out here.
  [[nodiscard]] int active() const;
  // Resumes when there are none, or after stop().
  base::Task<void> idle();
  // WorkerConfig::may_tidy may say something else now.
  void duties_changed();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::worker
