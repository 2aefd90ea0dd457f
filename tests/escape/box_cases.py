"""More ways out, without an agent in between: as the first process of a sandbox, and of one in which something else runs already.

Most are system calls: a probe prints each by name with what the kernel said. `OK` and any error but those of a shut door mean that it went
through to the kernel; the control takes the filter away and must see that.
"""
import dataclasses

from cases import Case

PROBE = r'''python3 - <<'PROBE'
import ctypes, errno, os, signal, socket, struct, sys
L = ctypes.CDLL(None, use_errno=True)
def word(e): return errno.errorcode.get(e, str(e))
def call(name, number, *args):
    ctypes.set_errno(0)
    r = L.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    print(name, "OK" if r >= 0 else word(ctypes.get_errno()), flush=True)
    return r
def attempt(name, what, *args):
    try:
        what(*args)
        print(name, "OK", flush=True)
    except OSError as e:
        print(name, word(e.errno), flush=True)
def buf(n, start=b""): return ctypes.create_string_buffer(start, n)
def reading(path): return lambda: open(path, "rb").read(64)
def writing(path, text="1"):
    def write():
        with open(path, "r+b", buffering=0) as f: f.write(text.encode())
    return write
BODY
PROBE'''


def probe(body):
    return PROBE.replace("BODY", body)


@dataclasses.dataclass
class Errors:
    """What a line may end with while the door is shut."""
    words: str = "EPERM|ENOSYS"

    def held(self, lines):
        return rf"(\S+ ({self.words})\n){{{lines}}}"

    def opened(self):
        return rf"(?m)^\S+ (?!({self.words})$)\w+$"


def refused(id, title, body, lines, words="EPERM|ENOSYS", weakened="seccomp"):
    errors = Errors(words)
    return Case(id, title, probe(body), errors.held(lines), errors.opened(), weakened)


GONE = "ENOENT"
NOT_FOR_YOU = "EACCES|EPERM|ENOENT|EROFS"


