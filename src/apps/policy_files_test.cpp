#include "apps/policy_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "apps/policy_facts.h"
#include "apps/policy_suggest.h"
#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using policy::Decision;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class PolicyFiles : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
    // Whatever the clock's grain is, the file is another one now.
    std::filesystem::last_write_time(folder_.path() / name,
                                     std::filesystem::file_time_type(std::chrono::seconds(++stamp_)));
  }
  base::Result<PolicyCatalog> open(std::string fallback = "") {
    return PolicyCatalog::open(
        {.dir = folder_.path().string(), .fallback = std::move(fallback), .callers = callers_},
        "/nonexistent");
  }
  std::string error(const std::string& text) {
    write("p.toml", text);
    const auto catalog = open();
    return catalog ? "" : catalog.error().message;
  }
  static Decision judged(PolicyCatalog& catalog, std::string_view name, const char* path) {
    const auto rules = base::value_or_throw(catalog.rules_for(name));
    return rules->judge(base::value_or_throw(facts_of({{"path", path}}))).would_be;
  }

  agentrouter::testing::TempDir folder_;
  std::optional<std::vector<std::string>> callers_;
  int stamp_ = 0;
};

constexpr const char* allows_a = "default = 'ask'\n[[rules]]\ntool = 'edit'\npath = 'a'\nverdict = 'allow'\n";

TEST_F(PolicyFiles, AFileIsAPolicyOfItsName) {
  write("mine.toml", allows_a);
  auto catalog = open();
  ASSERT_TRUE(catalog) << catalog.error().message;
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::allowed);
  EXPECT_EQ(judged(*catalog, "mine", "b"), Decision::requires_approval);
  EXPECT_THAT(catalog->names(), Contains("mine"));
  EXPECT_THAT(catalog->names(), Contains("locked"));
  EXPECT_FALSE(base::value_or_throw(catalog->rules_for("")));
}

TEST_F(PolicyFiles, WhatFollowsWithoutProgressIsReadInheritedAndTightened) {
  using policy::Intervention;
  using policy::Signal;
  write("base.toml", "[no_progress]\naction = ['warn', 'interrupt']\n[no_progress.ping_pong]\nafter = 9\n");
  write("child.toml", "inherit = 'base'\n[no_progress.ping_pong]\naction = 'stop'\n");
  auto catalog = open("base");
  ASSERT_TRUE(catalog) << catalog.error().message;
  const auto both = base::value_or_throw(catalog->rules_for("child"))->no_progress();
  EXPECT_EQ(both.after(Signal::ping_pong), 9);
  EXPECT_EQ(both.action(Signal::ping_pong, 1, 0), Intervention::stop);
  EXPECT_EQ(both.action(Signal::error_loop, 2, 0), Intervention::interrupt);
  EXPECT_FALSE(base::value_or_throw(catalog->rules_for("child"))->judges_actions());
  EXPECT_TRUE(base::value_or_throw(catalog->rules_for("ask-all"))->judges_actions());
  EXPECT_THAT(error("[no_progress]\nafter = 3\n"), HasSubstr("no_progress: unknown key \"after\""));
}

TEST_F(PolicyFiles, WhatARequestNamesOnlyTightensTheDefault) {
  write("mine.toml", allows_a);
  auto catalog = open("locked");
  ASSERT_TRUE(catalog);
  EXPECT_EQ(judged(*catalog, "", "a"), Decision::blocked);
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::blocked);
  EXPECT_EQ(base::value_or_throw(catalog->rules_for("mine"))->name(), "locked+mine");
}

TEST_F(PolicyFiles, AnUnknownNameIsRefusedWithTheKnownOnes) {
  write("mine.toml", allows_a);
  callers_ = {"mine"};
  auto catalog = open();
  ASSERT_TRUE(catalog);
  const auto rules = catalog->rules_for("locked");
  ASSERT_FALSE(rules);
  EXPECT_EQ(rules.error().reason, "policy_unknown");
  EXPECT_EQ(rules.error().details, R"({"name":"locked","known":["mine"]})");
  EXPECT_TRUE(catalog->rules_for("mine"));
}

TEST_F(PolicyFiles, AChangedFileCountsAtOnceAndABrokenOneKeepsWhatItSaid) {
  write("mine.toml", allows_a);
  auto catalog = open();
  ASSERT_TRUE(catalog);
  write("mine.toml", "default = 'deny'\n");
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::blocked);
  write("mine.toml", "default = 'perhaps'\n");
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::blocked);
  write("mine.toml", "default = ");
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::blocked);
  write("mine.toml", "default = 'allow'\n");
  EXPECT_EQ(judged(*catalog, "mine", "a"), Decision::allowed);
  std::filesystem::remove(folder_.path() / "mine.toml");
  EXPECT_FALSE(catalog->rules_for("mine"));
  EXPECT_THAT(catalog->names(), Not(Contains("mine")));
}

