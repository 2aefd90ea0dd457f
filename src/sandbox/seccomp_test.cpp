// The list of system calls: what it says, that docs/seccomp.md says the same, and what the filter does inside.

#include "sandbox/seccomp.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>

#include "base/fd.h"
#include "base/file.h"
#include "sandbox/init/protocol.h"
#include "sandbox/seccomp_groups.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t allowed = SECCOMP_RET_ALLOW;
constexpr std::uint32_t error(int number) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(number);
}

// The few instructions that a filter is made of, as the kernel runs them.
std::uint32_t judge(Profile profile, const seccomp_data& data) {
  const auto filter = base::value_or_throw(seccomp_filter(profile));
  std::uint32_t value = 0;
  for (std::size_t at = 0; at < filter.size(); ++at) {
    const auto& one = filter[at];
    const auto jump = [&](bool taken) { at += taken ? one.jt : one.jf; };
    switch (one.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&value, reinterpret_cast<const char*>(&data) + one.k, sizeof value);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        value &= one.k;
        break;
      case BPF_JMP | BPF_JA:
        at += one.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(value == one.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(value >= one.k);
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        jump((value & one.k) != 0);
        break;
      case BPF_RET | BPF_K:
        return one.k;
      default:
        ADD_FAILURE() << "unknown instruction " << one.code;
        return 0;
    }
  }
  ADD_FAILURE() << "the filter has no end";
  return 0;
}

