// Ways out that were tried against other sandboxes, as one command each; the judgement is a pattern over what
// the command printed, and canaries outside. weak_test.cpp shows that such commands do notice an open door.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <regex>

#include "base/file.h"
#include "sandbox/clone.h"
#include "sandbox/test_rig.h"

namespace agentrouter::sandbox {
namespace {

struct Case {
  const char* id;
  const char* command;
  const char* held;  // the whole output
};

#define PYTHON_CALL                                                    \
  "python3 -c 'import ctypes,os\nL=ctypes.CDLL(None,use_errno=True)\n" \
  "s=lambda n,*a:(L.syscall(n,*a),os.strerror(ctypes.get_errno()))\n"

constexpr Case cases[] = {
    {"F01", "cat /etc/shadow", ".*No such file.*\n"},
    {"F02", "cat /tmp/agentrouter-escape-canary", ".*No such file.*\n"},
    {"F04", "grep -rsl --exclude-dir=proc --exclude-dir=usr CANARY- / 2>/dev/null | head -3; echo done",
     "done\n"},
    {"F07", "ls -l /proc/self/fd | grep -vE ' (0|1|2|3) -> |total|/proc/'; echo end", "end\n"},
    {"F08",
     "cp /bin/sh s && chmod u+s s; ./s -p -c 'id -u'; su -c id root </dev/null >/dev/null 2>&1 || id -u",
     "1000\n1000\n"},
    {"F09", "mknod sda b 8 0; mknod mem c 1 1; mknod /tmp/n c 1 3", "(.*(not permitted|Permission denied)\n){3}"},
    {"F10",
     "ls /dev | tr '\\n' ' '; cat /dev/vda /dev/mem /dev/kmsg /dev/kvm /dev/fuse 2>&1 | grep -vc 'No such'",
     "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero 0\n"},
    {"F11",
     "(mount -t tmpfs x /mnt; mount -o remount,rw,bind /usr; umount -l /proc; mount --bind / /mnt) "
     ">/dev/null 2>&1; "
     "ls /mnt; touch /usr/x 2>&1; ls -d /proc/1",
     ".*Read-only file system\n/proc/1\n"},
    {"F12", "touch /usr/bin/pwn; echo x > /etc/passwd; rm -f /usr/lib/os-release; touch /x",
     "(.*(Read-only|Permission denied).*\n){4}"},
    {"F13", "ls /sys", ".*No such file.*\n"},
    {"F16",
     "for f in vm/drop_caches kernel/modprobe kernel/core_pattern net/ipv4/ip_forward kernel/panic; do "
     "(echo 1 > /proc/sys/$f) 2>/dev/null && echo OPEN $f; done; echo end",
     "end\n"},
    {"F17",
     "mkdir /tmp/cg; mount -t cgroup -o memory c /tmp/cg 2>/dev/null; find / -xdev -name release_agent "
     "2>/dev/null; echo end",
     "end\n"},
    {"F19", "ln /usr/bin/passwd l; ln /etc/hosts l2; ls", "(ln: failed.*\n){2}s\n"},
    {"F20", "touch i; chattr +i i", ".*(not permitted|not supported|Inappropriate).*\n"},
    {"F21", "cd /workspace/../../../..; pwd; ls -d etc workspace; ls -d /proc/self/cwd/../../../../home",
     "/\netc\nworkspace\n.*home\n"},
    {"P03",
     "ls -d /proc/[0-9]* | wc -l | grep -xE '[1-9]'; cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' ' | grep "
     "-c [s]andbox_test",
     "[1-9]\n0\n"},
    {"P13", "chrt -f 99 true; nice -n -19 true; ionice -c1 true", "(.*\n)*.*(not permitted|denied)(.*\n)*"},
    {"P14", "ulimit -Hn 10000000; echo $(ulimit -Hn)", ".*\n?4096\n|.*error setting limit.*\n"},
    {"N02",
     "python3 -c 'import socket\nfor a in ((\"169.254.169.254\",80),(\"10.0.0.1\",22),(\"8.8.8.8\",53)):\n"
     "  s=socket.socket();s.settimeout(1.5)\n  try: s.connect(a); print(\"CONNECTED\")\n  except OSError as "
     "e: print(e.strerror)'",
     "(Network is unreachable\n){3}"},
    {"N04",
     "python3 -c 'import socket\ns=socket.socket(socket.AF_INET6);s.settimeout(1.5)\n"
     "try: s.connect((\"2001:4860:4860::8888\",53)); print(\"CONNECTED\")\nexcept OSError as e: "
     "print(e.strerror)'",
     "(Network is unreachable|Cannot assign requested address)\n"},
    {"N05",
     "python3 -c 'import socket\nfor f,t,p in ((2,3,1),(17,3,3),(10,3,58)):\n  try: socket.socket(f,t,p); "
     "print(\"OPENED\")\n"
     "  except OSError as e: print(\"no\")'",
     "no\nno\nno\n"},
    {"N09", "ls -A /run /var/run/; find / -xdev -type s 2>/dev/null; echo end", "/run:\n\n/var/run/:\nend\n"},
    {"N12",
     "python3 -c 'import socket\ns=socket.socket(2,2);s.settimeout(1)\n"
     "try: s.sendto(b\"x\",(\"8.8.8.8\",53)); print(\"SENT\")\nexcept OSError as e: print(e.strerror)'",
     "Network is unreachable\n"},
    {"K01", "unshare -U id; unshare -Urm true", "(unshare: unshare failed: Operation not permitted\n){2}"},
    {"K03",
     PYTHON_CALL
     "try:\n  f=os.open(\"/proc/1/ns/mnt\",0); print(s(308,f,0))\nexcept OSError as e: print(e.strerror)'",
     "Permission denied\n"},
    {"K14", PYTHON_CALL "print(s(227,0,ctypes.create_string_buffer(16))[0],s(170,b\"x\",1)[0])'", "-1 -1\n"},
    {"K16",
     "dmesg 2>&1 | grep -c permitted; head -c 9 /proc/kallsyms; head -c 1 /proc/kcore; head -c1 /proc/kmsg; "
     "echo",
     "1\n(.*No such file.*\n)*\n?"},
    {"K17", "ipcs -m | grep -c 0x00a9e27e", "0\n"},
    {"K19", "chroot /tmp /bin/true", ".*not permitted\n"},
};

class EscapeCases : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream("/tmp/agentrouter-escape-canary") << "CANARY-HOST";
    segment = ::shmget(0xa9e27e, 4096, IPC_CREAT | 0666);
    const auto launched = rig.launch();
    ASSERT_TRUE(launched) << launched.error().message;
  }
  void TearDown() override {
    ::unlink("/tmp/agentrouter-escape-canary");
    if (segment >= 0) ::shmctl(segment, IPC_RMID, nullptr);
  }
  int segment = -1;
  rig::Rig rig;
};

