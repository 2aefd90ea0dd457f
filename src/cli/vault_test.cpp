#include <sys/stat.h>

#include "base/hmac.h"
#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

const std::string stored_key =
    R"({"provider":"openai","lastCharacters":"cd\u001b[2Jef","createdAt":"2026-01","changedAt":"2026-02",)"
    R"("setBy":"key_1")";

TEST_F(CommandsTest, AProviderKeyComesFromStandardInputAndIsNotRepeated) {
  server.on("PUT /v1/provider-keys/openai", reply(201, stored_key + "}"));
  in.str("  sk-secret-key \n");
  EXPECT_EQ(run(provider_keys, {.verb = "set", .provider = "openai"}), 0);
  EXPECT_EQ(server.requests().at(0).body, R"({"value":"sk-secret-key"})");
  EXPECT_THAT(out.str(), HasSubstr("openai  ...cd"));
  EXPECT_THAT(out.str(), HasSubstr("set 2026-02 by key_1; not used yet"));
  EXPECT_THAT(out.str() + err.str(), Not(HasSubstr("secret")));
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, AProviderKeyComesFromAFileWithItsBaseUrl) {
  server.on("PUT /v1/provider-keys/anthropic",
            reply(200, stored_key + R"(,"baseUrl":"https://eu.test","lastUsedAt":"2026-03"})"));
  std::ofstream(folder / "key") << "sk-from-a-file\n";
  EXPECT_EQ(run(provider_keys, {.verb = "set",
                                .url = "https://eu.test",
                                .provider = "anthropic",
                                .key_file = (folder / "key").string()}),
            0);
  EXPECT_EQ(server.requests().at(0).body, R"({"value":"sk-from-a-file","baseUrl":"https://eu.test"})");
  EXPECT_THAT(out.str(), HasSubstr("last used 2026-03; https://eu.test"));
}

TEST_F(CommandsTest, WithoutAValueOrAProviderNothingIsSent) {
  EXPECT_THROW(run(provider_keys, {.verb = "set", .provider = "openai"}), UsageError);
  EXPECT_THROW(run(provider_keys, {.verb = "set", .provider = "openai", .key_file = "/nonexistent"}),
               UsageError);
  EXPECT_THROW(run(provider_keys, {.verb = "delete"}), UsageError);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(CommandsTest, ProviderKeysAreListedAndDeleted) {
  server.on("GET /v1/provider-keys", reply(200, R"({"items":[)" + stored_key + "}]}"));
  server.on("DELETE /v1/provider-keys/openai", reply(200, R"({"provider":"openai","deleted":true})"));
  EXPECT_EQ(run(provider_keys, {.verb = "list"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("openai  ..."));
  out.str("");
  EXPECT_EQ(run(provider_keys, {.json = true, .verb = "list"}), 0);
  EXPECT_THAT(out.str(), HasSubstr(R"({"items":[)"));
  out.str("");
  EXPECT_EQ(run(provider_keys, {.verb = "delete", .provider = "openai"}), 0);
  EXPECT_EQ(out.str(), "Deleted the key for openai. Runs that have begun go on with it.\n");
}

std::string step_json(bool done, int sealed, const std::string& more = "") {
  return std::string(R"({"done":)") + (done ? "true" : "false") + R"(,"progress":)" +
         (sealed > 0 ? "true" : "false") + R"(,"wrappedDataKeys":1,"sealedValues":)" +
         std::to_string(sealed) + R"(,"retiredDataKeys":2,"abandonedDataKeys":0,"left":3,"stuck":0)" + more +
         "}";
}

TEST_F(CommandsTest, ARotationIsRepeatedUntilItIsDone) {
  server.on("POST /v1/vault/rotate", reply(200, step_json(false, 100)));
  server.on("POST /v1/vault/rotate", reply(200, step_json(true, 30)));
  EXPECT_EQ(run(vault, {.verb = "rotate", .new_master_key = true, .new_data_keys = true}), 0);
  const auto requests = server.requests();
  EXPECT_EQ(requests.at(0).body, R"({"masterKey":true,"dataKeys":true})");
  for (std::size_t i = 1; i < requests.size(); ++i) EXPECT_EQ(requests[i].body, "{}");
  EXPECT_EQ(out.str(), "Wrapped 2 data keys, sealed 130 values, retired 4 data keys\n");
}

TEST_F(CommandsTest, ARotationThatDoesNotGetOnSaysWhy) {
  server.on("POST /v1/vault/rotate",
            reply(200, step_json(false, 0, R"(,"problem":"the master key is not there")")));
  EXPECT_EQ(run(vault, {.verb = "rotate", .abandon_lost = true}), 1);
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests().at(0).body, R"({"abandonLost":true})");
  EXPECT_THAT(err.str(), HasSubstr("Not done: 3 are left. the master key is not there"));
}

TEST_F(CommandsTest, TheVaultSaysHowItStands) {
  const std::string status =
      R"({"hasMasterKey":true,"masterKey":"0123","oldMasterKeys":1,"dataKeys":4,"dataKeysOfOldMasterKeys":2,)"
      R"("retiringDataKeys":0,"sealedValues":5,"clearValues":0,"rotationOpen":true)";
  server.on("GET /v1/vault", reply(200, status + "}"));
  EXPECT_EQ(run(vault, {.verb = "status"}), 0);
  EXPECT_THAT(out.str(),
              HasSubstr("Master key: 0123, 1 older accepted\nData keys: 4, 2 of older master keys"));
  EXPECT_THAT(err.str(), HasSubstr("agentrouter vault rotate"));
  server.on("GET /v1/vault", reply(200, status + R"(,"problem":"put it back"})"));
  EXPECT_EQ(run(vault, {.verb = "status"}), 1);
  EXPECT_THAT(err.str(), HasSubstr("Locked: put it back"));
}

TEST_F(CommandsTest, AMasterKeyIsPrintedOrWrittenForItsOwnerAlone) {
  EXPECT_EQ(generate_master_key({}, out, err), 0);
  const auto printed = out.str();
  EXPECT_EQ(base::from_base64(printed.substr(0, printed.size() - 1))->size(), 32u);
  const auto file = folder / "master";
  EXPECT_EQ(generate_master_key({.output = file.string()}, out, err), 0);
  struct stat info{};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 45);
  EXPECT_THAT(err.str(), HasSubstr("in no backup"));
  EXPECT_THROW((void)generate_master_key({.output = file.string()}, out, err), UsageError);
}

}  // namespace
}  // namespace agentrouter::cli
