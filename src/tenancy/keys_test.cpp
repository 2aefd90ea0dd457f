#include "tenancy/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tenancy/key_text.h"
#include "tenancy/workspaces.h"
#include "testing/store_fixture.h"

namespace agentrouter::tenancy {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::hours an_hour{1};

class Keys : public ::testing::Test {
 protected:
  Keys() {
    for (const auto* id : {"team-a", "team-b"})
      base::value_or_throw(db_.write(
          [&](store::Transaction& tx) { return make_workspace(tx, server_, {id, ""}, context()); }));
  }
  base::Result<MadeKey> make(const NewKey& request) { return make(server_, request); }
  base::Result<MadeKey> make(const Caller& caller, const NewKey& request) {
    return db_.write([&](store::Transaction& tx) { return make_key(tx, caller, request, context()); });
  }
  MadeKey made(std::vector<std::string> workspaces = {"team-a"}, std::vector<Scope> scopes = {Scope::admin}) {
    return base::value_or_throw(make({"ci", std::move(workspaces), std::move(scopes)}));
  }
  // Whoever has this key.
  base::Result<Caller> who(std::string_view text) {
    return db_.read([&](store::Reader& reader) { return caller_of(reader, text, db_.clock.now()); });
  }
  bool opens(const MadeKey& key) { return who(key.text).has_value(); }
  base::Result<std::string> place(const Caller& caller, const std::string& wanted) {
    return db_.read([&](store::Reader& reader) { return workspace_for(reader, caller, wanted); });
  }
  base::Result<store::ApiKey> revoke(const Caller& caller, const std::string& id) {
    return db_.write([&](store::Transaction& tx) { return revoke_key(tx, caller, id, context()); });
  }
  base::Result<MadeKey> rotate(const std::string& id, std::chrono::seconds overlap = an_hour) {
    return db_.write([&](store::Transaction& tx) { return rotate_key(tx, server_, id, overlap, context()); });
  }
  void set_disabled(std::string_view workspace) {
    base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return change_workspace(tx, server_, workspace, {.disabled = true}, context());
    }));
  }
  std::vector<std::string> chain(std::string_view workspace) {
    std::vector<std::string> types;
    for (const auto& entry : db_.read([&](store::Reader& reader) { return reader.audit(workspace, 0, 100); }))
      types.push_back(entry.type);
    return types;
  }
  runs::Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  const Caller server_ = Caller::of_server("key_server");
};

TEST_F(Keys, AreKeptAsTheirHash) {
  const auto key = made();
  EXPECT_TRUE(is_key_text(key.text));
  EXPECT_EQ(key.key.hash, hash_of_key(key.text));
  EXPECT_EQ(key.key.id, id_of_key(key.key.hash));
  EXPECT_EQ(key.key.prefix, key.text.substr(0, 12));
  EXPECT_EQ(key.key.created_by, "key_server");
  const auto wire = to_wire(key.key, db_.clock.now());
  EXPECT_THAT(wire, Not(HasSubstr(key.text)));
  EXPECT_THAT(wire, Not(HasSubstr(key.key.hash)));
  EXPECT_THAT(to_wire(key.key, db_.clock.now(), key.text), HasSubstr("\"key\":\"" + key.text));
}

TEST_F(Keys, SayWhoCallsAndWhatHeMay) {
  const auto key = made({"team-a"}, {Scope::runs_read, Scope::approvals_decide});
  const auto caller = base::value_or_throw(who(key.text));
  EXPECT_EQ(caller.key, key.key.id);
  EXPECT_TRUE(caller.is_stored);
  EXPECT_TRUE(caller.has(Scope::runs_read));
  EXPECT_TRUE(caller.has(Scope::approvals_decide));
  EXPECT_FALSE(caller.has(Scope::runs_write));
  EXPECT_FALSE(caller.has(Scope::admin));
  EXPECT_TRUE(caller.opens("team-a"));
  EXPECT_FALSE(caller.opens("team-b"));
  const auto refused = check_scope(caller, {Scope::runs_write});
  EXPECT_EQ(refused.error().reason, "forbidden_scope");
  EXPECT_EQ(refused.error().details, R"({"needed":"runs:write","scopes":["runs:read","approvals:decide"]})");
  EXPECT_TRUE(check_scope(caller, {Scope::runs_write, Scope::approvals_decide}));
}

TEST_F(Keys, AnAdminMayEverythingWhereTheKeyOpens) {
  const auto caller = base::value_or_throw(who(made().text));
  for (const auto scope : {Scope::runs_read, Scope::runs_write, Scope::approvals_decide, Scope::admin})
    EXPECT_TRUE(check_scope(caller, {scope}));
}

