// What belongs to another workspace is answered, by every route that there is, as what never was: the same
// bytes but for the id, after the same work of the store.

#include "api/rig_test.h"
#include "runs/decide.h"
#include "runs/standing_rules.h"
#include "store/sqlite/step_count_conformance.h"

namespace agentrouter::api {

namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// The ids of one workspace's things.
struct Things {
  std::string run, action, artifact, rule, webhook, delivery, upload, key, workspace;
};

struct RouteCase {
  std::string target;     // of a request that names something: {run}, {action}... stand for the ids
  std::string body = {};  // of the same
  std::string needs = "runs:read";
  bool counted = true;  // the store's work is held against that for what never was
  int owner_gets = 200;
};

std::string filled(std::string text, const Things& things) {
  const std::vector<std::pair<std::string, std::string>> all{
      {"{run}", things.run},       {"{action}", things.action},   {"{artifact}", things.artifact},
      {"{rule}", things.rule},     {"{webhook}", things.webhook}, {"{delivery}", things.delivery},
      {"{upload}", things.upload}, {"{key}", things.key},         {"{workspace}", things.workspace},
      {"{digest}", test_digest()}};
  for (const auto& [hole, id] : all) {
    for (auto at = text.find(hole); at != text.npos; at = text.find(hole, at + id.size()))
      text.replace(at, hole.size(), id);
  }
  return text;
}

// The reply without what differs between any two, and with holes in place of the ids.
std::string faceless(const Reply& reply, const Things& things) {
  auto text = reply.head + "\r\n\r\n" + reply.body;
  for (const auto* field : {"\r\nDate: ", "\r\nX-Request-Id: "}) {
    const auto at = text.find(field);
    if (at != text.npos) text.erase(at, text.find("\r\n", at + 2) - at);
  }
  for (const auto& id : {things.run, things.action, things.artifact, things.rule, things.webhook,
                         things.delivery, things.upload, things.key, things.workspace}) {
    if (id.empty()) continue;
    for (auto at = text.find(id); at != text.npos; at = text.find(id)) text.replace(at, id.size(), "ID");
  }
  return text;
}

// One case for each route of the table but the open ones; some have several.
const std::multimap<std::string, RouteCase>& cases() {
  const std::string decision = R"({"actionDigest":"{digest}"})";
  const std::string go_on = R"({"message":"go on"})";
  static const std::multimap<std::string, RouteCase> all{
      {"POST /v1/uploads", {"/v1/uploads", "bytes", "runs:write", false}},
      {"GET /v1/runs", {"/v1/runs?conversationId={run}"}},
      {"GET /v1/runs", {"/v1/runs?tag.env=theirs"}},
      {"GET /v1/runs", {"/v1/runs?q=bridge", {}, "runs:read", false}},
      {"POST /v1/runs",
       {"/v1/runs", R"({"task":"t","workspace":{"fromRun":{"runId":"{run}"}}})", "runs:write"}},
      {"POST /v1/runs",
       {"/v1/runs", R"({"task":"t","workspace":{"upload":{"id":"{upload}"}}})", "runs:write"}},
      {"GET /v1/runs/{run}", {"/v1/runs/{run}"}},
      {"DELETE /v1/runs/{run}", {"/v1/runs/{run}", {}, "runs:write"}},
      {"GET /v1/runs/{run}/session", {"/v1/runs/{run}/session"}},
      {"GET /v1/runs/{run}/events", {"/v1/runs/{run}/events"}},
      {"GET /v1/runs/{run}/stream", {"/v1/runs/{run}/stream"}},
      {"GET /v1/runs/{run}/stream", {"/v1/runs/{run}/stream?follow=true"}},
      {"GET /v1/runs/{run}/record", {"/v1/runs/{run}/record"}},
      {"POST /v1/runs/{run}/cancel", {"/v1/runs/{run}/cancel", "{}", "runs:write"}},
      {"POST /v1/runs/{run}/messages", {"/v1/runs/{run}/messages", go_on, "runs:write"}},
      {"POST /v1/runs/{run}/fork", {"/v1/runs/{run}/fork", go_on, "runs:write"}},
      {"GET /v1/runs/{run}/turns", {"/v1/runs/{run}/turns"}},
      {"POST /v1/runs/{run}/close", {"/v1/runs/{run}/close", "{}", "runs:write"}},
      {"POST /v1/runs/{run}/actions/{item}/approve",
       {"/v1/runs/{run}/actions/{action}/approve", decision, "approvals:decide"}},
      {"POST /v1/runs/{run}/actions/{item}/deny",
       {"/v1/runs/{run}/actions/{action}/deny", decision, "approvals:decide"}},
      {"GET /v1/approvals", {"/v1/approvals?runId={run}"}},
      {"GET /v1/runs/{run}/approval-rules", {"/v1/runs/{run}/approval-rules"}},
      {"POST /v1/runs/{run}/approval-rules",
       {"/v1/runs/{run}/approval-rules", R"({"decision":"denied","rule":{"tool":"shell"}})",
        "approvals:decide"}},
      {"DELETE /v1/runs/{run}/approval-rules/{part}",
       {"/v1/runs/{run}/approval-rules/{rule}", {}, "approvals:decide"}},
      {"GET /v1/audit", {"/v1/audit", {}, "runs:read", false}},
      {"GET /v1/webhooks", {"/v1/webhooks", {}, "runs:read", false}},
      {"POST /v1/webhooks",
       {"/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"]})", "admin", false}},
      {"GET /v1/webhooks/{item}", {"/v1/webhooks/{webhook}"}},
      {"PATCH /v1/webhooks/{item}", {"/v1/webhooks/{webhook}", R"({"enabled":false})", "admin"}},
      {"DELETE /v1/webhooks/{item}", {"/v1/webhooks/{webhook}", {}, "admin"}},
      {"POST /v1/webhooks/{item}/rotate", {"/v1/webhooks/{webhook}/rotate", "{}", "admin"}},
      {"POST /v1/webhooks/{item}/test", {"/v1/webhooks/{webhook}/test", "{}", "admin"}},
      {"GET /v1/webhooks/{item}/deliveries", {"/v1/webhooks/{webhook}/deliveries"}},
      {"POST /v1/webhooks/{item}/deliveries/{part}/redeliver",
       {"/v1/webhooks/{webhook}/deliveries/{delivery}/redeliver", "{}", "admin"}},
      {"GET /v1/keys", {"/v1/keys?after={key}", {}, "admin", false}},
      {"POST /v1/keys",
       {"/v1/keys", R"({"name":"x","scopes":["admin"],"workspaces":["{workspace}"]})", "admin"}},
      {"GET /v1/keys/{item}", {"/v1/keys/{key}", {}, "admin", false}},
      {"DELETE /v1/keys/{item}", {"/v1/keys/{key}", {}, "admin", false}},
      {"POST /v1/keys/{item}/rotate", {"/v1/keys/{key}/rotate", "{}", "admin", false}},
      {"GET /v1/workspaces", {"/v1/workspaces?after={workspace}", {}, "admin"}},
      {"POST /v1/workspaces", {"/v1/workspaces", R"({"id":"{workspace}"})", "admin"}},
      {"GET /v1/workspaces/{item}", {"/v1/workspaces/{workspace}", {}, "admin"}},
      {"PATCH /v1/workspaces/{item}", {"/v1/workspaces/{workspace}", R"({"name":"mine"})", "admin"}},
      {"GET /v1/budgets", {"/v1/budgets", {}, "runs:read", false}},
      {"GET /v1/provider-keys", {"/v1/provider-keys", {}, "admin", false}},
      {"GET /v1/provider-keys/{item}", {"/v1/provider-keys/openai", {}, "admin", false, 404}},
      {"PUT /v1/provider-keys/{item}",
       {"/v1/provider-keys/openai", R"({"value":"sk-of-team-b"})", "admin", false}},
      {"DELETE /v1/provider-keys/{item}", {"/v1/provider-keys/openai", {}, "admin", false}},
      {"GET /v1/vault", {"/v1/vault", {}, "admin", false, 403}},
      {"POST /v1/vault/rotate", {"/v1/vault/rotate", "{}", "admin", false}},
      {"GET /v1/nodes", {"/v1/nodes", {}, "admin", false, 403}},
      {"POST /v1/nodes/{item}/drain", {"/v1/nodes/worker_1/drain", "{}", "admin", false}},
      {"POST /v1/nodes/{item}/undrain", {"/v1/nodes/worker_1/undrain", "{}", "admin", false}},
      {"POST /v1/runs/{run}/approvals",
       {"/v1/runs/{run}/approvals",
        R"({"decisions":[{"actionId":"{action}","actionDigest":"{digest}","decision":"approved"}]})",
        "approvals:decide"}},
      {"GET /v1/runs/{run}/artifacts", {"/v1/runs/{run}/artifacts"}},
      {"GET /v1/runs/{run}/artifacts/{item}/download",
       {"/v1/runs/{run}/artifacts/{artifact}/download", {}, "runs:read", true, 404}},
      {"GET /v1/runs/{run}/files", {"/v1/runs/{run}/files"}},
      {"GET /v1/runs/{run}/files/{path}", {"/v1/runs/{run}/files/a/b"}},
      {"GET /v1/runs/{run}/archive", {"/v1/runs/{run}/archive"}},
      {"GET /v1/runs/{run}/logs/{item}", {"/v1/runs/{run}/logs/stdout"}},
      {"POST /v1/runs/{run}/push", {"/v1/runs/{run}/push", R"({"branch":"b","message":"m"})", "runs:write"}},
  };
  return all;
}

