#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fd.h"
#include "keeper/fetch/lfs_pointers.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string one(40, '1');
const std::string two(40, '2');

TEST(FetchPlans, AreReceivedAsTheyWereFramedWithTheirCredential) {
  const FetchPlan plan{.source = {"https://h.test/a", "main", 3, "lib"},
                       .commit = one,
                       .bytes = 5,
                       .entries = 6,
                       .wall_time = std::chrono::milliseconds(7),
                       .has_credential = true,
                       .known_hosts = "h.test ssh-ed25519 AAAA\n",
                       .https_hosts = {"h.test", "objects.test:8443"},
                       .public_only = true};
  auto pipe = base::value_or_throw(base::make_pipe());
  base::value_or_throw(base::write_all(pipe.second.get(), frame_fetch(plan, "dTpw") + "what follows"));
  const auto received = receive_fetch(pipe.first.get());
  ASSERT_TRUE(received) << received.error().message;
  EXPECT_EQ(encode_fetch_plan(received->plan), encode_fetch_plan(plan));
  EXPECT_EQ(received->credential->view(), "dTpw");
  pipe.second.reset();
  EXPECT_EQ(base::read_all(pipe.first.get(), 100).value(), "what follows");
}

TEST(FetchPlans, ThatAreCutOrForeignAreInvalid) {
  const auto whole = frame_fetch({.source = {"https://h.test/a"}, .has_credential = true}, "dTpw");
  for (const auto& text : {whole.substr(0, 5), whole.substr(0, whole.size() - 1), std::string(40, 'x'),
                           frame_fetch({.source = {"https://h.test/a"}, .has_credential = true}, ""),
                           frame_fetch({.source = {""}}, ""),
                           frame_fetch({.source = {"https://h.test/a"}, .commit = "main"}, "")}) {
    auto pipe = base::value_or_throw(base::make_pipe());
    base::value_or_throw(base::write_all(pipe.second.get(), text));
    pipe.second.reset();
    EXPECT_FALSE(receive_fetch(pipe.first.get())) << text;
  }
}

TEST(FetchAnswers, AreReadBackAndNothingElseIs) {
  const auto resolved = parse_fetch_line(resolved_line({one, "main"}));
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->resolved->commit, one);
  EXPECT_EQ(resolved->resolved->branch, "main");
  EXPECT_TRUE(parse_fetch_line(fetched_line())->fetched);
  const auto fetched = parse_fetch_line(fetched_line({{"vendor", "../inner.git", two}, {"bare", "", one}}));
  ASSERT_EQ(fetched->submodules.size(), 2u);
  EXPECT_EQ(fetched->submodules[0].url, "../inner.git");
  EXPECT_EQ(fetched->submodules[1].path, "bare");
  const auto failed = parse_fetch_line(failed_line({"workspace_timeout", "slow \xff"}));
  EXPECT_EQ(failed->failed->cause, "workspace_timeout");
  for (const char* line :
       {"", "{}", "[]", R"({"resolved":{"commit":"main"}})", R"({"fetched":{}})",
        R"({"fetched":{"submodules":[1]}})", R"({"fetched":{"submodules":[{"commit":"x"}]}})"})
    EXPECT_FALSE(parse_fetch_line(line)) << line;
  EXPECT_FALSE(parse_fetch_line(fetched_line(std::vector<Submodule>(101, {"p", "u", one}))));
}

TEST(GitRefs, ABranchComesBeforeATagAndATagIsItsCommit) {
  const auto listed = "ref: refs/heads/trunk\tHEAD\n" + one + "\tHEAD\n" + two + "\trefs/tags/v1\n" + one +
                      "\trefs/tags/v1^{}\n" + one + "\trefs/heads/both\n" + two + "\trefs/tags/both\n" + two +
                      "\trefs/pull/1/head\n";
  EXPECT_EQ(find_ref(listed, "")->branch, "trunk");
  EXPECT_EQ(find_ref(listed, "")->commit, one);
  EXPECT_EQ(find_ref(listed, "v1")->commit, one);
  EXPECT_EQ(find_ref(listed, "v1")->branch, "");
  EXPECT_EQ(find_ref(listed, "both")->commit, one);
  EXPECT_EQ(find_ref(listed, "both")->branch, "both");
  EXPECT_EQ(find_ref(listed, "refs/tags/both")->commit, two);
  EXPECT_EQ(find_ref(listed, "refs/heads/both")->branch, "both");
  EXPECT_EQ(find_ref(listed, "refs/pull/1/head")->commit, two);
}

