#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

const std::string key_json =
    R"({"id":"key_1","name":"ci\u001b[2J","prefix":"ar_live_Ab3d","workspaces":["team-a"],"scopes":["runs:read"],)"
    R"("active":true,"createdBy":"key_0","createdAt":"2026")";

TEST_F(CommandsTest, AKeyIsMadeAndShownOnce) {
  server.on("POST /v1/keys", reply(201, key_json + R"(,"key":"ar_live_x"})"));
  EXPECT_EQ(run(keys, {.verb = "create", .display_name = "ci", .key_workspaces = {"team-a"}}), 0);
  EXPECT_EQ(
      server.requests().at(0).body,
      R"({"name":"ci","scopes":["runs:read","runs:write","approvals:decide"],"workspaces":["team-a"]})");
  EXPECT_THAT(out.str(), HasSubstr("key_1  ar_live_Ab3d...  ci"));
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out.str(),
              HasSubstr("  runs:read in team-a; active; never used\n  Key (shown only now): ar_live_x\n"));
}

TEST_F(CommandsTest, AKeyForEveryWorkspaceAndWithAnEndIsAskedFor) {
  server.on("POST /v1/keys", reply(201, key_json + "}"));
  EXPECT_EQ(
      run(keys,
          {.all = true, .verb = "create", .display_name = "x", .key_scopes = {"admin"}, .expires = "2027"}),
      0);
  EXPECT_EQ(server.requests().at(0).body,
            R"({"name":"x","scopes":["admin"],"workspaces":"*","expiresAt":"2027"})");
}

TEST_F(CommandsTest, KeysAreListedWithWhatBecameOfThem) {
  server.on(
      "GET /v1/keys",
      reply(200, R"({"items":[)" + key_json +
                     R"(,"lastUsedAt":"2026-01"},)"
                     R"({"id":"key_2","name":"a","prefix":"p","workspaces":"*","scopes":["admin"],)"
                     R"("active":false,"revokedAt":"2026-02"},{"id":"key_3","name":"b","prefix":"p",)"
                     R"("workspaces":["t"],"scopes":["admin"],"active":true,"expiresAt":"2026-03",)"
                     R"("replacedBy":"key_4"},{"id":"key_5","name":"c","prefix":"p","workspaces":["t"],)"
                     R"("scopes":["admin"],"active":false,"expiresAt":"2026-04"}]})"));
  EXPECT_EQ(run(keys, {.verb = "list"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("active; last used 2026-01\n"));
  EXPECT_THAT(out.str(), HasSubstr("admin in *; revoked 2026-02; never used\n"));
  EXPECT_THAT(out.str(), HasSubstr("replaced by key_4, holds until 2026-03"));
  EXPECT_THAT(out.str(), HasSubstr("expired 2026-04"));
}

TEST_F(CommandsTest, AKeyIsRotatedAndRevoked) {
  server.on("POST /v1/keys/key_1/rotate", reply(201, key_json + R"(,"key":"ar_live_y"})"));
  server.on("DELETE /v1/keys/key_1", reply(200, key_json + "}"));
  server.on("GET /v1/keys/key_1", reply(200, key_json + "}"));
  EXPECT_EQ(run(keys, {.verb = "rotate", .key_id = "key_1", .overlap = 60}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"overlapSeconds":60})");
  EXPECT_EQ(run(keys, {.verb = "show", .key_id = "key_1"}), 0);
  EXPECT_EQ(run(keys, {.verb = "revoke", .key_id = "key_1"}), 0);
  out.str("");
  EXPECT_EQ(run(keys, {.json = true, .verb = "show", .key_id = "key_1"}), 0);
  EXPECT_THAT(out.str(), HasSubstr(R"("prefix":"ar_live_Ab3d")"));
}

TEST_F(CommandsTest, WhatIsMissingOfAKeyIsSaidBeforeAnythingIsSent) {
  EXPECT_THROW(run(keys, {.verb = "create"}), UsageError);
  EXPECT_THROW(run(keys, {.name = "keys", .verb = "revoke"}), UsageError);
  EXPECT_THROW(run(keys, {.verb = "revoke", .key_id = "../x"}), UsageError);
  EXPECT_THROW(run(workspaces, {.verb = "create"}), UsageError);
  EXPECT_THROW(run(workspaces, {.verb = "rename", .key_id = "team-a"}), UsageError);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(CommandsTest, WorkspacesAreMadeListedAndDisabled) {
  const std::string team = R"({"id":"team-a","name":"Team A","disabled":false,"createdAt":"2026"})";
  server.on("POST /v1/workspaces", reply(201, team));
  server.on("GET /v1/workspaces",
            reply(200, R"({"items":[)" + team + R"(,{"id":"old","name":"Old","disabled":true}]})"));
  server.on("PATCH /v1/workspaces/team-a", reply(200, team));
  EXPECT_EQ(run(workspaces, {.verb = "create", .key_id = "team-a", .display_name = "Team A"}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"id":"team-a","name":"Team A"})");
  EXPECT_EQ(out.str(), "team-a  Team A\n");
  out.str("");
  EXPECT_EQ(run(workspaces, {.verb = "list"}), 0);
  EXPECT_EQ(out.str(), "team-a  Team A\nold  Old  disabled\n");
  EXPECT_EQ(run(workspaces, {.verb = "disable", .key_id = "team-a"}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"disabled":true})");
  EXPECT_EQ(run(workspaces, {.verb = "rename", .key_id = "team-a", .display_name = "A"}), 0);
  EXPECT_EQ(server.requests().back().body, R"({"name":"A"})");
}

TEST_F(CommandsTest, EveryCallSaysWhichWorkspaceIsMeant) {
  const Client team({.api_key = "k", .base_url = server.url(), .workspace_id = "team-a"});
  server.on("GET /v1/keys", reply(200, R"({"items":[]})"));
  (void)team.list_keys();
  EXPECT_EQ(server.requests().back().header("x-workspace-id"), "team-a");
  (void)client.list_keys();
  EXPECT_EQ(server.requests().back().header("x-workspace-id"), "");
}

}  // namespace
}  // namespace agentrouter::cli
