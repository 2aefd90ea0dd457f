// Provider keys of workspaces, and what seals them, over HTTP.

#include "api/rig_test.h"

namespace agentrouter::api {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* canary_key = "sk-canary-0123456789abcdef";

class VaultRig : public ApiRig {
 protected:
  using ApiRig::ApiRig;
  Reply send(const std::string& method, const std::string& target, const std::string& body = "") {
    return raw(
        request(method, target, body, key() + (body.empty() ? "" : "Content-Type: application/json\r\n")));
  }
  Reply put(const std::string& provider, const std::string& body) {
    return send("PUT", "/v1/provider-keys/" + provider, body);
  }
  static std::string body_of(const std::string& secret, const std::string& more = "") {
    return R"({"value":")" + secret + "\"" + more + "}";
  }
};

class ProviderKeyRoutes : public VaultRig {};

TEST_F(ProviderKeyRoutes, AKeyGoesInAndIsNeverShown) {
  EXPECT_EQ(get("/v1/provider-keys").body, R"({"items":[]})");
  const auto made = put("openai", body_of(canary_key));
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_THAT(made.body, Not(HasSubstr(canary_key)));
  EXPECT_EQ(base::get_string(made.object(), "lastCharacters"), "cdef");
  EXPECT_EQ(put("openai", body_of(std::string(canary_key) + "g")).status, 200);
  EXPECT_EQ(put("anthropic", body_of(canary_key)).status, 201);
  const auto one = get("/v1/provider-keys/openai");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(base::get_string(one.object(), "lastCharacters"), "defg");
  const auto all = get("/v1/provider-keys");
  EXPECT_THAT(all.body, Not(HasSubstr("sk-canary")));
  EXPECT_EQ(base::get_array(all.object(), "items")->size(), 2u);
  EXPECT_EQ(send("DELETE", "/v1/provider-keys/openai").body, R"({"provider":"openai","deleted":true})");
  EXPECT_EQ(send("DELETE", "/v1/provider-keys/openai").error_code(), "provider_key_not_found");
  EXPECT_EQ(get("/v1/provider-keys/openai").status, 404);
}

TEST_F(ProviderKeyRoutes, WhatDoesNotFitIsSaidWithoutTheValue) {
  for (const auto* secret : {"short", "with a blank in it", R"(line\nend-of-key)"}) {
    const auto refused = put("openai", body_of(secret));
    EXPECT_EQ(refused.error_code(), "validation_error");
    EXPECT_THAT(refused.body, Not(HasSubstr(secret)));
  }
  EXPECT_EQ(put("openai", "{}").error_code(), "validation_error");
  EXPECT_EQ(put("openai", R"({"value":7})").error_code(), "validation_error");
  EXPECT_EQ(put("openai", body_of(canary_key, R"(,"more":1)")).error_code(), "validation_error");
  EXPECT_EQ(put("acme", body_of(canary_key)).error_code(), "validation_error");
  EXPECT_EQ(get("/v1/provider-keys/acme").error_code(), "provider_key_not_found");
}

TEST_F(ProviderKeyRoutes, ABaseUrlIsOneOfTheServers) {
  const auto allowed = put("openai", body_of(canary_key, R"(,"baseUrl":"https://eu.example.test/v1")"));
  EXPECT_EQ(allowed.status, 201) << allowed.body;
  EXPECT_EQ(base::get_string(allowed.object(), "baseUrl"), "https://eu.example.test/v1");
  const auto refused = put("openai", body_of(canary_key, R"(,"baseUrl":"http://169.254.169.254/latest")"));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.error_code(), "provider_url_refused");
}

TEST_F(ProviderKeyRoutes, TheVaultIsShownAndRotated) {
  EXPECT_EQ(get("/v1/vault").status, 200);
  put("openai", body_of(canary_key));
  const auto status = get("/v1/vault").object();
  EXPECT_EQ(base::get_int(status, "dataKeys"), 1);
  EXPECT_EQ(base::get_int(status, "sealedValues"), 1);
  EXPECT_EQ(base::get_bool(status, "rotationOpen"), false);
  const auto step = post("/v1/vault/rotate", R"({"dataKeys":true})");
  ASSERT_EQ(step.status, 200) << step.body;
  EXPECT_EQ(base::get_bool(step.object(), "done"), true);
  EXPECT_EQ(base::get_int(step.object(), "retiredDataKeys"), 1);
  EXPECT_EQ(post("/v1/vault/rotate", R"({"masterKey":true})").error_code(), "master_key_configured");
  EXPECT_EQ(post("/v1/vault/rotate", R"({"masterKey":1})").error_code(), "validation_error");
  EXPECT_EQ(post("/v1/vault/rotate", R"({"all":true})").error_code(), "validation_error");
}

class LockedRoutes : public VaultRig {
 protected:
  LockedRoutes() : VaultRig("") {}
};

TEST_F(LockedRoutes, WithoutAMasterKeyNothingIsTakenAndItIsSaidWhy) {
  const auto refused = put("openai", body_of(canary_key));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.error_code(), "vault_locked");
  EXPECT_EQ(refused.header("Retry-After"), "10");
  EXPECT_THAT(refused.body, HasSubstr("vault.master_key_file"));
  EXPECT_EQ(post("/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"]})").error_code(),
            "vault_locked");
  EXPECT_EQ(get("/v1/provider-keys").body, R"({"items":[]})");
  EXPECT_EQ(base::get_bool(get("/v1/vault").object(), "hasMasterKey"), false);
  EXPECT_EQ(post("/v1/runs", R"({"task":"t"})").status, 201) << "runs need no vault";
}

TEST_F(ProviderKeyRoutes, AValueThatWasChangedInTheStoreIsDamage) {
  const auto made = post("/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"]})",
                         "Idempotency-Key: once\r\n");
  ASSERT_EQ(made.status, 201);
  write([](store::Transaction& tx) {
    auto hook = tx.webhooks().at(0);
    hook.secret = "sealed:AAAA";
    tx.put_webhook(hook);
  });
  const auto again = post("/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"]})",
                          "Idempotency-Key: once\r\n");
  EXPECT_EQ(again.status, 503);
  EXPECT_EQ(again.error_code(), "sealed_damaged");
}

class OwnKeysOnly : public VaultRig {
 protected:
  OwnKeysOnly() : VaultRig("master key", {.needs_provider_key = true}) {}
};

TEST_F(OwnKeysOnly, RunsAreTakenFromWorkspacesThatHaveAKeyForTheirProvider) {
  const auto refused = post("/v1/runs", R"({"task":"t"})");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.error_code(), "provider_key_required");
  EXPECT_THAT(refused.body, HasSubstr(R"("details":{"provider":"openai"})"));
  put("openai", body_of(canary_key));
  const auto run = created();
  EXPECT_EQ(post("/v1/runs", R"({"task":"t","runtime":{"kind":"claude_code"}})").error_code(),
            "provider_key_required");
  append_claim(run);
  end_run(run);
  send("DELETE", "/v1/provider-keys/openai");
  EXPECT_EQ(post("/v1/runs/" + run + "/messages", R"({"message":"go on"})").error_code(),
            "provider_key_required");
}

}  // namespace

}  // namespace agentrouter::api