TEST_F(Keys, NobodyHasAKeyThatWasNeverMade) {
  const auto key = made();
  auto other = new_key_text(db_.entropy);
  EXPECT_EQ(who(other).error().reason, "unauthorized");
  EXPECT_EQ(who(key.key.hash).error().reason, "unauthorized");
}

TEST_F(Keys, OpenNothingFromTheirTimeOn) {
  const auto key = base::value_or_throw(
      make({"ci", {"team-a"}, {Scope::runs_read}, db_.clock.now() + std::chrono::seconds(10)}));
  EXPECT_TRUE(opens(key));
  db_.clock.advance(std::chrono::milliseconds(9999));
  EXPECT_TRUE(opens(key));
  db_.clock.advance(std::chrono::milliseconds(1));
  EXPECT_FALSE(opens(key));
}

TEST_F(Keys, AreAskedForAgainByWhoeverWritesLater) {
  const auto key = base::value_or_throw(
      make({"ci", {"team-a"}, {Scope::admin}, db_.clock.now() + std::chrono::seconds(10)}));
  const auto caller = base::value_or_throw(who(key.text));
  const auto again = [&](const Caller& whose, const std::string& workspace) -> std::string {
    const auto may = db_.read(
        [&](store::Reader& reader) { return check_again(reader, whose, workspace, db_.clock.now()); });
    return may ? "" : may.error().reason;
  };
  EXPECT_EQ(again(caller, "team-a"), "");
  EXPECT_EQ(again(caller, ""), "");
  EXPECT_EQ(again(server_, "team-z"), "workspace_unknown");
  set_disabled("team-a");
  EXPECT_EQ(again(caller, "team-a"), "workspace_unknown");
  EXPECT_EQ(again(server_, "team-a"), "workspace_unknown");
  EXPECT_EQ(again(server_, "default"), "");
  db_.clock.advance(std::chrono::seconds(10));
  EXPECT_EQ(again(caller, "team-a"), "unauthorized");
  EXPECT_EQ(again({"key_none", {"team-a"}, {Scope::admin}, true}, ""), "unauthorized");
}

TEST_F(Keys, OpenThoseOfTheirWorkspacesThatAreNotDisabled) {
  const auto open = [&](const Caller& caller) {
    return db_.read([&](store::Reader& reader) { return where_open(reader, caller); });
  };
  const auto both = base::value_or_throw(who(made({"team-a", "team-b"}).text));
  const auto every = base::value_or_throw(who(made({}).text));
  set_disabled("team-a");
  EXPECT_THAT(open(both)->workspaces, ElementsAre("team-b"));
  set_disabled("team-b");
  EXPECT_EQ(open(both).error().reason, "workspace_unknown");
  EXPECT_TRUE(open(every)->opens_all());
  EXPECT_TRUE(open(server_)->opens_all());
}

TEST_F(Keys, ATimeThatHasPassedIsRefused) {
  EXPECT_EQ(make({"ci", {"team-a"}, {Scope::runs_read}, db_.clock.now()}).error().reason, "validation_error");
}

TEST_F(Keys, OpenNothingOnceTheyAreRevoked) {
  const auto key = made();
  const auto gone = base::value_or_throw(revoke(server_, key.key.id));
  EXPECT_EQ(gone.revoked_at, db_.clock.now());
  EXPECT_FALSE(opens(key));
  db_.clock.advance(an_hour);
  EXPECT_EQ(revoke(server_, key.key.id)->revoked_at, gone.revoked_at);
  EXPECT_EQ(revoke(server_, "key_none").error().reason, "key_not_found");
}

TEST_F(Keys, ARotatedKeyHoldsForTheOverlap) {
  const auto old = made({"team-a", "team-b"}, {Scope::runs_read});
  const auto next = base::value_or_throw(rotate(old.key.id));
  EXPECT_NE(next.text, old.text);
  EXPECT_EQ(next.key.workspaces, old.key.workspaces);
  EXPECT_EQ(next.key.scopes, old.key.scopes);
  EXPECT_EQ(next.key.name, old.key.name);
  EXPECT_TRUE(opens(old));
  EXPECT_TRUE(opens(next));
  db_.clock.advance(an_hour);
  EXPECT_FALSE(opens(old));
  EXPECT_TRUE(opens(next));
  const auto kept = db_.read([&](store::Reader& reader) { return reader.api_key(old.key.id); });
  EXPECT_EQ(kept->replaced_by, next.key.id);
}

