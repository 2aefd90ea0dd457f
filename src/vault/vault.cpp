#include "vault/vault.h"

#include <algorithm>

#include "vault/rotation.h"

namespace agentrouter::vault {

namespace {

using base::Code;
using store::DataKey;

constexpr std::size_t most_cached = 1024;

}  // namespace

base::Result<std::string> seal_in(store::Transaction& tx, const SealingKey& key, const Place& place,
                                  std::string_view value, base::Entropy& entropy) {
  if (place.workspace != key.workspace)
    return base::fail(Code::internal,
                      "a value of workspace " + place.workspace + " is not sealed by another one's key");
  const auto keys = tx.data_keys(key.workspace);
  const bool there =
      std::ranges::any_of(keys, [&](const DataKey& one) { return one.version == key.version; });
  if (!there)
    return base::fail(Code::unavailable,
                      "the data key of workspace " + key.workspace + " was replaced just now: try again");
  return seal(key.key, static_cast<std::uint32_t>(key.version), place, value, entropy);
}

SealingKeyHandle Vault::keep(const DataKey& row, Key key) {
  if (cached_.size() >= most_cached) cached_.clear();
  auto handle = std::make_shared<const SealingKey>(SealingKey{row.workspace, row.version, std::move(key)});
  cached_[{row.workspace, row.version}] = Known{row.wrapped, handle};
  return handle;
}

base::Task<base::Result<SealingKeyHandle>> Vault::unwrap(DataKey row) {
  const auto known = cached_.find({row.workspace, row.version});
  if (known != cached_.end() && known->second.wrapped == row.wrapped) co_return known->second.key;
  auto key = co_await pool_.run(
      [this, &row] { return keyring_.unwrap({row.wrapped_by, row.wrapped}, place_of(row)); });
  if (!key) co_return tl::unexpected(std::move(key).error());
  co_return keep(row, std::move(*key));
}

// Wrapped, not stored.
base::Task<base::Result<DataKey>> Vault::make_row(Place place, const Key& key) {
  auto wrapped = co_await pool_.run([&] { return keyring_.wrap(key, place, needs_.entropy); });
  if (!wrapped) co_return tl::unexpected(std::move(wrapped).error());
  co_return DataKey{.workspace = place.workspace,
                    .version = std::stoi(place.id),
                    .wrapped_by = std::move(wrapped->by),
                    .wrapped = std::move(wrapped->text),
                    .created_at = needs_.clock.now()};
}

base::Task<base::Result<SealingKeyHandle>> Vault::make_first(std::string workspace) {
  const bool fresh =
      co_await needs_.store.read([](store::Reader& reader) { return reader.data_keys().empty(); });
  if (!keyring_.can_wrap() && !fresh)
    co_return base::fail(
        Code::unavailable,
        "the vault is locked: the master key is not there, and there are data keys that it has "
        "wrapped. Put it back",
        "vault_locked");
  auto made = co_await pool_.run([this] { return keyring_.make_if_missing(needs_.entropy); });
  if (!made) co_return tl::unexpected(std::move(made).error());
  auto key = Key::random(needs_.entropy);
  Place place{workspace, "data_key", "1"};
  AGENTROUTER_CO_TRY(const DataKey row, co_await make_row(std::move(place), key));
  // Another one may have made it meanwhile: then it is that one's.
  const auto stored = co_await needs_.store.write([&](store::Transaction& tx) {
    const auto keys = tx.data_keys(workspace);
    if (!keys.empty()) return keys.back();
    tx.put_data_key(row);
    return row;
  });
  if (stored.wrapped == row.wrapped) co_return keep(row, std::move(key));
  co_return co_await unwrap(stored);
}

base::Task<base::Result<SealingKeyHandle>> Vault::sealing_key(std::string workspace) {
  const auto keys =
      co_await needs_.store.read([&workspace](store::Reader& reader) { return reader.data_keys(workspace); });
  if (keys.empty()) co_return co_await make_first(std::move(workspace));
  co_return co_await unwrap(keys.back());
}

base::Task<base::Result<base::SecretBuffer>> Vault::open(Place place, std::string sealed) {
  AGENTROUTER_CO_TRY(const SealedHead head, read_head(sealed));
  const auto version = static_cast<int>(head.key_version);
  SealingKeyHandle key;
  const auto known = cached_.find({place.workspace, version});
  if (known != cached_.end() && known->second.key->key.id() == head.key_id) {
    key = known->second.key;
  } else {
    const auto rows = co_await needs_.store.read(
        [&place](store::Reader& reader) { return reader.data_keys(place.workspace); });
    const auto row = std::ranges::find(rows, version, &DataKey::version);
    if (row == rows.end())
      co_return base::fail(Code::corrupt,
                           "a sealed value cannot be opened: workspace " + place.workspace +
                               " has no data key " + std::to_string(version),
                           "sealed_damaged");
    auto unwrapped = co_await unwrap(*row);
    if (!unwrapped) co_return tl::unexpected(std::move(unwrapped).error());
    key = std::move(*unwrapped);
  }
  co_return vault::open(key->key, place, sealed);
}

base::Task<VaultStatus> Vault::status() {
  VaultStatus status;
  status.has_master_key = keyring_.can_wrap();
  status.old_master_keys = keyring_.old_keys();
  const auto current = co_await pool_.run([this] { return keyring_.current(); });
  if (current) status.master_key = *current;
  if (!current && status.has_master_key) status.problem = current.error().message;
  struct Seen {
    std::vector<DataKey> keys;
    std::vector<StoredValue> values;
  };
  const auto seen = co_await needs_.store.read(
      [](store::Reader& reader) { return Seen{reader.data_keys(), stored_values(reader)}; });
  for (const auto& key : seen.keys) {
    ++status.data_keys;
    if (key.retiring) ++status.retiring;
    if (current && key.wrapped_by != *current) ++status.data_keys_of_old;
  }
  for (const auto& value : seen.values) ++(is_sealed(value.text) ? status.values : status.clear);
  if (!status.has_master_key && status.data_keys > 0)
    status.problem = "the master key is not there, and there are data keys that it has wrapped. Put it back";
  co_return status;
}

base::Task<base::Result<RotationStep>> Vault::rotate(RotationOrder order) {
  Rotation rotation(*this);
  co_return co_await rotation.step(order);
}

}  // namespace agentrouter::vault