TEST_F(PolicyFiles, WithoutItsDefaultNothingIsAllowed) {
  write("mine.toml", allows_a);
  auto catalog = open("mine");
  ASSERT_TRUE(catalog);
  std::filesystem::remove(folder_.path() / "mine.toml");
  EXPECT_FALSE(catalog->rules_for(""));
  EXPECT_FALSE(catalog->rules_for("locked"));
}

TEST_F(PolicyFiles, InheritsFromFilesAndPresets) {
  write("base.toml", "inherit = 'locked'\n[[rules]]\ntool = 'edit'\npath = 'a'\nverdict = 'allow'\n");
  write("child.toml", "inherit = 'base'\n[[rules]]\ntool = 'edit'\npath = 'b'\nverdict = 'ask'\n");
  auto catalog = open();
  ASSERT_TRUE(catalog) << catalog.error().message;
  EXPECT_EQ(judged(*catalog, "child", "a"), Decision::allowed);
  EXPECT_EQ(judged(*catalog, "child", "b"), Decision::requires_approval);
  EXPECT_EQ(judged(*catalog, "child", "c"), Decision::blocked);
  write("base.toml", "inherit = 'child'\n");
  EXPECT_EQ(judged(*catalog, "child", "c"), Decision::blocked);
}

TEST_F(PolicyFiles, ErrorsSayFilePlaceAndWhatIsWanted) {
  EXPECT_THAT(error("default = "), HasSubstr("p.toml:1: "));
  EXPECT_THAT(error("default = 'ask'\n\n[[rules]]\nverdict = 'ask'\ntool = 'shel'"),
              HasSubstr("p.toml:3: rule 1.tool: \"shel\" is no tool: want one of shell"));
  EXPECT_THAT(error("default = 'ask'\nrule = 1"), HasSubstr("p.toml: document: unknown key \"rule\""));
  EXPECT_THAT(error("default = 1.5"), HasSubstr("p.toml:1: want a text"));
  EXPECT_THAT(error("name = 'q'\ndefault = 'ask'"), HasSubstr("p.toml: name: the file's name"));
  EXPECT_THAT(error("inherit = 'p'"), HasSubstr("a circle: p -> p"));
  EXPECT_THAT(error("inherit = 'q'"), HasSubstr("there is no policy \"q\""));
  EXPECT_THAT(error("tests = 3\ndefault = 'ask'"), HasSubstr("tests: want"));
  write("p.toml", allows_a);
  write("locked.toml", allows_a);
  EXPECT_THAT(open().error().message, HasSubstr("always there"));
  std::filesystem::remove(folder_.path() / "locked.toml");
  EXPECT_THAT(open("nobody").error().message, HasSubstr("no policy \"nobody\""));
}

TEST_F(PolicyFiles, AMissingFolderIsAnErrorOnlyWhenItIsNamed) {
  EXPECT_FALSE(
      PolicyCatalog::open({.dir = "/nonexistent/policies", .fallback = "", .callers = {}}, "/nonexistent"));
  EXPECT_TRUE(PolicyCatalog::open({}, "/nonexistent"));
}

TEST(PolicyTests, SayWhatWasExpectedAndWhatCame) {
  const auto file = parse_policy_file(
      "inherit = 'ask-writes'\n[[tests]]\ncommand = 'ls'\nexpect = 'allow'\nrule = 'reading-commands'\n"
      "[[tests]]\ncommand = 'rm a'\nexpect = 'deny'\n[[tests]]\nread = 'a'\nexpect = 'allow'\n"
      "[[tests]]\nurl = 'https://a'\nexpect = 'ask'\n[[tests]]\nmcp = 'a.b'\nexpect = 'ask'\n"
      "[[tests]]\nhost = 'a'\nmethod = 'GET'\nexpect = 'ask'\ntime = 'mon 09:30'\ntags = {a = 'b'}\n",
      "p.toml");
  ASSERT_TRUE(file) << file.error().message;
  const auto result = test_policy(*policy::preset("ask-writes"), file->tests);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->passed, 5);
  EXPECT_THAT(result->failures,
              ElementsAre(HasSubstr("test 2: {\"command\":\"rm a\",\"cwd\":\"/workspace\"}: expected "
                                    "deny, got ask by default")));
  const auto wrong = [](const json::object& one) {
    const auto tested = test_policy(*policy::preset("locked"), {one});
    return tested ? "" : tested.error().message;
  };
  EXPECT_THAT(wrong({{"command", "ls"}}), HasSubstr("test 1: expect: want"));
  EXPECT_THAT(wrong({{"expect", "ask"}}), HasSubstr("want one of command"));
  EXPECT_THAT(wrong({{"comand", "ls"}}), HasSubstr("comand: want one of the keys"));
  EXPECT_THAT(wrong({{"command", "ls"}, {"time", "monday"}}), HasSubstr("time: want a day"));
}

