#pragma once
// What every backend must do about workspaces, keys, and what a narrowed reader sees. Included beside
// store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

class TenancyConformance : public StoreConformance {
 protected:
  static model::Run run_of(std::string_view workspace, std::string_view name, std::int64_t at = 0) {
    auto run = testing::make_run(name, at);
    run.workspace_id = workspace;
    run.tags = {{"env", "prod"}};
    return run;
  }
  void insert(const model::Run& run) {
    write([&](Transaction& tx) { tx.insert_run(run, run.workspace_id); });
  }
  template <class Work>
  auto read_in(const std::string& workspace, Work work) {
    return testing::run_task(io_, store_->read_in(workspace, std::move(work)));
  }
  std::vector<std::string> listed_in(const std::string& workspace, const RunQuery& query) {
    std::vector<std::string> tasks;
    for (const auto& run : read_in(workspace, [&](Reader& reader) { return reader.runs(query); }).items)
      tasks.push_back(run.task);
    return tasks;
  }
  static ApiKey key(std::string id) {
    ApiKey made;
    made.hash = "hash of " + id;
    made.id = std::move(id);
    made.prefix = "ar_live_Ab3d";
    made.name = "deploys";
    made.workspaces = {"team", "team-2"};
    made.scopes = {"runs:read", "approvals:decide"};
    made.created_by = "key_admin";
    made.created_at = testing::test_time();
    return made;
  }
  template <class Record>
  static std::vector<std::string> ids(const std::vector<Record>& records) {
    std::vector<std::string> all;
    for (const auto& record : records) all.push_back(record.id);
    return all;
  }
};

TEST_P(TenancyConformance, ANewStoreHasTheDefaultWorkspace) {
  const auto found = read([](Reader& reader) { return reader.workspace("default"); });
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->disabled);
  EXPECT_EQ(ids(read([](Reader& reader) { return reader.workspaces(0, 10); })),
            std::vector<std::string>{"default"});
}

TEST_P(TenancyConformance, WorkspacesAreListedInTheOrderOfTheirMakingAndKeepWhatChanges) {
  for (const auto* id : {"team", "a-team"})
    write([&](Transaction& tx) { tx.put_workspace({id, "The team", testing::test_time(7)}); });
  write([&](Transaction& tx) { tx.put_workspace({"team", "Renamed", testing::test_time(9), true}); });
  reopen();
  const auto all = read([](Reader& reader) { return reader.workspaces(0, 10); });
  EXPECT_THAT(ids(all), ElementsAre("default", "team", "a-team"));
  EXPECT_EQ(all[1].name, "Renamed");
  EXPECT_TRUE(all[1].disabled);
  EXPECT_EQ(all[1].created_at, testing::test_time(7));
  const auto rest = read([&](Reader& reader) { return reader.workspaces(all[0].number, 1); });
  EXPECT_THAT(ids(rest), ElementsAre("team"));
  EXPECT_FALSE(read([](Reader& reader) { return reader.workspace("tea"); }));
}

TEST_P(TenancyConformance, AKeyIsFoundByItsHashAndKeepsEveryField) {
  auto made = key("key_1");
  made.expires_at = testing::test_time(100);
  write([&](Transaction& tx) { tx.put_api_key(made); });
  write([&](Transaction& tx) { tx.put_api_key(key("key_2")); });
  reopen();
  const auto found = read([](Reader& reader) { return reader.api_key_by_hash("hash of key_1"); });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "key_1");
  EXPECT_EQ(found->prefix, made.prefix);
  EXPECT_EQ(found->name, made.name);
  EXPECT_EQ(found->workspaces, made.workspaces);
  EXPECT_EQ(found->scopes, made.scopes);
  EXPECT_EQ(found->created_by, made.created_by);
  EXPECT_EQ(found->created_at, made.created_at);
  EXPECT_EQ(found->expires_at, made.expires_at);
  EXPECT_FALSE(found->last_used_at || found->revoked_at);
  EXPECT_EQ(found->replaced_by, "");
  EXPECT_FALSE(read([](Reader& reader) { return reader.api_key_by_hash("key_1"); }));
  EXPECT_FALSE(read([](Reader& reader) { return reader.api_key("key_3"); }));
  EXPECT_THAT(ids(read([](Reader& reader) { return reader.api_keys(0, 10); })),
              ElementsAre("key_1", "key_2"));
  EXPECT_THAT(ids(read([&](Reader& reader) { return reader.api_keys(found->number, 10); })),
              ElementsAre("key_2"));
}

