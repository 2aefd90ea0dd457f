#include "vault/master_key.h"

#include "base/hmac.h"
#include "testing/fixed_entropy.h"
#include "vault/fixture_test.h"

namespace agentrouter::vault {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string base64_of(const std::string& name) {
  return base::to_base64(key_named(name).view());
}

TEST(MasterKeys, AreWordsInBase64OrHex) {
  const auto hex = base::Sha256::hex_of("x");
  const auto keys = base::value_or_throw(parse_master_keys(
      "# of 2026\n" + base64_of("a") + "\n\n  " + hex + " # old\n" + base64_of("b") + "," + base64_of("c"),
      "here"));
  ASSERT_EQ(keys.size(), 4u);
  EXPECT_EQ(keys[0].id(), key_named("a").id());
  const auto raw = base::Sha256::of("x");
  EXPECT_EQ(keys[1].id(), Key::of({reinterpret_cast<const char*>(raw.data()), raw.size()}).id());
  EXPECT_EQ(keys[3].id(), key_named("c").id());
}

TEST(MasterKeys, ANewOneIsReadAndIsAnotherOneEachTime) {
  const auto text = new_master_key(base::system_entropy());
  EXPECT_TRUE(parse_master_keys(text, "here"));
  EXPECT_NE(text, new_master_key(base::system_entropy()));
}

TEST(MasterKeys, WhatIsNoneIsRefusedWithoutBeingRepeated) {
  const auto refusal = [](const std::string& text) {
    const auto keys = parse_master_keys(text, "AGENTROUTER_MASTER_KEY");
    if (keys) return std::string("accepted");
    EXPECT_EQ(keys.error().reason, "master_key_invalid");
    return keys.error().message;
  };
  EXPECT_THAT(refusal(""), HasSubstr("there is none"));
  EXPECT_THAT(refusal("# nothing\n"), HasSubstr("there is none"));
  EXPECT_THAT(refusal("swordfish"), HasSubstr("not 32 bytes"));
  EXPECT_THAT(refusal("swordfish"), Not(HasSubstr("swordfish")));
  EXPECT_THAT(refusal("swordfish"), HasSubstr("AGENTROUTER_MASTER_KEY"));
  EXPECT_THAT(refusal(base::to_base64(std::string(31, 'x'))), HasSubstr("not 32 bytes"));
  EXPECT_THAT(refusal(base::to_base64(std::string(33, 'x'))), HasSubstr("not 32 bytes"));
  EXPECT_THAT(refusal(std::string(64, 'g')), HasSubstr("not 32 bytes"));
  std::string many;
  for (int i = 0; i < 17; ++i) many += base64_of(std::to_string(i)) + "\n";
  EXPECT_THAT(refusal(many), HasSubstr("more than 16"));
}

TEST(MasterKeyFiles, AreWrittenForTheirOwnerAloneAndReadBack) {
  testing::TempDir folder;
  const auto file = folder.path() / "key";
  std::vector<Key> keys;
  keys.push_back(key_named("new"));
  keys.push_back(key_named("old"));
  base::value_or_throw(write_master_keys(file, keys));
  struct stat info{};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto read = base::value_or_throw(read_master_keys(file));
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].id(), keys[0].id());
  EXPECT_EQ(read[1].id(), keys[1].id());
}

TEST(MasterKeyFiles, OfOthersToReadAreRefused) {
  testing::TempDir folder;
  const auto file = folder.path() / "key";
  std::ofstream(file) << base64_of("a");
  const auto refusal = [&](unsigned mode) {
    ::chmod(file.c_str(), mode);
    const auto keys = read_master_keys(file);
    return keys ? std::string("accepted") : keys.error().message;
  };
  EXPECT_EQ(refusal(0600), "accepted");
  EXPECT_EQ(refusal(0400), "accepted");
  EXPECT_THAT(refusal(0640), HasSubstr("chmod 600"));
  EXPECT_THAT(refusal(0604), HasSubstr("others may read it"));
  EXPECT_EQ(read_master_keys(folder.path() / "none").error().code, base::Code::not_found);
  EXPECT_THAT(read_master_keys(folder.path()).error().message, HasSubstr("no regular file"));
  std::ofstream(file) << std::string(10'000, '#');
  EXPECT_THAT(refusal(0600), HasSubstr("too long"));
}

}  // namespace

}  // namespace agentrouter::vault
