#include "policy/plain_read.h"

#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

TEST(PlainRead, CommandsOfTheListAndPipesOfThemOnlyRead) {
  for (const auto* script :
       {"ls", "ls -la src", "pwd", "cat a.txt", "cat 'a b.txt' | head -n 3", "grep -rn \"two words\" src",
        "cd src && ls *.cpp; wc -l main.cpp || true", "find . -name '*.h' -type f", "rg -n TODO src",
        "echo 'it costs $5; rm -rf / & more'", " ls \n", "printf '100%% of %s' a", "date", "date -u +%F",
        "date -d '1 day ago' '+%F %T'", "test -f a && cat a"}) {
    EXPECT_TRUE(only_reads(script)) << script;
  }
}

TEST(PlainRead, WhatWritesStartsOrHidesSomethingIsNone) {
  for (const auto* script : {"",
                             " ",
                             "rm a",
                             "ls > a",
                             "ls >> a",
                             "cat < a",
                             "ls & rm a",
                             "ls &",
                             "ls && rm a",
                             "ls; rm a",
                             "ls | sh",
                             "ls |& cat",
                             "ls || rm a",
                             "echo $(rm a)",
                             "echo `rm a`",
                             "echo \"$(rm a)\"",
                             "echo \"`rm a`\"",
                             "echo $HOME",
                             "ls\nrm a",
                             "ls\rrm a",
                             "(ls)",
                             "{ ls; }",
                             "! ls",
                             "ls # rm",
                             "LD_PRELOAD=./x ls",
                             "./ls",
                             "/bin/ls",
                             "\\ls",
                             "l's' && r\\m a",
                             "ls 'unclosed",
                             "ls \"unclosed",
                             "find . -delete",
                             "find . -exec rm {} +",
                             "find . -execdir rm a",
                             "find . -fprint a",
                             "find *",
                             "rg --pre ./evil x",
                             "rg --pre=./evil x",
                             "rg x *",
                             "sed -n p a",
                             "awk 1 a",
                             "sort -o a b",
                             "git status",
                             "env ls",
                             "xargs ls",
                             "if ls",
                             "tee a",
                             "ls ;; ls",
                             "ls;",
                             "| ls",
                             "ls ||",
                             "&& ls",
                             "cat <(rm a)",
                             "sleep 1",
                             "bash -c ls",
                             "ls ~root",
                             "printf -v 'a[$(rm a)]' x",
                             "printf '-va[$(rm a)]' x",
                             "printf '%s%5n' a PATH",
                             "printf *",
                             "test -v 'a[$(rm a)]'",
                             "test ! -v 'a[$(rm a)]'",
                             "test -R 'a[$(rm a)]'",
                             "test *",
                             "date -s now",
                             "date --set=now",
                             "date -us now",
                             "date 01020304",
                             "[ -v 'a[$(rm a)]' ]",
                             "echo a{b,c}"}) {
    EXPECT_FALSE(only_reads(script)) << script;
  }
}

TEST(PlainRead, QuotesJoinWordsAsAShellDoes) {
  EXPECT_TRUE(only_reads("l's' a"));
  EXPECT_FALSE(only_reads("'ls -la'"));
  EXPECT_FALSE(only_reads("''"));
}

TEST(ScriptOf, LooksIntoTheShellThatCodexStarts) {
  EXPECT_EQ(script_of("/bin/bash -lc 'ls -la'"), "ls -la");
  EXPECT_EQ(script_of("/bin/bash -lc ls"), "ls");
  EXPECT_EQ(script_of("bash -c \"rm a\""), "rm a");
  EXPECT_EQ(script_of("ls -la"), "ls -la");
  EXPECT_EQ(script_of("/bin/bash -lc ls x"), "/bin/bash -lc ls x");
  EXPECT_EQ(script_of("./bash -lc 'ls'"), "./bash -lc 'ls'");
  EXPECT_EQ(script_of("/bin/bash -lc 'ls"), "/bin/bash -lc 'ls");
}

}  // namespace
}  // namespace agentrouter::policy