def kernel():
    return [
        refused("K02", "clone into new namespaces", 'for f in (0x10000000,0x20000,0x20000000,0x40000000,0x8000000,0x4000000,0x2000000):\n'
                '  r=call("clone%x"%f,56,f|0x10000000|17,0,0,0,0)\n  if r==0: os._exit(0)', 7, "EPERM"),
        refused("K01b", "unshare, each kind", 'for f in (0x10000000,0x20000,0x20000000,0x40000000,0x8000000,0x4000000,0x2000000,0x80): call("unshare%x"%f,272,f)', 8, "EPERM"),
        refused("K04b", "bpf, every way in", 'for n in (0,5,18,22,33): call("bpf%d"%n,321,n,buf(128),128)', 5),
        refused("K09", "perf events", 'call("task",298,buf(128,b"\\x01\\0\\0\\0\\x70"),0,-1,-1,0)\ncall("cpu",298,buf(128,b"\\x01\\0\\0\\0\\x70"),-1,0,-1,0)', 2),
        refused("K10b", "modules, kexec, power", 'call("init",175,0,0,b"")\ncall("finit",313,0,b"",0)\ncall("delete",176,b"x",0)\ncall("kexec",246,0,0,0,0)\ncall("kexec_file",320,0,0,0,b"",0)\n'
                'call("reboot",169,0xfee1dead,672274793,0,0)', 6, "EPERM|ENOSYS", ""),
        refused("K11", "personality", 'for n in (0x0040000,0x0400000,0x4000000,0x20008): call("p%x"%n,135,n)', 4, "EPERM"),
        refused("K19", "roots", 'call("chroot",161,b"/tmp")\ncall("pivot",155,b"/tmp",b"/tmp")\ncall("mount",165,b"x",b"/mnt",b"tmpfs",0,0)\ncall("umount",166,b"/proc",2)', 4,
                "EPERM|ENOSYS", "capabilities,seccomp,landlock"),
        refused("K05", "userfaultfd", 'call("userfaultfd",323,0)\ncall("user_mode_only",323,1)', 2),
        refused("K06b", "the rest of io_uring", 'call("enter",426,-1,1,1,0,0,0)\ncall("register",427,-1,0,0,0)', 2),
        refused("K08", "terminals: line disciplines, selection, injection", 'import fcntl\nm,t=os.openpty()\nfor n in (0x5412,0x541c,0x5423):\n'
                '  attempt("%x"%n,fcntl.ioctl,t,n,buf(8,b"\\x05"))', 3, "EPERM"),
        refused("K12", "key rings", 'call("add_key",248,b"user",b"a",b"b",1,-3)\ncall("request_key",249,b"user",b"a",0,-3)\n'
                'call("keyctl",250,0,-3,1)\ncall("join",250,1,0)', 4),
        refused("K13", "memory and descriptors of others", 'r,w=os.pipe()\np=os.fork()\nif p==0: os.read(r,1); os._exit(0)\n'
                'b=buf(64); v=buf(16,struct.pack("QQ",ctypes.addressof(b),8))\ncall("readv",310,p,v,1,v,1,0)\ncall("writev",311,p,v,1,v,1,0)\n'
                'call("attach",101,16,p,0,0)\ncall("seize",101,0x4206,p,0,0)\ncall("traceme",101,0,0,0,0)\nf=os.pidfd_open(p)\ncall("getfd",438,f,0,0)\n'
                'call("madvise",440,f,v,1,20,0)\ncall("kcmp",312,os.getpid(),p,0,0,0)\nos.kill(p,9)', 8),
        refused("K18", "init by pidfd", 'f=os.pidfd_open(1)\nattempt("signal",signal.pidfd_send_signal,f,9)\ncall("getfd",438,f,3,0)\ncall("setns",308,f,0x20000000)', 3,
                "EPERM", "seccomp,capabilities,landlock"),
        refused("K20", "sockets of other families", 'for f,t,p in ((40,1,0),(38,5,0),(17,3,768),(30,5,0),(29,3,1),(31,3,1),(21,5,0),(44,3,0),(45,2,0),(43,1,0),(41,2,0),(16,3,9),(16,3,12),(16,3,6)):\n'
                '  attempt("%d/%d"%(f,p),socket.socket,f,t,p)', 14, "EPERM|EAFNOSUPPORT"),
        refused("K20b", "protocols that load modules", 'for f,t,p in ((2,1,132),(2,5,132),(2,6,33),(2,2,136),(2,1,262),(10,2,115),(2,5,0)):\n'
                '  attempt("%d/%d/%d"%(f,t,p),socket.socket,f,t,p)', 7, "EPERM|EPROTONOSUPPORT|ESOCKTNOSUPPORT"),
        refused("K21", "the new mount calls", 'call("open_tree",428,-100,b"/usr",1)\ncall("move_mount",429,-100,b"/usr",-100,b"/mnt",0)\ncall("fsopen",430,b"tmpfs",0)\n'
                'call("fsconfig",431,-1,0,0,0,0)\ncall("fsmount",432,-1,0,0)\ncall("fspick",433,-100,b"/tmp",0)\ncall("setattr",442,-100,b"/tmp",0,buf(32),32)\n'
                'call("statmount",457,buf(32),buf(64),64,0)\ncall("listmount",458,buf(32),buf(64),8,0)\ncall("open_tree_attr",467,-100,b"/usr",1,buf(32),32)', 10),
        refused("K22", "files by handle, whole mounts", 'h=buf(128,struct.pack("II",120,0))\ncall("to",303,-100,b"/usr",h,buf(8),0)\ncall("by",304,-100,h,0)\n'
                'call("fanotify",300,0,0)\ncall("mark",301,-1,1,0,-100,b"/")', 4),
        refused("K23", "swap, quota, accounting", 'call("swapon",167,b"/tmp/x",0)\ncall("swapoff",168,b"/x")\ncall("quotactl",179,0x800001<<8,b"/dev/vda",0,0)\n'
                'call("quotactl_fd",443,0,0x80000100,0,0)\ncall("acct",163,b"/tmp/x")', 5),
        refused("K24", "rare memory calls", 'call("secret",447,0)\ncall("ldt",154,0,buf(16),16)\ncall("cookie",212,0,buf(8),8)\ncall("remap",216,0,0,0,0,0)', 4),
        refused("K25", "ports of the machine", 'call("iopl",172,3)\ncall("ioperm",173,0x80,1,1)', 2, weakened=""),
        refused("K27", "memory placement", 'call("mbind",237,0,4096,0,0,0,0)\ncall("migrate",256,1,0,0,0)\ncall("move",279,1,0,0,0,0,0)\ncall("policy",238,0,0,0)', 4),
        refused("K34", "the kernel's log", 'call("read",103,3,buf(64),64)\ncall("size",103,10,0,0)\ncall("clear",103,5,0,0)', 3, weakened=""),
        refused("K35", "clocks and names", 'call("settimeofday",164,buf(16),0)\ncall("clock",227,0,buf(16))\ncall("adjtimex",159,buf(208,b"\\1"))\ncall("adjtime",305,0,buf(208,b"\\1"))\n'
                'call("host",170,b"x",1)\ncall("domain",171,b"x",1)', 6, "EPERM", ""),
        refused("K37", "calls that are newer than the list", 'for n in (470,480,547,1000): call("n%d"%n,n,0,0,0,0,0,0)', 4, "ENOSYS", ""),
        refused("K38", "filters, which one budget of the machine pays for", 'f=buf(8,struct.pack("HBBI",6,0,0,0x7fff0000)); p=buf(16,struct.pack("HxxxxxxQ",1,ctypes.addressof(f)))\n'
                's=socket.socket(1,2)\nfor o in (26,51): attempt("o%d"%o,s.setsockopt,1,o,bytes(p)[:16])\ncall("seccomp",317,1,0,p)\ncall("prctl",157,22,2,p)', 4, "EPERM|ENOSYS|EINVAL"),
        refused("K39", "kernel AIO, whose places are the machine's", 'call("setup",206,8,buf(8))', 1, "ENOSYS"),
        refused("K40", "descriptors that only a thread has", 'call("close_range",436,200,300,2)', 1, "EINVAL"),
        Case("K26", "calls of other architectures",
             "cat > /tmp/i.py <<'X'\nimport ctypes,mmap\nm=mmap.mmap(-1,4096,prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
             "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()\nprint('CALLED')\nX\n"
             "cat > /tmp/x.py <<'X'\nimport ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(0x40000000+39)); print('CALLED')\nX\n"
             "for f in i x; do python3 /tmp/$f.py 2>/dev/null; echo $?; done 2>/dev/null",
             r"1[35]9\n159\n", "CALLED", "seccomp"),  # 139: this machine has no int 0x80 at all
        Case("K31", "a child that is executed from memory is held by the same filter",
             probe('f=os.memfd_create("x"); os.write(f,open("/bin/bash","rb").read())\n'
                   'os.execve(f,["x","-c","grep -E ^Seccomp: /proc/self/status; grep -E ^CapEff /proc/self/status; unshare -U echo NESTED 2>/dev/null; id -u"],{})'),
             r"Seccomp:\t2\nCapEff:\t0{16}\n1000\n", "NESTED|Seccomp:\t0", "seccomp"),
        Case("K36", "core files", "ulimit -c unlimited; ulimit -c 0; awk '/core file/{print $5,$6}' /proc/$$/limits; cd /tmp; sh -c 'sh -c \"kill -SEGV \\$\\$\"; true' 2>/dev/null; find / -xdev -name 'core*' -newer /proc/self -type f 2>/dev/null | head -3; ls /tmp | grep -c core",
             r"1 1\n0\n", "unlimited|/core|^0 "),
    ]


