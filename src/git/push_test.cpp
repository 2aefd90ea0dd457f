// A run's changes pushed to bare repositories, with git itself as the judge: a second clone of the pushed branch
// must be the agent's tree without what git ignores.

#include "git/push.h"

#include <gmock/gmock.h>

#include "base/shown.h"
#include "git/push_command.h"
#include "workspace/checkpoint_test.h"
#include "workspace/file_request.h"

namespace agentrouter::git {
namespace {

namespace fs = std::filesystem;
using workspace::read_text;
using workspace::write_text;

class PushTest : public workspace::CheckpointTest {
 protected:
  PushTest() {
    fs::create_directories(scratch());
    EXPECT_EQ(0, shell(git() + "init -q --bare -b main " + remote().string()));
  }
  fs::path remote() const { return root / "remote.git"; }
  fs::path scratch() const { return root / "scratch"; }

  // The base becomes the remote's main.
  void publish() {
    commit_base();
    ASSERT_EQ(0, shell("cd " + base().string() + " && " + git() + "push -q " + remote().string() + " HEAD:main"));
  }
  std::string said(const std::string& folder, const std::string& command) const {
    (void)shell("cd " + folder + " && " + git() + command + " > " + (root / "said").string() + " 2>&1");
    auto text = read_text(root / "said");
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  std::string head() const { return said(base().string(), "rev-parse HEAD"); }

  void turn(const std::string& commands) {
    run_agent([&] { ASSERT_EQ(0, shell(commands)); });
    const auto kept = checkpoint();
    ASSERT_TRUE(kept) << kept.error().message;
  }

  PushRequest request() const {
    return {.url = "file://" + remote().string(),
            .branch = "agentrouter/work",
            .base = head(),
            .message = "What the agent did",
            .author = {"An Author", "author@example.org"},
            .time = 1'700'000'000};
  }
  enum class Objects { of_base, fetched };
  base::Result<Pushed> push_it(const PushRequest& request, Objects objects = Objects::of_base) {
    (void)shell("rm -rf " + scratch().string() + "; mkdir " + scratch().string());
    const base::Fd base_fd(::open(base().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const base::Fd state(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    const auto view = base::value_or_throw(workspace::FileView::kept(base_fd.get(), state.get()));
    return push(view, request, scratch().string(),
                objects == Objects::of_base ? (base() / ".git/objects").string() : std::string());
  }
  std::string reason(const PushRequest& request) {
    const auto pushed = push_it(request);
    return pushed ? "pushed" : pushed.error().reason;
  }
  // What agentrouter-git answers to the order.
  base::Result<workspace::Pushed> command(const std::string& order) {
    write_text(root / "order", order);
    const pid_t child = ::fork();
    if (child == 0) {
      const int fds[] = {::open(base().c_str(), O_RDONLY | O_DIRECTORY), ::open(archive().c_str(), O_RDONLY),
                         ::open((root / "order").c_str(), O_RDONLY),
                         ::open((root / "answer").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600)};
      int safe[4];
      for (int i = 0; i < 4; ++i) safe[i] = ::fcntl(fds[i], F_DUPFD, 100);
      for (int i = 0; i < 4; ++i) ::dup2(safe[i], 3 + i);
      ::_exit(run_push());
    }
    int status = 0;
    EXPECT_EQ(child, ::waitpid(child, &status, 0));
    EXPECT_EQ(0, WEXITSTATUS(status));
    return workspace::parse_pushed(read_text(root / "answer"));
  }
  std::string tree_of(const std::string& branch) { return said(remote().string(), "rev-parse " + branch + "^{tree}") + "\n"; }
};

TEST_F(PushTest, ASubmoduleStaysAtItsCommitWhateverTheAgentDidInIt) {
  write_text(base() / "a", "base\n");
  fs::create_directories(root / "inner");
  ASSERT_EQ(0, shell("cd " + (root / "inner").string() + " && " + git() + "init -q && " + git() +
                     "commit -q --allow-empty -m inner"));
  commit_base();
  ASSERT_EQ(0, shell("cd " + base().string() + " && " + git() + "-c protocol.file.allow=always submodule add -q " +
                     (root / "inner").string() + " vendor && " + git() + "commit -qm sub && " + git() + "push -q " +
                     remote().string() + " HEAD:main"));
  const auto before = said(base().string(), "rev-parse HEAD:vendor");
  turn("echo more >> a; echo new > vendor/new; mkdir vendor/deep; echo x > vendor/deep/x");
  const auto pushed = push_it(request());
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(said(remote().string(), "rev-parse agentrouter/work:vendor"), before);
  EXPECT_EQ(said(remote().string(), "show agentrouter/work:a"), "base\nmore");
}

TEST_F(PushTest, ASecondCloneIsTheAgentsTreeWithoutWhatIsIgnored) {
  for (const auto* name : {"a", "b", "c", "d/e", "d/f", "to-folder", "to-file/x", "mode"}) write_text(base() / name, "base\n");
  write_text(base() / ".gitignore", "*.log\n");
  publish();
  turn(R"sh(set -e; echo more >> a; rm b; ln -s a link; rm -r d; mkdir -p n/e/w; echo w > n/e/w/file; printf '\0\1' > bin
       rm to-folder; mkdir to-folder; echo in > to-folder/in; rm -r to-file; echo f > to-file; chmod +x mode
       echo ignored > x.log; echo odd > "$(printf 'odd\377name')"; echo h > h1; ln h1 h2; : > empty; echo z > a.z)sh");
  const auto pushed = push_it(request());
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(agents_tree(), tree_of("agentrouter/work"));
  EXPECT_EQ(pushed->commit, said(remote().string(), "rev-parse agentrouter/work"));
  EXPECT_EQ(head(), said(remote().string(), "rev-parse agentrouter/work^"));
  EXPECT_EQ("An Author <author@example.org> 1700000000 +0000 What the agent did",
            said(remote().string(), "log -1 '--format=%an <%ae> %ad %s' --date=raw agentrouter/work"));
  EXPECT_EQ("An Author", said(remote().string(), "log -1 --format=%cn agentrouter/work"));
  EXPECT_EQ("", said(remote().string(), "fsck --strict"));
  EXPECT_EQ(head(), said(remote().string(), "rev-parse main"));
}

TEST_F(PushTest, TheSameAgainIsTheSameCommit) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  const auto first = push_it(request()), second = push_it(request()), fetched = push_it(request(), Objects::fetched);
  ASSERT_TRUE(first && second && fetched);
  EXPECT_EQ(first->commit, second->commit);
  EXPECT_EQ(first->commit, fetched->commit);
  EXPECT_EQ(1u, first->files);
}

TEST_F(PushTest, WhatTheBaseLacksIsFetched) {
  write_text(base() / "a", "base\n");
  publish();
  ASSERT_EQ(0, shell("cd " + base().string() + " && echo 2 > b && " + git() + "add b && " + git() + "commit -qm two && " +
                     git() + "push -q " + remote().string() + " HEAD:main"));
  turn("echo more >> a");
  const auto pushed = push_it(request(), Objects::fetched);
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(agents_tree(), tree_of("agentrouter/work"));
}

TEST_F(PushTest, AWorkspaceThatIsAPartOfTheRepositoryChangesThatPart) {
  write_text(root / "whole/sub/a", "base\n");
  write_text(root / "whole/other", "other\n");
  ASSERT_EQ(0, shell("cd " + (root / "whole").string() + " && " + git() + "init -q . && " + git() + "add -A && " + git() +
                     "commit -qm base && " + git() + "push -q " + remote().string() + " HEAD:main"));
  write_text(base() / "a", "base\n");
  turn("echo more >> a; echo n > n");
  auto wanted = request();
  wanted.base = said((root / "whole").string(), "rev-parse HEAD");
  wanted.subdir = "sub";
  const auto pushed = push_it(wanted, Objects::fetched);
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ("other\nsub/a\nsub/n", said(remote().string(), "ls-tree -r --name-only agentrouter/work"));
}

TEST_F(PushTest, NothingIsForced) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  auto to_main = request();
  to_main.branch = "main";
  ASSERT_EQ(0, shell("cd " + base().string() + " && echo 2 > b && " + git() + "add b && " + git() + "commit -qm two && " +
                     git() + "push -q " + remote().string() + " HEAD:main && " + git() + "reset -q --hard HEAD^"));
  EXPECT_EQ("push_rejected", reason(to_main));
  EXPECT_NE("", said(remote().string(), "rev-parse main"));
  EXPECT_NE(head(), said(remote().string(), "rev-parse main"));
}

TEST_F(PushTest, ABranchThatStandsWhereTheRunBeganMovesForward) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  auto to_main = request();
  to_main.branch = "main";
  const auto pushed = push_it(to_main);
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(pushed->commit, said(remote().string(), "rev-parse main"));
}

// git's own http-backend, as long as this lives.
class GitHttp {
 public:
  GitHttp(const fs::path& root, const std::string& credential) {
    auto in = base::value_or_throw(base::make_pipe()), out = base::value_or_throw(base::make_pipe());
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in.first.get(), 0);
      ::dup2(out.second.get(), 1);
      const auto script = std::string(AGENTROUTER_SOURCE_DIR) + "/tests/support/git_http.py";
      ::execl("/usr/bin/python3", "python3", script.c_str(), root.c_str(), credential.c_str(), nullptr);
      ::_exit(127);
    }
    stop_ = std::move(in.second);
    char digits[16] = {};
    (void)!::read(out.first.get(), digits, sizeof digits - 1);
    port = std::stoi(digits);
  }
  ~GitHttp() {
    stop_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  int port = 0;

 private:
  pid_t pid_;
  base::Fd stop_;
};

TEST_F(PushTest, OverHttpTheCredentialIsGivenAndAWrongOneTold) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a; head -c 300000 /dev/urandom > large");
  const GitHttp http(root, "agent:s3cret");
  auto wanted = request();
  wanted.url = "http://127.0.0.1:" + std::to_string(http.port) + "/remote.git";
  EXPECT_EQ("push_auth_failed", reason(wanted));
  wanted.user = "agent";
  wanted.secret = "wrong";
  EXPECT_EQ("push_auth_failed", reason(wanted));
  wanted.secret = "s3cret";
  for (const auto objects : {Objects::of_base, Objects::fetched}) {
    const auto pushed = push_it(wanted, objects);
    ASSERT_TRUE(pushed) << pushed.error().message;
    EXPECT_EQ(agents_tree(), tree_of("agentrouter/work"));
  }
  write_text(remote() / "hooks/pre-receive", "#!/bin/sh\necho not today >&2\nexit 1\n");
  fs::permissions(remote() / "hooks/pre-receive", fs::perms::owner_all);
  wanted.branch = "agentrouter/other";
  EXPECT_EQ("push_rejected", reason(wanted));
  wanted.url += ".not";
  EXPECT_EQ("push_unreachable", reason(wanted));
}

TEST_F(PushTest, NoChangesAreNoCommit) {
  write_text(base() / "a", "base\n");
  write_text(base() / ".gitignore", "*.log\n");
  publish();
  turn("touch a; echo x > x.log");
  EXPECT_EQ("no_changes", reason(request()));
}

TEST_F(PushTest, EverythingMayBeGone) {
  write_text(base() / "a", "base\n");
  publish();
  turn("rm a");
  const auto pushed = push_it(request());
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ("", said(remote().string(), "ls-tree -r agentrouter/work"));
}

TEST_F(PushTest, RemotesThatAreNoneAndBasesThatAreGoneAreToldApart) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  auto nowhere = request();
  nowhere.url = "file://" + (root / "nowhere.git").string();
  EXPECT_EQ("push_unreachable", reason(nowhere));
  nowhere.url = "http://127.0.0.1:1/x.git";
  EXPECT_EQ("push_unreachable", reason(nowhere));
  auto unknown = request();
  unknown.base = std::string(40, '1');
  EXPECT_EQ("push_base_missing", reason(unknown));
}

TEST_F(PushTest, HooksFiltersAndConfigurationOfThisSideDoNothing) {
  const auto canary = root / "canary";
  const auto plant = "#!/bin/sh\ntouch " + canary.string() + "\ncat\n";
  write_text(root / "evil", plant);
  fs::permissions(root / "evil", fs::perms::owner_all);
  write_text(base() / "a", "base\n");
  write_text(base() / ".gitattributes", "* filter=evil text eol=crlf\n");
  publish();
  for (const auto* hook : {"pre-push", "pre-commit", "post-commit", "reference-transaction"}) {
    fs::copy_file(root / "evil", base() / ".git/hooks" / hook, fs::copy_options::overwrite_existing);
  }
  (void)said(base().string(), "config filter.evil.clean " + (root / "evil").string());
  (void)said(base().string(), "config core.fsmonitor " + (root / "evil").string());
  // What the agent has in its own repository.
  turn("echo more >> a; mkdir -p .git/hooks; cp " + (root / "evil").string() + " .git/hooks/pre-push; "
       "printf '[filter \"evil\"]\\n clean = " + (root / "evil").string() + "\\n' > .git/config; rm -f " + canary.string());
  const auto pushed = push_it(request());
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ("base\nmore", said(remote().string(), "show agentrouter/work:a"));
  // Judging the agent's tree with git may have run the filter; the push did not.
  fs::remove(canary);
  ASSERT_TRUE(push_it(request()));
  EXPECT_FALSE(fs::exists(canary));
}

TEST_F(PushTest, TheCommandAnswersOnItsDescriptors) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  const auto pushed = command(to_json(workspace::PushOrder{request(), scratch().string()}));
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(pushed->commit, said(remote().string(), "rev-parse agentrouter/work"));
  EXPECT_FALSE(command("nonsense"));
}

