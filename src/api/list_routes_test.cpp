#include "api/query.h"
#include "api/rig_test.h"

namespace agentrouter::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ListRoutes : public ApiRig {
 protected:
  std::string made(const std::string& task, const std::string& more = "") {
    auto id = created(R"({"task":")" + task + "\"" + more + "}");
    clock_.advance(std::chrono::seconds(1));
    return id;
  }
  std::vector<std::string> tasks(const std::string& query) {
    const auto reply = get("/v1/runs?" + query);
    EXPECT_EQ(reply.status, 200) << query << reply.body;
    std::vector<std::string> found;
    if (reply.status != 200) return found;
    const auto object = reply.object();
    for (const auto& run : object.at("items").as_array())
      found.emplace_back(run.at("task").as_string().c_str());
    return found;
  }
};

TEST_F(ListRoutes, PagesFollowTheCursorUntilItIsAbsent) {
  for (const char* task : {"a", "b", "c", "d", "e"}) made(task);
  std::vector<std::string> seen;
  std::string query = "limit=2";
  for (int page = 0; page < 5; ++page) {
    const auto reply = get("/v1/runs?" + query).object();
    for (const auto& run : reply.at("items").as_array())
      seen.emplace_back(run.at("task").as_string().c_str());
    if (!reply.contains("nextCursor")) break;
    query = "limit=2&cursor=" + net::percent_encode(reply.at("nextCursor").as_string().c_str());
  }
  EXPECT_THAT(seen, ElementsAre("e", "d", "c", "b", "a"));
  EXPECT_THAT(get("/v1/runs?limit=5").body, Not(HasSubstr("nextCursor")));
}

TEST_F(ListRoutes, FiltersMustAllHold) {
  const auto first = made("red apple", R"(,"tags":{"team":"x","env":"dev"})");
  made("green apple", R"(,"tags":{"team":"x"},"runtime":{"kind":"claude_code"})");
  const auto third = made("red pear");
  EXPECT_THAT(tasks(""), ElementsAre("red pear", "green apple", "red apple"));
  EXPECT_THAT(tasks("runtime=claude_code"), ElementsAre("green apple"));
  EXPECT_THAT(tasks("tag.team=x"), ElementsAre("green apple", "red apple"));
  EXPECT_THAT(tasks("tag.team=x&tag.env=dev"), ElementsAre("red apple"));
  EXPECT_THAT(tasks("tag.team=y"), IsEmpty());
  EXPECT_THAT(tasks("conversationId=" + third), ElementsAre("red pear"));
  EXPECT_THAT(tasks("conversationId=none"), IsEmpty());
  EXPECT_THAT(tasks("q=apple"), ElementsAre("green apple", "red apple"));
  EXPECT_THAT(tasks("q=%20APPLE+red&runtime=codex"), ElementsAre("red apple"));
  EXPECT_THAT(tasks("q="), ElementsAre("red pear", "green apple", "red apple"));
  end_run(first);
  EXPECT_THAT(tasks("status=completed"), ElementsAre("red apple"));
  EXPECT_THAT(tasks("status=active&tag.team=x"), ElementsAre("green apple"));
  EXPECT_THAT(tasks("unknown=1&unknown=2"), ElementsAre("red pear", "green apple", "red apple"));
}

TEST_F(ListRoutes, TimesAreReadInAnyZone) {
  const auto begun = clock_.now();
  made("early");
  made("late");
  const auto later = base::to_iso(begun + std::chrono::milliseconds(500));
  EXPECT_THAT(tasks("createdAfter=" + later), ElementsAre("late"));
  EXPECT_THAT(tasks("createdBefore=" + later), ElementsAre("early"));
  EXPECT_THAT(tasks("createdAfter=2000-01-01T00:00:00%2B02:00&createdBefore=2100-01-01t00:00:00.1z"),
              ElementsAre("late", "early"));
}

TEST_F(ListRoutes, WhatIsNoFilterIsRefused) {
  for (const char* query : {"limit=0",
                            "limit=101",
                            "limit=abc",
                            "status=odd",
                            "status=queued&status=queued",
                            "cursor=",
                            "cursor=broken",
                            "cursor=%00",
                            "cursor=a&cursor=a",
                            "runtime=other",
                            "tag.=x",
                            "tag.a%20b=x",
                            "tag.a=x&tag.a=x",
                            "tag.%ff=x",
                            "tag.a=%ff",
                            "conversationId=%00",
                            "createdAfter=yesterday",
                            "createdAfter=2026-13-01T00:00:00Z",
                            "createdAfter=2026-01-01",
                            "createdBefore=2026-01-01T00:00:00",
                            "createdBefore=2026-01-01T25:00:00Z",
                            "q=%ff",
                            "q=a&q=b"}) {
    const auto reply = get("/v1/runs?" + std::string(query));
    EXPECT_EQ(reply.status, 400) << query;
    EXPECT_EQ(reply.error_code(), "validation_error") << query;
  }
  EXPECT_EQ(get("/v1/runs?q=" + std::string(1001, 'x')).status, 400);
  EXPECT_EQ(get("/v1/runs?tag.a=" + std::string(257, 'x')).status, 400);
  EXPECT_EQ(get("/v1/runs?conversationId=" + std::string(257, 'x')).status, 400);
  std::string many;
  for (int i = 0; i < 33; ++i) many += "tag.k" + std::to_string(i) + "=v&";
  EXPECT_EQ(get("/v1/runs?" + many).status, 400);
}

TEST(ParseTime, TakesWhatRfc3339Allows) {
  const auto at = [](const char* text) { return base::to_iso(parse_time(text).value()); };
  EXPECT_EQ(at("2026-01-05T09:30:00Z"), "2026-01-05T09:30:00.000Z");
  EXPECT_EQ(at("2026-01-05T09:30:00.1239Z"), "2026-01-05T09:30:00.123Z");
  EXPECT_EQ(at("2026-01-05T09:30:00.5+02:00"), "2026-01-05T07:30:00.500Z");
  EXPECT_EQ(at("2026-01-05t09:30:00-01:30"), "2026-01-05T11:00:00.000Z");
  for (const char* text :
       {"", "2026-01-05", "2026-1-05T09:30:00Z", "2026-01-05T09:30:00", "2026-01-05T09:30:00.Z",
        "-026-01-05T09:30:00Z", "2026-02-30T09:30:00Z", "2026-01-05T09:30:60Z", "2026-01-05T09:30:00+2:00",
        "2026-01-05T09:30:00+02:00x", "2026-01-05T09:30:00.1234567890Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

}  // namespace
}  // namespace agentrouter::api
