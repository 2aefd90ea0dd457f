// What each key of a rule matches.

#include <gtest/gtest.h>

#include "policy/glob.h"
#include "policy/rules.h"

namespace agentrouter::policy {
namespace {

json::object object_of(const std::string& text) {
  return base::value_or_throw(base::parse_json(text)).as_object();
}

// The verdict of one rule's keys with `verdict` over a default.
class RuleMatch : public ::testing::Test {
 protected:
  static Decision judged(const std::string& keys, const std::string& verdict, const std::string& fallback,
                         const ActionFacts& facts) {
    const auto rules = base::value_or_throw(
        Rules::parse(object_of(R"({"name": "p", "default": ")" + fallback + R"(", "rules": [{"verdict": ")" +
                               verdict + "\", " + keys + "}]}")));
    return rules.judge(facts).decision;
  }
  static bool allows(const std::string& keys, const ActionFacts& facts) {
    return judged(keys, "allow", "ask", facts) == Decision::allowed;
  }
  static bool denies(const std::string& keys, const ActionFacts& facts) {
    return judged(keys, "deny", "allow", facts) == Decision::blocked;
  }
  static ActionFacts shell(const std::string& command) {
    return {.tool = "shell", .args = {{"command", command}}, .runtime = "codex", .mode = "default"};
  }
  static ActionFacts edit(const std::string& path, const std::string& diff = "+a\n",
                          const char* kind = "update") {
    return {.tool = "edit",
            .args = {{"changes", json::array{json::object{{"path", path}, {"kind", kind}, {"diff", diff}}}}}};
  }
};

TEST_F(RuleMatch, APermissionWantsEveryCommandToMatch) {
  const auto* keys = R"("command": ["ls", "npm test"])";
  EXPECT_TRUE(allows(keys, shell("ls -la | ls && npm test -- -x")));
  EXPECT_TRUE(allows(keys, shell("/bin/ls")));
  EXPECT_FALSE(allows(keys, shell("ls; rm a")));
  EXPECT_FALSE(allows(keys, shell("ls > a")));
  EXPECT_FALSE(allows(keys, shell("npm run test")));
  EXPECT_FALSE(allows(keys, shell("npm -s test")));
  EXPECT_FALSE(allows(keys, shell("./ls")));
  EXPECT_FALSE(allows(keys, shell("/tmp/ls")));
  EXPECT_FALSE(allows(keys, shell("npm $X")));
  EXPECT_FALSE(allows(keys, shell("X=1 ls")));
}

TEST_F(RuleMatch, ADenialWantsOneAndLooksThroughOptionsAndFolders) {
  const auto* keys = R"("command": ["rm", "git push"])";
  for (const auto* command : {"ls; rm a", "/bin/rm a", "./rm a", "git -C a push", "git --no-pager push -f",
                              "bash -c 'rm a'", "sudo rm a", "echo $(rm a)", "sh x.sh; rm a", "$X; rm a"}) {
    EXPECT_TRUE(denies(keys, shell(command))) << command;
  }
  for (const auto* command : {"git commit -m push a", "ls rm", "git log"})
    EXPECT_FALSE(denies(keys, shell(command))) << command;
  EXPECT_EQ(judged(keys, "deny", "allow", shell("git $X")), Decision::requires_approval);
  EXPECT_EQ(judged(keys, "deny", "allow", shell("git log")), Decision::allowed);
}

TEST_F(RuleMatch, ArgumentsAreWantedUnwantedOrTheOnlyOptions) {
  EXPECT_TRUE(
      denies(R"("command": "git push", "with": ["-f", "--force*"])", shell("git push --force-with-lease")));
  EXPECT_FALSE(denies(R"("command": "git push", "with": ["-f", "--force*"])", shell("git push a")));
  EXPECT_TRUE(allows(R"("command": "find", "without": ["-delete"])", shell("find . -name 'a*'")));
  EXPECT_FALSE(allows(R"("command": "find", "without": ["-delete"])", shell("find . -delete")));
  EXPECT_FALSE(allows(R"("command": "find", "without": ["-delete"])", shell("find $X")));
  EXPECT_TRUE(allows(R"("command": "find", "without": ["-delete"])", shell("find src/*")));
  EXPECT_TRUE(allows(R"("command": "make", "options": ["-j*"])", shell("make -j8 all")));
  EXPECT_FALSE(allows(R"("command": "make", "options": ["-j*"])", shell("make -f x")));
  EXPECT_FALSE(allows(R"("command": "make", "options": ["-j*"])", shell("make $X")));
}

TEST_F(RuleMatch, CodeThatIsNotSeenWantsARuleThatNamesTheProgram) {
  EXPECT_TRUE(allows(R"("command": "python3 x.py")", shell("python3 x.py a")));
  EXPECT_TRUE(allows(R"("command": "./gradlew")", shell("./gradlew build")));
  EXPECT_FALSE(allows(R"("tool": "shell")", shell("python3 x.py")));
  EXPECT_TRUE(allows(R"("tool": "shell")", shell("ls; make")));
  EXPECT_EQ(judged(R"("tool": "mcp")", "ask", "allow", shell("python3 -c x")), Decision::requires_approval);
  EXPECT_EQ(judged(R"("tool": "mcp")", "ask", "allow", shell("make")), Decision::allowed);
  EXPECT_FALSE(allows(R"("command": "./gradlew")", shell("echo a > gradlew; ./gradlew")));
}

TEST_F(RuleMatch, EnvironmentIsAllowedByName) {
  EXPECT_TRUE(allows(R"("command": "make", "env": ["DEST"])", shell("DEST=a CI=1 make")));
  EXPECT_FALSE(allows(R"("command": "make", "env": ["DEST"])", shell("DEST=a OTHER=1 make")));
  EXPECT_TRUE(allows(R"("command": "make", "env": ["DEST"])", shell("export DEST=a; make")));
  EXPECT_EQ(judged(R"("tool": "mcp")", "ask", "allow", shell("X=1 make")), Decision::requires_approval);
}

TEST_F(RuleMatch, PathsAreNormalAndOfTheWorkspace) {
  const auto* keys = R"("tool": "edit", "path": ["src/**", "*.md"])";
  for (const auto* path : {"src/a", "./src/a/b", "/workspace/src/a", "a/../src/b", "README.md", "src"})
    EXPECT_TRUE(allows(keys, edit(path))) << path;
  for (const auto* path : {"a", "src/../a", "/src/a", "docs/a.md", "../workspace2/src/a", "/etc/a.md"})
    EXPECT_FALSE(allows(keys, edit(path))) << path;
  EXPECT_TRUE(allows(R"("path": "/tmp/**")", edit("/tmp/a/b")));
  EXPECT_TRUE(allows(R"("path": "/workspace/*")", edit("a")));
  EXPECT_FALSE(allows(keys, edit("src/a\nb")));
  EXPECT_FALSE(allows(keys, edit("src/" + std::string(5'000, 'a'))));
}

TEST_F(RuleMatch, RedirectionsAreEditsAndCommandsNameFiles) {
  EXPECT_TRUE(allows(R"("command": "ls", "tool": "shell")", shell("ls 2> /dev/null")));
  EXPECT_TRUE(allows(R"("tool": ["shell", "edit"], "path": "**")", edit("a")));
  EXPECT_TRUE(denies(R"("path": "**/.env")", shell("ls > a/.env")));
  EXPECT_TRUE(denies(R"("path": "**/.env")", shell("cat < .env")));
  EXPECT_TRUE(denies(R"("path": "**/.env")", shell("cat ./a/../.env")));
  EXPECT_TRUE(denies(R"("path": "**/.env")", shell("dd if=/workspace/.env")));
  EXPECT_TRUE(denies(R"("path": "**/.env")", edit(".env")));
  EXPECT_EQ(judged(R"("path": "**/.env")", "deny", "allow", shell("ls > $X")), Decision::requires_approval);
  EXPECT_FALSE(denies(R"("tool": "edit", "path": "**/.env")", shell("cat < .env")));
}

