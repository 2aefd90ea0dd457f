// Requests that are admitted, and whose caller is shut out before they write.

#include <thread>

#include "api/rig_test.h"
#include "tenancy/key_text.h"

namespace agentrouter::api {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What the route is about: a workspace, keys and workspaces, or the servers themselves.
enum class About { workspace, keys, server };

struct LateCase {
  std::string route;
  std::string target;
  std::string body = {};
  About about = About::workspace;

  [[nodiscard]] std::string method() const { return route.substr(0, route.find(' ')); }
};

// Each is refused before what it names is looked for: none of it is there.
const std::vector<LateCase>& late_cases() {
  const std::string decision = R"({"actionDigest":")" + test_digest() + "\"}";
  const std::string go_on = R"({"message":"go on"})";
  static const std::vector<LateCase> all{
      {"POST /v1/uploads", "/v1/uploads", "bytes"},
      {"POST /v1/runs", "/v1/runs", R"({"task":"t"})"},
      {"DELETE /v1/runs/{run}", "/v1/runs/run_x"},
      {"POST /v1/runs/{run}/cancel", "/v1/runs/run_x/cancel", "{}"},
      {"POST /v1/runs/{run}/messages", "/v1/runs/run_x/messages", go_on},
      {"POST /v1/runs/{run}/fork", "/v1/runs/run_x/fork", go_on},
      {"POST /v1/runs/{run}/close", "/v1/runs/run_x/close", "{}"},
      {"POST /v1/runs/{run}/actions/{item}/approve", "/v1/runs/run_x/actions/action_x/approve", decision},
      {"POST /v1/runs/{run}/actions/{item}/deny", "/v1/runs/run_x/actions/action_x/deny", decision},
      {"POST /v1/runs/{run}/approvals", "/v1/runs/run_x/approvals",
       R"({"decisions":[{"actionId":"a","actionDigest":")" + test_digest() + R"(","decision":"approved"}]})"},
      {"POST /v1/runs/{run}/approval-rules", "/v1/runs/run_x/approval-rules",
       R"({"decision":"denied","rule":{"tool":"shell"}})"},
      {"DELETE /v1/runs/{run}/approval-rules/{part}", "/v1/runs/run_x/approval-rules/rule_x"},
      {"POST /v1/runs/{run}/push", "/v1/runs/run_x/push", R"({"branch":"b","message":"m"})"},
      {"POST /v1/webhooks", "/v1/webhooks", R"({"url":"https://hooks.example/x","events":["run.*"]})"},
      {"PATCH /v1/webhooks/{item}", "/v1/webhooks/wh_x", R"({"enabled":false})"},
      {"DELETE /v1/webhooks/{item}", "/v1/webhooks/wh_x"},
      {"POST /v1/webhooks/{item}/rotate", "/v1/webhooks/wh_x/rotate", "{}"},
      {"POST /v1/webhooks/{item}/test", "/v1/webhooks/wh_x/test", "{}"},
      {"POST /v1/webhooks/{item}/deliveries/{part}/redeliver", "/v1/webhooks/wh_x/deliveries/msg_x/redeliver",
       "{}"},
      {"PUT /v1/provider-keys/{item}", "/v1/provider-keys/openai", R"({"value":"sk-of-nobody"})"},
      {"DELETE /v1/provider-keys/{item}", "/v1/provider-keys/openai"},
      {"POST /v1/keys", "/v1/keys", R"({"name":"x","scopes":["admin"],"workspaces":["team-a"]})",
       About::keys},
      {"DELETE /v1/keys/{item}", "/v1/keys/key_x", {}, About::keys},
      {"POST /v1/keys/{item}/rotate", "/v1/keys/key_x/rotate", "{}", About::keys},
      {"POST /v1/workspaces", "/v1/workspaces", R"({"id":"team-z"})", About::server},
      {"PATCH /v1/workspaces/{item}", "/v1/workspaces/team-a", R"({"name":"mine"})", About::server},
      {"POST /v1/vault/rotate", "/v1/vault/rotate", "{}", About::server},
      {"POST /v1/nodes/{item}/drain", "/v1/nodes/worker_1/drain", "{}", About::server},
      {"POST /v1/nodes/{item}/undrain", "/v1/nodes/worker_1/undrain", "{}", About::server},
  };
  return all;
}

class LateWrites : public ApiRig {
 protected:
  LateWrites() {
    described_ = false;  // bodies of their own pace are no example for a document
    pushes_ = [] { return PushAnswer{"b", std::string(40, 'a'), "https://git.example/x.git", 1}; };
    EXPECT_EQ(post("/v1/workspaces", R"({"id":"team-a"})").status, 201);
  }
  // Of an admin of that workspace, or of "*": its id, and the head fields that bring it.
  std::pair<std::string, std::string> admin_of(const std::string& workspaces) {
    const auto listed = workspaces == "*" ? "\"*\"" : "[\"" + workspaces + "\"]";
    const auto made =
        post("/v1/keys", R"({"name":"k","scopes":["admin"],"workspaces":)" + listed + "}").object();
    return {std::string(made.at("id").as_string()),
            "Authorization: Bearer " + std::string(made.at("key").as_string()) + "\r\n"};
  }
  std::pair<std::string, std::string> caller_for(const LateCase& one) {
    return admin_of(one.about == About::server ? "*" : "team-a");
  }
  void revoke(const std::string& id) {
    EXPECT_EQ(raw(request("DELETE", "/v1/keys/" + id, "", key())).status, 200);
  }
  void set_disabled(bool disabled) {
    const auto body = std::string(R"({"disabled":)") + (disabled ? "true}" : "false}");
    const auto headers = key() + "Content-Type: application/json\r\n";
    EXPECT_EQ(raw(request("PATCH", "/v1/workspaces/team-a", body, headers)).status, 200);
  }

