"""The ways out, as data: what the agent runs, what it prints when the door is shut, and what it prints when it is open.

A case is held only if the whole output matches `held`; open if anything in it matches `opened`; anything else is a failure too, since
a command that did not run proves nothing. `weakened` names the controls of tests/escape/weak_box.cpp without which the same case must
be judged open; the empty string means that no weakened sandbox opens this door (a second control stands behind the first).
"""
import dataclasses
import re

SYS = ('python3 -c \'import ctypes,os\nL=ctypes.CDLL(None,use_errno=True)\n'
       's=lambda n,*a:print(n,L.syscall(n,*a),os.strerror(ctypes.get_errno()))\n')
DIAL = ('python3 -c \'import socket,errno\ndef dial(f,t,a):\n  s=socket.socket(f,t); s.settimeout(1.5)\n'
        '  try:\n    s.connect(a); s.send(b"x"); print("CONNECTED",a)\n'
        '  except OSError as e: print(errno.errorcode.get(e.errno,e))\n')


@dataclasses.dataclass
class Case:
    id: str
    title: str
    command: str
    held: str
    opened: str
    weakened: str = ""

    def judge(self, output):
        if re.search(self.opened, output):
            return "OPEN"
        return "held" if re.fullmatch(self.held, output) else "unclear"


REFUSED = r"-1 (Operation not permitted|Function not implemented)\n"
GONE = r"No such file or directory"