TEST_F(RuleMatch, SizesOfAnEdit) {
  EXPECT_TRUE(allows(R"("tool": "edit", "max_lines": 2)", edit("a", "+a\n-b\n")));
  EXPECT_FALSE(allows(R"("tool": "edit", "max_lines": 1)", edit("a", "+a\n-b\n")));
  EXPECT_TRUE(denies(R"("over_bytes": 5)", edit("a", "+a\n-b\n")));
  EXPECT_FALSE(denies(R"("over_files": 1)", edit("a")));
  EXPECT_FALSE(allows(R"("tool": ["edit", "shell"], "max_bytes": 5)", shell("ls > a")));
  ActionFacts unknown{.tool = "edit", .args = {{"changes", json::array{json::object{{"path", "a"}}}}}};
  EXPECT_FALSE(allows(R"("max_lines": 5)", unknown));
  EXPECT_EQ(judged(R"("over_lines": 5)", "deny", "allow", unknown), Decision::requires_approval);
  EXPECT_TRUE(allows(R"("change": "add")", edit("a", "+a\n", "add")));
  EXPECT_FALSE(allows(R"("change": "add")", edit("a", "+a\n", "delete")));
}

TEST_F(RuleMatch, AnEditThatIsNotToldInFullIsNotAllowed) {
  for (const auto* args : {"{}", R"({"changes": []})", R"({"changes": [{}]})", R"({"changes": [7]})",
                           R"({"changes": [{"path": "a", "kind": "add", "diff": "a"}], "grantRoot": "/"})"}) {
    EXPECT_FALSE(allows(R"("tool": "edit")", {.tool = "edit", .args = object_of(args)})) << args;
  }
  EXPECT_FALSE(allows(R"("tool": "shell")", {.tool = "shell", .args = {}}));
  EXPECT_FALSE(allows(
      R"("tool": "edit", "path": "a")",
      {.tool = "edit", .args = object_of(R"({"changes": [{"path": "a", "movePath": "b", "diff": ""}]})")}));
}

