#pragma once
// Secrets of workspaces in the store, sealed in two layers: a value under its workspace's data key, the data
// keys under a master key that the store does not have (keyring.h). Who has the database alone has nothing;
// who exchanges rows in it gets errors.
//
// Belongs to one executor; what blocks (a file, a key service) is done on a thread of its own. Data keys that
// were needed stay in memory, locked where that is possible, until the process ends: taking a right away in
// the key service takes effect at the next start.

#include <map>
#include <memory>

#include "base/asio.h"
#include "base/clock.h"
#include "base/pool.h"
#include "store/store.h"
#include "vault/keyring.h"
#include "vault/values.h"

namespace agentrouter::vault {

// A data key of a workspace, in clear.
struct SealingKey {
  std::string workspace;
  int version = 1;
  Key key;
};
using SealingKeyHandle = std::shared_ptr<const SealingKey>;

// Seals a value in the transaction that stores it. The workspace of `place` is the key's.
//
// Errors: unavailable: the key was retired since it was got; get it again.
[[nodiscard]] base::Result<std::string> seal_in(store::Transaction& tx, const SealingKey& key,
                                                const Place& place, std::string_view value,
                                                base::Entropy& entropy);

struct VaultStatus {
  bool has_master_key = false;
  std::string master_key;           // what wraps now; empty when there is none, or its service does not say
  std::string problem;              // why it does not, or what else is locked; empty: nothing is
  std::size_t old_master_keys = 0;  // that are accepted
  std::int64_t data_keys = 0;
  std::int64_t data_keys_of_old = 0;  // wrapped by another master key than the one that wraps now
  std::int64_t retiring = 0;          // data keys that are being replaced
  std::int64_t values = 0;            // sealed
  std::int64_t clear = 0;             // not sealed yet
  [[nodiscard]] bool rotation_open() const { return data_keys_of_old > 0 || retiring > 0 || clear > 0; }
};

struct RotationOrder {
  bool master_key = false;  // a new one, where this server keeps it
  bool data_keys = false;   // new ones for all workspaces
  // Gives up data keys that cannot be opened, with what they have sealed: provider keys are deleted, webhooks
  // are disabled and can be given another secret. Not to be asked for while a key service only does not
  // answer.
  bool abandon = false;
};

// What one step has done, and what is left. Whatever dies in between: the next step goes on from what is
// stored.
struct RotationStep {
  std::int64_t wrapped = 0;    // data keys, by the present master key
  std::int64_t sealed = 0;     // values, anew or for the first time
  std::int64_t retired = 0;    // data keys that are gone
  std::int64_t abandoned = 0;  // data keys that nothing opens
  std::int64_t left = 0;       // of all three
  std::int64_t stuck = 0;      // what was tried and cannot be opened
  std::string problem;         // why the first of them cannot
  [[nodiscard]] bool done() const { return left == 0; }
  // Without progress a further step does not help.
  [[nodiscard]] bool progress() const { return wrapped + sealed + retired + abandoned > 0; }
};

class Vault {
 public:
  // Everything that is passed by reference outlives it.
  struct Needs {
    store::Store& store;
    const base::Clock& clock;
    base::Entropy& entropy;
  };
  Vault(Needs needs, Keyring keyring) : needs_(needs), keyring_(std::move(keyring)) {}

  // The newest data key of a workspace; the first one is made when it is needed.
  //
  // Errors: unavailable, timeout (vault_locked), corrupt (sealed_damaged).
  base::Task<base::Result<SealingKeyHandle>> sealing_key(std::string workspace);

  // Errors: unavailable, timeout (vault_locked), corrupt (sealed_damaged).
  base::Task<base::Result<base::SecretBuffer>> open(Place place, std::string sealed);

  base::Task<VaultStatus> status();

  // Begins what is ordered, and does a part of what is open: data keys of old master keys are wrapped anew,
  // values of retiring data keys, and those that lie in clear, are sealed anew. To be repeated until it is
  // done. Several servers may do it at once.
  //
  // Errors: conflict (master_key_configured), unavailable, timeout (vault_locked: the present master key).
  base::Task<base::Result<RotationStep>> rotate(RotationOrder order);

 private:
  // By workspace and version, with its wrapped form: a version may be given again to another key.
  struct Known {
    std::string wrapped;
    SealingKeyHandle key;
  };
  using Cached = std::map<std::pair<std::string, int>, Known>;

  base::Task<base::Result<SealingKeyHandle>> unwrap(store::DataKey row);
  base::Task<base::Result<SealingKeyHandle>> make_first(std::string workspace);
  base::Task<base::Result<store::DataKey>> make_row(Place place, const Key& key);
  SealingKeyHandle keep(const store::DataKey& row, Key key);

  friend class Rotation;
  Needs needs_;
  Keyring keyring_;
  Cached cached_;
  base::Pool pool_{1};
};

}  // namespace agentrouter::vault
