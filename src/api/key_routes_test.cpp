// Keys and workspaces over HTTP, and how a request is told whose it is.

#include "api/rig_test.h"
#include "tenancy/key_text.h"

namespace agentrouter::api {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class KeyRoutes : public ApiRig {
 protected:
  KeyRoutes() { EXPECT_EQ(post("/v1/workspaces", R"({"id":"team-a","name":"Team A"})").status, 201); }

  std::string text(const Reply& reply, const char* key) {
    return std::string(base::get_string(reply.object(), key).value_or(""));
  }
  Reply made(const std::string& more = R"("workspaces":["team-a"])") {
    auto reply = post("/v1/keys", R"({"name":"ci","scopes":["runs:read","admin"],)" + more + "}");
    EXPECT_EQ(reply.status, 201) << reply.body;
    return reply;
  }
  Reply as(const std::string& key, const std::string& more = "", const std::string& target = "/v1/runs") {
    return raw(request("GET", target, "", "Authorization: Bearer " + key + "\r\n" + more));
  }
  void set_disabled(bool disabled) {
    const auto body = std::string(R"({"disabled":)") + (disabled ? "true}" : "false}");
    EXPECT_EQ(
        raw(request("PATCH", "/v1/workspaces/team-a", body, key() + "Content-Type: application/json\r\n"))
            .status,
        200);
  }
  Reply remove(const std::string& id) { return raw(request("DELETE", "/v1/keys/" + id, "", key())); }
};

TEST_F(KeyRoutes, AKeyIsMadeShownOnceAndListed) {
  const auto reply = made();
  const auto secret = text(reply, "key");
  const auto id = text(reply, "id");
  EXPECT_TRUE(tenancy::is_key_text(secret));
  EXPECT_EQ(reply.header("Location"), "/v1/keys/" + id);
  EXPECT_EQ(reply.header("Cache-Control"), "no-store");
  EXPECT_TRUE(secret.starts_with(text(reply, "prefix")));
  for (const auto* target : {"/v1/keys", "/v1/audit"}) EXPECT_THAT(get(target).body, Not(HasSubstr(secret)));
  const auto shown = get("/v1/keys/" + id);
  EXPECT_EQ(shown.status, 200);
  EXPECT_THAT(shown.body, Not(HasSubstr(secret)));
  EXPECT_THAT(shown.body,
              HasSubstr(R"("workspaces":["team-a"],"scopes":["runs:read","admin"],"active":true)"));
  EXPECT_THAT(get("/v1/keys").body, HasSubstr(id));
  EXPECT_EQ(as(secret).status, 200);
}

TEST_F(KeyRoutes, ARevokedKeyOpensNothingWithTheNextRequest) {
  const auto reply = made();
  EXPECT_EQ(as(text(reply, "key")).status, 200);
  const auto gone = remove(text(reply, "id"));
  EXPECT_EQ(gone.status, 200);
  EXPECT_THAT(gone.body, HasSubstr(R"("active":false)"));
  const auto refused = as(text(reply, "key"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.error_code(), "unauthorized");
  EXPECT_EQ(refused.header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(remove("key_none").error_code(), "key_not_found");
}

TEST_F(KeyRoutes, ARotatedKeyHoldsForTheOverlap) {
  const auto old = made();
  const auto next = post("/v1/keys/" + text(old, "id") + "/rotate", R"({"overlapSeconds":60})");
  ASSERT_EQ(next.status, 201) << next.body;
  EXPECT_EQ(as(text(old, "key")).status, 200);
  EXPECT_EQ(as(text(next, "key")).status, 200);
  clock_.advance(std::chrono::seconds(60));
  EXPECT_EQ(as(text(old, "key")).status, 401);
  EXPECT_EQ(as(text(next, "key")).status, 200);
  EXPECT_EQ(text(get("/v1/keys/" + text(old, "id")), "replacedBy"), text(next, "id"));
  EXPECT_EQ(post("/v1/keys/" + text(old, "id") + "/rotate", "").error_code(), "key_replaced");
}

TEST_F(KeyRoutes, AKeyOpensNothingFromItsTimeOn) {
  const auto end = base::to_iso(clock_.now() + std::chrono::seconds(5));
  const auto reply = made(R"("expiresAt":")" + end + "\"");
  EXPECT_EQ(text(reply, "expiresAt"), end);
  EXPECT_EQ(as(text(reply, "key")).status, 200);
  clock_.advance(std::chrono::seconds(5));
  EXPECT_EQ(as(text(reply, "key")).status, 401);
  EXPECT_EQ(post("/v1/keys/" + text(reply, "id") + "/rotate", "").error_code(), "key_not_active");
}

TEST_F(KeyRoutes, WithoutAWorkspaceAKeyIsForThatOfTheRequest) {
  EXPECT_THAT(made(R"("expiresAt":"2100-01-01T00:00:00.000Z")").body,
              HasSubstr(R"("workspaces":["default"])"));
  const auto reply = post("/v1/keys", R"({"name":"ci","scopes":["admin"]})", "X-Workspace-Id: team-a\r\n");
  EXPECT_THAT(reply.body, HasSubstr(R"("workspaces":["team-a"])"));
}

TEST_F(KeyRoutes, TheHeaderChoosesAmongTheWorkspacesOfAKey) {
  const auto several = text(made(R"("workspaces":["team-a","default"])"), "key");
  const auto every = text(made(R"("workspaces":"*")"), "key");
  for (const auto& key : {several, every}) {
    const auto refused = as(key);
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.error_code(), "workspace_required");
    EXPECT_EQ(as(key, "x-workspace-id: team-a\r\n").status, 200);
    EXPECT_EQ(as(key, "X-Workspace-Id: default\r\n").status, 200);
    EXPECT_EQ(as(key, "X-Workspace-Id: team-z\r\n").error_code(), "workspace_unknown");
    EXPECT_EQ(as(key, "X-Workspace-Id: Team A\r\n").error_code(), "workspace_unknown");
    described_ = false;  // which no document says of a header
    EXPECT_EQ(as(key, "X-Workspace-Id: team-a\r\nX-Workspace-Id: team-a\r\n").error_code(),
              "validation_error");
    described_ = true;
    EXPECT_EQ(as(key, "", "/v1/workspaces").status, 200);
  }
  const auto run = text(post("/v1/runs", R"({"task":"t"})"), "id");
  EXPECT_EQ(as(several, "X-Workspace-Id: default\r\n", "/v1/runs/" + run).status, 200);
  EXPECT_EQ(as(several, "X-Workspace-Id: team-a\r\n", "/v1/runs/" + run).status, 404);
}

TEST_F(KeyRoutes, TheServersOwnKeyOpensEveryWorkspaceAndFirstTheDefaultOne) {
  EXPECT_EQ(get("/v1/runs", "X-Workspace-Id: team-a\r\n").status, 200);
  EXPECT_EQ(get("/v1/runs", "X-Workspace-Id: default\r\n").status, 200);
  EXPECT_EQ(get("/v1/runs", "X-Workspace-Id: team-z\r\n").error_code(), "workspace_unknown");
  EXPECT_EQ(get("/v1/runs", "X-Workspace-Id: \r\n").status, 200);
}

TEST_F(KeyRoutes, ADisabledWorkspaceIsOpenedByNobodyUntilItIsEnabled) {
  const auto key = text(made(), "key");
  const auto patch = [&](const char* body) {
    return raw(request("PATCH", "/v1/workspaces/team-a", body,
                       ApiRig::key() + "Content-Type: application/json\r\n"));
  };
  EXPECT_THAT(patch(R"({"disabled":true})").body, HasSubstr(R"("disabled":true)"));
  EXPECT_EQ(as(key).error_code(), "workspace_unknown");
  EXPECT_EQ(get("/v1/runs", "X-Workspace-Id: team-a\r\n").error_code(), "workspace_unknown");
  EXPECT_EQ(get("/v1/workspaces/team-a").status, 200);
  EXPECT_EQ(patch(R"({"disabled":false})").status, 200);
  EXPECT_EQ(as(key).status, 200);
  const auto never = raw(request("PATCH", "/v1/workspaces/default", R"({"disabled":true})",
                                 ApiRig::key() + "Content-Type: application/json\r\n"));
  EXPECT_EQ(never.status, 409);
  EXPECT_EQ(never.error_code(), "workspace_needed");
}

TEST_F(KeyRoutes, AKeyOfDisabledWorkspacesOpensNothingAboutKeysEither) {
  const auto reply = made();
  const auto key = text(reply, "key");
  const std::vector<std::pair<std::string, std::string>> all{
      {"GET", "/v1/keys"},
      {"POST", "/v1/keys"},
      {"GET", "/v1/keys/" + text(reply, "id")},
      {"DELETE", "/v1/keys/" + text(reply, "id")},
      {"POST", "/v1/keys/" + text(reply, "id") + "/rotate"},
      {"GET", "/v1/workspaces"},
      {"POST", "/v1/workspaces"},
      {"GET", "/v1/workspaces/team-a"},
      {"PATCH", "/v1/workspaces/team-a"}};
  set_disabled(true);
  for (const auto& [method, target] : all) {
    const auto refused = raw(request(method, target, "", "Authorization: Bearer " + key + "\r\n"));
    EXPECT_EQ(refused.status, 404) << method << " " << target;
    EXPECT_EQ(refused.error_code(), "workspace_unknown") << method << " " << target;
  }
  set_disabled(false);
  EXPECT_EQ(as(key, "", "/v1/keys").status, 200);
}

TEST_F(KeyRoutes, AKeyWorksForThoseOfItsWorkspacesThatAreNotDisabled) {
  const auto theirs = text(made(), "id");
  const auto mine = text(made(R"("workspaces":["default"])"), "id");
  const auto both = text(made(R"("workspaces":["team-a","default"])"), "key");
  const auto make = [&](const char* workspaces) {
    const auto body = std::string(R"({"name":"n","scopes":["admin"],"workspaces":)") + workspaces + "}";
    return raw(request("POST", "/v1/keys", body,
                       "Authorization: Bearer " + both + "\r\nContent-Type: application/json\r\n"));
  };
  EXPECT_EQ(make(R"(["team-a"])").status, 201);
  set_disabled(true);
  EXPECT_EQ(make(R"(["team-a"])").error_code(), "workspace_unknown");
  EXPECT_EQ(make(R"(["default","team-a"])").error_code(), "workspace_unknown");
  EXPECT_EQ(make("\"*\"").error_code(), "forbidden_scope");
  EXPECT_EQ(make(R"(["default"])").status, 201);
  EXPECT_EQ(as(both, "", "/v1/keys/" + theirs).error_code(), "key_not_found");
  EXPECT_EQ(as(both, "", "/v1/keys/" + mine).status, 200);
  EXPECT_EQ(as(both, "", "/v1/workspaces/team-a").error_code(), "workspace_unknown");
  EXPECT_THAT(as(both, "", "/v1/workspaces").body, Not(HasSubstr("team-a")));
  EXPECT_EQ(as(both, "X-Workspace-Id: default\r\n").status, 200);
}

TEST_F(KeyRoutes, AKeyForEveryWorkspaceManagesDisabledOnes) {
  const auto theirs = text(made(), "id");
  const auto every = text(made(R"("workspaces":"*")"), "key");
  set_disabled(true);
  EXPECT_EQ(as(every, "", "/v1/workspaces/team-a").status, 200);
  EXPECT_EQ(as(every, "", "/v1/keys/" + theirs).status, 200);
  EXPECT_EQ(remove(theirs).status, 200);
  EXPECT_EQ(raw(request("PATCH", "/v1/workspaces/team-a", R"({"disabled":false})",
                        "Authorization: Bearer " + every + "\r\nContent-Type: application/json\r\n"))
                .status,
            200);
}

TEST_F(KeyRoutes, WorkspacesAreListedPageByPage) {
  EXPECT_EQ(post("/v1/workspaces", R"({"id":"team-a"})").error_code(), "workspace_exists");
  EXPECT_EQ(post("/v1/workspaces", R"({"id":"team-b"})").status, 201);
  const auto first = get("/v1/workspaces?limit=2").object();
  EXPECT_EQ(first.at("items").as_array().size(), 2u);
  EXPECT_EQ(first.at("nextAfter").as_string(), "team-a");
  const auto rest = get("/v1/workspaces?limit=2&after=team-a").object();
  EXPECT_EQ(rest.at("items").at(0).at("id").as_string(), "team-b");
  EXPECT_FALSE(rest.contains("nextAfter"));
  EXPECT_EQ(get("/v1/workspaces?after=team-z").error_code(), "workspace_unknown");
  EXPECT_EQ(get("/v1/keys?after=key_none").error_code(), "key_not_found");
}

TEST_F(KeyRoutes, WhatDoesNotFitIsNamed) {
  for (const auto* body :
       {R"({})", R"({"name":"x"})", R"({"name":"","scopes":["admin"]})", R"({"name":"x","scopes":[]})",
        R"({"name":"x","scopes":["all"]})", R"({"name":"x","scopes":"admin"})",
        R"({"name":"x","scopes":[1]})", R"({"name":"x","scopes":["admin"],"workspaces":[]})",
        R"({"name":"x","scopes":["admin"],"workspaces":["*"]})",
        R"({"name":"x","scopes":["admin"],"workspaces":"team-a"})",
        R"({"name":"x","scopes":["admin"],"expiresAt":"tomorrow"})",
        R"({"name":"x","scopes":["admin"],"expiresAt":"2020-01-01T00:00:00Z"})",
        R"({"name":"x","scopes":["admin"],"key":"ar_live_"})"})
    EXPECT_EQ(post("/v1/keys", body).error_code(), "validation_error") << body;
  EXPECT_EQ(post("/v1/keys", R"({"name":"x","scopes":["admin"],"workspaces":["team-z"]})").error_code(),
            "workspace_unknown");
  const auto id = text(made(), "id");
  for (const auto* body : {R"({"overlapSeconds":-1})", R"({"overlapSeconds":2592001})", R"({"overlap":1})"})
    EXPECT_EQ(post("/v1/keys/" + id + "/rotate", body).error_code(), "validation_error") << body;
  for (const auto* body :
       {R"({})", R"({"id":"Team"})", R"({"id":""})", R"({"id":"x","name":""})", R"({"id":"a b"})"})
    EXPECT_EQ(post("/v1/workspaces", body).error_code(), "validation_error") << body;
  EXPECT_EQ(get("/v1/keys?limit=0").error_code(), "validation_error");
}

TEST_F(KeyRoutes, AMistypedKeyIsRefusedAsAnUnknownOneIs) {
  auto key = text(made(), "key");
  const auto unknown = as(tenancy::new_key_text(entropy_));
  key.back() = key.back() == 'x' ? 'y' : 'x';
  const auto mistyped = as(key);
  EXPECT_EQ(mistyped.status, 401);
  EXPECT_EQ(mistyped.body, unknown.body);
}

TEST_F(KeyRoutes, WhoActsIsNamedByHisKey) {
  const auto reply = made(R"("workspaces":["team-a"])");
  const auto run = raw(request(
      "POST", "/v1/runs", R"({"task":"t"})",
      "Authorization: Bearer " +
          text(post("/v1/keys", R"({"name":"w","scopes":["runs:write"],"workspaces":["team-a"]})"), "key") +
          "\r\nContent-Type: application/json\r\n"));
  ASSERT_EQ(run.status, 201) << run.body;
  const auto chain = as(text(reply, "key"), "", "/v1/audit").object().at("items").as_array();
  std::vector<std::string> types;
  for (const auto& entry : chain) types.emplace_back(entry.at("type").as_string());
  EXPECT_THAT(types, ElementsAre("workspace.created", "key.created", "key.created", "run.created"));
  EXPECT_TRUE(chain.back().at("who").as_string().starts_with("key_"));
  EXPECT_NE(chain.back().at("who").as_string(), chain.front().at("who").as_string());
}

class KeyUse : public ApiRig {
 protected:
  // An API of its own that is told of uses.
  ApiOptions options() {
    ApiOptions options;
    options.on_key_used = [this](const std::string& key, base::Time at) { told_.emplace_back(key, at); };
    return options;
  }
  void serve() {
    std::promise<std::uint16_t> port;
    asio::post(io_, [&] { port.set_value(base::value_or_throw(watched_server_.listen("127.0.0.1", 0))); });
    watched_port_ = port.get_future().get();
  }
  void stop() {
    on_task([this]() -> base::Task<void> {
      co_await watched_server_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
    });
  }