std::uint32_t judge(int number, std::array<std::uint64_t, 3> arguments = {}, Profile profile = Profile::agent) {
  seccomp_data data{};
  data.nr = number;
  data.arch = AUDIT_ARCH_X86_64;
  for (std::size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  return judge(profile, data);
}

// A plain user may not see where the sources lie: then it is open already.
base::Result<std::string> documentation() {
  if (::fcntl(rig::seccomp_list_fd, F_GETFD) >= 0) return base::read_all(rig::seccomp_list_fd, 1u << 20);
  return base::read_file(std::string(AGENTROUTER_SOURCE_DIR) + "/docs/seccomp.md");
}

TEST(Seccomp, TheTableInTheDocumentationIsTheList) {
  const auto documented = documentation();
  ASSERT_TRUE(documented) << documented.error().message;
  EXPECT_THAT(*documented, HasSubstr(seccomp_table()))
      << "put the tables that `agentrouter doctor --seccomp` prints into docs/seccomp.md";
}

TEST(Seccomp, EachCallIsInOneGroupWithAReason) {
  std::set<std::string_view> seen;
  for (const auto& group : call_groups()) {
    EXPECT_FALSE(group.reason.empty()) << group.name;
    for (const auto call : group.calls) EXPECT_TRUE(seen.insert(call).second) << call << " is there twice";
  }
  for (const auto& rule : argument_rules()) {
    EXPECT_FALSE(rule.reason.empty()) << rule.call;
    EXPECT_TRUE(seen.contains(rule.call)) << rule.call;
  }
  for (const auto& rule : sealing_rules())
    EXPECT_TRUE(seen.contains(rule.call) && !rule.reason.empty()) << rule.call;
  for (const auto& call : new_calls()) EXPECT_TRUE(seen.contains(call.name)) << call.name;
}

TEST(Seccomp, FitsWhatInitTakes) {
  for (const auto profile : {Profile::agent, Profile::collector})
    EXPECT_LE(base::value_or_throw(seccomp_filter(profile)).size(), init::max_filter);
  EXPECT_LE(base::value_or_throw(seccomp_filter(Profile::sealed)).size(), init::max_sealed_filter);
}

TEST(Seccomp, WhatIsListedIsAllowedAndWhatIsNotDoesNotExist) {
  EXPECT_EQ(judge(SYS_read), allowed);
  EXPECT_EQ(judge(SYS_openat), allowed);
  EXPECT_EQ(judge(SYS_fchmodat), allowed);
  EXPECT_EQ(judge(452), allowed) << "fchmodat2";
  EXPECT_EQ(judge(SYS_clone3), error(ENOSYS));
  EXPECT_EQ(judge(470), error(ENOSYS)) << "newer than the list";
  EXPECT_EQ(judge(1000), error(ENOSYS));
  EXPECT_EQ(judge(-1), error(ENOSYS));
  EXPECT_EQ(judge(180), error(ENOSYS)) << "nfsservctl, in no list";
  for (const int number : {SYS_mount, SYS_ptrace, SYS_unshare, SYS_keyctl, SYS_bpf, SYS_io_uring_setup, SYS_reboot,
                           SYS_open_by_handle_at, SYS_userfaultfd, SYS_pidfd_getfd})
    EXPECT_EQ(judge(number), error(EPERM)) << number;
}

TEST(Seccomp, TheCollectorHasLess) {
  for (const int number : {SYS_socket, SYS_connect, SYS_mkdir, SYS_unlink, SYS_kill, SYS_shmget, SYS_mount}) {
    EXPECT_EQ(judge(number, {AF_UNIX}, Profile::collector), error(EPERM)) << number;
  }
  for (const int number : {SYS_read, SYS_openat, SYS_getdents64, SYS_write, SYS_execveat, SYS_mmap})
    EXPECT_EQ(judge(number, {}, Profile::collector), allowed) << number;
  EXPECT_EQ(judge(SYS_clone, {CLONE_NEWUSER}, Profile::collector), error(EPERM));
}

TEST(Seccomp, CallsOfOtherArchitecturesEndTheProcess) {
  seccomp_data data{};
  for (const unsigned arch : {unsigned{AUDIT_ARCH_I386}, unsigned{AUDIT_ARCH_AARCH64}}) {
    data.arch = arch;
    EXPECT_EQ(judge(Profile::agent, data), SECCOMP_RET_KILL_PROCESS);
  }
  EXPECT_EQ(judge(0x40000000), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(judge(0x40000000 + SYS_read), SECCOMP_RET_KILL_PROCESS);
}

TEST(Seccomp, ArgumentsAreLookedAtAsTheKernelDoes) {
  for (const std::uint64_t flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
                                   CLONE_NEWUTS, CLONE_NEWCGROUP}) {
    EXPECT_EQ(judge(SYS_clone, {flag | SIGCHLD}), error(EPERM)) << flag;
  }
  EXPECT_EQ(judge(SYS_clone, {CLONE_VM | CLONE_FILES | CLONE_THREAD | CLONE_SIGHAND}), allowed);
  for (const std::uint64_t above : {0ull, 1ull << 32, 0xffffffffull << 32}) {
    EXPECT_EQ(judge(SYS_ioctl, {0, above | 0x5412}), error(EPERM)) << "TIOCSTI";
    EXPECT_EQ(judge(SYS_ioctl, {0, above | 0x541C}), error(EPERM)) << "TIOCLINUX";
    EXPECT_EQ(judge(SYS_ioctl, {0, above | 0x5423}), error(EPERM)) << "TIOCSETD";
    EXPECT_EQ(judge(SYS_ioctl, {0, above | 0x5413}), allowed) << "TIOCGWINSZ";
  }
  EXPECT_EQ(judge(SYS_prlimit64, {0}), allowed);
  EXPECT_EQ(judge(SYS_prlimit64, {1}), error(EPERM));
  EXPECT_EQ(judge(SYS_personality, {0xffffffff}), allowed);
  EXPECT_EQ(judge(SYS_personality, {0}), allowed);
  EXPECT_EQ(judge(SYS_personality, {0x0040000}), error(EPERM));
}

TEST(Seccomp, SocketsAreOfFewKinds) {
  const auto socket = [](std::uint64_t family, std::uint64_t type, std::uint64_t protocol) {
    return judge(SYS_socket, {family, type, protocol});
  };
  EXPECT_EQ(socket(AF_UNIX, SOCK_SEQPACKET, 0), allowed);
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6), allowed);
  EXPECT_EQ(socket(AF_INET6, SOCK_DGRAM, 17), allowed);
  EXPECT_EQ(socket(AF_INET, SOCK_DGRAM, 1), allowed) << "an echo request";
  EXPECT_EQ(socket(AF_NETLINK, SOCK_RAW, 0), allowed);
  EXPECT_EQ(socket(AF_NETLINK, SOCK_RAW, 9), error(EPERM)) << "audit";
  EXPECT_EQ(socket(AF_NETLINK, SOCK_RAW, 12), error(EPERM)) << "netfilter";
  for (const std::uint64_t family : {0, 3, 17, 29, 30, 31, 38, 40, 44, 45})
    EXPECT_EQ(socket(family, SOCK_DGRAM, 0), error(EAFNOSUPPORT)) << family;
  EXPECT_EQ(socket(AF_INET, SOCK_RAW, 1), error(EPERM));
  EXPECT_EQ(socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, 58), error(EPERM));
  EXPECT_EQ(socket(AF_INET, SOCK_SEQPACKET, 0), error(ESOCKTNOSUPPORT));
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, 132), error(EPROTONOSUPPORT)) << "SCTP";
  EXPECT_EQ(socket(AF_INET, SOCK_STREAM, 262), error(EPROTONOSUPPORT)) << "MPTCP";
  EXPECT_EQ(judge(SYS_socketpair, {AF_UNIX}), allowed);
  EXPECT_EQ(judge(SYS_socketpair, {AF_INET}), error(EAFNOSUPPORT));
}