TEST(PolicyTests, AUrlIsAlsoWhatTheWayOutSays) {
  const auto file = parse_policy_file(
      "default = 'ask'\n[[egress]]\nid = 'npm'\nhost = 'registry.npmjs.org'\nmethod = 'GET'\n"
      "[[egress]]\nhost = 'git.test'\nscheme = 'tcp'\nport = 22\n"
      "[[tests]]\nurl = 'https://registry.npmjs.org/left-pad'\nexpect = 'ask'\negress = 'allow'\negress_rule = 'npm'\n"
      "[[tests]]\nurl = 'https://registry.npmjs.org/x'\nmethod = 'PUT'\negress = 'deny'\negress_rule = 'default'\n"
      "[[tests]]\nurl = 'tcp://git.test:22'\negress = 'allow'\n"
      "[[tests]]\nurl = 'http://registry.npmjs.org/'\negress = 'allow'\n",
      "p.toml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->egress_lines, ElementsAre(2, 6));
  const auto rules = policy::Rules::parse(file->document);
  ASSERT_TRUE(rules) << rules.error().message;
  const auto result = test_policy(*rules, file->tests);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->passed, 3);
  EXPECT_THAT(result->failures, ElementsAre(HasSubstr("egress: expected allow, got deny by default")));
  const auto wrong = [&](const json::object& one) {
    const auto tested = test_policy(*rules, {one});
    return tested ? "" : tested.error().message;
  };
  EXPECT_THAT(wrong({{"command", "ls"}, {"egress", "allow"}}), HasSubstr("egress: want a url"));
  EXPECT_THAT(wrong({{"url", "ftp://a"}, {"egress", "allow"}}), HasSubstr("url: want"));
  EXPECT_THAT(wrong({{"url", "https://a.test"}, {"egress", "yes"}}), HasSubstr("expect: want"));
  const json::object npm{{"host", "registry.npmjs.org"}};
  const auto web = base::value_or_throw(policy::Rules::parse({{"name", "web"}, {"egress", json::array{npm}}}));
  const json::object only{{"url", "https://registry.npmjs.org/x"}, {"expect", "allow"}, {"rule", "egress-1"}};
  EXPECT_EQ(test_policy(web, {only})->passed, 1);
}

TEST(PolicySuggest, DraftsRulesFromWhatWasDecided) {
  const auto shell = [](const char* command, bool approved) {
    return DecidedAction{"shell", {{"command", command}}, approved};
  };
  const json::object edit{
      {"changes", json::array{json::object{{"path", "/workspace/src/a.cpp"}, {"kind", "update"}}}}};
  const auto draft = draft_policy({shell("bash -lc 'npm run build && ls src'", true),
                                   shell("git push origin main", false),
                                   shell("make", true),
                                   shell("make all", false),
                                   shell("python3 -c x", true),
                                   {"edit", edit, true},
                                   {"mcp", {{"server", "notes"}, {"tool", "add"}}, true}});
  EXPECT_EQ(draft,
            "# Drafted from the decisions of a run: read it before it is used.\n"
            "inherit = \"ask-writes\"\n"
            "# Left out: a command that is not clear\n"
            "# Decided both ways: make\n"
            "\n[[rules]]\ncommand = [\"git push\"]\nverdict = \"deny\"\n"
            "\n[[rules]]\ncommand = [\"ls\", \"npm run\"]\nverdict = \"allow\"\n"
            "\n[[rules]]\ntool = \"edit\"\npath = [\"src/**\"]\nverdict = \"allow\"\n"
            "\n[[rules]]\nmcp = [\"notes.add\"]\nverdict = \"allow\"\n");
  const auto file = parse_policy_file(draft, "drafted.toml");
  ASSERT_TRUE(file) << file.error().message;
  PolicySet set;
  set.add(*file);
  const auto rules = set.rules("drafted");
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_EQ(rules->judge({.tool = "shell", .args = {{"command", "git -C a push"}}}).decision,
            Decision::blocked);
}

TEST(PolicySuggest, WritesNoPatternThatAStrangerChose) {
  const json::object edit{
      {"changes", json::array{json::object{{"path", "*/x"}}, json::object{{"path", "a\"]\n[[rules]]"}}}}};
  const auto draft = draft_policy({{"edit", edit, true},
                                   {"mcp", {{"server", "*"}, {"tool", "*"}}, true},
                                   {"shell", {{"command", "'*' x"}}, true}});
  EXPECT_EQ(draft.find("[[rules]]"), std::string::npos) << draft;
}

}  // namespace
}  // namespace agentrouter::apps