// Before the store is opened.
class Counting {
 protected:
  Counting() { (void)store::StepCount::instance(); }
};

class Isolation : private Counting, public ApiRig {
 protected:
  Isolation() {
    described_ = false;  // what its runs have done is made up
    files_ = []() -> base::Result<std::unique_ptr<workspace::FileAnswer>> {
      return std::make_unique<ToldFiles>(json::object{{"entries", json::array()}},
                                         std::vector<std::string>{"{}"});
    };
    pushes_ = [] { return PushAnswer{"b", std::string(40, 'a'), "https://git.example/x.git", 1}; };
    for (const auto* id : {"team-a", "team-b"})
      EXPECT_EQ(post("/v1/workspaces", R"({"id":")" + std::string(id) + "\"}").status, 201);
    a_ = new_key("team-a", "admin");
    b_ = new_key("team-b", "admin");
    theirs_ = things_of_a();
  }
  // The text of the key, and its id.
  std::pair<std::string, std::string> new_key(const std::string& workspace, const std::string& scope) {
    const auto made =
        post("/v1/keys", R"({"name":"k","scopes":[")" + scope + R"("],"workspaces":[")" + workspace + "\"]}");
    EXPECT_EQ(made.status, 201) << made.body;
    const auto object = made.object();
    return {std::string(*base::get_string(object, "key")), std::string(*base::get_string(object, "id"))};
  }
  Reply as(const std::string& key, const std::string& method, const std::string& target,
           const std::string& body = {}, const std::string& more = {}) {
    auto headers = "Authorization: Bearer " + key + "\r\n" + more;
    if (!body.empty()) headers += "Content-Type: application/json\r\n";
    return raw(request(method, target, body, headers));
  }
  std::string id_in(const Reply& reply) {
    return std::string(base::get_string(reply.object(), "id").value_or(""));
  }

  Things things_of_a() {
    const auto& key = a_.first;
    Things all{.key = a_.second, .workspace = "team-a"};
    all.run = id_in(as(key, "POST", "/v1/runs", R"({"task":"mend the bridge","tags":{"env":"theirs"}})"));
    all.action = asked(all.run);
    store::StandingRule rule{
        .id = "rule_" + base::uuid_from_text("rule"), .run_id = model::RunId(all.run), .rule = "{}"};
    auto artifact = model::named_artifact(model::RunId(all.run), "stdout_log");
    write([&](store::Transaction& tx) {
      tx.put_standing_rule(rule);
      tx.put_artifact(artifact);
    });
    all.rule = rule.id;
    all.artifact = artifact.id.str();
    all.webhook =
        id_in(as(key, "POST", "/v1/webhooks", R"({"url":"https://hooks.example/a","events":["*"]})"));
    all.delivery = id_in(as(key, "POST", "/v1/webhooks/" + all.webhook + "/test", "{}"));
    const auto upload = as(key, "POST", "/v1/uploads", "bytes").object();
    all.upload = std::string(*base::get_string(*base::get_object(upload, "upload"), "id"));
    return all;
  }
  // Ids of the same form that nothing ever had; another set for each `seed`.
  Things nothing(const std::string& seed) {
    const auto id = [&](const char* kind) {
      return std::string(kind) + "_" + base::uuid_from_text(kind + seed);
    };
    return {id("run"),     id("action"), id("artifact"), id("rule"),
            id("wh"),      id("msg"),    id("upload"),   "key_" + base::uuid_from_text(seed).substr(24),
            "team-" + seed};
  }
  Reply ask(const std::string& key, const std::string& route, const RouteCase& one, const Things& things) {
    return as(key, route.substr(0, route.find(' ')), filled(one.target, things), filled(one.body, things));
  }

  std::pair<std::string, std::string> a_;
  std::pair<std::string, std::string> b_;
  Things theirs_;
};

TEST_F(Isolation, EveryRouteOfTheTableIsInThisTest) {
  const std::vector<std::string> open{"GET /healthz", "GET /readyz", "GET /openapi.json"};
  for (const auto& route : Api::route_names()) {
    if (std::ranges::find(open, route) != open.end()) continue;
    EXPECT_TRUE(cases().contains(route))
        << "say in cases() what " << route << " does with what belongs to others";
  }
  for (const auto& [route, one] : cases()) EXPECT_THAT(Api::route_names(), Contains(route));
}

TEST_F(Isolation, WhatBelongsToAnotherWorkspaceIsAnsweredAsWhatNeverWas) {
  for (const auto& [route, one] : cases()) {
    if (one.target.find('{') == std::string::npos && one.body.find("{run}") == std::string::npos &&
        one.body.find("{upload}") == std::string::npos)
      continue;
    const auto never = nothing("z");
    const auto other = ask(b_.first, route, one, theirs_);
    const auto none = ask(b_.first, route, one, never);
    EXPECT_EQ(faceless(other, theirs_), faceless(none, never)) << route << " " << one.target;
    EXPECT_EQ(other.body.size(), none.body.size()) << route;
  }
}

// The first times are not counted: SQLite prepares its statements then.
TEST_F(Isolation, TheStoreDoesTheSameForBoth) {
  auto& count = store::StepCount::instance();
  const auto steps = [&](const std::string& route, const RouteCase& one, const Things& things) {
    count.reset();
    (void)ask(b_.first, route, one, things);
    return count.steps();
  };
  for (const auto& [route, one] : cases()) {
    if (!one.counted) continue;
    for (const auto* seed : {"w", "x"}) (void)ask(b_.first, route, one, nothing(seed));
    EXPECT_EQ(steps(route, one, theirs_), steps(route, one, nothing("y"))) << route << " " << one.target;
    EXPECT_GT(count.steps(), 0) << route;
  }
}

TEST_F(Isolation, ListsHoldNothingOfOthers) {
  for (const auto* target :
       {"/v1/runs", "/v1/runs?status=active", "/v1/runs?q=bridge", "/v1/runs?tag.env=theirs", "/v1/approvals",
        "/v1/webhooks", "/v1/audit", "/v1/keys", "/v1/workspaces", "/v1/budgets"}) {
    const auto mine = as(a_.first, "GET", target);
    const auto reply = as(b_.first, "GET", target);
    EXPECT_EQ(reply.status, 200) << target << reply.body;
    if (std::string_view(target) != "/v1/budgets") EXPECT_NE(mine.body, reply.body) << target;
    for (const auto& id :
         {theirs_.run, theirs_.action, theirs_.webhook, theirs_.delivery, theirs_.key, theirs_.workspace})
      EXPECT_THAT(reply.body, Not(HasSubstr(id))) << target;
  }
}

TEST_F(Isolation, NothingOfOthersIsChanged) {
  const auto seen = [&] {
    std::string all;
    for (const auto* target : {"/v1/runs/{run}", "/v1/runs/{run}/events", "/v1/runs/{run}/approval-rules",
                               "/v1/runs/{run}/artifacts", "/v1/approvals", "/v1/webhooks/{webhook}",
                               "/v1/webhooks/{webhook}/deliveries", "/v1/workspaces/{workspace}"})
      all += as(a_.first, "GET", filled(target, theirs_)).body + "\n";
    return all;
  };
  const auto before = seen();
  for (const auto& [route, one] : cases()) (void)ask(b_.first, route, one, theirs_);
  EXPECT_EQ(seen(), before);
  EXPECT_TRUE(asked_files_.empty());
  EXPECT_TRUE(asked_pushes_.empty());
}

TEST_F(Isolation, WhoeverOwnsItHasIt) {
  for (const auto& [route, one] : cases()) {
    if (!route.starts_with("GET") || one.target.ends_with("follow=true")) continue;
    const auto reply = ask(a_.first, route, one, theirs_);
    EXPECT_EQ(reply.status, one.owner_gets) << route << " " << reply.body;
  }
}

TEST_F(Isolation, AnIdempotencyKeyIsOneOfItsWorkspace) {
  const std::string key = "Idempotency-Key: once\r\n";
  const auto body = R"({"task":"t"})";
  const auto first = as(a_.first, "POST", "/v1/runs", body, key);
  const auto second = as(b_.first, "POST", "/v1/runs", body, key);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 201);
  EXPECT_NE(id_in(first), id_in(second));
  EXPECT_EQ(id_in(as(a_.first, "POST", "/v1/runs", body, key)), id_in(first));
  EXPECT_EQ(as(b_.first, "POST", "/v1/runs", R"({"task":"u"})", key).error_code(), "idempotency_conflict");
  // A decision of the one is not replayed to the other.
  const auto decision = R"({"actionDigest":")" + test_digest() + "\"}";
  const auto target = "/v1/runs/" + theirs_.run + "/actions/" + theirs_.action + "/approve";
  EXPECT_EQ(as(a_.first, "POST", target, decision, key).status, 200);
  EXPECT_EQ(as(b_.first, "POST", target, decision, key).error_code(), "run_not_found");
}