TEST_P(TenancyConformance, OfAKeyOnlyItsTimeItsRevocationAndItsSuccessorChange) {
  write([&](Transaction& tx) { tx.put_api_key(key("key_1")); });
  auto changed = key("key_1");
  changed.scopes = {"admin"};
  changed.workspaces = {};
  changed.expires_at = testing::test_time(5);
  changed.revoked_at = testing::test_time(6);
  changed.replaced_by = "key_9";
  write([&](Transaction& tx) { tx.put_api_key(changed); });
  const auto found = read([](Reader& reader) { return reader.api_key("key_1"); });
  EXPECT_EQ(found->scopes, key("key_1").scopes);
  EXPECT_EQ(found->workspaces, key("key_1").workspaces);
  EXPECT_EQ(found->expires_at, changed.expires_at);
  EXPECT_EQ(found->revoked_at, changed.revoked_at);
  EXPECT_EQ(found->replaced_by, "key_9");
}

TEST_P(TenancyConformance, TheLastUseOfAKeyOnlyMovesForwardAndOutlivesAChangeOfTheKey) {
  write([&](Transaction& tx) { tx.put_api_key(key("key_1")); });
  for (const auto at : {20, 10})
    write([&](Transaction& tx) { tx.note_key_use("key_1", testing::test_time(at)); });
  write([&](Transaction& tx) { tx.put_api_key(key("key_1")); });
  write([&](Transaction& tx) { tx.note_key_use("key_none", testing::test_time(30)); });
  EXPECT_EQ(read([](Reader& reader) { return reader.api_key("key_1"); })->last_used_at,
            testing::test_time(20));
}

TEST_P(TenancyConformance, ARunKnowsItsWorkspace) {
  insert(run_of("team", "r"));
  insert(testing::make_run("d"));
  write([](Transaction& tx) {
    auto run = tx.run(testing::run_id("r"));
    run->status = model::RunStatus::starting;
    tx.update_run(*run);
  });
  EXPECT_EQ(read([](Reader& reader) { return reader.run(testing::run_id("r")); })->workspace_id, "team");
  EXPECT_EQ(read([](Reader& reader) { return reader.workspace_of(testing::run_id("r")); }), "team");
  EXPECT_EQ(read([](Reader& reader) { return reader.workspace_of(testing::run_id("d")); }), "default");
  EXPECT_EQ(read([](Reader& reader) { return reader.workspace_of(testing::run_id("none")); }), "");
  EXPECT_EQ(read_in("other", [](Reader& reader) { return reader.workspace_of(testing::run_id("r")); }),
            "team");
}

TEST_P(TenancyConformance, InAScopeOnlyItsOwnRunsAreThere) {
  insert(run_of("team", "r"));
  const auto seen = [&](const std::string& scope) {
    return read_in(scope, [](Reader& reader) { return reader.run(testing::run_id("r")).has_value(); });
  };
  EXPECT_TRUE(seen("team"));
  EXPECT_FALSE(seen("team-2"));
  EXPECT_FALSE(seen("default"));
  EXPECT_TRUE(read([](Reader& reader) { return reader.run(testing::run_id("r")).has_value(); }));
}

TEST_P(TenancyConformance, AWriteInAScopeSeesNoMoreAndTheNextOneIsNotNarrowed) {
  insert(run_of("team", "r"));
  const std::string other = "other";
  const bool seen = testing::run_task(io_, store_->write_in(other, [](Transaction& tx) {
    return tx.run(testing::run_id("r")).has_value() || tx.home() != "other";
  }));
  EXPECT_FALSE(seen);
  EXPECT_TRUE(write([](Transaction& tx) { return tx.scope().empty() && tx.home() == "default"; }));
  EXPECT_EQ(reason_of([&] {
              testing::run_task(io_, store_->write_in(other, [](Transaction&) {
                base::throw_failure(base::Code::internal, "no", "thrown");
              }));
            }),
            "thrown");
  EXPECT_TRUE(write([](Transaction& tx) { return tx.run(testing::run_id("r")).has_value(); }));
}

TEST_P(TenancyConformance, EveryListIsOfOneWorkspace) {
  for (int i = 0; i < 3; ++i) {
    insert(run_of("team", "t" + std::to_string(i), 10 * i));
    insert(run_of("other", "o" + std::to_string(i), 10 * i + 1));
  }
  const std::vector<RunQuery> queries{{},
                                      {.status = "active"},
                                      {.status = "queued"},
                                      {.runtime = model::RuntimeKind::codex},
                                      {.tags = {{"env", "prod"}}},
                                      {.text = "do"},
                                      {.created_after = testing::test_time(-5)}};
  for (std::size_t i = 0; i < queries.size(); ++i) {
    EXPECT_THAT(listed_in("team", queries[i]), ElementsAre("do t2", "do t1", "do t0")) << i;
    EXPECT_THAT(listed_in("nobody", queries[i]), ElementsAre()) << i;
    auto named = queries[i];
    named.workspace = "other";
    EXPECT_THAT(listed(named), ElementsAre("do o2", "do o1", "do o0")) << i;
    EXPECT_THAT(listed_in("team", named), ElementsAre("do t2", "do t1", "do t0")) << i;
  }
  const RunQuery theirs{.conversation = testing::run_id("o1")};
  EXPECT_THAT(listed_in("team", theirs), ElementsAre());
  EXPECT_THAT(listed_in("other", theirs), ElementsAre("do o1"));
}