TEST(Seccomp, WhatIsCountedForTheWholeMachineIsNotToBeHad) {
  for (const std::uint64_t option :
       {SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF})
    EXPECT_EQ(judge(SYS_setsockopt, {5, SOL_SOCKET, option}), error(EPERM)) << option;
  EXPECT_EQ(judge(SYS_setsockopt, {5, SOL_SOCKET, SO_REUSEADDR}), allowed);
  EXPECT_EQ(judge(SYS_setsockopt, {5, 6, SO_ATTACH_FILTER}), allowed) << "of TCP";
  EXPECT_EQ(judge(SYS_io_setup), error(ENOSYS));
}

TEST(Seccomp, DescriptorsAreThoseOfAProcess) {
  constexpr std::uint64_t thread = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD;
  EXPECT_EQ(judge(SYS_clone, {thread}), error(EPERM));
  EXPECT_EQ(judge(SYS_clone, {thread | CLONE_FILES}), allowed);
  EXPECT_EQ(judge(SYS_close_range, {3, 9, 2}), error(EINVAL)) << "CLOSE_RANGE_UNSHARE";
  EXPECT_EQ(judge(SYS_close_range, {3, 9, 6}), error(EINVAL));
  EXPECT_EQ(judge(SYS_close_range, {3, 9, 4}), allowed);
}

TEST(Seccomp, WhatInitStartsAddsNoFilterAndSetsNoCoreLimit) {
  const auto sealed = [](int number, std::array<std::uint64_t, 3> arguments) {
    return judge(number, arguments, Profile::sealed);
  };
  EXPECT_EQ(sealed(SYS_seccomp, {1}), error(ENOSYS));
  EXPECT_EQ(sealed(SYS_prctl, {22, 2}), error(EINVAL));
  EXPECT_EQ(sealed(SYS_prctl, {21}), allowed) << "asking";
  EXPECT_EQ(sealed(SYS_setrlimit, {RLIMIT_CORE}), error(done_already));
  EXPECT_EQ(sealed(SYS_setrlimit, {RLIMIT_NOFILE}), allowed);
  EXPECT_EQ(sealed(SYS_prlimit64, {0, RLIMIT_CORE, 0}), allowed) << "asking";
  for (const std::uint64_t address : {0x1000ull, 0x7f0000000000ull, 0x7fff12345678ull})
    EXPECT_EQ(sealed(SYS_prlimit64, {0, RLIMIT_CORE, address}), error(done_already)) << address;
  EXPECT_EQ(sealed(SYS_prlimit64, {0, RLIMIT_NOFILE, 0x1000}), allowed);
  for (const int number : {SYS_read, SYS_clone, 1000})
    EXPECT_EQ(sealed(number, {}), allowed) << "the filter below says so";
}