TEST_F(RuleMatch, ServersHostsAndMethods) {
  const ActionFacts call{.tool = "mcp", .args = object_of(R"({"server": "github", "tool": "get_issue"})")};
  EXPECT_TRUE(allows(R"("mcp": "github.get_*")", call));
  EXPECT_FALSE(allows(R"("mcp": "github.put_*")", call));
  const auto page = [](const char* url) { return ActionFacts{.tool = "web", .args = {{"url", url}}}; };
  const auto* keys = R"("host": ["docs.rs", "*.example.com"])";
  EXPECT_TRUE(allows(keys, page("https://docs.rs/a?b")));
  EXPECT_TRUE(allows(keys, page("HTTPS://Docs.RS:443")));
  EXPECT_TRUE(allows(keys, page("https://a.example.com./")));
  for (const auto* url :
       {"https://docs.rs@evil.com/", "https://evil.com\\@docs.rs/", "https://evil.com/docs.rs",
        "https://docs.rs.evil.com", "docs.rs", "https://example.com", "https://evil.com#@docs.rs"})
    EXPECT_FALSE(allows(keys, page(url))) << url;
  auto both = page("https://evil.com");
  both.args["host"] = "docs.rs";
  EXPECT_FALSE(allows(keys, both));
  const auto request = [](const char* method, const char* path) {
    return ActionFacts{.tool = "network", .args = {{"host", "api.a.b"}, {"method", method}, {"path", path}}};
  };
  const auto* api = R"("host": "api.a.b", "method": "GET", "url_path": "/v1/**")";
  EXPECT_TRUE(allows(api, request("get", "/v1/x?y")));
  EXPECT_FALSE(allows(api, request("POST", "/v1/x")));
  EXPECT_FALSE(allows(api, request("GET", "/v2")));
  EXPECT_FALSE(allows(api, request("GET", "/v1/../v2")));
  EXPECT_FALSE(allows(api, request("GET", "/v1/%2e%2e/v2")));
}

TEST_F(RuleMatch, RuntimeModeTagsAndTime) {
  auto facts = shell("make");
  facts.tags = {{"team", "infra"}};
  EXPECT_TRUE(allows(R"("runtime": "codex", "mode": "def*")", facts));
  EXPECT_FALSE(allows(R"("runtime": "claude_code")", facts));
  EXPECT_TRUE(allows(R"("tag": {"team": ["infra", "web"]})", facts));
  EXPECT_FALSE(allows(R"("tag": {"team": "web"})", facts));
  EXPECT_FALSE(allows(R"("tag": {"other": "*"})", facts));
  const auto* night = R"("days": ["mon", "tue"], "hours": "22:00-06:00")";
  EXPECT_FALSE(allows(night, facts));
  EXPECT_EQ(judged(night, "deny", "allow", facts), Decision::requires_approval);
  for (const auto& [minute, within] :
       {std::pair(23 * 60, true), {5 * 60, true}, {12 * 60, false}, {4 * 24 * 60, false}}) {
    facts.week_minute = minute;
    EXPECT_EQ(allows(night, facts), within) << minute;
  }
}

TEST_F(RuleMatch, WhatIsNotUnderstoodIsAskedOrDenied) {
  EXPECT_EQ(judged(R"("tool": "shell")", "allow", "allow", shell("$X")), Decision::requires_approval);
  EXPECT_EQ(judged(R"("tool": "shell")", "allow", "deny", shell("$X")), Decision::blocked);
  const auto strict = base::value_or_throw(
      Rules::parse(object_of(R"({"name": "p", "default": "allow", "not_understood": "deny"})")));
  EXPECT_EQ(strict.judge(shell("$X")).decision, Decision::blocked);
  EXPECT_EQ(strict.judge(shell("$X")).rule_id, "not-understood");
  EXPECT_EQ(strict.judge(shell("make")).decision, Decision::allowed);
}

TEST_F(RuleMatch, AScriptThatOnlyChangesItsShellIsStillAsked) {
  for (const auto* command : {":", "exit 3", "bash -c :", "X=1", ""}) {
    EXPECT_NE(preset("ask-all")->judge(shell(command)).decision, Decision::allowed) << command;
  }
  EXPECT_EQ(preset("ask-writes")->judge(shell("set -e; ls; exit 0")).decision, Decision::allowed);
}

TEST(Glob, PathsAndTexts) {
  EXPECT_TRUE(matches_path("a/**/b", "a/x/y/b"));
  EXPECT_TRUE(matches_path("a/**/b", "a/b"));
  EXPECT_FALSE(matches_path("a/**/b", "ab"));
  EXPECT_FALSE(matches_path("**/b", "xb"));
  EXPECT_TRUE(matches_path("**/.git/**", "x/.git"));
  EXPECT_TRUE(matches_path("**/b", "b"));
  EXPECT_TRUE(matches_path("a/*/b", "a/x/b"));
  EXPECT_FALSE(matches_path("a/*/b", "a/x/y/b"));
  EXPECT_FALSE(matches_path("a/?", "a//"));
  EXPECT_TRUE(matches_text("a*c?", "abbcd"));
  EXPECT_FALSE(matches_text("a*c?", "abbc"));
  EXPECT_TRUE(matches_text("**", ""));
  EXPECT_FALSE(matches_text("", "a"));
  EXPECT_TRUE(could_match_text("-delete", "-d"));
  EXPECT_FALSE(could_match_text("-delete", "src"));
  EXPECT_EQ(normal_path("../..", "/workspace"), "/");
  EXPECT_EQ(normal_path(".", "/workspace"), ".");
  EXPECT_EQ(normal_path("a//./b/..", "/workspace/x"), "x/a");
}

}  // namespace
}  // namespace agentrouter::policy