TEST_F(Keys, WithoutAnOverlapTheOldOneEndsAtOnce) {
  const auto old = made();
  EXPECT_TRUE(rotate(old.key.id, std::chrono::seconds(0)));
  EXPECT_FALSE(opens(old));
}

TEST_F(Keys, AnOverlapDoesNotProlongAKey) {
  const auto end = db_.clock.now() + std::chrono::minutes(5);
  const auto old = base::value_or_throw(make({"ci", {"team-a"}, {Scope::runs_read}, end}));
  const auto next = base::value_or_throw(rotate(old.key.id));
  EXPECT_EQ(next.key.expires_at, end);
  db_.clock.advance(std::chrono::minutes(5));
  EXPECT_FALSE(opens(old));
}

TEST_F(Keys, AreRotatedOnceAndOnlyWhileTheyHold) {
  const auto key = made();
  base::value_or_throw(rotate(key.key.id));
  EXPECT_EQ(rotate(key.key.id).error().reason, "key_replaced");
  const auto gone = made();
  base::value_or_throw(revoke(server_, gone.key.id));
  EXPECT_EQ(rotate(gone.key.id).error().reason, "key_not_active");
  EXPECT_EQ(rotate("key_none").error().reason, "key_not_found");
}

TEST_F(Keys, AWorkspaceIsOpenedByWhoHasItAndLooksMissingToOthers) {
  const auto one = base::value_or_throw(who(made({"team-a"}).text));
  EXPECT_EQ(place(one, "").value(), "team-a");
  EXPECT_EQ(place(one, "team-a").value(), "team-a");
  const auto theirs = place(one, "team-b").error();
  const auto none = place(one, "team-z").error();
  EXPECT_EQ(theirs.reason, "workspace_unknown");
  EXPECT_EQ(none.reason, "workspace_unknown");
  EXPECT_EQ(theirs.message.size(), none.message.size());
  const auto several = base::value_or_throw(who(made({"team-a", "team-b"}).text));
  EXPECT_EQ(place(several, "").error().reason, "workspace_required");
  EXPECT_EQ(place(several, "team-b").value(), "team-b");
  const auto every = base::value_or_throw(who(made({}).text));
  EXPECT_EQ(place(every, "").error().reason, "workspace_required");
  EXPECT_EQ(place(every, "team-b").value(), "team-b");
  EXPECT_EQ(place(every, "team-z").error().reason, "workspace_unknown");
  EXPECT_EQ(place(server_, "").value(), "default");
  EXPECT_EQ(place(server_, "team-z").error().reason, "workspace_unknown");
}

TEST_F(Keys, AKeyIsGivenOnlyToWhatItsMakerOpens) {
  const auto admin = base::value_or_throw(who(made({"team-a"}).text));
  EXPECT_TRUE(make(admin, {"x", {"team-a"}, {Scope::admin}}));
  EXPECT_EQ(make(admin, {"x", {"team-a", "team-b"}, {Scope::admin}}).error().reason, "workspace_unknown");
  EXPECT_EQ(make(admin, {"x", {"team-z"}, {Scope::admin}}).error().reason, "workspace_unknown");
  EXPECT_EQ(make(admin, {"x", {}, {Scope::admin}}).error().reason, "forbidden_scope");
  EXPECT_EQ(make({"x", {"team-z"}, {Scope::admin}}).error().reason, "workspace_unknown");
}

TEST_F(Keys, WhoManagesThemSeesThoseOfHisWorkspaces) {
  const auto admin = made({"team-a"});
  const auto theirs = made({"team-b"});
  const auto both = made({"team-a", "team-b"});
  const auto every = made({});
  const auto caller = base::value_or_throw(who(admin.text));
  for (const auto* key : {&theirs, &both, &every}) {
    const auto& id = key->key.id;
    EXPECT_EQ(db_.read([&](store::Reader& reader) { return find_key(reader, caller, id); }).error().reason,
              "key_not_found");
    EXPECT_EQ(revoke(caller, id).error().reason, "key_not_found");
    EXPECT_TRUE(opens(*key));
  }
  const auto listed = [&](const Caller& by, std::string after, int limit) {
    std::vector<std::string> ids;
    const auto page = db_.read([&](store::Reader& reader) { return list_keys(reader, by, after, limit); });
    for (const auto& key : page->items) ids.push_back(key.id);
    if (page->next) ids.emplace_back("more");
    return ids;
  };
  EXPECT_THAT(listed(caller, "", 10), ElementsAre(admin.key.id));
  EXPECT_THAT(listed(server_, "", 2), ElementsAre(admin.key.id, theirs.key.id, "more"));
  EXPECT_THAT(listed(server_, theirs.key.id, 2), ElementsAre(both.key.id, every.key.id));
  EXPECT_EQ(db_.read([&](store::Reader& reader) { return list_keys(reader, caller, theirs.key.id, 2); })
                .error()
                .reason,
            "key_not_found");
}