TEST(GitRefs, WhatIsNotListedExactlyIsNotThere) {
  EXPECT_FALSE(find_ref("", ""));
  EXPECT_FALSE(find_ref(one + "\trefs/heads/x/refs/heads/main\n", "main"));
  EXPECT_FALSE(find_ref("not a commit\trefs/heads/main\n", "main"));
  EXPECT_FALSE(find_ref(one + " refs/heads/main\n", "main"));
  EXPECT_FALSE(find_ref(std::string(39, '1') + "\trefs/heads/main", "main"));
}

TEST(GitCommands, OneTransportToOnePlaceAndNothingOfTheRepositoryRuns) {
  const auto remote = git_config({"https://h.test/team/a.git"});
  EXPECT_THAT(
      remote,
      HasSubstr("[url \"http://127.83.1.1/team/a.git\"]\n\tinsteadOf = \"https://h.test/team/a.git\""));
  EXPECT_THAT(remote, HasSubstr("[protocol]\n\tallow = never"));
  EXPECT_THAT(remote, HasSubstr("[protocol \"http\"]\n\tallow = always"));
  EXPECT_THAT(remote, Not(HasSubstr("protocol \"file\"")));
  EXPECT_THAT(remote, HasSubstr("hooksPath = /dev/null"));
  EXPECT_THAT(remote, HasSubstr("fsmonitor = false"));
  const auto local = git_config({"file:///srv/a"});
  EXPECT_THAT(local, HasSubstr("[url \"file:///workspace\"]\n\tinsteadOf = \"file:///srv/a\""));
  EXPECT_THAT(local, Not(HasSubstr("protocol \"http\"")));
  for (const auto* url : {"ssh://git@h.test/team/a.git", "git@h.test:team/a.git"}) {
    const auto ssh = git_config({url});
    EXPECT_THAT(ssh,
                HasSubstr("[url \"ssh://gate/repository\"]\n\tinsteadOf = \"" + std::string(url) + "\""));
    EXPECT_THAT(ssh, HasSubstr("[protocol \"ssh\"]\n\tallow = always"));
    EXPECT_THAT(ssh, Not(HasSubstr("protocol \"http\"")));
  }
  EXPECT_THAT(git_environment(), Contains("GIT_CONFIG_NOSYSTEM=1"));
  EXPECT_THAT(git_environment(), Contains("GIT_LFS_SKIP_SMUDGE=1"));
}

TEST(GitCommands, AsMuchIsFetchedAsWasAskedFor) {
  const model::GitSource source{"https://h.test/a", "main", 2};
  EXPECT_THAT(fetch_ref(source, {one, "main"}), Contains("+refs/heads/main:refs/remotes/origin/main"));
  EXPECT_THAT(fetch_ref(source, {one, "main"}), Contains("--depth"));
  EXPECT_THAT(fetch_ref({"https://h.test/a", "v1"}, {one, ""}), Contains("+refs/tags/v1:refs/tags/v1"));
  EXPECT_THAT(fetch_ref({"https://h.test/a", "v1"}, {one, ""}), Not(Contains("--depth")));
  EXPECT_THAT(fetch_ref({"https://h.test/a", one}, {one, ""}), Contains(one));
  EXPECT_THAT(fetch_ref({"https://h.test/a", "refs/pull/1/head"}, {one, ""}),
              Contains("+refs/pull/1/head:refs/fetched/head"));
  EXPECT_THAT(pack_tree({"https://h.test/a", "", 0, "lib"}), Contains("/home/agent/tree/lib"));
}

