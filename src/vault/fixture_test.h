#pragma once
// For tests of this room: vaults on a store, and a key service that is a script.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "base/hash.h"
#include "testing/store_fixture.h"
#include "vault/provider_keys.h"
#include "vault/vault.h"

namespace agentrouter::vault {

inline Key key_named(const std::string& name) {
  return Key::of(base::Sha256::hex_of(name).substr(0, Key::bytes));
}

// The first one wraps.
inline Keyring ring_of(const std::vector<std::string>& names) {
  std::vector<Key> keys;
  for (const auto& name : names) keys.push_back(key_named(name));
  return Keyring(std::move(keys));
}

class VaultTest : public ::testing::Test {
 protected:
  std::unique_ptr<Vault> vault(Keyring ring) {
    return std::make_unique<Vault>(Vault::Needs{db_.store(), db_.clock, db_.entropy}, std::move(ring));
  }
  std::unique_ptr<Vault> vault(const std::vector<std::string>& master_keys = {"first"}) {
    return vault(ring_of(master_keys));
  }
  template <class T>
  T run(base::Task<T> task) {
    return testing::run_task(db_.io(), std::move(task));
  }
  void set_key(Vault& vault, const std::string& workspace, const std::string& value,
               const std::string& provider = "openai") {
    const auto key = base::value_or_throw(run(vault.sealing_key(workspace)));
    const NewProviderKey request{
        .workspace = workspace, .provider = provider, .value = value, .set_by = "key_1"};
    base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return put_provider_key(tx, request, {}, *key, db_.clock, db_.entropy);
    }));
  }
  store::ProviderKey row(const std::string& workspace, const std::string& provider = "openai") {
    return *db_.read([&](store::Reader& reader) { return reader.provider_key(workspace, provider); });
  }
  // What the workspace's key opens as, or why it does not.
  std::string opened(Vault& vault, const std::string& workspace, const std::string& provider = "openai") {
    const auto kept = row(workspace, provider);
    const auto value = run(vault.open(place_of(kept), kept.sealed));
    return value ? std::string(value->view()) : value.error().reason + ": " + value.error().message;
  }
  std::vector<store::DataKey> data_keys() {
    return db_.read([](store::Reader& reader) { return reader.data_keys(); });
  }
  void put_hook(const std::string& id, const std::string& secret, const std::string& old_secret = "") {
    store::Webhook hook;
    hook.id = id;
    hook.workspace = "default";
    hook.secret = secret;
    hook.old_secret = old_secret;
    db_.write([&](store::Transaction& tx) { tx.put_webhook(hook); });
  }
  store::Webhook hook(const std::string& id) {
    return *db_.read([&](store::Reader& reader) { return reader.webhook(id); });
  }

  testing::StoreFixture db_;
};

// A key service: it wraps by writing base64 behind the name of its key, which is no way to keep a secret and
// enough to see who has wrapped what. `more` is what it does before.
class KmsScript {
 public:
  explicit KmsScript(const std::string& key_id = "k1", const std::string& more = "") { say(key_id, more); }
  void say(const std::string& key_id, const std::string& more = "") {
    std::ofstream(folder_ / "kms.py") << "import base64, json, os, sys, time\n"
                                         "text = sys.stdin.readline()\nask = json.loads(text)\n"
                                         "open(sys.argv[1], 'a').write(text)\n"
                                      << more << "\nkey = '" << key_id << "'\n"
                                      << R"(
place = (ask["context"]["workspace"] + "/" + ask["context"]["dataKey"] + "/").encode()
if ask["operation"] == "key":
    answer = {"keyId": key}
elif ask["operation"] == "wrap":
    answer = {"keyId": key, "data": base64.b64encode(place + base64.b64decode(ask["data"])[::-1]).decode()}
else:
    kept = base64.b64decode(ask["data"])
    answer = {"data": base64.b64encode(kept[len(place):][::-1]).decode()}
    if not kept.startswith(place):
        answer = {"error": "of another context"}
print(json.dumps(answer))
)";
  }
  [[nodiscard]] KmsConfig config(std::chrono::milliseconds timeout = std::chrono::seconds(20)) const {
    return {{"/usr/bin/python3", "-S", "-E", (folder_ / "kms.py").string(), (folder_ / "asked").string()},
            {"A=1"},
            timeout};
  }
  // The operations that it was asked for.
  [[nodiscard]] std::string asked() const {
    std::string all;
    std::ifstream lines(folder_ / "asked");
    for (std::string line; std::getline(lines, line);) {
      const auto value = base::value_or_throw(base::parse_json(line));
      all += (all.empty() ? "" : " ") + std::string(*base::get_string(value.get_object(), "operation"));
    }
    return all;
  }
  [[nodiscard]] const testing::TempDir& folder() const { return folder_; }

 private:
  testing::TempDir folder_;
};

}  // namespace agentrouter::vault