def files():
    return [
        refused("F05", "init's memory and environment", 'for f in ("environ","mem","maps","auxv","stack","syscall","io","fd/3","root/etc/passwd","cwd/x","exe","map_files"):\n'
                '  attempt(f,reading("/proc/1/"+f) if f!="map_files" else (lambda: os.listdir("/proc/1/map_files")))', 12, NOT_FOR_YOU, ""),
        refused("F06", "roots of init by magic links", 'os.symlink("/proc/1/root","/tmp/r"); os.symlink("/proc/1/cwd","/tmp/c")\n'
                'for p in ("/tmp/r/etc/shadow","/tmp/c/etc/shadow","/proc/1/task/1/root/etc/shadow","/proc/1/root/proc/1/environ"): attempt(p,reading(p))', 4, NOT_FOR_YOU, ""),
        refused("F13", "sysfs, debugfs, tracefs", 'for p in ("/sys/kernel/security","/sys/kernel/debug/x","/sys/power/state","/sys/fs/cgroup/cgroup.procs","/dev/mqueue","/proc/acpi/x"): attempt(p,reading(p))', 6, "ENOENT", ""),
        refused("F14", "what /proc says of the machine's memory and keys", 'for p in ("kcore","kmsg","keys","key-users","timer_list","sysrq-trigger"): attempt(p,lambda p=p: open("/proc/"+p,"rb").read(1) or (_ for _ in ()).throw(OSError(2,"")))',
                6, NOT_FOR_YOU, ""),
        refused("F15", "sysrq and other switches", 'for p in ("sysrq-trigger","sys/kernel/sysrq","sys/kernel/core_pattern","sys/fs/binfmt_misc/register","irq/default_smp_affinity","sys/kernel/ns_last_pid","sys/user/max_user_namespaces"):\n'
                '  attempt(p,writing("/proc/"+p,"0"))', 7, NOT_FOR_YOU, ""),
        refused("F18", "own maps and privileges through /proc", 'for p,t in (("uid_map","0 0 1"),("gid_map","0 0 1"),("projid_map","0 0 1"),("setgroups","allow"),("oom_score_adj","-1000"),("timerslack_ns","1")):\n'
                '  attempt(p,writing("/proc/self/"+p,t))', 6, NOT_FOR_YOU, ""),
        refused("F22", "links between the host's files and the agent's", 'for a,b in (("/usr/bin/passwd","/workspace/l"),("/etc/passwd","/workspace/l2"),("/usr/bin/env","/tmp/l3"),("/dev/null","/workspace/n")): attempt(a,os.link,a,b)\n'
                'attempt("rename",os.rename,"/etc/hosts","/workspace/h")\nattempt("into",os.rename,"/workspace","/usr/x")', 6, "EXDEV|EPERM|EROFS|EACCES|EBUSY", ""),
        refused("F26", "terminals of others", 'for p in ("/dev/console","/dev/tty0","/dev/tty1","/dev/ttyS0","/dev/pts/0","/dev/pts/1","/dev/vcs","/dev/tty"): attempt(p,reading(p))', 8, "ENOENT|ENXIO|EACCES", ""),
        refused("F27", "devices made or renamed into reach", 'for p,m,d in (("/workspace/b",0o60600,os.makedev(8,0)),("/tmp/dev-c",0o20600,os.makedev(1,1)),("/dev/shm/k",0o20600,os.makedev(10,232)),("/home/agent/f",0o20600,os.makedev(10,229))):\n'
                '  attempt(p,os.mknod,p,m,d)', 4, "EPERM|EACCES", ""),
        refused("F32", "attributes that only the kernel and overlays trust", 'open("/workspace/a","w").close(); os.mkdir("/workspace/d")\n'
                'for n,v in (("security.capability",b"\\1\\0\\0\\2"+b"\\xff"*16),("trusted.overlay.opaque",b"y"),("trusted.x",b"y")): attempt(n,os.setxattr,"/workspace/a",n,v)', 3,
                "EPERM|ENOTSUP|EOPNOTSUPP|EACCES|EINVAL", ""),
        refused("F33", "immutable files and other people's modes", 'import fcntl\nfd=os.open("/workspace/i",os.O_CREAT|os.O_RDWR)\nattempt("immutable",fcntl.ioctl,fd,0x40086602,struct.pack("l",0x10))\n'
                'attempt("chown",os.chown,"/workspace/i",0,0)\nattempt("setgid",os.setgid,0)\nattempt("setuid",os.setuid,0)\nattempt("groups",os.setgroups,[0])\nattempt("chroot",os.chroot,"/tmp")', 6,
                "EPERM|EINVAL|ENOTTY|EOPNOTSUPP|ENOSYS", ""),
        Case("F28", "where the host keeps things",
             "cat /proc/self/mountinfo /proc/mounts /proc/self/mountstats /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/self/cgroup /proc/[0-9]*/comm /proc/self/maps 2>/dev/null | tr '\\0' '\\n' "
             "| grep -oE '[w]eak-attempts|[a]ttempt_[0-9a-f]|[r]oot-attempts|[a]gentrouter-escape|/tmp/[a-z]+-[d]ata|/[r]oot/|[w]eak_box|[u]pperdir=/|[w]orkdir=/|[l]owerdir=/' | sort -u; hostname; uname -n; cat /proc/self/cgroup | sed 's/.*://' | sort -u; "
             "grep -E '^NSpid' /proc/self/status | wc -w; ls -A / | grep -vxE 'bin|dev|etc|home|lib(32|64|x32)?|mnt|opt|proc|root|run|sbin|srv|tmp|usr|var|workspace|.init'; wc -l < /etc/passwd",
             r"sandbox\nsandbox\n/\n2\n3\n", r"(?m)^[^\n]*(-attempts|attempt_|agentrouter-escape|-data|weak_box|(upper|work|lower)dir=/)", "processes"),
        Case("F35", "the host's programs, written through memory",
             probe('import mmap\nf=os.open("/usr/bin/env",os.O_RDONLY)\nm=mmap.mmap(f,4096,flags=mmap.MAP_PRIVATE,prot=mmap.PROT_READ)\n'
                   'L.mmap.restype=ctypes.c_void_p\na=L.mmap(None,ctypes.c_size_t(4096),1,2,f,ctypes.c_long(0))\ntry:\n  g=open("/proc/self/mem","r+b",buffering=0); g.seek(a); g.write(b"PWND")\n'
                   'except OSError as e: pass\nprint(os.pread(f,4,0)==b"\\x7fELF")'),
             r"True\n", "False"),
        Case("F23", "/tmp and /dev/shm are full at their caps",
             "for d in /tmp /dev/shm; do dd if=/dev/zero of=$d/f bs=1M count=2000 2>&1 | grep -o 'No space left on device'; rm -f $d/f; done; "
             "python3 -c 'import os\nn=0\ntry:\n  while n<200000:\n    os.close(os.open(\"/tmp/i%d\"%n,os.O_CREAT|os.O_WRONLY)); n+=1\nexcept OSError as e: print(e.strerror)\nelse: print(\"UNBOUNDED\")'; rm -rf /tmp/i*",
             r"(No space left on device\n){3}", "UNBOUNDED"),
        Case("F25", "a file larger than any", "sh -c 'truncate -s 10T /workspace/big; exit $?' >/dev/null 2>&1 && echo MADE || echo refused; rm -f /workspace/big", r"refused\n", "MADE"),
    ]