TEST_P(TenancyConformance, ASearchFindsAnswersOfItsOwnWorkspaceAndNotTheNameOfOne) {
  insert(run_of("team", "r"));
  insert(run_of("team-2", "s"));
  for (const auto* name : {"r", "s"})
    write([&](Transaction& tx) {
      tx.append(testing::run_id(name), testing::make_draft("agent.response", R"({"text":"the river"})"));
    });
  EXPECT_THAT(listed_in("team", {.text = "river"}), ElementsAre("do r"));
  EXPECT_THAT(listed_in("team-2", {.text = "river do"}), ElementsAre("do s"));
  EXPECT_THAT(listed_in("team", {.text = "team"}), ElementsAre());
  EXPECT_THAT(listed_in("team", {.text = "w7465616d"}), ElementsAre());
}

TEST_P(TenancyConformance, ADeletedRunIsGoneFromTheListsOfItsWorkspace) {
  auto run = run_of("team", "r");
  insert(run);
  write([&](Transaction& tx) {
    run.status = model::RunStatus::failed;
    tx.update_run(run);
    tx.delete_run(run.id, testing::test_time());
  });
  EXPECT_THAT(listed_in("team", {}), ElementsAre());
  EXPECT_THAT(listed_in("team", {.text = "do"}), ElementsAre());
  EXPECT_THAT(listed_in("team", {.tags = {{"env", "prod"}}}), ElementsAre());
}

TEST_P(TenancyConformance, QuestionsAreThoseOfRunsOfTheWorkspace) {
  insert(run_of("team", "r"));
  insert(run_of("other", "s"));
  for (const auto* name : {"r", "s"}) {
    Approval asked;
    asked.run_id = testing::run_id(name);
    asked.action_id = model::ActionId("action_of_" + std::string(name));
    write([&](Transaction& tx) { tx.put_approval(asked); });
    write([&](Transaction& tx) { tx.put_approval(asked); });
  }
  const auto asked = [&](const std::string& scope, const PendingQuery& query) {
    std::vector<std::string> all;
    for (const auto& one : read_in(scope, [&](Reader& reader) { return reader.pending_approvals(query); }))
      all.push_back(one.action_id.str());
    return all;
  };
  EXPECT_THAT(asked("team", {}), ElementsAre("action_of_r"));
  EXPECT_THAT(asked("nobody", {}), ElementsAre());
  EXPECT_THAT(asked("team", {.run = testing::run_id("s")}), ElementsAre());
  EXPECT_THAT(asked("other", {.run = testing::run_id("s")}), ElementsAre("action_of_s"));
  EXPECT_EQ(read([](Reader& reader) { return reader.pending_approvals(PendingQuery{}).size(); }), 2u);
}

TEST_P(TenancyConformance, UploadsAndWebhooksAreThoseOfTheWorkspace) {
  write([](Transaction& tx) {
    tx.put_upload({.id = "upload_1", .tree = "tree", .workspace_id = "team"});
    for (const auto* id : {"wh_2", "wh_1"}) tx.put_webhook({.id = id, .workspace = "team"});
    tx.put_webhook({.id = "wh_3", .workspace = "other"});
  });
  EXPECT_EQ(read_in("team", [](Reader& reader) { return reader.upload("upload_1"); })->workspace_id, "team");
  EXPECT_FALSE(read_in("other", [](Reader& reader) { return reader.upload("upload_1"); }));
  EXPECT_TRUE(read([](Reader& reader) { return reader.upload("upload_1").has_value(); }));
  EXPECT_TRUE(read_in("team", [](Reader& reader) { return reader.webhook("wh_1").has_value(); }));
  EXPECT_FALSE(read_in("other", [](Reader& reader) { return reader.webhook("wh_1").has_value(); }));
  EXPECT_THAT(ids(read_in("team", [](Reader& reader) { return reader.webhooks(); })),
              ElementsAre("wh_2", "wh_1"));
  EXPECT_THAT(ids(read([](Reader& reader) { return reader.webhooks(); })),
              ElementsAre("wh_2", "wh_1", "wh_3"));
  EXPECT_THAT(ids(read_in("team", [](Reader& reader) { return reader.webhooks_of("other"); })),
              ElementsAre("wh_3"));
}

TEST_P(TenancyConformance, ActiveRunsAreThoseOfEveryWorkspace) {
  const auto active = [&] { return read([](Reader& reader) { return reader.has_active_runs(); }); };
  EXPECT_FALSE(active());
  insert(run_of("team", "r"));
  EXPECT_TRUE(active());
  for (const auto status :
       {model::RunStatus::starting, model::RunStatus::running, model::RunStatus::completed}) {
    EXPECT_TRUE(active());
    set_status("r", status);
  }
  EXPECT_FALSE(active());
}

}  // namespace agentrouter::store