def cases(host_pid, other_file):
    """`other_file`: where the host keeps a file of another run's workspace."""
    return [
        Case("F01", "read password hashes", "cat /etc/shadow /etc/gshadow /proc/1/root/etc/shadow",
             rf"(cat: .*({GONE}|Permission denied)\n){{3}}", r"root:|:\*:|:!:"),
        Case("F02", "read a host file outside the view", "cat /tmp/canary/host-secret", rf"cat: .*{GONE}\n", "CANARY", "view"),
        Case("F03", "read another run's workspace", f"cat {other_file}; cat /tmp/other/secret; ls /tmp/canary/",
             rf"(cat: .*{GONE}\n){{2}}ls: .*{GONE}\n", "CANARY|host-secret", "view"),
        Case("F04", "find canaries anywhere",
             "grep -rsl --exclude-dir=proc --exclude-dir=usr --exclude-dir=mnt 'CAN''ARY-' / | head -3; ls -A /mnt | wc -l\n"
             "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c 'CAN''ARY-'",
             r"0\n0\n", r"(?m)^/", "view"),
        Case("F07", "inherited descriptors", "ls -l /proc/self/fd | grep -vE ' (0|1|2|3) -> |^total'; echo end",
             r"end\n", r" -> ", "descriptor"),
        Case("F08", "gain by setuid",
             "cp /bin/sh s && chmod u+s s; ./s -p -c 'id -u; id -ru'; su -c id root </dev/null >/dev/null 2>&1 && echo ROOT; stat -c %a s; id -u",
             r"1000\n1000\n(4755|755)\n1000\n", r"(?m)^0$|ROOT"),
        Case("F10", "raw devices",
             "ls /dev | tr '\\n' ' '; for f in vda sda mem kmsg kvm fuse loop0 nvme0n1; do head -c1 /dev/$f >/dev/null && echo OPENED $f; done",
             rf"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero (head: .*{GONE}\n){{8}}", "OPENED"),
        Case("F11", "mount, remount, unmount",
             SYS + 's(165,b"x",b"/mnt",b"tmpfs",0,0)\ns(165,b"none",b"/usr",b"",0x1020,0)\ns(165,b"/",b"/mnt",b"",0x1000,0)\ns(166,b"/proc",2)\n'
             's(430,b"tmpfs",0)\ns(428,-100,b"/",1)\ns(155,b".",b".")\'; touch /usr/x && echo WRITTEN; ls -d /proc/1',
             rf"((165|166|430|428|155) {REFUSED}){{7}}touch: .*\n/proc/1\n", r"(?m)^\d+ [0-9]|WRITTEN", "capabilities,seccomp,landlock"),
        Case("F12", "write the system's view",
             "for f in /usr/bin/pwn /etc/passwd /x /etc/ld.so.preload /usr/lib/os-release; do (echo x >> $f) && echo WRITTEN $f; done; "
             "rm -rf /usr/lib/os-release && echo WRITTEN; touch /etc && echo WRITTEN",
             r"(.*(Read-only file system|Permission denied)\n){7}", "WRITTEN"),
        Case("F16", "kernel tunables",
             "for f in vm/drop_caches kernel/modprobe kernel/core_pattern fs/binfmt_misc/register net/ipv4/ip_forward kernel/panic "
             "kernel/sysrq vm/overcommit_memory; do (echo 1 > /proc/sys/$f) && echo WRITTEN $f; done",
             rf"(.*(Read-only file system|Permission denied|{GONE})\n){{8}}", "WRITTEN", "capabilities,seccomp,landlock"),
        Case("P02", "kill a host process",
             f"kill -9 {host_pid}; kill -0 {host_pid}; python3 -c 'import os\ntry: os.kill({host_pid},0); print(\"FOUND\")\n"
             "except OSError as e: print(e.strerror)'", r"(.*No such process\n){3}", "FOUND"),
        Case("P03", "see host processes",
             "ls -d /proc/[0-9]* | wc -l; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cE '[e]scape-host-canary|[a]gentrouter'",
             r"\d\n0\n", r"(?m)\A\d+\n[1-9]", "processes"),
        Case("P16", "own capabilities", "grep -E '^Cap|NoNewPrivs|Seccomp:' /proc/self/status",
             r"(Cap(Inh|Prm|Eff|Bnd|Amb):\t0{16}\n){5}NoNewPrivs:\t1\nSeccomp:\t2\n",
             r"Cap(Prm|Eff):\t0*[1-9a-f]|Privs:\t0|Seccomp:\t0", "capabilities,seccomp"),
        Case("N01", "host loopback and abstract socket",
             DIAL + 'dial(2,1,("127.0.0.1",18099))\ndial(1,1,b"\\0sbx-canary")\'', r"(ECONNREFUSED\n){2}", "CONNECTED", "network"),
        Case("N02", "cloud metadata", DIAL + 'dial(2,1,("169.254.169.254",80))\'', r"ENETUNREACH\n", "CONNECTED", "network"),
        Case("N03", "LAN, gateway, public addresses",
             DIAL + 'for a in (("192.0.2.1",80),("10.0.0.1",22),("8.8.8.8",53),("192.0.2.2",22)): dial(2,1,a)\ndial(2,2,("8.8.8.8",53))\'',
             r"(ENETUNREACH\n){5}", "CONNECTED", "network"),
        Case("N04", "IPv6 way out", DIAL + 'for t in (1,2): dial(10,t,("2001:4860:4860::8888",53))\'',
             r"((ENETUNREACH|EADDRNOTAVAIL)\n){2}", "CONNECTED", "network"),
        Case("N05", "raw and packet sockets",
             "python3 -c 'import socket\nfor f,t,p in ((2,3,1),(17,3,3),(10,3,58),(2,3,255)):\n"
             "  try: socket.socket(f,t,p); print(\"OPENED\",f)\n  except OSError as e: print(e.strerror)'",
             r"((Operation not permitted|Address family not supported by protocol)\n){4}", "OPENED", "capabilities,seccomp"),
        Case("K01", "nested user namespace",
             "unshare -U echo NESTED; unshare -Urm echo NESTED; " + SYS + "s(272,0x10000000)\ns(435,ctypes.create_string_buffer((0x10000000).to_bytes(8,\"little\"),88),88)'",
             rf"(unshare: .*Operation not permitted\n){{2}}272 {REFUSED}435 {REFUSED}", r"NESTED|272 0", "seccomp"),
        Case("K03", "enter namespaces of pid 1",
             SYS + 'for n in ("mnt","net","user","pid"):\n  try: s(308,os.open("/proc/1/ns/"+n,0),0)\n  except OSError as e: print(e.strerror)\'',
             rf"(Permission denied\n|308 {REFUSED}){{4}}", r"308 0", "capabilities,seccomp,landlock"),
        Case("K04", "bpf", SYS + "s(321,0,ctypes.create_string_buffer(128),128)'", rf"321 {REFUSED}",
             r"321 (\d|-1 (?!Operation not p|Function not i))", "capabilities,seccomp"),
        Case("K06", "io_uring", SYS + "s(425,4,ctypes.create_string_buffer(256))'", rf"425 {REFUSED}", r"425 \d", "seccomp"),
        Case("K07", "key injection with TIOCSTI",
             "python3 -c 'import fcntl,os,termios\nm,t=os.openpty()\nif os.fork()==0:\n  os.setsid()\n"
             "  fcntl.ioctl(t,termios.TIOCSCTTY,0)\n  for n in (0x5412,0x100005412):\n"
             "    try: fcntl.ioctl(t,n & 0xffffffff,b\"x\"); print(\"INJECTED\",flush=True)\n"
             "    except OSError as e: print(e.strerror,flush=True)\n  os._exit(0)\nos.wait()'",
             r"(Operation not permitted\n){2}", "INJECTED", "seccomp"),
        Case("K10", "modules, kexec, reboot, swap",
             SYS + 's(175,0,0,b"")\ns(313,0,b"",0)\ns(246,0,0,0,0)\ns(320,0,0,0,b"",0)\ns(169,0xfee1dead,672274793,0x1234567,0)\ns(167,b"/x",0)\ns(168,b"/x")\'',
             rf"((175|313|246|320|169|167|168) {REFUSED}){{7}}", r"(?m)^\d+ (\d|-1 (?!Operation not p|Function not i))"),
    ]