def processes():
    return [
        refused("P04", "signals to init", 'for s in (0,9,15,19): attempt("kill%d"%s,os.kill,1,s)\ncall("tgkill",234,1,1,9)\ncall("queue",129,1,9,buf(128))', 6, "EPERM", "capabilities,landlock"),
        refused("P05", "namespaces of init", 'for n in ("mnt","net","user","pid","ipc","uts","cgroup"): attempt(n,os.open,"/proc/1/ns/"+n,0)', 7, "EACCES|EPERM", ""),
        refused("P13", "priority", 'attempt("nice",os.setpriority,0,0,-20)\nattempt("fifo",os.sched_setscheduler,0,1,os.sched_param(10))\nattempt("rr",os.sched_setscheduler,0,2,os.sched_param(1))\n'
                'call("deadline",314,0,buf(48,struct.pack("IIQiIQQQ",48,6,0,0,0,10**7,10**8,10**8)),0)\ncall("ionice",251,1,0,1<<13)\nattempt("init",os.setpriority,0,1,19)', 6, "EPERM|EACCES", ""),
        refused("P14", "limits", 'import resource as r\nfor n in ("NOFILE","NPROC","MEMLOCK","FSIZE","CORE"):\n  def up(n=n):\n    k=getattr(r,"RLIMIT_"+n)\n    try: r.setrlimit(k,(r.RLIM_INFINITY,)*2)\n'
                '    except ValueError: raise OSError(1,"")\n    if r.getrlimit(k)!=(r.RLIM_INFINITY,)*2: raise OSError(1,"")\n  attempt(n,up)\ndef of_init(): r.prlimit(1,r.RLIMIT_NOFILE,(64,64))\nattempt("init",of_init)', 6, "EPERM", ""),
        Case("P11", "control groups", "cat /proc/self/cgroup | cut -d: -f3 | sort -u; find / -xdev \\( -name cgroup.procs -o -name release_agent -o -name tasks \\) 2>/dev/null | head -3; ls /sys 2>&1 | head -1", r"/\nls: .*No such file or directory\n", "procs|release|tasks"),
        Case("P17", "privileges that were given up", probe('print(L.prctl(39,0,0,0,0)); print(L.prctl(38,0,0,0,0)); print(L.prctl(47,2,21,0,0)); print(L.prctl(24,21,0,0,0))\n'
                                                           'h=buf(8,struct.pack("Ii",0x20080522,0)); d=buf(24,struct.pack("IIIIII",1<<21,1<<21,1<<21,0,0,0)); print(L.syscall(126,h,d))'),
             r"1\n-1\n-1\n-1\n-1\n", r"(?m)^0$", "capabilities,seccomp"),
        Case("P22", "open files end at their limit", probe('n=[]\ntry:\n  while True: n.append(os.dup(0))\nexcept OSError as e: print(word(e.errno), len(n)<4096)'), r"EMFILE True\n", "False"),
    ]