TEST(Submodules, AreTheLinksOfTheTreeWhereverTheListIsCut) {
  const std::string end(1, '\0');
  const auto listed = "100644 blob " + one + "     12\ta" + end + "160000 commit " + one +
                      "       -\tvendor/a b" + end + "160000 commit " + std::string(40, 'x') +
                      "       -\tbroken" + end + "160000 commit " + two + "       -\tsub" + end;
  for (std::size_t cut = 0; cut <= listed.size(); ++cut) {
    LinkList list;
    list.feed(std::string_view(listed).substr(0, cut));
    list.feed(std::string_view(listed).substr(cut));
    ASSERT_EQ(list.links().size(), 2u) << cut;
    EXPECT_EQ(list.links()[0].path, "vendor/a b");
    EXPECT_EQ(list.links()[1].commit, two);
  }
}

TEST(Submodules, GetTheirUrlsByPathWhateverTheirNames) {
  const std::string end(1, '\0');
  const std::vector<Submodule> links{{"vendor", "", one}, {"sub", "", two}, {"plain", "", one}};
  const auto joined = join_submodules(
      links, "submodule.a.b.path\nvendor" + end + "submodule.a.b.url\n../inner.git" + end +
                 "submodule.S.url\nhttps://h.test/s\nx" + end + "submodule.S.path\nsub" + end +
                 "submodule.no.value" + end + "submodule.other.path\nelsewhere" + end + "cut");
  EXPECT_EQ(joined[0].url, "../inner.git");
  EXPECT_EQ(joined[1].url, "https://h.test/s\nx");
  EXPECT_EQ(joined[2].url, "");
  EXPECT_EQ(join_submodules(links, "")[0].url, "");
}

std::string grep_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i)
    text += one + ":" + path + std::string(1, '\0') + std::to_string(i + 1) + std::string(1, '\0') +
            lines[i] + "\n";
  return text;
}

TEST(LfsPointers, AreFilesOfExactlyThreeLinesWhereverTheListIsCut) {
  const std::string version = "version https://git-lfs.github.com/spec/v1";
  const std::string oid(64, 'a');
  const auto listed = grep_lines("a b\n:c.bin", {version, "oid sha256:" + oid, "size 12"}) +
                      grep_lines("longer", {version, "oid sha256:" + oid, "size 12", "more"}) +
                      grep_lines("later", {"x", version, "oid sha256:" + oid, "size 12"}) +
                      grep_lines("order", {version, "size 12", "oid sha256:" + oid}) +
                      grep_lines("upper", {version, "oid sha256:" + std::string(64, 'A'), "size 12"}) +
                      grep_lines("short", {version, "oid sha256:" + oid.substr(1), "size 12"}) +
                      grep_lines("huge", {version, "oid sha256:" + oid, "size 99999999999999999999999"}) +
                      grep_lines("last", {version, "oid sha256:" + oid, "size 0"});
  for (std::size_t cut = 0; cut <= listed.size(); cut += 7) {
    PointerList list;
    list.feed(std::string_view(listed).substr(0, cut));
    list.feed(std::string_view(listed).substr(cut));
    list.finish();
    ASSERT_EQ(list.pointers().size(), 2u) << cut;
    EXPECT_EQ(list.pointers()[0].path, "a b\n:c.bin");
    EXPECT_EQ(list.pointers()[0].oid, oid);
    EXPECT_EQ(list.pointers()[0].size, 12u);
    EXPECT_EQ(list.pointers()[1].path, "last");
  }
}

TEST(LfsPointers, LongLinesTakeNoMemory) {
  PointerList list;
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) list.feed(piece);
  list.finish();
  EXPECT_TRUE(list.pointers().empty());
}

TEST(CheckoutSizes, AreSummedUpWhereverThePiecesAreCut) {
  const std::string end(1, '\0');
  const auto listed = "100644 blob " + one + "     12\ta\tb" + end + "100644 blob " + two + "  30\tc" + end +
                      "160000 commit " + one + "       -\tsub" + end;
  for (std::size_t cut = 0; cut <= listed.size(); ++cut) {
    CheckoutSize size;
    size.feed(std::string_view(listed).substr(0, cut));
    size.feed(std::string_view(listed).substr(cut));
    EXPECT_EQ(size.entries(), 3u) << cut;
    EXPECT_EQ(size.bytes(), 42u) << cut;
  }
}

}  // namespace
}  // namespace agentrouter::keeper