  std::vector<std::pair<std::string, base::Time>> told_;
  Api watched_{
      {*store_, *blobs_, hub_, pool_, vault_, clock_, entropy_}, Authenticator("test-key"), options()};
  net::Server watched_server_{io_.get_executor(), watched_,
                              [this](const net::ServerError& error) { return watched_.error_reply(error); }};
  std::uint16_t watched_port_ = 0;
};

TEST_F(KeyUse, IsToldAtMostOnceAMinute) {
  serve();
  const auto made = post("/v1/keys", R"({"name":"ci","scopes":["runs:read"]})").object();
  const auto id = std::string(*base::get_string(made, "id"));
  const auto ask = [&](const std::string& key) {
    Wire wire(watched_port_, false);
    wire.send(request("GET", "/v1/runs", "", "Authorization: Bearer " + key + "\r\n"));
    return read_reply(wire.read_to_end()).status;
  };
  const auto key = std::string(*base::get_string(made, "key"));
  const auto first = clock_.now();
  EXPECT_EQ(ask(key), 200);
  clock_.advance(std::chrono::milliseconds(59'999));
  EXPECT_EQ(ask(key), 200);
  EXPECT_EQ(ask("test-key"), 200);
  clock_.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(ask(key), 200);
  stop();
  EXPECT_THAT(told_, ElementsAre(std::pair(id, first), std::pair(id, first + std::chrono::minutes(1))));
}

}  // namespace

}  // namespace agentrouter::api