// A program that is not there is no failure of the filter.
TEST(Seccomp, OrdinaryToolsWorkInside) {
  rig::Rig rig;
  ASSERT_TRUE(rig.launch());
  const auto ran = rig.run(R"sh(cd /workspace; export HOME=/home/agent
try() { name=$1; shift; command -v "$1" >/dev/null || { echo "absent $name"; return; }
  out=$("$@" 2>&1) && echo "ok $name" || echo "FAILED $name: $out"; }
cat > a.c <<'X'
#include <pthread.h>
#include <stdio.h>
static void *f(void *p) { return p; }
int main(void) { pthread_t t; if (pthread_create(&t, 0, f, 0) || pthread_join(t, 0)) return 1; puts("c"); return 0; }
X
cat > a.cpp <<'X'
#include <iostream>
#include <thread>
int main() { std::thread t([] {}); t.join(); std::cout << "c++\n"; }
X
cat > a.py <<'X'
import asyncio, concurrent.futures, mmap, multiprocessing, os, select, signal, socket, sqlite3, subprocess, tempfile, threading
assert subprocess.run(["true"]).returncode == 0
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1]) == [1]
with concurrent.futures.ThreadPoolExecutor() as pool: assert pool.submit(abs, -1).result() == 1
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    p = await asyncio.create_subprocess_exec("true"); assert await p.wait() == 0
asyncio.run(main())
db = sqlite3.connect("a.db"); db.execute("pragma journal_mode=wal"); db.execute("create table t(a)"); db.commit()
with tempfile.TemporaryDirectory() as d: os.rename(os.path.join(os.path.dirname(d), os.path.basename(d)), d + "x"); os.mkdir(d)
os.rename("a.db", os.path.join(os.getcwd(), "b.db")); os.mkfifo("f"); os.link("b.db", "c.db")
os.mkdir("one"); os.mkdir("two"); open("one/x", "w").close(); os.rename("one/x", "two/x")
X
cat > a.js <<'X'
const fs = require("fs"), cp = require("child_process"), net = require("net"), { Worker } = require("worker_threads");
cp.execFileSync("true"); fs.watch(".").close(); fs.cpSync("two", "three", { recursive: true });
const s = net.createServer().listen(0, "127.0.0.1", () => { net.connect(s.address().port).on("connect", function () { this.destroy(); s.close(); }); });
new Worker("process.exit(0)", { eval: true });
X
try cc cc -pthread -o a a.c; try run-c ./a
try c++ c++ -pthread -o b a.cpp; try run-c++ ./b
try clang clang++-19 -pthread -o d a.cpp
try python python3 a.py
try node node a.js
try git sh -c 'git init -q r && cd r && git config user.email a@b && git config user.name n && echo x > f && git add f && git commit -qm m && git gc -q && git clone -q . ../r2 && git worktree add -q ../r3 && git status'
try make sh -c 'printf "a:\n\ttrue\n" > Makefile; make -j2'
try tar sh -c 'tar czf t.tgz a.c && tar xzf t.tgz -C two'
try find find . -name a.c -newer a.js
try sed sed -i s/c/d/ a.c
try sort sort -o s a.py
try rsync rsync -a two/ four/
try perl perl -e 'fork // die; wait'
try bash bash -c 'diff <(echo a) <(echo a) && echo x | tee /dev/null > /dev/stdout; coproc cat; exec 3>&1'
try ps ps aux
try timeout timeout 5 true
try nohup setsid nice -n 1 env true
try strace-free gdb --version
try cmake cmake --version
try ninja ninja --version
try jq jq -n 1
try sqlite3 sqlite3 e.db 'create table t(a)'
try java java -version
try go go version
try cargo cargo --version
try openssl openssl rand 8
try mktemp mktemp
try dd dd if=/dev/zero of=z bs=1M count=4 conv=fsync
try flock flock z true
try script script -qc true /dev/null
try df df /workspace
try ulimit bash -c 'ulimit -c && ulimit -c 0 && ulimit -n 100'
try gpg sh -c 'mkdir -m 700 g && gpg --homedir g --list-keys'
try ssh-agent sh -c 'eval $(ssh-agent -s) && ssh-agent -k'
)sh");
  EXPECT_THAT(ran.output, testing::Not(HasSubstr("FAILED"))) << ran.output;
  for (const char* name : {"ok python", "ok git", "ok bash", "ok run-c"})
    EXPECT_THAT(ran.output, HasSubstr(name)) << ran.output;
}

}  // namespace
}  // namespace agentrouter::sandbox