# What an agent leaves for whoever reads its workspace from outside.
TRAPS = [
    "ln -s /etc/shadow shadow; ln -s /proc/1/environ env; ln -s /proc/self/root/tmp/canary/host-secret canary; mkdir d && echo a > d/f && mv d e && ln -s /etc d; "
    "mkfifo fifo; python3 -c 'import socket; socket.socket(1).bind(\"socket\")'; truncate -s 7G sparse; mkdir locked && echo x > locked/f && chmod 0 locked; "
    "cp /bin/sh setuid && chmod 6777 setuid; printf x > \"$(printf 'esc\\033[2J\\001name')\"; echo made",
    "git init -q . && for k in core.fsmonitor filter.x.clean filter.x.smudge diff.external diff.x.textconv core.sshCommand; do git config $k 'touch /tmp/canary/pwn'; done; "
    "git config core.hooksPath hooks; mkdir hooks; for h in post-index-change pre-commit reference-transaction; do printf '#!/bin/sh\\ntouch /tmp/canary/pwn\\n' > hooks/$h; chmod +x hooks/$h; done; "
    "echo '* filter=x diff=x' > .gitattributes; printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = ext::touch /tmp/canary/pwn\\n' > .gitmodules; echo /tmp/canary > .git/objects/info/alternates; echo made",
    "python3 -c 'import os\nfor _ in range(3000): os.mkdir(\"deep\"); os.chdir(\"deep\")'; mkdir many; (cd many; seq 1 5000 | xargs touch); echo made",
]
# Names that are asked for from outside, and whether such a name may be answered with anything but a refusal.
WANTED = [("C01", "links to secrets", ["shadow", "env", "canary"]), ("C02", "a folder that became a link", ["d/passwd", "d/shadow", "d/../d/passwd"]),
          ("C05", "names that lead out", ["../../../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "..%c0%afetc/passwd", "/etc/passwd", "%2fetc%2fpasswd", "e/./../../x",
                                         "e/f%00.txt", "C:%5cx", "e/..%2f..%2fx", "proc/self/environ"]),
          ("C07", "a pipe and a socket", ["fifo", "socket"])]

# Each of these is a run of its own: it ends its agent, or is cut off.
KILL_ALL = "(trap '' TERM; kill -9 -1); sleep 0.2; echo alive"
BOMB = Case("P07", "fork bomb",
            # Small processes: memory is not what ends them.
            "python3 -c 'import os\nn=0\ntry:\n  while n<2000:\n    os.posix_spawn(\"/bin/sleep\",[\"sleep\",\"4\"],{}); n+=1\n"
            "except OSError as e: print(\"stopped\",n,e.strerror,flush=True)\nelse: print(\"UNBOUNDED\",n,flush=True)'",
            r"stopped \d+ Resource temporarily unavailable\n", "UNBOUNDED", "limits")
ENDLESS_BOMB = ("python3 -c 'import os,time\nwhile 1:\n  try:\n    if os.fork()==0: time.sleep(.01)\n    else: time.sleep(.05)\n"
                "  except OSError: time.sleep(.05)'")
DAEMON = "setsid sh -c '(sleep {seconds}; touch /workspace/late) &' </dev/null >/dev/null 2>&1 & echo main-exits"
