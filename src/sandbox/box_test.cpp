// What a sandbox looks like from inside, and what its keeper can do with it.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <map>

#include "base/file.h"
#include "sandbox/clone.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Box : public testing::Test {
 protected:
  void launch() {
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  // Output of a script that must run to its end.
  std::string out(const std::string& script) {
    const auto ran = rig.run(script);
    EXPECT_EQ(ran.error, "");
    EXPECT_EQ(ran.signal, 0);
    return ran.output;
  }
  rig::Rig rig;
};

constexpr const char* python_call =
    "python3 -c 'import ctypes,os\nL=ctypes.CDLL(None,use_errno=True)\n"
    "s=lambda n,*a:(L.syscall(n,*a),os.strerror(ctypes.get_errno()))\n";

TEST_F(Box, RunsAProgramAndReportsItsExitCode) {
  launch();
  const auto ran = rig.run("echo out; echo err >&2; id -u; pwd; exit 3");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(ran.output, "out\nerr\n1000\n/workspace\n");
}

TEST_F(Box, ReportsTheSignalThatEndedAProgram) {
  launch();
  EXPECT_EQ(rig.run("kill -SEGV $$").signal, SIGSEGV);
}

TEST_F(Box, NamesTheCauseWhenAProgramCannotBeStarted) {
  launch();
  EXPECT_EQ(rig.ask("exec /no/such/program"), "cannot start the program: No such file or directory");
}

TEST_F(Box, ShowsNothingOfTheHostButItsPrograms) {
  std::ofstream("/tmp/agentrouter-canary") << "CANARY";
  launch();
  EXPECT_EQ(out("ls -d /bin /dev /etc /home /lib /proc /root /run /tmp /usr /var /workspace /sys /boot /work "
                "2>&1 | "
                "grep -c 'No such file'"),
            "3\n");
  EXPECT_EQ(out("cat /etc/shadow 2>&1"), "cat: /etc/shadow: No such file or directory\n");
  EXPECT_EQ(out("ls -A /tmp /root /run /mnt /srv /home/agent"),
            "/home/agent:\n\n/mnt:\n\n/root:\n\n/run:\n\n/srv:\n\n/tmp:\n");
  EXPECT_EQ(out("ls -A /home"), "agent\n");
  EXPECT_EQ(out("grep -rsl --exclude-dir=proc --exclude-dir=usr CANARY / ; echo done"), "done\n");
  ::unlink("/tmp/agentrouter-canary");
}

TEST_F(Box, MountTableNamesNoFolderOfTheHost) {
  const rig::TemporaryFolder program, workspace;
  rig.plan.binds.push_back({program.path(), "/opt/agent"});
  rig.lower = workspace.path();
  rig.plan.files.push_back({"/home/agent/.codex/config.toml", "x"});
  launch();
  const auto table = out("cat /proc/self/mountinfo /proc/1/mountinfo /proc/self/cgroup /proc/1/cmdline 2>&1");
  EXPECT_THAT(table, HasSubstr("/workspace "));
  EXPECT_THAT(table, HasSubstr("/opt/agent "));
  EXPECT_THAT(table, Not(HasSubstr("agentrouter-sandbox")));
  EXPECT_THAT(table, Not(HasSubstr(rig.id())));
}

TEST_F(Box, InitShowsNeitherEnvironmentNorDescriptors) {
  launch();
  EXPECT_THAT(out("cat /proc/1/environ 2>&1; ls /proc/1/fd 2>&1; cat /proc/1/cmdline"),
              testing::MatchesRegex(".*Permission denied.*Permission denied.*init.*"));
  EXPECT_EQ(out("ls -d /proc/[0-9]* | head -1"), "/proc/1\n");
}

TEST_F(Box, TheAgentInheritsOnlyItsThreeDescriptors) {
  launch();
  EXPECT_EQ(out("for f in /proc/self/fd/*; do echo ${f##*/}; done | tr '\\n' ' '; ls /proc/self/fd | wc -l"),
            "0 1 2 3 4\n");
}