TEST_F(Isolation, EveryRouteSaysWhichScopeItNeeds) {
  const std::vector<std::string> scopes{"runs:read", "runs:write", "approvals:decide"};
  std::map<std::string, std::string> keys;
  for (const auto& scope : scopes) keys[scope] = new_key("team-a", scope).first;
  const auto never = nothing("z");
  for (const auto& [route, one] : cases()) {
    for (const auto& scope : scopes) {
      const bool asks = route == "GET /v1/approvals" && scope == "approvals:decide";
      const auto reply = ask(keys[scope], route, one, never);
      const bool refused = reply.status == 403;
      EXPECT_EQ(refused, scope != one.needs && !asks) << route << " with " << scope << ": " << reply.body;
      if (!refused) continue;
      EXPECT_EQ(reply.error_code(), "forbidden_scope");
      EXPECT_THAT(reply.body, HasSubstr(R"("needed":")" + one.needs + "\"")) << route;
    }
  }
}

TEST_F(Isolation, AKeyForAnotherWorkspaceIsNoKeyForThisOne) {
  for (const auto* wanted : {"team-a", "team-z", "default"}) {
    const auto reply = as(b_.first, "GET", "/v1/runs", {}, "X-Workspace-Id: " + std::string(wanted) + "\r\n");
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(reply.error_code(), "workspace_unknown");
  }
}

TEST_F(Isolation, ARunOfAWorkspaceSaysWhose) {
  EXPECT_EQ(base::get_string(as(a_.first, "GET", "/v1/runs/" + theirs_.run).object(), "workspaceId"),
            "team-a");
  EXPECT_FALSE(get("/v1/runs/" + created()).object().contains("workspaceId"));
}

}  // namespace

}  // namespace agentrouter::api
