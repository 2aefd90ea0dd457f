#include "vault/rotation.h"

#include <algorithm>

namespace agentrouter::vault {

namespace {

using base::Code;
using store::DataKey;

bool names_version(const StoredValue& value, const DataKey& key) {
  if (value.place.workspace != key.workspace || !is_sealed(value.text)) return false;
  const auto head = read_head(value.text);
  return head && static_cast<int>(head->key_version) == key.version;
}

void abandon(store::Transaction& tx, const DataKey& row) {
  for (const auto& value : stored_values(tx)) {
    if (!names_version(value, row)) continue;
    if (value.field == Field::provider_key) tx.delete_provider_key(value.place.workspace, value.place.id);
    auto webhook = value.field == Field::webhook_secret ? tx.webhook(value.place.id) : std::nullopt;
    if (!webhook || !webhook->enabled) continue;
    webhook->enabled = false;
    webhook->disabled_reason = "its secret cannot be opened any more: rotate it, then enable the webhook";
    tx.put_webhook(*webhook);
  }
  tx.delete_data_key(row.workspace, row.version);
}

}  // namespace

void Rotation::stumble(const base::Error& error) {
  ++done_.stuck;
  if (done_.problem.empty()) done_.problem = error.message;
}

// What lies in clear, or was sealed by a key that is retiring. What cannot be read at all is not touched.
bool Rotation::is_open(const StoredValue& value) const {
  if (!is_sealed(value.text)) return true;
  return std::ranges::any_of(keys_,
                             [&](const DataKey& key) { return key.retiring && names_version(value, key); });
}

base::Task<void> Rotation::read() {
  struct Seen {
    std::vector<DataKey> keys;
    std::vector<StoredValue> values;
  };
  auto seen = co_await vault_.needs_.store.read(
      [](store::Reader& reader) { return Seen{reader.data_keys(), stored_values(reader)}; });
  keys_ = std::move(seen.keys);
  values_.clear();
  for (auto& value : seen.values) {
    if (is_open(value)) values_.push_back(std::move(value));
  }
}

base::Task<void> Rotation::abandon_lost() {
  auto& vault = vault_;
  const auto rows =
      co_await vault.needs_.store.read([](store::Reader& reader) { return reader.data_keys(); });
  for (const auto& row : rows) {
    const auto key = co_await vault.unwrap(row);
    if (key) continue;
    co_await vault.needs_.store.write([&row](store::Transaction& tx) { abandon(tx, row); });
    ++done_.abandoned;
  }
}

base::Task<base::Result<void>> Rotation::begin(RotationOrder order) {
  auto& vault = vault_;
  if (order.master_key) {
    auto renewed = co_await vault.pool_.run([&vault] { return vault.keyring_.renew(vault.needs_.entropy); });
    if (!renewed) co_return tl::unexpected(std::move(renewed).error());
  }
  if (order.abandon) co_await abandon_lost();
  if (order.data_keys) {
    co_await vault.needs_.store.write([](store::Transaction& tx) {
      auto keys = tx.data_keys();
      // One that was begun before is finished first.
      if (std::ranges::any_of(keys, &DataKey::retiring)) return;
      for (auto& key : keys) {
        key.retiring = true;
        tx.put_data_key(key);
      }
    });
  }
  co_return base::Result<void>();
}

// What wraps, now that what had to be made is made.
base::Task<base::Result<void>> Rotation::find_current() {
  auto& vault = vault_;
  if (!vault.keyring_.can_wrap()) co_return base::Result<void>();
  auto current = co_await vault.pool_.run([&vault] { return vault.keyring_.current(); });
  if (!current) co_return tl::unexpected(std::move(current).error());
  current_ = std::move(*current);
  co_return base::Result<void>();
}

base::Task<void> Rotation::wrap_anew(DataKey row) {
  auto& vault = vault_;
  auto key = co_await vault.unwrap(row);
  if (!key) co_return stumble(key.error());
  auto fresh = co_await vault.make_row(place_of(row), (*key)->key);
  if (!fresh) co_return stumble(fresh.error());
  co_await vault.needs_.store.write([&](store::Transaction& tx) {
    for (auto& now : tx.data_keys(row.workspace)) {
      if (now.version != row.version || now.wrapped != row.wrapped) continue;
      now.wrapped_by = fresh->wrapped_by;
      now.wrapped = fresh->wrapped;
      tx.put_data_key(now);
    }
  });
  ++done_.wrapped;
  --budget_;
}

// The newest key that is not retiring; made when there is none.
base::Task<base::Result<SealingKeyHandle>> Rotation::successor(std::string workspace) {
  auto& vault = vault_;
  const auto keys = co_await vault.needs_.store.read(
      [&workspace](store::Reader& reader) { return reader.data_keys(workspace); });
  if (keys.empty()) co_return co_await vault.sealing_key(std::move(workspace));
  if (!keys.back().retiring) co_return co_await vault.unwrap(keys.back());
  const int version = keys.back().version + 1;
  auto key = Key::random(vault.needs_.entropy);
  Place place{workspace, "data_key", std::to_string(version)};
  AGENTROUTER_CO_TRY(const DataKey row, co_await vault.make_row(std::move(place), key));
  const auto stored = co_await vault.needs_.store.write([&](store::Transaction& tx) {
    const auto now = tx.data_keys(workspace);
    if (!now.empty() && now.back().version >= version) return now.back();
    tx.put_data_key(row);
    return row;
  });
  if (stored.wrapped == row.wrapped) co_return vault.keep(row, std::move(key));
  co_return co_await vault.unwrap(stored);
}

base::Task<void> Rotation::seal_anew(StoredValue value) {
  auto& vault = vault_;
  base::SecretBuffer clear;
  if (is_sealed(value.text)) {
    auto opened = co_await vault.open(value.place, value.text);
    if (!opened) co_return stumble(opened.error());
    clear = std::move(*opened);
  }
  const std::string_view text = is_sealed(value.text) ? clear.view() : std::string_view(value.text);
  auto key = co_await successor(value.place.workspace);
  if (!key) co_return stumble(key.error());
  const auto sealed = co_await vault.needs_.store.write([&](store::Transaction& tx) -> base::Result<void> {
    AGENTROUTER_TRY(auto fresh, seal_in(tx, **key, value.place, text, vault.needs_.entropy));
    (void)replace_value(tx, value, std::move(fresh));
    return {};
  });
  if (!sealed) co_return stumble(sealed.error());
  ++done_.sealed;
  --budget_;
}

// Goes when nothing names it and another one has its place, so that no version is given again.
base::Task<void> Rotation::retire(DataKey row) {
  auto& vault = vault_;
  const auto next = co_await successor(row.workspace);
  if (!next) co_return stumble(next.error());
  const bool gone = co_await vault.needs_.store.write([&](store::Transaction& tx) {
    for (const auto& value : stored_values(tx)) {
      if (names_version(value, row)) return false;
    }
    tx.delete_data_key(row.workspace, row.version);
    return true;
  });
  if (!gone) co_return;
  ++done_.retired;
  vault.cached_.erase({row.workspace, row.version});
}

base::Task<base::Result<RotationStep>> Rotation::step(RotationOrder order) {
  auto begun = co_await begin(order);
  if (!begun) co_return tl::unexpected(std::move(begun).error());
  co_await read();
  for (const auto& value : values_) {
    if (has_time()) co_await seal_anew(value);
  }
  co_await read();
  for (const auto& key : keys_) {
    const bool named =
        std::ranges::any_of(values_, [&key](const StoredValue& value) { return names_version(value, key); });
    if (key.retiring && !named && !base::passed(until_)) co_await retire(key);
  }
  auto found = co_await find_current();
  if (!found) co_return tl::unexpected(std::move(found).error());
  co_await read();
  for (const auto& key : keys_) {
    if (has_time() && !key.retiring && key.wrapped_by != current_) co_await wrap_anew(key);
  }
  co_await read();
  const auto waits = [this](const DataKey& key) { return key.retiring || key.wrapped_by != current_; };
  done_.left = static_cast<std::int64_t>(values_.size()) + std::ranges::count_if(keys_, waits);
  if (done_.left == 0) {
    auto& vault = vault_;
    auto dropped = co_await vault.pool_.run([&vault] { return vault.keyring_.drop_old(); });
    if (!dropped) co_return tl::unexpected(std::move(dropped).error());
  }
  co_return done_;
}

}  // namespace agentrouter::vault
