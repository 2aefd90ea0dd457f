// Groups as the launcher makes them, with nothing but a shell in them: the kernel alone holds the limits
// here.

#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/clone.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using testing::EndsWith;
using testing::IsEmpty;

struct ShellStart {
  int input, output;
  const int* groups;
  unsigned group_count;
  char* const* argv;
  char* const* envp;
};

// Runs on the test's memory: system calls only.
__attribute__((no_sanitize("address", "undefined", "thread"))) int run_shell(void* argument) {
  auto* start = static_cast<ShellStart*>(argument);
  for (unsigned i = 0; i < start->group_count; ++i) {
    if (syscall(SYS_write, start->groups[i], "0", 1) != 1) return 126;
  }
  syscall(SYS_dup3, start->input, 0, 0);
  syscall(SYS_dup3, start->output, 1, 0);
  const unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8);
  syscall(SYS_execve, start->argv[0], start->argv, start->envp);
  return 127;
}

class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    if (site.mode == LimitsMode::rlimit) GTEST_SKIP() << site.why;
  }
  ~Cgroup() override {
    if (shell.pidfd) {
      for (const auto& folder : folders()) EXPECT_TRUE(remove_cgroup(folder));
      EXPECT_TRUE(wait_for_end(shell.pidfd.get(), 10'000));
    }
    EXPECT_THAT(folders(), IsEmpty());
  }

  void make(const Limits& limits) { set.emplace(base::value_or_throw(CgroupSet::make(site, label, limits))); }

  // A shell that was in the groups before it was one.
  void start(const std::string& script) {
    auto input = base::value_or_throw(base::make_pipe());
    auto output = base::value_or_throw(base::make_pipe());
    std::string text = script;
    char name[] = "/bin/sh", option[] = "-c", path[] = "PATH=/usr/bin:/bin";
    char* const argv[] = {name, option, text.data(), nullptr};
    char* const envp[] = {path, nullptr};
    std::vector<int> groups;
    for (const auto& entry : set->entries()) groups.push_back(entry.get());
    ShellStart start{input.first.get(),
                     output.second.get(),
                     groups.data(),
                     static_cast<unsigned>(groups.size()),
                     argv,
                     envp};
    shell = base::value_or_throw(clone_borrowing(0, set->unified(), run_shell, &start));
    set->keep();
    said_ = std::move(output.first);
  }

  std::string output() { return base::read_all(said_.get(), 1 << 20).value_or("unreadable"); }

  [[nodiscard]] std::vector<std::string> folders() const { return find_cgroups(label, Match::whole); }

  // A file of whichever of the groups has it.
  [[nodiscard]] std::string file(const std::string& name) const {
    for (const auto& folder : folders()) {
      if (auto text = base::read_file(folder + "/" + name)) return *text;
    }
    return "no " + name;
  }
  [[nodiscard]] static long number(const std::string& text, const std::string& name) {
    const auto at = name.empty() ? 0 : text.find(name + " ");
    if (at == std::string::npos) return -1;
    return std::atol(text.c_str() + at + (name.empty() ? 0 : name.size() + 1));
  }

  CgroupSite site = find_cgroup_site();
  std::string label = "agentrouter.test." + base::new_uuid(base::system_entropy());
  std::optional<CgroupSet> set;
  Cloned shell;

 private:
  Fd said_;
};

TEST_F(Cgroup, MemoryOfAllProcessesTogetherIsBounded) {
  make({.memory_bytes = 100 << 20});
  start(
      "for i in 1 2 3; do python3 -c 'b=bytearray(b\"x\"*(60<<20)); print(\"held\"); import time; "
      "time.sleep(1)' & done; wait");
  EXPECT_NE(output(), "held\nheld\nheld\n");
  char text[4096] = {};
  ASSERT_GT(::pread(set->memory_events.get(), text, sizeof text - 1, 0), 0);
  EXPECT_GE(number(text, "oom_kill"), 1) << text;
  char peak[64] = {};
  ASSERT_GT(::pread(set->memory_peak.get(), peak, sizeof peak - 1, 0), 0);
  EXPECT_GT(number(peak, ""), 60 << 20);
  EXPECT_LE(number(peak, ""), 100 << 20);
}

TEST_F(Cgroup, WhatWaitsInTcpSocketsIsBounded) {
  if (site.mode == LimitsMode::cgroup2) GTEST_SKIP() << "it is memory like any other there";
  make({.memory_bytes = 96 << 20});
  start(
      "exec python3 -c 'import "
      "socket\nl=socket.create_server((\"127.0.0.1\",0),backlog=200)\nheld=[];sent=0\n"
      "for i in range(100):\n  "
      "c=socket.create_connection(l.getsockname());s=l.accept()[0];c.setblocking(False)\n"
      "  held+=[c,s]\n  try:\n    while True: sent+=c.send(b\"x\"*65536)\n  except OSError: pass\n"
      "print(sent>>20)'");
  const auto queued = std::atoi(output().c_str());
  EXPECT_GT(queued, 0);
  EXPECT_LT(queued, 64);
}

TEST_F(Cgroup, ForksStopAtTheLimit) {
  make({.pids = 20});
  start(
      "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 60 & sleep 60 & sleep 60 & sleep 60 & echo four) 2>/dev/null "
      "& done; wait");
  for (int i = 0; i < 2000 && number(file("pids.events"), "max") < 1; ++i) ::poll(nullptr, 0, 5);
  EXPECT_GE(number(file("pids.events"), "max"), 1);
  EXPECT_LE(number(file("pids.current"), ""), 20);
}

TEST_F(Cgroup, CpuTimeIsHeldToItsShare) {
  make({.cpu_percent = 20});
  start(
      "python3 -c 'import time\na,c=time.monotonic(),time.process_time()\n"
      "while time.process_time()-c<.5: pass\nprint(time.monotonic()-a)'");
  // 0.5 s at a fifth; the first and last period may be used up at once.
  EXPECT_GT(std::atof(output().c_str()), 1.5);
  EXPECT_GE(number(file("cpu.stat"), "nr_throttled"), 1);
}

TEST_F(Cgroup, RemovingItEndsAllThatIsInIt) {
  make({});
  start("trap '' TERM; for i in $(seq 40); do setsid sh -c 'trap \"\" TERM; while :; do sleep " +
        rig::own_sleep(613) + "; done' & done; echo started; wait");
  // Once: one that becomes another program just now has no name.
  std::size_t there = 0;
  for (int i = 0; i < 2000 && there < 80; ++i) {
    there = rig::processes_named(rig::own_sleep(613)).size();
    if (there < 80) ::poll(nullptr, 0, 5);
  }
  EXPECT_GE(there, 80u);
  unsigned most = 0;
  for (const auto& folder : folders()) most = std::max(most, base::value_or_throw(remove_cgroup(folder)));
  EXPECT_GE(most, 80u);
  EXPECT_THAT(folders(), IsEmpty());
  EXPECT_THAT(rig::processes_named(rig::own_sleep(613)), IsEmpty());
}

TEST_F(Cgroup, AForkBombCannotOutrunItsRemoval) {
  make({.pids = 200});
  start("f() { f | f & }; f 2>/dev/null; wait");
  for (int i = 0; i < 2000 && number(file("pids.events"), "max") < 1; ++i) ::poll(nullptr, 0, 5);
  EXPECT_GE(number(file("pids.events"), "max"), 1);
  for (const auto& folder : folders()) {
    const auto removed = remove_cgroup(folder);
    EXPECT_TRUE(removed) << removed.error().message;
  }
  EXPECT_THAT(folders(), IsEmpty());
}

TEST_F(Cgroup, WithV2OthersMoveAsideAndGroupsAreFoundAgain) {
  if (site.mode != LimitsMode::cgroup2) GTEST_SKIP() << "the kernel's controllers are of v1 here";
  make({});
  EXPECT_THAT(base::read_file("/proc/self/cgroup").value_or(""), EndsWith("/agentrouter.supervisor\n"));
  EXPECT_EQ(find_cgroup_site().unified, site.unified) << "the leaf is not taken for the place of new groups";
  EXPECT_THAT(folders(), testing::ElementsAre(site.unified + "/" + label));
  set.reset();
}

}  // namespace
}  // namespace agentrouter::sandbox
