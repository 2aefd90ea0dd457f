#include "policy/no_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

class NoProgressTest : public ::testing::Test {
 protected:
  // Each returns the signals that it gave.
  std::vector<std::string> sh(std::string_view command, std::int64_t exit_code = 0,
                              std::string_view output = "") {
    return told({.agent = agent,
                 .tool = "shell",
                 .command = command,
                 .failed = exit_code != 0,
                 .exit_code = exit_code,
                 .output = output});
  }
  std::vector<std::string> edit(std::string path, std::string diff, std::string kind = "update") {
    FinishedCall call{.agent = agent, .tool = "edit", .title = path, .input = diff};
    call.changes.push_back({std::move(path), std::move(kind), diff});
    return told(call);
  }
  std::vector<std::string> call(std::string_view tool, std::string_view input, std::string_view output,
                                bool failed = false) {
    return told(
        {.agent = agent, .tool = tool, .title = input, .input = input, .failed = failed, .output = output});
  }
  std::vector<std::string> told(const FinishedCall& call) { return names(detector.finished(call)); }
  std::vector<std::string> names(NoProgress::Found signals) {
    std::vector<std::string> all;
    for (auto& signal : signals) {
      all.emplace_back(signal.at("signal").as_string());
      last = std::move(signal);
    }
    return all;
  }
  void use(const char* rules) {
    detector = NoProgress(
        base::value_or_throw(NoProgressRules::parse(base::value_or_throw(base::parse_json(rules)))));
  }

  NoProgress detector;
  std::string agent;
  json::object last;
};

TEST_F(NoProgressTest, TheSameCommandWithTheSameResultIsToldOfOnce) {
  EXPECT_THAT(sh("make", 2, "error"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "error"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "error"), ElementsAre("repeated_command"));
  EXPECT_EQ(last.at("occurrences"), 3);
  EXPECT_EQ(last.at("exitCode"), 2);
  EXPECT_EQ(last.at("command"), "make");
  EXPECT_FALSE(last.contains("parentCallId"));
  for (int i = 0; i < 2; ++i) EXPECT_THAT(sh("make", 2, "error"), IsEmpty());
}

TEST_F(NoProgressTest, AnotherOutputOrExitCodeIsAnotherResult) {
  for (int i = 1; i < 9; ++i) {
    EXPECT_THAT(sh("./step", 0, std::to_string(i) + " of 20 done"), IsEmpty());
    EXPECT_THAT(sh("grep -c x log", i, ""), IsEmpty());
  }
}

