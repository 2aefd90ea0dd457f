#pragma once
// What every backend must do about lists of runs: filters, places and the full text. Included beside
// store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

class ListConformance : public StoreConformance {
 protected:
  // Every item of a query, page by page.
  std::vector<std::string> paged(RunQuery query) {
    std::vector<std::string> tasks;
    while (true) {
      const auto page = read([&](Reader& reader) { return reader.runs(query); });
      EXPECT_LE(page.items.size(), static_cast<std::size_t>(query.limit));
      for (const auto& run : page.items) tasks.push_back(run.task);
      if (!page.next) return tasks;
      query.after = page.next;
    }
  }
  void insert_run(std::string_view name, std::int64_t at, model::Tags tags = {},
                  model::RuntimeKind kind = model::RuntimeKind::codex) {
    auto run = testing::make_run(name, at);
    run.tags = std::move(tags);
    run.runtime.kind = kind;
    write([&](Transaction& tx) { tx.insert_run(run); });
  }
  void answer(std::string_view name, std::string_view text) {
    json::object payload;
    payload["text"] = text;
    write([&](Transaction& tx) {
      tx.append(testing::run_id(name), testing::make_draft("agent.response", base::to_text(payload)));
    });
  }
};

TEST_P(ListConformance, PagesMeetWithoutGapOrRepeatUnderEveryFilter) {
  // The cutting of pages also falls between runs of one moment.
  for (int i = 0; i < 7; ++i) insert_run("r" + std::to_string(i), i / 3, {{"env", "prod"}});
  const std::vector<std::string> all{"do r6", "do r5", "do r4", "do r3", "do r2", "do r1", "do r0"};
  for (const int limit : {1, 2, 3, 7, 100}) {
    EXPECT_EQ(paged({.limit = limit}), all);
    EXPECT_EQ(paged({.status = "active", .limit = limit}), all);
    EXPECT_EQ(paged({.status = "queued", .limit = limit}), all);
    EXPECT_EQ(paged({.limit = limit, .runtime = model::RuntimeKind::codex}), all);
    EXPECT_EQ(paged({.limit = limit, .tags = {{"env", "prod"}}}), all);
    EXPECT_EQ(paged({.limit = limit, .text = "do"}), all);
  }
  EXPECT_FALSE(read([](Reader& reader) { return reader.runs({.limit = 7}); }).next);
  EXPECT_TRUE(read([](Reader& reader) { return reader.runs({.limit = 6}); }).next);
}

TEST_P(ListConformance, APlaceStaysWhereItIsWhenNewRunsCome) {
  for (int i = 0; i < 3; ++i) insert_run("r" + std::to_string(i), i);
  const auto first = read([](Reader& reader) { return reader.runs({.limit = 2}); });
  insert_run("newer", 9);
  EXPECT_THAT(paged({.limit = 2, .after = first.next}), ElementsAre("do r0"));
}

TEST_P(ListConformance, AllTagsMustHold) {
  insert_run("both", 1, {{"env", "prod"}, {"team", "a"}});
  insert_run("one", 2, {{"env", "prod"}, {"team", "b"}});
  insert_run("none", 3);
  EXPECT_THAT(listed({.tags = {{"env", "prod"}}}), ElementsAre("do one", "do both"));
  EXPECT_THAT(listed({.tags = {{"env", "prod"}, {"team", "a"}}}), ElementsAre("do both"));
  EXPECT_TRUE(listed({.tags = {{"env", "prod"}, {"team", "c"}}}).empty());
  EXPECT_TRUE(listed({.tags = {{"team", "prod"}}}).empty());
  const auto kept = read([](Reader& reader) { return reader.run(testing::run_id("both")); });
  EXPECT_EQ(kept->tags, (model::Tags{{"env", "prod"}, {"team", "a"}}));
}

TEST_P(ListConformance, TimesAreStrictOnBothSides) {
  for (int i = 1; i <= 4; ++i) insert_run("r" + std::to_string(i), i);
  EXPECT_THAT(listed({.created_after = testing::test_time(2)}), ElementsAre("do r4", "do r3"));
  EXPECT_THAT(listed({.created_before = testing::test_time(2)}), ElementsAre("do r1"));
  EXPECT_THAT(listed({.created_after = testing::test_time(1), .created_before = testing::test_time(4)}),
              ElementsAre("do r3", "do r2"));
  EXPECT_THAT(
      listed({.created_after = testing::test_time(1), .created_before = testing::test_time(4), .text = "do"}),
      ElementsAre("do r3", "do r2"));
  EXPECT_THAT(paged({.limit = 1, .created_before = testing::test_time(4)}),
              ElementsAre("do r3", "do r2", "do r1"));
}

