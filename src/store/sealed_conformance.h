#pragma once
// What every backend must do about keys that are sealed. Included beside store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

class SealedConformance : public StoreConformance {
 protected:
  static DataKey data_key(std::string workspace, int version) {
    return {std::move(workspace), version, "0123", "sealed:a", testing::test_time(version), false};
  }
  static ProviderKey provider_key(std::string workspace, std::string provider) {
    return {.workspace = std::move(workspace),
            .provider = std::move(provider),
            .sealed = "sealed:b",
            .hint = "cdef",
            .base_url = "",
            .set_by = "key_1",
            .created_at = testing::test_time(1),
            .changed_at = testing::test_time(1)};
  }
  void put(const DataKey& key) {
    write([&](Transaction& tx) { tx.put_data_key(key); });
  }
  void put(const ProviderKey& key) {
    write([&](Transaction& tx) { tx.put_provider_key(key); });
  }
};

TEST_P(SealedConformance, DataKeysAreThoseOfTheirWorkspaceByVersion) {
  put(data_key("b", 1));
  put(data_key("a", 10));
  put(data_key("a", 2));
  auto changed = data_key("a", 2);
  changed.wrapped_by = "kms:k";
  changed.wrapped = "other";
  changed.retiring = true;
  put(changed);
  reopen();
  const auto keys = read([](Reader& reader) { return reader.data_keys("a"); });
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].version, 2);
  EXPECT_EQ(keys[0].workspace, "a");
  EXPECT_EQ(keys[0].wrapped_by, "kms:k");
  EXPECT_EQ(keys[0].wrapped, "other");
  EXPECT_TRUE(keys[0].retiring);
  EXPECT_EQ(keys[0].created_at, testing::test_time(2));
  EXPECT_EQ(keys[1].version, 10);
  EXPECT_FALSE(keys[1].retiring);
  const auto all = read([](Reader& reader) { return reader.data_keys(); });
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].workspace, "b");
  write([](Transaction& tx) { tx.delete_data_key("a", 2); });
  EXPECT_EQ(read([](Reader& reader) { return reader.data_keys("a"); }).size(), 1u);
  EXPECT_EQ(read([](Reader& reader) { return reader.data_keys("b"); }).size(), 1u);
}

TEST_P(SealedConformance, AWorkspaceHasOneKeyOfEachProvider) {
  put(provider_key("b", "openai"));
  put(provider_key("a", "openai"));
  put(provider_key("a", "anthropic"));
  auto changed = provider_key("a", "openai");
  changed.sealed = "sealed:c";
  changed.hint = "";
  changed.base_url = "https://eu.example.test/v1";
  changed.set_by = "key_2";
  changed.created_at = testing::test_time(5);  // is that of the first one
  changed.changed_at = testing::test_time(6);
  changed.used_at = testing::test_time(7);
  put(changed);
  reopen();
  const auto kept = read([](Reader& reader) { return reader.provider_key("a", "openai"); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->sealed, "sealed:c");
  EXPECT_EQ(kept->hint, "");
  EXPECT_EQ(kept->base_url, "https://eu.example.test/v1");
  EXPECT_EQ(kept->set_by, "key_2");
  EXPECT_EQ(kept->created_at, testing::test_time(1));
  EXPECT_EQ(kept->changed_at, testing::test_time(6));
  EXPECT_EQ(kept->used_at, testing::test_time(7));
  const auto all = read([](Reader& reader) { return reader.provider_keys(); });
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].provider, "anthropic");
  EXPECT_FALSE(all[0].used_at);
  EXPECT_EQ(all[2].workspace, "b");
  write([](Transaction& tx) { tx.delete_provider_key("a", "openai"); });
  EXPECT_FALSE(read([](Reader& reader) { return reader.provider_key("a", "openai"); }));
  EXPECT_TRUE(read([](Reader& reader) { return reader.provider_key("b", "openai"); }));
}

}  // namespace agentrouter::store