TEST_F(EscapeCases, EachIsHeld) {
  for (const auto& one : cases) {
    const auto ran = rig.run(one.command);
    EXPECT_TRUE(std::regex_match(ran.output, std::regex(one.held))) << one.id << " printed:\n" << ran.output;
  }
}

TEST_F(EscapeCases, KillingEverythingVisibleReachesNobodyOutside) {
  const auto outside = base::value_or_throw(IdleProcess::start(0));
  EXPECT_EQ(rig.run("(trap '' TERM; kill -9 -1); sleep 0.1").signal, SIGKILL) << "it kills itself at most";
  EXPECT_EQ(rig.run("kill -0 " + std::to_string(outside.pid()) + " 2>/dev/null || echo unseen").output,
            "unseen\n");
  EXPECT_EQ(::kill(outside.pid(), 0), 0);
  EXPECT_EQ(rig.run("echo alive").output, "alive\n");
}

TEST_F(EscapeCases, AbstractSocketsOfTheHostAreOutOfReach) {
  const base::Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "agentrouter-canary-" + std::to_string(::getpid());
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  EXPECT_EQ(rig.run("python3 -c 'import socket\ns=socket.socket(1)\ntry: s.connect(\"\\0" + name +
                    "\"); print(\"CONNECTED\")\nexcept OSError as e: print(e.strerror)'")
                .output,
            "Connection refused\n");
}

// An overlay above them would take them for its own.
TEST_F(EscapeCases, AttributesOfOverlaysAreNotTheAgentsToSet) {
  const auto ran = rig.run("mkdir d; touch f; python3 -c 'import os\nfor n in (\"opaque\",\"redirect\",\"metacopy\"):\n"
                           "  for p in \"df\":\n    try: os.setxattr(p,\"user.overlay.\"+n,b\"y\")\n"
                           "    except OSError: pass\nprint(\"tried\")'");
  ASSERT_EQ(ran.output, "tried\n");
  char value[64];
  for (const char* file : {"d", "f"}) {
    const auto path = rig.attempt_path() / "box" / "upper" / file;
    for (const char* name : {"opaque", "redirect", "metacopy"}) {
      EXPECT_LT(::lgetxattr(path.c_str(), (std::string("user.overlay.") + name).c_str(), value, sizeof value), 0)
          << file << " " << name;
    }
  }
}

// As a plain user init has the agent's id.
TEST_F(EscapeCases, TheAgentCannotKeepTheKeeperFromStartingAnything) {
  EXPECT_EQ(rig.run("prlimit --pid 1 --nofile=4:4 2>&1 | grep -c 'not permitted'; prlimit --pid 1 --nproc=1:1 2>/dev/null && "
                    "echo SET; prlimit --nofile=64:64 true && echo own")
                .output,
            "1\nown\n");
  EXPECT_EQ(rig.run("echo again").output, "again\n");
}

TEST_F(EscapeCases, ADaemonDoesNotOutliveTheSandbox) {
  EXPECT_EQ(rig.run("setsid sh -c '(sleep " + rig::own_sleep(613) +
                    "; touch /workspace/late) &' </dev/null >/dev/null 2>&1 & echo main")
                .output,
            "main\n");
  EXPECT_EQ(rig.ask("kill_all"), "");
  EXPECT_THAT(rig::processes_named(rig::own_sleep(613)), testing::IsEmpty());
}

}  // namespace
}  // namespace agentrouter::sandbox
