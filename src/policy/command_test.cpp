#include "policy/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Each command as text: "~" before it when it is inert, "!" carries, "?" opaque; "*" for unknown words.
std::vector<std::string> commands(std::string_view script) {
  std::vector<std::string> texts;
  for (auto command : understand(script).commands) {
    for (auto& word : command.words) {
      if (!word.known) word = {"*", false};
    }
    const std::string mark = command.sight == Sight::opaque    ? "?"
                             : command.sight == Sight::carries ? "!"
                                                               : "";
    texts.push_back((command.inert ? "~" : "") + mark + to_text(command));
  }
  return texts;
}

std::vector<std::string> files(std::string_view script) {
  std::vector<std::string> texts;
  for (const auto& file : understand(script).files)
    texts.push_back((file.writes ? "w " : "r ") + file.cwd + " " + (file.path.known ? file.path.text : "*"));
  return texts;
}

std::string doubt(std::string_view script) {
  return understand(script).doubt;
}

TEST(Understand, EveryCommandOfAListIsFound) {
  EXPECT_THAT(commands("a 1; b 2 & c && d || e | f |& g\nh"),
              ElementsAre("a 1", "b 2", "c", "d", "e", "f", "g", "h"));
  EXPECT_THAT(commands("(a; b) && { c; }"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(commands("if a; then b; elif c; then d; else e; fi"), ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(commands("while a; do b; done; until c; do d; done"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(commands("for f in x y; do a \"$f\"; done"), ElementsAre("a *"));
  EXPECT_THAT(commands("case $x in a|b) c;; (d) e;; esac; f"), ElementsAre("c", "e", "f"));
  EXPECT_THAT(commands("f() { a; }; f"), ElementsAre("a", "f"));
  EXPECT_THAT(commands("! a; time -p b"), ElementsAre("a", "b"));
  EXPECT_THAT(commands("a # b\nc"), ElementsAre("a", "c"));
  EXPECT_THAT(commands("[[ -f a && $b =~ (c|d) ]] && e"), ElementsAre("e"));
  EXPECT_EQ(doubt("[[ -f a && $b =~ (c|d) ]] && e"), "");
  EXPECT_THAT(commands(""), IsEmpty());
}

TEST(Understand, QuotesAndEscapesAreTakenOff) {
  EXPECT_THAT(commands("a 'b c' \"d e\" f\\ g"), ElementsAre("a 'b c' 'd e' 'f g'"));
  EXPECT_THAT(commands("r''m \"a\\\"b\" 'it'\"'\"'s'"), ElementsAre("rm 'a\"b' 'it's'"));
  EXPECT_THAT(commands("$'\\x72\\155' $'a\\tb'"), ElementsAre("rm 'a\\x09b'"));
  EXPECT_THAT(commands("r\\\nm a"), ElementsAre("rm a"));
  EXPECT_THAT(commands("a ''"), ElementsAre("a ''"));
}

TEST(Understand, WhatAnExpansionDecidesIsNotKnown) {
  EXPECT_THAT(commands("a $b \"$c\" d* e? [f] {g,h} ~ $(i) `j`"),
              ElementsAre("i", "j", "a * * * * * * * * *"));
  EXPECT_THAT(commands("a {} [ ] {b} a=b"), ElementsAre("a '{}' '[' ']' '{b}' a=b"));
}

TEST(Understand, SubstitutionsAreCommands) {
  EXPECT_THAT(commands("a $(b $(c)) `d` \"$(e)\" <(f) ${g:-$(h)}"),
              ElementsAre("c", "b *", "d", "e", "f", "h", "a * * * * *"));
  EXPECT_THAT(commands("x=$(a)"), ElementsAre("a"));
  EXPECT_THAT(commands("cat <<E\n$(a)\nE\nb"), ElementsAre("cat", "a", "b"));
  EXPECT_THAT(commands("cat <<'E'\n$(a)\nE\nb"), ElementsAre("cat", "b"));
}

TEST(Understand, ProgramsThatStartOthersAreLookedThrough) {
  EXPECT_THAT(commands("bash -lc 'a; b'"), ElementsAre("a", "b"));
  EXPECT_THAT(commands("x; bash -c 'a; b'"), ElementsAre("x", "~bash -c 'a; b'", "a", "b"));
  EXPECT_THAT(commands("env X=1 nice -n 5 timeout -k 1 9 a b"),
              ElementsAre("~env X=1 nice -n 5 timeout -k 1 9 a b", "~nice -n 5 timeout -k 1 9 a b",
                          "~timeout -k 1 9 a b", "a b"));
  EXPECT_THAT(commands("a | xargs -n1 b c"), ElementsAre("a", "~xargs -n1 b c", "b c *"));
  EXPECT_THAT(commands("a | xargs -I{} b {} c"), ElementsAre("a", "~xargs '-I{}' b '{}' c", "b * c"));
  EXPECT_THAT(commands("find . -name '*.c' -exec a {} \\;"),
              ElementsAre("find . -name '*.c' -exec a '{}' ';'", "a *"));
  EXPECT_THAT(commands("eval 'a b' c"), ElementsAre("~eval 'a b' c", "a b c"));
  EXPECT_THAT(commands("sudo -u x a"), ElementsAre("!sudo -u x a", "a"));
  EXPECT_THAT(commands("bash <<< a"), ElementsAre("~bash", "a"));
  EXPECT_THAT(commands("command -v a"), ElementsAre("~command -v a"));
}

TEST(Understand, WhatRunsCodeThatIsNotSeenSaysSo) {
  for (const auto* script : {"python3 -c x", "python3 x.py", "sh x.sh", "./x", "node -e x", "awk 'system(1)'",
                             "sed e", "git -c a=b status", "tar --to-command=a", "vim a", ". ./x"}) {
    const auto found = understand(script).commands;
    ASSERT_EQ(found.size(), 1u) << script;
    EXPECT_EQ(found.front().sight, Sight::carries) << script;
    EXPECT_FALSE(found.front().doubt.empty()) << script;
  }
  for (const auto* script :
       {"python3 --version", "sed -n 1,20p a", "sed 's/a/b/g' a", "git status", "tar -tf a", "make -j8"}) {
    EXPECT_EQ(understand(script).commands.at(0).sight, Sight::clear) << script;
  }
}

TEST(Understand, WhatCannotBeToldIsOpaque) {
  for (const auto* script : {"$a", "$(a) b", "a*", "{a,b}", "bash -c $a", "a | bash", "eval $a",
                             "xargs sh -c", "alias a=b", "shopt -s extglob", "env -S 'a ${b}'", "''"}) {
    const auto understood = understand(script);
    const bool opaque =
        understood.opaque || std::any_of(understood.commands.begin(), understood.commands.end(),
                                         [](const auto& one) { return one.sight == Sight::opaque; });
    EXPECT_TRUE(opaque) << script;
  }
  EXPECT_THAT(doubt("a '"), HasSubstr("quote"));
  EXPECT_THAT(doubt("a )"), HasSubstr(")"));
  EXPECT_THAT(doubt("PATH=. a; PATH=b"), HasSubstr("PATH"));
  EXPECT_THAT(doubt("a\x01"), HasSubstr("not seen"));
  EXPECT_THAT(doubt("sh -c '[[ a ]]'"), HasSubstr("do not agree"));
}

TEST(Understand, FindEndsItsCommandsWhereFindDoes) {
  EXPECT_THAT(commands("find . -exec a + b \\;"), ElementsAre("find . -exec a + b ';'", "a + b"));
  EXPECT_THAT(commands("find . -exec a {} + -ok b {} \\;").size(), 3u);
  EXPECT_THAT(commands("find . -exec env -u + a \\;"),
              ElementsAre("find . -exec env -u + a ';'", "~env -u + a", "a"));
  for (const auto* script :
       {"find . -exec a +", "find . -ok a {} +", "find $b", "find . -name -exec -o -exec a {} +"})
    EXPECT_EQ(understand(script).commands.at(0).sight, Sight::opaque) << script;
}

TEST(Understand, XargsAddsItsInputWhereverItMayStand) {
  EXPECT_THAT(commands("xargs -I X -n2 b X"), ElementsAre("~xargs -I X -n2 b X", "b * *"));
  EXPECT_THAT(commands("xargs -I X -IY b X Y"), ElementsAre("~xargs -I X -IY b X Y", "b * * *"));
  EXPECT_THAT(commands("xargs -0I X b X"), ElementsAre("~xargs -0I X b X", "b *"));
  EXPECT_THAT(commands("xargs -E -IX b X"), ElementsAre("~xargs -E -IX b X", "b X *"));
  EXPECT_THAT(commands("xargs --max-lines b"), ElementsAre("~xargs --max-lines b", "b *"));
  EXPECT_THAT(commands("xargs b -i"), ElementsAre("~xargs b -i", "b -i *"));
  EXPECT_EQ(understand("xargs -E").commands.at(0).sight, Sight::opaque);
}

TEST(Understand, OptionsWithoutTheirValueOrWithSeveralAreOpaque) {
  for (const auto* script : {"env -u", "timeout -k", "nice -n $a b", "timeout -k $a 1 b", "xargs -P $(c) b"})
    EXPECT_EQ(understand(script).commands.back().sight, Sight::opaque) << script;
  EXPECT_THAT(commands("nice -n \"$a\" b"), ElementsAre("~nice -n * b", "b"));
}

TEST(Understand, WatchStartsItsCommandItselfWhenItIsTold) {
  EXPECT_THAT(commands("watch -n1 a 'b; c'"), ElementsAre("~watch -n1 a 'b; c'", "a b", "c"));
  EXPECT_THAT(commands("watch -tx bash -c 'a b'"),
              ElementsAre("~watch -tx bash -c 'a b'", "~bash -c 'a b'", "a b"));
}

TEST(Understand, OnlyItsOwnDocumentIsTheInputOfAShell) {
  EXPECT_THAT(commands("bash <<'E' 2>&1 > b\na\nE"), ElementsAre("~bash", "a"));
  for (const auto* script : {"bash <<'E' < b\na\nE", "bash 3<<'E'\na\nE", "bash <<'E' <&3\na\nE"})
    EXPECT_EQ(understand(script).commands.at(0).sight, Sight::opaque) << script;
}

TEST(Understand, WhatIsEvaluatedThoughItIsQuotedIsSeen) {
  for (const auto* script :
       {"jobs -x a", "jobs $1", "wait -n -p x", "wait $1", "declare -a 'x=(1)'", "declare -A x=$y",
        "getopts -- a b", "printf -v a -v b[1] c", "printf '%n' PATH", "test $1", "[ $(a) ]",
        "[ \"$1\" \"$2\" ]", "date -s a", "date +%F --se=a", "date 01020304", "date $a", "test -v a[1]"}) {
    EXPECT_EQ(understand(script).commands.back().sight, Sight::opaque) << script;
  }
  for (const auto* script :
       {"x=(1); declare x='(2)'", "x=(1); declare x=\"$y\"", "a=([x]=1)", "a {b[0]}<c", "RANDOM=x",
        "echo ${@:x}", "x=1; x=y eval 'a $((x))'", "_=1; a $((_))", "a $((b); (c))", "x='a b'; [ $x = c ]"}) {
    EXPECT_NE(doubt(script), "") << script;
  }
}

TEST(Understand, OrdinaryWaitingAndTestingIsClear) {
  for (const auto* script : {"a & wait $!",
                             "a & p=$!; wait $p",
                             "p=(); a & p+=($!); wait \"${p[@]}\"",
                             "wait -n",
                             "jobs -l",
                             "[ $? -eq 0 ]",
                             "[ $# -gt 1 ]",
                             "[ \"$a\" = \"$b\" ]",
                             "[ -d $HOME/a ]",
                             "[ -z ${CI+x} ]",
                             "x=a; [ $x = a ]",
                             "[ -e a/* ]",
                             "declare -A m=([a]=b)",
                             "declare -a x=(1 2)",
                             "f() { local a=\"$1\"; }",
                             "export A=$b",
                             "SECONDS=0",
                             "echo \"${@:2}\" ${1:0:3}",
                             "read -ra x",
                             "printf \"a $b %s\" \"$c\"",
                             "getopts ab: o",
                             "date -u +%F",
                             "date +%F -d '+1 day'",
                             "date -d \"$a\" \"+$b\" -Iseconds"}) {
    const auto understood = understand(script);
    EXPECT_EQ(understood.doubt, "") << script;
    for (const auto& command : understood.commands) EXPECT_EQ(command.sight, Sight::clear) << script;
  }
}

TEST(Understand, ArithmeticIsFineAsFarAsItsVariablesHoldNumbers) {
  EXPECT_EQ(doubt("i=0; while [[ $i -lt 3 ]]; do a; i=$((i+1)); done"), "");
  EXPECT_EQ(doubt("for ((i=0; i<3; i++)); do a; done"), "");
  EXPECT_EQ(doubt("for i in {1..5}; do a $((i * 2)); done"), "");
  EXPECT_EQ(doubt("[[ $# -gt 1 ]]"), "");
  EXPECT_THAT(doubt("n=$(a); b $((n + 1))"), HasSubstr("reckons with n"));
  EXPECT_THAT(doubt("read n; ((n))"), HasSubstr("reckons with n"));
  EXPECT_THAT(doubt("echo $(($1))"), HasSubstr("reckoning"));
}

TEST(Understand, RedirectionsAreFiles) {
  EXPECT_THAT(
      files("a > b 2>> c < d &> e 2>&1 >&- 3<> f"),
      ElementsAre("w /workspace b", "w /workspace c", "r /workspace d", "w /workspace e", "w /workspace f"));
  EXPECT_THAT(files("a > $b"), ElementsAre("w /workspace *"));
  EXPECT_THAT(files("{ a; } > b; (c) > d; while e; do f; done < g"),
              ElementsAre("w /workspace b", "w /workspace d", "r /workspace g"));
  EXPECT_THAT(files("a <<E > b\nE\n"), ElementsAre("w /workspace b"));
}

TEST(Understand, AFolderThatWasLeftIsKnownOnlyInAChain) {
  EXPECT_THAT(files("cd sub && a > b"), ElementsAre("w /workspace/sub b"));
  EXPECT_THAT(files("bash -lc 'cd /tmp && a > b'"), ElementsAre("w /tmp b"));
  EXPECT_THAT(files("cd sub; a > b"), ElementsAre("w  b"));
  EXPECT_THAT(files("(cd sub && a) && b > c"), ElementsAre("w  c"));
  EXPECT_THAT(files("cd $x && a > b"), ElementsAre("w  b"));
  EXPECT_THAT(files("pushd sub && a > b"), ElementsAre("w  b"));
}

TEST(Understand, EnvironmentThatMayChangeAProgramIsNamed) {
  EXPECT_THAT(understand("A=1 LANG=C b").commands.at(0).exports, ElementsAre("A"));
  EXPECT_THAT(understand("export A=1; b").commands.at(1).exports, ElementsAre("A"));
  EXPECT_THAT(understand("env A=1 bash -c b").commands.at(2).exports, ElementsAre("A"));
  EXPECT_THAT(understand("a=1; b").commands.at(0).exports, IsEmpty());
}

TEST(Understand, WhatWasJustWrittenIsNotKnownWhateverItsName) {
  for (const auto* script : {"echo a > x.sh; sh x.sh", "cp a x && ./x", "tee x <<< a; . ./x"}) {
    const auto found = understand(script).commands;
    EXPECT_EQ(found.back().sight, Sight::opaque) << script;
    EXPECT_THAT(found.back().doubt, HasSubstr("just written")) << script;
  }
}

TEST(Understand, LimitsMakeATextOpaque) {
  EXPECT_THAT(doubt("a " + std::string(70'000, 'b')), HasSubstr("too long"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "( ";
  EXPECT_THAT(doubt(deep), HasSubstr("within each other"));
  std::string many;
  for (int i = 0; i < 3'000; ++i) many += "a;";
  EXPECT_THAT(doubt(many), HasSubstr("too many commands"));
  std::string nested = std::string(50'000, 'a');
  for (int i = 0; i < 8; ++i) nested = "eval " + nested;
  EXPECT_THAT(doubt(nested), HasSubstr("too long"));
}

// Texts made to be read again and again.
TEST(Understand, TakesTimeThatGrowsWithTheTextOnly) {
  for (const auto* piece : {"$((",         "$(",         "${",
                            "`",           "((",         "(",
                            "\"",          "'",          "<<A ",
                            "{",           "[[ ",        "case x in ",
                            "a=(",         "$'",         "\\",
                            "eval ",       "bash -c ",   "xargs ",
                            "find -exec ", "[",          "find \"$a\" b ",
                            "declare -a ", "xargs -IX ", "printf $a \"$b\" ",
                            "a=([x]=",     "{a,",        "$((1+",
                            "f() { "}) {
    std::string text;
    while (text.size() < 60'000) text += piece;
    const auto understood = understand(text);
    EXPECT_LE(understood.commands.size(), ScriptLimits{}.commands) << piece;
  }
}

TEST(PlainWords, AreThoseOfOneCommandThatIsKnownWhole) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(plain_words("a 'b c' \"d e\" f\\ g"), (Words{"a", "b c", "d e", "f g"}));
  EXPECT_EQ(plain_words("'it'\"'\"'s'"), Words{"it's"});
  EXPECT_EQ(plain_words("a '' b"), (Words{"a", "", "b"}));
  for (const auto* line : {"  ", "a 'b", "a \"b", "a; b", "a $b", "a > b", "b=1 a", "a $(b)"}) {
    EXPECT_FALSE(plain_words(line)) << line;
  }
}

}  // namespace
}  // namespace agentrouter::policy
