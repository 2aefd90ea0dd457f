#include "sim/plain.h"

#include <gtest/gtest.h>

namespace agentrouter::sim {
namespace {

std::string answer(std::string_view task) {
  return std::get<Text>(plain_script(task).responses.back().final_message.value()).text;
}

std::string command(std::string_view task) {
  return std::get<Shell>(plain_script(task).responses.at(0).calls.at(0)).command;
}

WriteFile file(std::string_view task) {
  return std::get<WriteFile>(plain_script(task).responses.at(0).calls.at(0));
}

TEST(PlainTask, ReplyExactlyGivesTheToken) {
  EXPECT_EQ(answer("Reply exactly TOKEN-1"), "TOKEN-1");
  EXPECT_EQ(answer("Please, reply exactly: `a_b`. Nothing else."), "a_b");
  EXPECT_EQ(answer("Reply exactly OK.\nThank you"), "OK");
  EXPECT_EQ(plain_script("Reply exactly X").responses.size(), 1u);
}

TEST(PlainTask, RunExactlyRunsTheCommandUpToTheEndOfTheSentence) {
  EXPECT_EQ(command("run exactly: echo hi"), "echo hi");
  EXPECT_EQ(command("In the shell Run exactly: cat a.txt b.d/c. Then stop."), "cat a.txt b.d/c");
  EXPECT_EQ(command("run exactly: find . -name '*.c'."), "find . -name '*.c'");
  EXPECT_EQ(command("run exactly: ls .."), "ls ..");
  EXPECT_EQ(command("run exactly: ls ./."), "ls ./.");
  EXPECT_EQ(command("run exactly: `pwd`."), "pwd");
  EXPECT_EQ(answer("run exactly: pwd"), "I ran `pwd` as asked.");
}

TEST(PlainTask, CreateWritesAFileThatFitsItsName) {
  EXPECT_EQ(file("Create docs/hello.md with a greeting").path, "docs/hello.md");
  EXPECT_EQ(file("Create docs/hello.md with a greeting").text,
            "# hello\n\nWritten for this task: Create docs/hello.md with a greeting\n");
  EXPECT_EQ(file("create a new file named `a-b_c.txt`.").text, "Hello from a-b_c.txt\n");
  EXPECT_EQ(file("Create a plan, then create x.py").path, "x.py");
  for (const auto name : {"a.py", "a.sh", "a.js", "a.ts", "a.json", "a.html"}) {
    EXPECT_FALSE(file("Create " + std::string(name)).text.empty());
  }
  EXPECT_EQ(answer("Create x.py"), "I created x.py.");
}

TEST(PlainTask, CreateNeedsARelativePathWithAnExtension) {
  for (const auto task : {"Create README", "Create /etc/x.conf", "Create ../x.txt", "Create .gitignore",
                          "Create a$b.txt", "Create a.", "recreate x.txt"}) {
    EXPECT_EQ(command(task), "ls -la") << task;
  }
}

TEST(PlainTask, AnythingElseLooksAroundAndQuotesTheTask) {
  EXPECT_EQ(command("Fix the bug"), "ls -la");
  EXPECT_NE(answer("Fix the bug").find("\"Fix the bug\""), std::string::npos);
  EXPECT_NE(answer(std::string(500, 'x')).find(std::string(200, 'x') + "...\""), std::string::npos);
}

TEST(PlainTask, NoTaskIsSaidSo) {
  EXPECT_EQ(answer(" \n"), "There is no task in this request.");
}

TEST(PlainTask, EmptyFormsFallThrough) {
  EXPECT_EQ(command("reply exactly"), "ls -la");
  EXPECT_EQ(command("run exactly:"), "ls -la");
}

}  // namespace
}  // namespace agentrouter::sim