TEST_F(NoProgressTest, TimesDurationsAndProcessIdsAreNoOtherResult) {
  EXPECT_THAT(sh("./run", 1, "2026-11-29T08:36:03Z pid 4711: boom in 0.12s"), IsEmpty());
  EXPECT_THAT(sh("./run", 1, "2026-11-29T08:36:09Z pid 4760: boom in 1.4s"), IsEmpty());
  EXPECT_THAT(sh("./run", 1, "2026-11-29T08:37:11Z pid 5000: boom in 15ms"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, RepeatedSuccessCountsUntilSomethingNewIsSeen) {
  EXPECT_THAT(sh("git status", 0, "clean"), IsEmpty());
  EXPECT_THAT(sh("git status", 0, "clean"), IsEmpty());
  EXPECT_THAT(sh("cat a", 0, "text"), IsEmpty());
  EXPECT_THAT(sh("git status", 0, "clean"), IsEmpty());
  EXPECT_THAT(sh("git status", 0, "clean"), IsEmpty());
  EXPECT_THAT(sh("git status", 0, "clean"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, LookingAtThingsIsNoReasonToTryTheSameFailureAgain) {
  EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
  EXPECT_THAT(sh("cat Makefile", 0, "all:"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
  EXPECT_THAT(sh("ls", 0, "Makefile"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "x"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, TestsAfterEachEditMayGiveTheSameResult) {
  for (int i = 0; i < 40; ++i) {
    EXPECT_THAT(edit("a.py", "-" + std::to_string(i) + "\n+" + std::to_string(i + 1) + "\n"), IsEmpty());
    EXPECT_THAT(sh("pytest -q", 0, "5 passed in 0.1" + std::to_string(i) + "s"), IsEmpty());
    EXPECT_THAT(sh("git status --short", 0, " M a.py"), IsEmpty());
  }
}

TEST_F(NoProgressTest, TheSameErrorAfterManyDifferentEditsIsALoop) {
  std::vector<std::string> signals;
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(edit("a.py", "-" + std::to_string(i) + "\n+" + std::to_string(i + 1) + "\n"), IsEmpty());
    signals = sh("pytest -q", 1, "E   KeyError: 'x'\n1 failed in 0.3s");
    if (i < 5) EXPECT_THAT(signals, IsEmpty());
  }
  EXPECT_THAT(signals, ElementsAre("error_loop"));
  EXPECT_EQ(last.at("error"), "1 failed in <duration>");
  EXPECT_EQ(last.at("occurrences"), 6);
}

TEST_F(NoProgressTest, AnErrorThatGoesAwayBeginsAnew) {
  for (int i = 0; i < 4; ++i) {
    for (int k = 0; k < 4; ++k) {
      EXPECT_THAT(edit("a.py", "+" + std::to_string(i * 10 + k) + "\n-x\n"), IsEmpty());
      EXPECT_THAT(sh("pytest -q", 1, "E   KeyError: 'x'"), IsEmpty());
    }
    EXPECT_THAT(edit("a.py", "+fix" + std::to_string(i) + "\n-x\n"), IsEmpty());
    EXPECT_THAT(sh("pytest -q", 0, "ok " + std::to_string(i)), IsEmpty());
  }
}

TEST_F(NoProgressTest, FewerErrorsAreProgress) {
  for (int i = 12; i > 0; --i) {
    EXPECT_THAT(edit("a.c", "-" + std::to_string(i) + "\n+y\n"), IsEmpty());
    std::string output;
    for (int k = 0; k < i; ++k) output += "a.c:" + std::to_string(k) + ": error: no x\n";
    EXPECT_THAT(sh("make", 2, output + "make: *** [all] Error 1"), IsEmpty());
  }
}

TEST_F(NoProgressTest, DifferentCommandsWithTheSameErrorAreALoop) {
  const std::vector<std::string> ways{"python a.py", "python3 a.py", "python -m a",
                                      "./a.py",      "sh -c ./a.py", "env python a.py"};
  std::vector<std::string> signals;
  for (const auto& way : ways)
    signals = sh(way, 1, "Traceback (most recent call last):\nModuleNotFoundError: No module named 'x'");
  EXPECT_THAT(signals, ElementsAre("error_loop"));
}

TEST_F(NoProgressTest, ManyFailuresOneAfterTheOtherAreALoop) {
  std::vector<std::string> signals;
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(signals, IsEmpty());
    signals = sh("tool " + std::to_string(i), 3, "error number " + std::to_string(i));
  }
  EXPECT_THAT(signals, ElementsAre("error_loop"));
}

TEST_F(NoProgressTest, SearchesThatFindNothingAreNoFailures) {
  for (int i = 0; i < 30; ++i) EXPECT_THAT(sh("grep -r word" + std::to_string(i), 1, ""), IsEmpty());
}

TEST_F(NoProgressTest, PollingTakesPatience) {
  std::vector<std::string> signals;
  for (int i = 0; i < 29; ++i)
    EXPECT_THAT(sh("sleep 5; kubectl get pods", 0, "web 0/1 Pending " + std::to_string(i) + "s"), IsEmpty());
  EXPECT_THAT(sh("sleep 5; kubectl get pods", 0, "web 0/1 Pending 99s"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, AWaitBeforeMakesWhatFollowsAPoll) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(sh("/bin/bash -lc 'sleep 10'"), IsEmpty());
    EXPECT_THAT(sh("curl -s localhost/health", 7, "refused"), IsEmpty()) << i;
    EXPECT_THAT(sh("tail -n 1 log", 0, "starting"), IsEmpty());
  }
}

TEST_F(NoProgressTest, TheSameEditIsToldOf) {
  EXPECT_THAT(edit("a.txt", "+x\n-y\n"), IsEmpty());
  EXPECT_THAT(edit("b.txt", "+x\n-y\n"), IsEmpty());
  EXPECT_THAT(edit("a.txt", "+x\n-y\n"), IsEmpty());
  EXPECT_THAT(edit("a.txt", "+z\n-y\n"), IsEmpty());
  EXPECT_THAT(edit("a.txt", "+x\n-y\n"), ElementsAre("repeated_edit"));
  EXPECT_EQ(last.at("path"), "a.txt");
}

TEST_F(NoProgressTest, ChangesThatUndoEachOtherAreToldOf) {
  EXPECT_THAT(edit("a", "-1\n+2\n"), IsEmpty());
  EXPECT_THAT(edit("a", "-2\n+1\n"), IsEmpty());
  EXPECT_THAT(edit("a", "@@ -1 +1 @@\n-1\n+2\n"), IsEmpty());
  EXPECT_THAT(edit("a", "-2\n+1\n"), ElementsAre("reverted_edit"));
  EXPECT_EQ(last.at("occurrences"), 3);
}

TEST_F(NoProgressTest, WholeFilesThatComeBackAreToldOf) {
  EXPECT_THAT(edit("a", "+A\n", "add"), IsEmpty());
  EXPECT_THAT(edit("a", "+B\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+A\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+B\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+A\n"), ElementsAre("repeated_edit", "reverted_edit"));
}

TEST_F(NoProgressTest, LinesForDebuggingComeAndGo) {
  for (int i = 0; i < 12; ++i) {
    const auto line = "print(" + std::to_string(i) + ")\n";
    EXPECT_THAT(edit("a", "@@\n+" + line), IsEmpty());
    EXPECT_THAT(edit("a", "@@\n-" + line), IsEmpty());
  }
}

TEST_F(NoProgressTest, TwoCallsInTurnAreAPingPong) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(call("read", "a", "1"), IsEmpty());
    EXPECT_THAT(call("read", "b", "2"), IsEmpty());
  }
  EXPECT_THAT(call("read", "a", "1"), IsEmpty());
  EXPECT_THAT(call("read", "b", "2"), ElementsAre("ping_pong"));
  EXPECT_EQ(base::to_text(last.at("cycle")), R"(["a","b"])");
  EXPECT_THAT(call("read", "a", "1"), IsEmpty());
}

TEST_F(NoProgressTest, SoAreThree) {
  for (int i = 0; i < 8; ++i)
    EXPECT_THAT(call("read", std::string(1, static_cast<char>('a' + i % 3)), "x"), IsEmpty());
  EXPECT_THAT(call("read", "c", "x"), ElementsAre("ping_pong"));
}

TEST_F(NoProgressTest, ACallThatGivesSomethingElseIsNoPingPong) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(call("read", "a", std::to_string(i)), IsEmpty());
    EXPECT_THAT(call("read", "b", "2"), IsEmpty());
  }
}

TEST_F(NoProgressTest, TheSameCallOfAnotherToolIsToldOf) {
  for (int i = 0; i < 4; ++i) EXPECT_THAT(call("mcp", "s.get", "pending"), IsEmpty());
  EXPECT_THAT(call("mcp", "s.get", "pending"), ElementsAre("repeated_call"));
  EXPECT_EQ(last.at("tool"), "mcp");
}

TEST_F(NoProgressTest, TheListOfThingsToDoIsNoStep) {
  for (int i = 0; i < 30; ++i) EXPECT_THAT(call("todo", "list", "done"), IsEmpty());
}

TEST_F(NoProgressTest, EachAgentIsLookedAtByItself) {
  for (int round = 0; round < 2; ++round) {
    for (const auto* name : {"", "one", "two"}) {
      agent = name;
      EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
    }
  }
  agent = "one";
  EXPECT_THAT(edit("a", "+1\n-2\n"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
  agent = "two";
  EXPECT_THAT(sh("make", 2, "x"), ElementsAre("repeated_command"));
  EXPECT_EQ(last.at("parentCallId"), "two");
  agent = "";
  EXPECT_THAT(sh("make", 2, "x"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, RawLinesInARowAreToldOf) {
  std::string lines;
  for (int i = 0; i < 49; ++i) lines += "line\n\n";
  EXPECT_THAT(names(detector.raw_output(lines)), IsEmpty());
  detector.message();
  EXPECT_THAT(names(detector.raw_output(lines + "l")), IsEmpty());
  EXPECT_THAT(names(detector.raw_output("ast\n")), ElementsAre("long_output_without_state"));
  EXPECT_EQ(last.at("outputLines"), 50);
}

TEST_F(NoProgressTest, ACommandThatFloodsIsToldOfOnceWhileItRuns) {
  EXPECT_THAT(names(detector.running("", "yes", {511 << 10, 1})), IsEmpty());
  EXPECT_THAT(names(detector.running("", "yes", {512 << 10, 9})), ElementsAre("long_output_without_state"));
  EXPECT_EQ(last.at("outputLines"), 9);
  EXPECT_THAT(names(detector.running("", "yes", {1 << 20, 10})), IsEmpty());
  std::string output(600'000, '\n');
  EXPECT_THAT(sh("yes", 0, output), IsEmpty());
  EXPECT_THAT(told({.tool = "shell", .command = "cut", .exit_code = 0, .output = "x", .output_bytes = 1 << 20}),
              ElementsAre("long_output_without_state"));
  EXPECT_EQ(last.at("outputBytes"), 1 << 20);
  EXPECT_THAT(sh("seq 60000", 0, output), ElementsAre("long_output_without_state"));
}

TEST_F(NoProgressTest, SilenceIsToldOf) {
  EXPECT_THAT(names(detector.silent(59s)), IsEmpty());
  EXPECT_THAT(names(detector.silent(61s)), ElementsAre("long_silence"));
  EXPECT_EQ(last.at("silentMs"), 61'000);
}

TEST_F(NoProgressTest, WhatIsActedOnBeginsAnewAndMayComeAgain) {
  use(R"({"action": ["warn", "interrupt"]})");
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
    EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
    EXPECT_THAT(sh("make", 2, "x"), ElementsAre("repeated_command"));
  }
}

TEST_F(NoProgressTest, OneCallGivesOneSignalThatIsActedOn) {
  use(R"({"action": "stop"})");
  EXPECT_THAT(edit("a", "+A\n", "add"), IsEmpty());
  EXPECT_THAT(edit("a", "+B\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+A\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+B\n"), IsEmpty());
  EXPECT_THAT(edit("a", "+A\n"), ElementsAre("repeated_edit"));
}

TEST_F(NoProgressTest, ThresholdsAreThoseOfTheRules) {
  use(R"({"repeated_command": {"after": 2, "polls": 4}, "error_loop": {"after": 20, "failures": 20}})");
  EXPECT_THAT(sh("make", 2, "x"), IsEmpty());
  EXPECT_THAT(sh("make", 2, "x"), ElementsAre("repeated_command"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(sh("sleep 1; x", 1, "e"), IsEmpty());
  EXPECT_THAT(sh("sleep 1; x", 1, "e"), ElementsAre("repeated_command"));
}

TEST_F(NoProgressTest, MemoryIsBounded) {
  EXPECT_THAT(sh("make", 1, ""), IsEmpty());
  EXPECT_THAT(sh("make", 1, ""), IsEmpty());
  use(R"({"error_loop": {"failures": 1000}, "action": "warn"})");
  for (std::size_t i = 0; i < NoProgress::max_keys + 10; ++i) {
    agent = "a" + std::to_string(i % 200);
    (void)sh("step" + std::to_string(i), 0, "x");
  }
  agent = "a1";
  EXPECT_THAT(sh("step1", 0, "x"), IsEmpty());
}

}  // namespace
}  // namespace agentrouter::policy