TEST_F(Box, TheAgentHasNoCapabilityAndCannotGainAny) {
  launch();
  const auto status = out("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'");
  EXPECT_EQ(status,
            "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
            "CapBnd:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n");
  EXPECT_THAT(out("cp /bin/sh s; chmod u+s s; ./s -p -c 'id -u'; mknod d c 1 3 2>&1"),
              ContainsRegex("1000\n.*(Operation not permitted|Permission denied)"));
}

TEST_F(Box, TheViewCannotBeChanged) {
  launch();
  const auto text =
      out("for c in 'touch /usr/x' 'touch /etc/passwd' 'touch /x' 'touch /dev/x' 'mount -t tmpfs x /mnt' "
          "'umount -l /proc' "
          "'mount --bind / /mnt' 'chroot / true'; do $c >/dev/null 2>&1 && echo \"OPEN $c\"; done; "
          "for f in vm/drop_caches kernel/core_pattern kernel/panic kernel/hostname net/ipv4/ip_forward; do "
          "(echo 1 > /proc/sys/$f) 2>/dev/null && echo OPEN $f; done; (echo b > /proc/sysrq-trigger) "
          "2>/dev/null; "
          "cat /proc/kallsyms /proc/kcore 2>/dev/null | head -c 10; echo end");
  EXPECT_EQ(text, "end\n");
}

TEST_F(Box, RefusesSystemCallsThatNamespacesDoNotCover) {
  launch();
  const auto denied = [&](const char* call) {
    const auto text = out(std::string(python_call) + "print(" + call + ")'");
    EXPECT_THAT(text, testing::AnyOf(HasSubstr("Operation not permitted"), HasSubstr("not implemented"),
                                     HasSubstr("not supported by protocol")))
        << call;
  };
  denied("s(321,0,ctypes.create_string_buffer(128),128)");      // bpf
  denied("s(425,4,ctypes.create_string_buffer(256))");          // io_uring_setup
  denied("s(298,ctypes.create_string_buffer(128),0,-1,-1,0)");  // perf_event_open
  denied("s(175,0,0,b\"\")");                                   // init_module
  denied("s(246,0,0,0,0)");                                     // kexec_load
  denied("s(169,0xfee1dead,672274793,0x1234567,0)");            // reboot
  denied("s(135,0x0040000)");                                   // personality
  denied("s(135,0x100040000)");                                 // with bits that the kernel cuts off
  denied("s(250,0,0,0,0,0)");                                   // keyctl
  denied("s(300,0,0)");                                         // fanotify_init
  denied("s(272,0x10000000)");                                  // unshare(CLONE_NEWUSER)
  denied("s(56,0x10000011,0,0,0,0)");                           // clone(CLONE_NEWUSER)
  denied("s(435,0,0)");                                         // clone3
  denied("s(308,0,0)");                                         // setns
  denied("s(41,40,1,0)");                                       // socket(AF_VSOCK)
  denied("s(41,0x100000028,1,0)");
  denied("s(41,17,3,0)");  // socket(AF_PACKET)
  denied("s(41,2,3,1)");   // raw socket
  EXPECT_EQ(
      out("python3 -c 'import fcntl,os\nm,t=os.openpty()\ntry:\n  fcntl.ioctl(t,0x5412,b\"x\"); print(1)\n"
          "except OSError as e: print(e.strerror)'"),
      "Operation not permitted\n");
  EXPECT_THAT(out("unshare -U true 2>&1; unshare -Urm true 2>&1"), HasSubstr("not permitted"));
}