// Refuses every reference with the words in the file beside it.
constexpr std::string_view refusing_hook = R"(#!/usr/bin/python3
import os, sys
def lines():
    while size := int(sys.stdin.buffer.read(4), 16):
        yield sys.stdin.buffer.read(size - 4)
def say(line):
    sys.stdout.buffer.write(b"%04x" % (len(line) + 4) + line + b"0000")
    sys.stdout.flush()
list(lines())
say(b"version=1\n")
reference = [line.split()[2] for line in lines()][0]
say(b"ng " + reference + b" " + open(os.path.dirname(os.path.abspath(__file__)) + "/words", "rb").read())
)";

TEST_F(PushTest, WhatARemoteSaysIsToldWithoutTheCredentialAndPrintable) {
  write_text(base() / "a", "base\n");
  publish();
  turn("echo more >> a");
  const std::string token = "ghp_pushToken0123456789";
  write_text(remote() / "hooks/proc-receive", std::string(refusing_hook));
  fs::permissions(remote() / "hooks/proc-receive", fs::perms::owner_all);
  write_text(remote() / "hooks/words", "no: \x1b[2J" + token + std::string(20'000, 'x'));
  ASSERT_EQ(0,
            shell("cd " + remote().string() + " && " + git() + "config receive.procReceiveRefs refs/heads"));
  const GitHttp http(root, "agent:" + token);
  auto wanted = request();
  wanted.url = "http://127.0.0.1:" + std::to_string(http.port) + "/remote.git";
  wanted.user = "agent";
  wanted.secret = token;
  const auto pushed = command(to_json(workspace::PushOrder{wanted, scratch().string()}));
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().reason, "push_rejected");
  EXPECT_THAT(pushed.error().message,
              ::testing::HasSubstr("The remote refuses the branch: no:  [2J[REDACTED]xxx"));
  EXPECT_LE(pushed.error().message.size(), base::shown_bytes);
}

}  // namespace
}  // namespace agentrouter::git