def network():
    dial = ('def dial(f,t,a):\n  s=socket.socket(f,t); s.settimeout(1)\n  try:\n    s.connect(a); s.send(b"x"); print("d",a,"CONNECTED",flush=True)\n'
            '  except OSError as e: print("d",word(e.errno) if e.errno else "ETIMEDOUT",flush=True)\n')
    shut = r"(d (ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL|EHOSTUNREACH|ETIMEDOUT|EACCES|EPERM|EINVAL)\n)+"
    return [
        Case("N01", "the host's loopback by every name", probe(dial + 'for h in ("127.0.0.1","127.0.0.2","127.83.1.1","0.0.0.0","127.255.255.254","localhost","2130706433","0x7f.1","0177.0.0.1"): dial(2,1,(h,18099))\n'
                                                              'for h in ("::1","::ffff:127.0.0.1","::"): dial(10,1,(h,18099))\ndial(1,1,b"\\0sbx-canary")'), shut, "CONNECTED", "network"),
        Case("N02", "metadata by every name", probe(dial + 'for h in ("169.254.169.254","2852039166","0xa9fea9fe","0251.0376.0251.0376"): dial(2,1,(h,80))\nfor h in ("::ffff:169.254.169.254","fd00:ec2::254"): dial(10,1,(h,80))'), shut, "CONNECTED", "network"),
        Case("N03", "other hosts", probe(dial + 'for a in (("192.0.2.1",80),("10.0.0.1",22),("8.8.8.8",53),("192.0.2.2",22)): dial(2,1,a); dial(2,2,a)'), shut, "CONNECTED", "network"),
        Case("N04", "IPv6", probe(dial + 'for t in (1,2): dial(10,t,("2001:4860:4860::8888",53))\ndial(10,2,("ff02::1",9))'), shut, "CONNECTED", "network"),
        refused("N11", "netfilter, routes, addresses, interfaces", 'attempt("nft",socket.socket,16,3,12)\ns=socket.socket(16,3,0)\n'
                'def ask(kind,body):\n  s.send(struct.pack("IHHII",16+len(body),kind,0x405,1,0)+body)\n  e=struct.unpack("i",s.recv(4096)[16:20])[0]\n  if e: raise OSError(-e,"")\n'
                'attempt("route",ask,24,struct.pack("BBBBBBBBI",2,0,0,0,254,3,0,1,0)+struct.pack("HHI",8,4,1))\nattempt("address",ask,20,struct.pack("BBBBI",2,24,0,0,1)+struct.pack("HH4s",8,2,bytes([10,9,9,9])))\n'
                'attempt("down",ask,16,struct.pack("BBHiII",0,0,0,1,0,1))\nattempt("raw",socket.socket,2,3,255)', 5, "EPERM", "capabilities,seccomp"),
        Case("N15", "interfaces and connections of the host", "ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '; tail -n +2 /proc/net/tcp | grep -vc ' 0101537F:0050 '; tail -n +2 /proc/net/unix | grep -c sbx-canary",
             r"lo\n0\n0\n", r"(?m)^[1-9]\d*$|eth|ens", "network"),
        refused("N16", "marks, transparent sockets, devices", 's=socket.socket()\nattempt("mark",s.setsockopt,1,36,1)\nattempt("transparent",s.setsockopt,0,19,1)\nattempt("force",s.setsockopt,1,32,1<<20)', 3, "EPERM", "capabilities"),
        Case("N17", "broadcast and multicast", probe('s=socket.socket(2,2); s.setsockopt(1,6,1)\nfor a in ("255.255.255.255","224.0.0.251","10.255.255.255"):\n  try: s.sendto(b"x",(a,9)); print("SENT",a)\n  except OSError as e: print("d",word(e.errno))'),
             r"(d (ENETUNREACH|EPERM|EACCES|EINVAL)\n){3}", "SENT", ""),
        Case("K17", "System V and POSIX IPC of the host", "ipcs -m | grep -c 0x00a9e27e; ls /dev/mqueue 2>/dev/null | wc -l; ls -A /dev/shm | wc -l", r"0\n0\n0\n", r"(?m)^[1-9]"),
    ]


def way_out():
    """With a way out every address is local: whoever answers is the sandbox's own listener, and no canary."""
    return Case("N20", "other hosts, where there is a way out",
                probe('def dial(t,a):\n  s=socket.socket(10 if ":" in a[0] else 2,t); s.settimeout(1)\n  try:\n    s.connect(a); s.send(b"x"); print("answered",a[1] if t==1 else "udp",flush=True)\n'
                      '  except OSError as e: print("refused",flush=True)\n'
                      'for a in (("169.254.169.254",80),("192.0.2.1",80),("10.0.0.1",22),("192.0.2.2",22),("127.0.0.1",18099),("8.8.8.8",53),("2001:4860:4860::8888",53),("::ffff:169.254.169.254",80)): dial(1,a)\n'
                      'dial(2,("8.8.8.8",53)); dial(2,("2001:4860:4860::8888",53)); dial(2,("169.254.169.254",80))'),
                r"answered 80\nanswered 80\nanswered 22\nanswered 22\nrefused\nrefused\nrefused\n(answered 80|refused)\n((answered udp|refused)\n){3}", "CONNECTED")


def box_cases():
    return [*files(), *processes(), *network(), *kernel()]