TEST_F(Box, HasNoNetworkButItsOwnLoopback) {
  base::Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  launch();
  const auto port = std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(out("python3 -c 'import socket\nfor a in ((\"127.0.0.1\"," + port +
                "),(\"192.0.2.1\",80)):\n  s=socket.socket();s.settimeout(2)\n"
                "  try: s.connect(a); print(\"CONNECTED\")\n  except OSError as e: print(e.strerror)'"),
            "Connection refused\nNetwork is unreachable\n");
  EXPECT_EQ(out("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
  pollfd ready{server.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 0), 0) << "somebody reached the host's loopback";
}

TEST_F(Box, TheListenerIsAcceptedOutside) {
  launch();
  const auto listener = rig.listener();
  ASSERT_TRUE(listener);
  ASSERT_EQ(rig.start("python3 -c 'import socket\ns=socket.create_connection((\"127.83.1.1\",80))\n"
                      "s.sendall(b\"hello\")\nopen(\"/workspace/got\",\"wb\").write(s.recv(10))'"),
            "");
  pollfd ready{listener.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 20'000), 1);
  const base::Fd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(connection);
  char text[5];
  ASSERT_EQ(::recv(connection.get(), text, 5, MSG_WAITALL), 5);
  EXPECT_EQ(std::string(text, 5), "hello");
  ASSERT_EQ(::send(connection.get(), "world", 5, MSG_NOSIGNAL), 5);
  EXPECT_EQ(rig.ask("notice"), "exited");
  EXPECT_EQ(out("cat got"), "world");
}

TEST_F(Box, FixedFilesCannotBeChangedOrPutAside) {
  rig.plan.files.push_back({"/home/agent/.codex/config.toml", "model = 1\n"});
  rig.plan.files.push_back({"/home/agent/.codex/rules/ask.rules", "ask\n"});
  launch();
  EXPECT_EQ(out("cat ~/.codex/config.toml ~/.codex/rules/ask.rules"), "model = 1\nask\n");
  EXPECT_EQ(
      out("cd ~; for c in 'rm .codex/config.toml' 'mv .codex other' 'mv .codex/config.toml x' 'rm -rf "
          ".codex' "
          "'chmod 600 .codex/config.toml' 'mv .codex/rules r'; do $c >/dev/null 2>&1 && echo OPEN $c; done; "
          "(echo x > .codex/config.toml) 2>/dev/null; touch .codex/session && cat .codex/config.toml"),
      "model = 1\n");
}

TEST_F(Box, AReadOnlyWorkspaceStaysAsItIs) {
  rig.plan.workspace = WorkspaceMode::read_only;
  launch();
  EXPECT_THAT(out("touch /workspace/x 2>&1; touch ~/x /tmp/x /dev/shm/x && echo fine"),
              testing::AllOf(HasSubstr("Read-only file system"), HasSubstr("fine")));
}

TEST_F(Box, TemporaryFilesAreLimitedInBytesAndNumber) {
  rig.plan.limits.tmp_bytes = 8 << 20;
  rig.plan.limits.tmp_inodes = 64;
  launch();
  EXPECT_THAT(out("dd if=/dev/zero of=/tmp/f bs=1M count=20 2>&1"), HasSubstr("No space left"));
  EXPECT_THAT(out("rm /tmp/f; for i in $(seq 100); do : > /tmp/$i || exit; done 2>&1"),
              HasSubstr("No space left"));
}

TEST_F(Box, OpenFilesAndFileSizeAreLimited) {
  rig.plan.limits.file_bytes = 1 << 20;
  launch();
  EXPECT_EQ(out("ulimit -n; ulimit -c"), "4096\n0\n");
  EXPECT_THAT(out("python3 -c 'import signal\nsignal.signal(signal.SIGXFSZ,signal.SIG_IGN)\n"
                  "try: open(\"big\",\"wb\").write(b\"x\"*(2<<20))\nexcept OSError as e: print(e.strerror)'"),
              HasSubstr("File too large"));
}

TEST_F(Box, AForkBombStopsAtTheLimit) {
  rig.plan.limits.pids = 40;
  launch();
  EXPECT_EQ(out("python3 -c 'import os,time\nn=[]\ntry:\n  while len(n)<500:\n    p=os.fork()\n    if p==0:\n"
                "      time.sleep(60); os._exit(0)\n    n.append(p)\n"
                "except OSError as e: print(\"stopped\",len(n)<40,e.strerror)\n"
                "else: print(\"UNBOUNDED\")\nfor p in n: os.kill(p,9)'"),
            "stopped True Resource temporarily unavailable\n");
}

TEST_F(Box, AMemoryBombIsKilledAndSeen) {
  rig.plan.limits.memory_bytes = 128 << 20;
  launch();
  const auto ran = rig.run(
      "exec python3 -c 'import time\nb=[]\nfor i in range(100):\n  "
      "b.append(bytearray(b\"x\"*(1<<23)));time.sleep(.02)\n"
      "print(\"UNBOUNDED\")'");
  EXPECT_EQ(ran.output, "");
  EXPECT_EQ(ran.signal, SIGKILL);
  if (rig.launched().limits != LimitsMode::rlimit) {
    EXPECT_THAT(rig.ask("memory"), ContainsRegex("^[1-9][0-9]* [1-9][0-9]{7}"));
  }
  EXPECT_EQ(out("echo still"), "still\n");
}

TEST_F(Box, ManyProcessesTogetherAreUnderTheMemoryLimit) {
  rig.plan.limits.memory_bytes = 128 << 20;
  launch();
  if (rig.launched().limits != LimitsMode::rlimit) GTEST_SKIP() << "the kernel does it";
  ASSERT_EQ(
      rig.start(
          "for i in 1 2 3 4; do python3 -c 'b=bytearray(b\"x\"*(60<<20)); import time; time.sleep(30)' & "
          "done; wait"),
      "");
  EXPECT_EQ(rig.ask("notice"), "memory_kill");
}

TEST_F(Box, MemoryThatIsSharedOrHasNoNameIsUnderTheMemoryLimitToo) {
  rig.plan.limits.memory_bytes = 128 << 20;
  launch();
  if (rig.launched().limits != LimitsMode::rlimit) GTEST_SKIP() << "the kernel does it";
  const std::string eat = "i=range(160)\nfor _ in i: ";
  for (const auto& [way, code] : std::map<std::string, std::string>{
           {"shared and anonymous",
            "import mmap\nm=mmap.mmap(-1,700<<20)\n" + eat + "m.write(b'x'*(4<<20));time.sleep(.01)"},
           {"memfd",
            "import os\nf=os.memfd_create('x')\n" + eat + "os.write(f,b'x'*(4<<20));time.sleep(.01)"},
           {"memfd of many",
            "import os\n" + eat + "os.write(os.memfd_create('x'),b'x'*(4<<20));time.sleep(.01)"}}) {
    const auto ran = rig.run("exec python3 -c \"import time\n" + code + "\nprint('UNBOUNDED')\"");
    EXPECT_EQ(ran.output, "") << way;
    EXPECT_EQ(ran.signal, SIGKILL) << way;
  }
}

TEST_F(Box, WhoHoldsHundredsOfSocketsGoesBeforeTheMachineIsOutOfMemory) {
  rig.plan.limits.memory_reserve_bytes = 1ull << 49;
  launch();
  if (rig.launched().limits != LimitsMode::rlimit) GTEST_SKIP() << "the kernel counts them";
  EXPECT_EQ(out("python3 -c 'import socket,time\na=[socket.socketpair() for _ in range(60)]\ntime.sleep(1)'; "
                "echo few"),
            "few\n");
  const auto many = rig.run(
      "exec python3 -c 'import socket,time\na=[socket.socketpair() for _ in range(300)]\ntime.sleep(60)'");
  EXPECT_EQ(many.signal, SIGKILL);
}

TEST_F(Box, SegmentsThatNobodyHasAttachedAreTakenAtTheMemoryLimit) {
  rig.plan.limits.memory_bytes = 128 << 20;
  launch();
  if (rig.launched().limits != LimitsMode::rlimit) GTEST_SKIP() << "the kernel does it";
  const auto ran = rig.run(
      "exec python3 -c \"import ctypes,time\nc=ctypes.CDLL(None)\nc.shmat.restype=ctypes.c_void_p\nfor _ in "
      "range(160):\n"
      "  i=c.shmget(0,4<<20,0o1600)\n  a=c.shmat(i,None,0)\n  ctypes.memset(a,1,4<<20)\n  "
      "c.shmdt(ctypes.c_void_p(a))\n  time.sleep(.01)\n"
      "print('UNBOUNDED')\"");
  EXPECT_EQ(ran.output, "");
  EXPECT_EQ(ran.signal, SIGKILL);
  EXPECT_LT(std::atol(out("awk 'NR>1{s+=$15}END{print s+0}' /proc/sysvipc/shm").c_str()), 16 << 20);
}

TEST_F(Box, SharingMemoryAmongManyCountsItOnce) {
  rig.plan.limits.memory_bytes = 256 << 20;
  launch();
  if (rig.launched().limits != LimitsMode::rlimit) GTEST_SKIP() << "the kernel does it";
  EXPECT_EQ(out("python3 -c \"import mmap,os,time\nm=mmap.mmap(-1,100<<20)\nm.write(b'x'*(100<<20))\nfor _ "
                "in range(6):\n  if os.fork()==0:\n"
                "    max(m[i] for i in range(0,100<<20,4096));time.sleep(1.5);os._exit(0)\nfor _ in range(6): "
                "os.wait()\nprint('shared')\""),
            "shared\n");
}

TEST_F(Box, TakesNoWatchesOfTheHostsAccount) {
  launch();
  const auto taken = std::atoi(out("python3 -c \"import ctypes\nc=ctypes.CDLL(None)\nn=0\nwhile n<5000 and "
                                   "c.inotify_init()>=0: n+=1\nprint(n)\"")
                                   .c_str());
  EXPECT_GE(taken, 8);
  EXPECT_LE(taken, 128);
  ASSERT_EQ(rig.start("exec python3 -c \"import ctypes,time\nc=ctypes.CDLL(None)\nwhile c.inotify_init()>=0: "
                      "pass\nopen('full','w');time.sleep(600)\""),
            "");
  EXPECT_EQ(out("until [ -e full ]; do :; done; echo full"), "full\n");
  const base::Fd watch(::inotify_init1(IN_CLOEXEC));
  EXPECT_TRUE(watch) << std::strerror(errno);
}

TEST_F(Box, TerminalsAreFew) {
  launch();
  EXPECT_EQ(out("python3 -c \"import os\nn=0\ntry:\n  while n<500: os.openpty();n+=1\nexcept OSError: "
                "pass\nprint(n)\""),
            "64\n");
}

TEST_F(Box, InitHasMoreDescriptorsThanWhatItStarts) {
  rig.plan.limits.open_files = 300;
  launch();
  EXPECT_EQ(out("ulimit -n; ulimit -Hn"), "300\n300\n");
  EXPECT_THAT(out("grep 'open files' /proc/self/limits"), ContainsRegex("300 +300"));
  // Of one account they have one count of descriptors that are under way.
  const auto held = out(
      "python3 -c \"import socket,os,array\na,b=socket.socketpair()\nn=0\ntry:\n  while n<2000:\n"
      "    a.sendmsg([b'x'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[0]*20))]);n+=20\nexcept "
      "OSError as e: pass\n"
      "print(n)\nos.system('true')\"");
  EXPECT_GE(std::atoi(held.c_str()), 200);
  EXPECT_EQ(out("echo still"), "still\n");
}

TEST_F(Box, TheMachinesOwnFactsInProcAreEmpty) {
  launch();
  EXPECT_EQ(out("cat /proc/cmdline /proc/partitions /proc/diskstats /proc/swaps"), "");
}

TEST_F(Box, KillAllLeavesNothingButInit) {
  launch();
  ASSERT_EQ(
      rig.start("trap '' TERM; for i in $(seq 50); do setsid sh -c 'trap \"\" TERM; sleep 600' & done; wait"),
      "");
  ASSERT_EQ(rig.start("while :; do sh -c 'sleep 0.01' & done"), "");
  EXPECT_THAT(out("sleep 0.3; ls -d /proc/[0-9]* | wc -l"), Not(StartsWith("1\n")));
  EXPECT_EQ(rig.ask("kill_all"), "");
  EXPECT_EQ(out("set -- /proc/[0-9]*; echo $#"), "2\n");
}

TEST_F(Box, OrphansAreReaped) {
  launch();
  EXPECT_EQ(out("python3 -c 'import os,time\nfor i in range(60):\n  p=os.fork()\n  if p==0:\n    if "
                "os.fork()==0: os._exit(0)\n"
                "    os._exit(0)\n  os.waitpid(p,0)\ntime.sleep(.3)\n"
                "print(sum(1 for d in os.listdir(\"/proc\") if d.isdigit() and "
                "open(\"/proc/%s/stat\"%d).read().split(\") \")[1][0]==\"Z\"))'"),
            "0\n");
}

TEST_F(Box, FreezeStopsAndThawContinues) {
  launch();
  ASSERT_EQ(rig.start("while :; do echo >> /tmp/tick; sleep 0.01; done"), "");
  ASSERT_EQ(out("until [ -s /tmp/tick ]; do sleep 0.01; done"), "");
  EXPECT_EQ(rig.ask("freeze"), "");
  EXPECT_EQ(out("a=$(stat -c %s /tmp/tick); sleep 0.2; [ $a = $(stat -c %s /tmp/tick) ] && echo same"),
            "same\n");
  EXPECT_EQ(rig.ask("thaw"), "");
  EXPECT_EQ(out("a=$(stat -c %s /tmp/tick); while [ $a = $(stat -c %s /tmp/tick) ]; do sleep 0.02; done; "
                "echo moved"),
            "moved\n");
}

TEST_F(Box, DestroyProvesThatNothingIsLeft) {
  launch();
  ASSERT_EQ(rig.start("sleep " + rig::own_sleep(610)), "");
  const auto answer = rig.ask("destroy");
  EXPECT_EQ(answer, rig.launched().limits == LimitsMode::rlimit ? "gone without" : "gone empty");
  EXPECT_TRUE(rig::processes_named(rig::own_sleep(610)).empty());
  EXPECT_EQ(rig.ask("notice"), "gone");
  EXPECT_EQ(rig.ask("exec /bin/true"), "cannot reach the sandbox: its init has ended");
}

TEST_F(Box, TheSandboxDiesWithItsKeeper) {
  launch();
  ASSERT_EQ(rig.start("setsid sleep " + rig::own_sleep(611) + " & sleep " + rig::own_sleep(611)), "");
  ASSERT_FALSE(rig::processes_named(rig::own_sleep(611)).empty());
  rig.end_keeper();
  for (int i = 0; i < 2000 && !rig::processes_named(rig::own_sleep(611)).empty(); ++i) ::poll(nullptr, 0, 5);
  EXPECT_TRUE(rig::processes_named(rig::own_sleep(611)).empty());
}

TEST_F(Box, TheKeeperIsClosedToOthers) {
  launch();
  const auto status = rig.ask("status");
  const auto uid = rig.is_root() ? rig.given().keeper() : ::getuid();
  EXPECT_THAT(status, StartsWith(std::to_string(uid) + "\n"));
  EXPECT_THAT(status, HasSubstr("\n0\n" + std::string(to_string(rig.launched().limits)) + "\n"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  if (rig.is_root()) {
    EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
    EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000"));
  }
}

}  // namespace
}  // namespace agentrouter::sandbox
