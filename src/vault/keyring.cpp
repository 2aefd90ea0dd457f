#include "vault/keyring.h"

#include <algorithm>

namespace agentrouter::vault {

namespace {

using base::Code;

constexpr std::string_view kms_prefix = "kms:";
constexpr std::size_t most_unfinished = 8;

tl::unexpected<base::Error> locked(const std::string& why) {
  return base::fail(Code::unavailable, "the vault is locked: " + why, "vault_locked");
}

base::Result<Key> unwrap_by_service(const KmsCommand& service, const WrappedKey& wrapped,
                                    const Place& place) {
  return service.unwrap({wrapped.by.substr(kms_prefix.size()), wrapped.text}, place);
}

}  // namespace

Keyring::Keyring(std::vector<Key> keys) : keys_(std::move(keys)) {}

Keyring::Keyring(Keyring&& other) noexcept
    : config_(std::move(other.config_)),
      kms_(std::move(other.kms_)),
      old_kms_(std::move(other.old_kms_)),
      keys_(std::move(other.keys_)),
      keeps_own_(other.keeps_own_) {}

base::Result<Keyring> Keyring::open(KeyringConfig config) {
  Keyring ring;
  if (!config.keys.empty() && !config.file.empty())
    return base::fail(
        Code::invalid,
        config.keys_from + " and vault.master_key_file are both given: master keys come from one place",
        "master_key_invalid");
  if (!config.keys.empty()) {
    AGENTROUTER_TRY(ring.keys_, parse_master_keys(config.keys, config.keys_from));
  } else if (!config.file.empty()) {
    AGENTROUTER_TRY(ring.keys_, read_master_keys(config.file));
  } else if (!config.own.empty()) {
    auto keys = read_master_keys(config.own);
    if (!keys && keys.error().code != Code::not_found) return tl::unexpected(keys.error());
    // Beside a key service the file only opens what it has sealed before.
    ring.keeps_own_ = !config.kms;
    if (keys) ring.keys_ = std::move(*keys);
  }
  if (config.kms) ring.kms_.emplace(*config.kms);
  if (config.old_kms) ring.old_kms_.emplace(*config.old_kms);
  ring.config_ = std::move(config);
  return ring;
}

bool Keyring::can_wrap() const {
  const std::lock_guard lock(mutex_);
  return kms_ || !keys_.empty();
}

base::Result<void> Keyring::make_if_missing(base::Entropy& entropy) {
  const std::lock_guard lock(mutex_);
  if (kms_ || !keys_.empty()) return {};
  if (!keeps_own_)
    return locked(
        "no master key is configured. Set vault.master_key_file, AGENTROUTER_MASTER_KEY or "
        "vault.kms_command");
  keys_.push_back(Key::random(entropy));
  auto written = write_own();
  if (!written) keys_.clear();
  return written;
}

base::Result<void> Keyring::renew(base::Entropy& entropy) {
  const std::lock_guard lock(mutex_);
  if (!keeps_own_)
    return base::fail(
        Code::conflict,
        "the master key is not kept by this server: put a new one before the old one where it is "
        "configured, start the server again, then rotate",
        "master_key_configured");
  if (keys_.size() >= most_unfinished)
    return base::fail(Code::conflict, "earlier rotations are not done: finish them first",
                      "rotation_unfinished");
  keys_.insert(keys_.begin(), Key::random(entropy));
  auto written = write_own();
  if (!written) keys_.erase(keys_.begin());
  return written;
}

base::Result<void> Keyring::drop_old() {
  const std::lock_guard lock(mutex_);
  if (!keeps_own_ || keys_.size() < 2) return {};
  std::vector<Key> first;
  first.push_back(Key::of(keys_.front().view()));
  std::swap(keys_, first);
  auto written = write_own();
  if (!written) std::swap(keys_, first);
  return written;
}

base::Result<void> Keyring::write_own() {
  return write_master_keys(config_.own, keys_);
}

base::Result<std::string> Keyring::current() const {
  if (kms_) return kms_->key_id().map([](const std::string& id) { return std::string(kms_prefix) + id; });
  const std::lock_guard lock(mutex_);
  if (keys_.empty()) return locked("there is no master key");
  return keys_.front().id_text();
}

std::size_t Keyring::old_keys() const {
  const std::lock_guard lock(mutex_);
  const auto of_files = kms_ || keys_.empty() ? keys_.size() : keys_.size() - 1;
  return of_files + (old_kms_ ? 1 : 0);
}

base::Result<WrappedKey> Keyring::wrap(const Key& key, const Place& place, base::Entropy& entropy) const {
  if (kms_) {
    AGENTROUTER_TRY(auto wrapped, kms_->wrap(key, place));
    return WrappedKey{std::string(kms_prefix) + wrapped.key_id, std::move(wrapped.data)};
  }
  const std::lock_guard lock(mutex_);
  if (keys_.empty()) return locked("there is no master key");
  return WrappedKey{keys_.front().id_text(), seal(keys_.front(), 0, place, key.view(), entropy)};
}

base::Result<Key> Keyring::unwrap(const WrappedKey& wrapped, const Place& place) const {
  if (wrapped.by.starts_with(kms_prefix)) {
    if (!kms_ && !old_kms_)
      return locked("a key service has wrapped the data key of workspace " + place.workspace +
                    ", and neither vault.kms_command nor vault.old_kms_command is set");
    auto key = unwrap_by_service(kms_ ? *kms_ : *old_kms_, wrapped, place);
    if (key || !kms_ || !old_kms_) return key;
    auto by_old = unwrap_by_service(*old_kms_, wrapped, place);
    return by_old ? std::move(by_old) : std::move(key);
  }
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(keys_, wrapped.by, [](const Key& key) { return key.id_text(); });
  if (known == keys_.end())
    return locked("the master key " + wrapped.by + ", which has wrapped the data key of workspace " +
                  place.workspace + ", is not there. Put it back where master keys are configured");
  AGENTROUTER_TRY(const auto raw, vault::open(*known, place, wrapped.text));
  if (raw.size() != Key::bytes)
    return base::fail(Code::corrupt, "the data key of workspace " + place.workspace + " is damaged",
                      "sealed_damaged");
  return Key::of(raw.view());
}

}  // namespace agentrouter::vault