TEST_P(ListConformance, FiltersAreJoined) {
  insert_run("a", 1, {{"env", "prod"}}, model::RuntimeKind::claude_code);
  insert_run("b", 2, {{"env", "prod"}});
  insert_run("c", 3, {{"env", "prod"}}, model::RuntimeKind::claude_code);
  set_status("c", model::RunStatus::cancelling);
  set_status("a", model::RunStatus::failed);
  const model::Tags prod{{"env", "prod"}};
  const auto claude = model::RuntimeKind::claude_code;
  EXPECT_THAT(listed({.runtime = claude}), ElementsAre("do c", "do a"));
  EXPECT_THAT(listed({.status = "active", .tags = prod}), ElementsAre("do c", "do b"));
  EXPECT_THAT(listed({.status = "active", .runtime = claude, .tags = prod}), ElementsAre("do c"));
  EXPECT_THAT(listed({.status = "failed", .runtime = claude}), ElementsAre("do a"));
  EXPECT_THAT(listed({.runtime = claude, .conversation = testing::run_id("a")}), ElementsAre("do a"));
  EXPECT_TRUE(listed({.status = "queued", .conversation = testing::run_id("a")}).empty());
  EXPECT_THAT(listed({.status = "failed", .tags = prod, .text = "do a"}), ElementsAre("do a"));
}

TEST_P(ListConformance, AConversationListsItsTurns) {
  insert_run("one", 1);
  insert_run("other", 2);
  auto turn = testing::make_run("two", 3);
  turn.conversation_id = testing::run_id("one");
  turn.turn_number = 2;
  write([&](Transaction& tx) { tx.insert_run(turn); });
  EXPECT_THAT(listed({.conversation = testing::run_id("one")}), ElementsAre("do two", "do one"));
  EXPECT_THAT(paged({.limit = 1, .conversation = testing::run_id("one")}), ElementsAre("do two", "do one"));
  EXPECT_TRUE(listed({.conversation = testing::run_id("nothing")}).empty());
}

TEST_P(ListConformance, WordsAreFoundInTaskAndAnswerTogether) {
  insert_run("paint the bridge", 1);
  insert_run("mend the bridge", 2);
  append("mend the bridge", "run.claimed");
  answer("mend the bridge", "Über den Fluß");
  EXPECT_THAT(listed({.text = "bridge"}), ElementsAre("do mend the bridge", "do paint the bridge"));
  EXPECT_THAT(listed({.text = "BRIDGE uber"}), ElementsAre("do mend the bridge"));
  EXPECT_TRUE(listed({.text = "bridge tunnel"}).empty());
  answer("mend the bridge", "it collapsed");
  EXPECT_TRUE(listed({.text = "uber"}).empty());
  EXPECT_THAT(listed({.text = "mend collapsed"}), ElementsAre("do mend the bridge"));
  reopen();
  EXPECT_THAT(listed({.text = "collapsed"}), ElementsAre("do mend the bridge"));
}

TEST_P(ListConformance, WhatWasUndoneIsNotFound) {
  insert_run("kept", 1);
  const auto refused = write([](Transaction& tx) -> base::Result<void> {
    auto run = testing::make_run("undone", 2);
    run.tags = {{"env", "prod"}};
    tx.insert_run(run);
    tx.append(testing::run_id("kept"), testing::make_draft("agent.response", R"({"text":"secret"})"));
    return base::fail(base::Code::conflict, "no");
  });
  EXPECT_FALSE(refused);
  EXPECT_TRUE(listed({.text = "undone"}).empty());
  EXPECT_TRUE(listed({.text = "secret"}).empty());
  EXPECT_TRUE(listed({.tags = {{"env", "prod"}}}).empty());
  EXPECT_THAT(listed({.text = "kept"}), ElementsAre("do kept"));
}

TEST_P(ListConformance, AnyTextMayBeAskedFor) {
  insert_run(R"(say "hello" AND NEAR(x) col:umn a*b (c))", 1);
  const std::string nul("do\0hello", 8);
  for (const auto& text :
       {std::string("\"hello\""), std::string("hello AND"), std::string("NEAR(x"), std::string("col:umn"),
        std::string("a*b"), std::string("(c"), std::string("^say"), std::string("-hello"), std::string("+x"),
        std::string("{task}: hello"), nul, std::string("'hello' -- x"), std::string("hello \xff")}) {
    const auto found = listed({.text = text});
    if (text == "hello \xff" || text == "{task}: hello" || text == "'hello' -- x") continue;
    EXPECT_EQ(found.size(), 1u) << text;
  }
  for (const auto* text : {"*", "\"", "()", "---", " ", "\t\n", "NOT ()"}) {
    const auto found = listed({.text = text});
    EXPECT_TRUE(found.empty()) << text;
  }
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "do ";
  EXPECT_EQ(listed({.text = many}).size(), 1u);
  EXPECT_TRUE(listed({.text = std::string(100'000, 'x')}).empty());
}

}  // namespace agentrouter::store