  // `meanwhile` happens when the server, which has admitted the request, waits for its body.
  template <class Meanwhile>
  Reply held_back(const LateCase& one, const std::string& headers, Meanwhile meanwhile) {
    const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
    Wire wire(port_, false);
    wire.send(one.method() + " " + one.target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers +
              "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: " +
              std::to_string(one.body.size()) + "\r\n\r\n");
    EXPECT_EQ(wire.read_until("\r\n\r\n"), interim) << one.route;
    meanwhile();
    wire.send(one.body);
    return read_reply(wire.read_to_end().substr(interim.size()));
  }
  // `meanwhile` is what the store was writing when the request came, and until its write waits.
  template <class Meanwhile>
  Reply overtaken(const LateCase& one, const std::string& headers, Meanwhile meanwhile) {
    std::promise<void> begun, done;
    const auto hold = [&](store::Transaction& tx) {
      begun.set_value();
      while (store_->waiting().writes == 0) std::this_thread::yield();
      meanwhile(tx);
    };
    const auto write_it = [&]() -> base::Task<void> {
      co_await store_->write([&hold](store::Transaction& tx) { hold(tx); });
    };
    asio::co_spawn(io_.get_executor(), write_it(), [&done](std::exception_ptr error) {
      error ? done.set_exception(error) : done.set_value();
    });
    begun.get_future().get();
    auto reply = raw(request(one.method(), one.target, "", headers));
    done.get_future().get();
    return reply;
  }
  void revoke_in(store::Transaction& tx, const std::string& id) {
    auto key = *tx.api_key(id);
    key.revoked_at = clock_.now();
    tx.put_api_key(key);
  }
  void disable_in(store::Transaction& tx) {
    auto workspace = *tx.workspace("team-a");
    workspace.disabled = true;
    tx.put_workspace(workspace);
  }
  void expect_as_of_nobody(const Reply& reply, const std::string& what) {
    const auto nobody = "Authorization: Bearer " + tenancy::new_key_text(entropy_) + "\r\n";
    const auto unknown = raw(request("POST", "/v1/runs", "{}", nobody));
    EXPECT_EQ(reply.status, 401) << what << ": " << reply.body;
    EXPECT_EQ(reply.body, unknown.body) << what;
    EXPECT_EQ(reply.header("WWW-Authenticate"), unknown.header("WWW-Authenticate")) << what;
  }
  // All that these requests would have made.
  std::string seen() {
    std::string all;
    const auto team_a = "X-Workspace-Id: team-a\r\n";
    for (const auto* target : {"/v1/runs", "/v1/webhooks", "/v1/provider-keys", "/v1/workspaces"})
      all += get(target, team_a).body + "\n";
    return all;
  }
};

TEST_F(LateWrites, EveryRouteThatWritesIsInThisTest) {
  std::vector<std::string> writing, listed;
  for (const auto& route : Api::route_names())
    if (!route.starts_with("GET ")) writing.push_back(route);
  for (const auto& one : late_cases()) listed.push_back(one.route);
  EXPECT_THAT(listed, ::testing::UnorderedElementsAreArray(writing));
}

TEST_F(LateWrites, AKeyThatIsRevokedMeanwhileWritesNothing) {
  const auto before = seen();
  for (const auto& one : late_cases()) {
    const auto [id, headers] = caller_for(one);
    const auto reply = one.body.empty() ? overtaken(one, headers, [&](auto& tx) { revoke_in(tx, id); })
                                        : held_back(one, headers, [&] { revoke(id); });
    expect_as_of_nobody(reply, one.route);
  }
  EXPECT_EQ(seen(), before);
  EXPECT_TRUE(asked_pushes_.empty());
  EXPECT_EQ(desk_.held, 0);
}

TEST_F(LateWrites, AnAdminWhoIsShutOutMeanwhileLeavesNoKeyBehind) {
  const auto [id, headers] = admin_of("team-a");
  const auto before = get("/v1/keys").object().at("items").as_array().size();
  const LateCase make{"POST /v1/keys", "/v1/keys", R"({"name":"back door","scopes":["admin"]})"};
  EXPECT_EQ(held_back(make, headers, [&, &id = id] { revoke(id); }).error_code(), "unauthorized");
  EXPECT_EQ(get("/v1/keys").object().at("items").as_array().size(), before);
  EXPECT_THAT(get("/v1/keys").body, Not(HasSubstr("back door")));
}

TEST_F(LateWrites, AKeyWhoseTimePassesMeanwhileWritesNothing) {
  const auto end = base::to_iso(clock_.now() + std::chrono::seconds(5));
  const auto made = post("/v1/keys", R"({"name":"k","scopes":["runs:write"],"workspaces":["team-a"],)"
                                     R"("expiresAt":")" +
                                         end + "\"}")
                        .object();
  const auto headers = "Authorization: Bearer " + std::string(made.at("key").as_string()) + "\r\n";
  const LateCase create{"POST /v1/runs", "/v1/runs", R"({"task":"t"})"};
  EXPECT_EQ(held_back(create, headers, [] {}).status, 201);
  expect_as_of_nobody(held_back(create, headers, [&] { clock_.advance(std::chrono::seconds(5)); }), "late");
}

TEST_F(LateWrites, NothingIsWrittenInAWorkspaceThatIsDisabledMeanwhile) {
  const auto before = seen();
  const auto own = key() + "X-Workspace-Id: team-a\r\n";
  const auto stored = admin_of("team-a").second;
  for (const auto& one : late_cases()) {
    if (one.about == About::server) continue;
    for (const auto& headers : {own, stored}) {
      // Keys of a disabled workspace are the server's own key's to manage.
      if (one.about == About::keys && headers == own) continue;
      const auto reply = one.body.empty() ? overtaken(one, headers, [&](auto& tx) { disable_in(tx); })
                                          : held_back(one, headers, [&] { set_disabled(true); });
      EXPECT_EQ(reply.status, 404) << one.route << ": " << reply.body;
      EXPECT_EQ(reply.error_code(), "workspace_unknown") << one.route;
      set_disabled(false);
    }
  }
  EXPECT_EQ(seen(), before);
  EXPECT_TRUE(asked_pushes_.empty());
  EXPECT_EQ(desk_.held, 0);
}

}  // namespace

}  // namespace agentrouter::api