TEST_F(Keys, EachChangeIsInTheChainOfEveryWorkspaceThatTheKeyOpens) {
  const auto key = made({"team-a", "team-b"});
  base::value_or_throw(rotate(key.key.id));
  base::value_or_throw(revoke(server_, key.key.id));
  made({});
  for (const auto* workspace : {"team-a", "team-b"})
    EXPECT_THAT(chain(workspace),
                ElementsAre("workspace.created", "key.created", "key.rotated", "key.revoked"));
  EXPECT_THAT(chain("default"), ElementsAre("key.created"));
}

class Workspaces : public Keys {
 protected:
  base::Result<store::WorkspaceRecord> make_one(const Caller& caller, const std::string& id) {
    return db_.write(
        [&](store::Transaction& tx) { return make_workspace(tx, caller, {id, "Team"}, context()); });
  }
  base::Result<store::WorkspaceRecord> change(const Caller& caller, const std::string& id,
                                              const WorkspaceChange& what) {
    return db_.write(
        [&](store::Transaction& tx) { return change_workspace(tx, caller, id, what, context()); });
  }
};

TEST_F(Workspaces, AreMadeByWhoeverOpensAll) {
  const auto made_one = base::value_or_throw(make_one(server_, "team-c"));
  EXPECT_EQ(to_wire(made_one), R"({"id":"team-c","name":"Team","disabled":false,"createdAt":")" +
                                   base::to_iso(db_.clock.now()) + "\"}");
  EXPECT_EQ(make_one(server_, "team-c").error().reason, "workspace_exists");
  const auto admin = base::value_or_throw(who(made({"team-a"}).text));
  EXPECT_EQ(make_one(admin, "team-d").error().reason, "forbidden_scope");
  EXPECT_EQ(make_one(admin, "team-b").error().reason, "forbidden_scope");
}

TEST_F(Workspaces, ADisabledOneIsOpenedByNobody) {
  const auto key = made({"team-a"});
  const auto caller = base::value_or_throw(who(key.text));
  base::value_or_throw(change(server_, "team-a", {.disabled = true}));
  EXPECT_EQ(place(caller, "").error().reason, "workspace_unknown");
  EXPECT_EQ(place(server_, "team-a").error().reason, "workspace_unknown");
  base::value_or_throw(change(server_, "team-a", {.name = "Again", .disabled = false}));
  EXPECT_EQ(place(caller, "").value(), "team-a");
  EXPECT_THAT(chain("team-a"),
              ElementsAre("workspace.created", "key.created", "workspace.changed", "workspace.changed"));
}

TEST_F(Workspaces, TheDefaultOneStays) {
  EXPECT_EQ(change(server_, "default", {.disabled = true}).error().reason, "workspace_needed");
  EXPECT_TRUE(change(server_, "default", {.name = "Ours"}));
}

TEST_F(Workspaces, OthersLookMissing) {
  const auto admin = base::value_or_throw(who(made({"team-a"}).text));
  EXPECT_EQ(change(admin, "team-b", {.name = "x"}).error().reason, "workspace_unknown");
  EXPECT_EQ(change(admin, "team-a", {.name = "x"}).error().reason, "forbidden_scope");
  const auto page = db_.read([&](store::Reader& reader) { return list_workspaces(reader, admin, "", 10); });
  ASSERT_EQ(page->items.size(), 1u);
  EXPECT_EQ(page->items[0].id, "team-a");
  EXPECT_EQ(db_.read([&](store::Reader& reader) { return list_workspaces(reader, server_, "", 2); })->next,
            "team-a");
}

TEST(WorkspaceIds, AreShortAndPlain) {
  for (const auto* good : {"a", "0", "team-a", "team_b2"}) EXPECT_TRUE(is_workspace_id(good)) << good;
  EXPECT_TRUE(is_workspace_id(std::string(64, 'a')));
  EXPECT_FALSE(is_workspace_id(std::string(65, 'a')));
  for (const auto* bad : {"", "A", "-a", "_a", "a b", "a/b", "a.b", "\xc3\xa4", "*"})
    EXPECT_FALSE(is_workspace_id(bad)) << bad;
}

}  // namespace

}  // namespace agentrouter::tenancy
