#pragma once
// One step of a rotation (Vault::rotate). What is left to do is read from the store each time. Internal to
// vault.

#include "base/event.h"
#include "vault/vault.h"

namespace agentrouter::vault {

class Rotation {
 public:
  explicit Rotation(Vault& vault) : vault_(vault) {}
  // May be used once.
  base::Task<base::Result<RotationStep>> step(RotationOrder order);

 private:
  base::Task<base::Result<void>> begin(RotationOrder order);
  base::Task<void> read();
  base::Task<void> abandon_lost();
  base::Task<void> wrap_anew(store::DataKey row);
  base::Task<void> seal_anew(StoredValue value);
  base::Task<base::Result<SealingKeyHandle>> successor(std::string workspace);
  base::Task<void> retire(store::DataKey row);
  base::Task<base::Result<void>> find_current();
  [[nodiscard]] bool is_open(const StoredValue& value) const;
  [[nodiscard]] bool has_time() const { return budget_ > 0 && !base::passed(until_); }
  void stumble(const base::Error& error);

  Vault& vault_;
  std::string current_;  // what wraps
  std::vector<store::DataKey> keys_;
  std::vector<StoredValue> values_;  // that are to be sealed anew
  int budget_ = 100;                 // of what is done in this step
  base::Deadline until_ = base::after(std::chrono::seconds(20));
  RotationStep done_;
};

}  // namespace agentrouter::vault
