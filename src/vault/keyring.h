#pragma once
// The master keys of a server: what wraps the data keys of workspaces. One of them wraps, the others are
// accepted until a rotation is done. They come from the configuration (text, file, KMS program), or, where
// nothing is configured and the data folder is this server's alone, from a file in it that is made on first
// need.

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vault/kms_command.h"
#include "vault/master_key.h"

namespace agentrouter::vault {

struct KeyringConfig {
  std::string keys;                  // text of master keys; empty: none
  std::string keys_from;             // where it is from, for errors: "AGENTROUTER_MASTER_KEY"
  std::filesystem::path file;        // of master keys; empty: none
  std::filesystem::path own;         // the data folder's, made on first need; empty: nothing is made
  std::optional<KmsConfig> kms;      // wraps; what `keys` or the file has is accepted
  std::optional<KmsConfig> old_kms;  // is accepted
};

// A data key under a master key, as the store has it.
struct WrappedKey {
  std::string by;    // which master key: 16 hex digits, or "kms:" and the service's name for it
  std::string text;  // a sealed text, or what the service gave
};

// Thread-safe. What it does may block: a file is written, a program is run.
class Keyring {
 public:
  // Errors: those of parse_master_keys and read_master_keys; invalid (master_key_invalid: more than one
  // source).
  [[nodiscard]] static base::Result<Keyring> open(KeyringConfig config);
  // Accepts these keys; the first one wraps. For tests, and for looking at a store.
  explicit Keyring(std::vector<Key> keys);

  // Something wraps. False: nothing is configured and nothing was made yet, or may be made.
  [[nodiscard]] bool can_wrap() const;
  // Where nothing wraps, makes the data folder's key, if it may. Not to be called when there are data keys
  // already: their master key is lost then, and a new one would not help.
  //
  // Errors: unavailable (vault_locked: nothing is configured), those of writing.
  [[nodiscard]] base::Result<void> make_if_missing(base::Entropy& entropy);
  // The data folder's file gets a new first key. What was there is accepted until drop_old().
  //
  // Errors: conflict (master_key_configured: it is not this server that keeps the keys; rotation_unfinished:
  // eight are accepted already), those of writing.
  [[nodiscard]] base::Result<void> renew(base::Entropy& entropy);
  // The data folder's file keeps only the first key. Nothing where others keep the keys. Errors: those of
  // writing.
  [[nodiscard]] base::Result<void> drop_old();

  // WrappedKey::by of what wrap() would give. Errors: unavailable (vault_locked).
  [[nodiscard]] base::Result<std::string> current() const;
  // Master keys that are accepted besides the one that wraps.
  [[nodiscard]] std::size_t old_keys() const;

  // Errors: unavailable and timeout (vault_locked).
  [[nodiscard]] base::Result<WrappedKey> wrap(const Key& key, const Place& place,
                                              base::Entropy& entropy) const;
  // Errors: unavailable and timeout (vault_locked: no accepted key has wrapped it, or the program fails),
  // corrupt (sealed_damaged).
  [[nodiscard]] base::Result<Key> unwrap(const WrappedKey& wrapped, const Place& place) const;

  Keyring(Keyring&& other) noexcept;
  Keyring& operator=(Keyring&&) = delete;

 private:
  Keyring() = default;
  [[nodiscard]] base::Result<void> write_own();

  KeyringConfig config_;
  std::optional<KmsCommand> kms_;
  std::optional<KmsCommand> old_kms_;
  mutable std::mutex mutex_;
  std::vector<Key> keys_;   // guarded by mutex_
  bool keeps_own_ = false;  // keys_ are those of the data folder's file
};

}  // namespace agentrouter::vault
