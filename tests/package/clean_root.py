"""A clean Debian in a folder, and a machine of its own in it: mount and pid namespaces whose root it is (not a chroot, in which the kernel gives nobody
a user namespace), with private /proc, /run and /tmp. All of it goes with the machine's first process.
"""
import contextlib
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
# Lets go of the outside (umount2, MNT_DETACH: a clean root has no `umount`), then reaps whatever is left to it and does nothing else.
FIRST_PROCESS = """my $old = "/.outside"; syscall(166, $old, 2) == 0 && rmdir($old) or die "$!"; $SIG{CHLD} = "IGNORE"; $| = 1; print "entered\\n"; sleep while 1"""
ENTER = """set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc none proc
mount -t tmpfs none run
mount -t tmpfs -o mode=1777 none tmp
mount --rbind /sys sys
mount --rbind /dev dev
mkdir -p .outside
pivot_root . .outside
exec /usr/bin/perl -e "$2"
"""
# What says in its folder that a package was there once, and nothing of which package.
CHURN = ("var/lib/dpkg", "var/log", "var/cache", "var/lib/apt", "etc/ld.so.cache", "proc", "sys", "dev", "run", "tmp")
ACCOUNTS = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")


def archive(cache, depends):
    """Debian's essential packages, apt, and what `depends` (a control field) asks for, as a tar; made anew when any of it changes."""
    recipe = repr((SUITE, MIRROR, depends))
    made = pathlib.Path(cache) / f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if made.exists():
        return made
    print(f"        making a clean root ({made.name}): a minute or two, once", flush=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    part = made.with_suffix(".part")
    hook = f'chroot "$1" apt-get --yes --no-install-recommends satisfy "{depends}"'
    subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", "--format=tar", "--dpkgopt=force-unsafe-io", f"--customize-hook={hook}", SUITE, str(part), MIRROR], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    part.rename(made)
    return made


class Machine:
    def __init__(self, folder, root_archive):
        self.root = pathlib.Path(folder)
        self.root.mkdir(mode=0o755)
        subprocess.run(["tar", "-xf", str(root_archive), "-C", str(self.root), "--numeric-owner"], check=True)
        self.process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", ENTER, "enter", str(self.root), FIRST_PROCESS],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self.process.stdout.readline() != "entered\n":
            self.process.kill()
            raise RuntimeError("cannot enter the root")
        self.first = int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def entered(self, *command, environment=(), user=None):
        """The command line that runs `command` in there."""
        variables = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *environment]
        change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        return ["nsenter", f"--target={self.first}", "--mount", "--pid", "--", *change, "env", "-i", *variables, *map(str, command)]

    def run(self, *command, check=True, environment=(), user=None, seconds=300):
        done = subprocess.run(self.entered(*command, environment=environment, user=user), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout[-3000:]}")
        return done.stdout

    def apt(self, *arguments):
        """apt; whatever it needs is there already."""
        return self.run("apt-get", "--yes", "--no-install-recommends", "-o", "APT::Sandbox::User=root", *arguments,
                        environment=("DEBIAN_FRONTEND=noninteractive",))

    def paths(self):
        """path -> (kind, mode, owner, size or target), without what every installation leaves."""
        found = {}
        for folder, names, files in os.walk(self.root):
            inside = os.path.relpath(folder, self.root)
            names[:] = [name for name in names if os.path.normpath(os.path.join(inside, name)) not in CHURN]
            for name in names + files:
                path = os.path.join(folder, name)
                relative = os.path.normpath(os.path.join(inside, name))
                info = os.lstat(path)
                kind = info.st_mode & 0o170000
                what = os.readlink(path) if kind == 0o120000 else info.st_size if kind == 0o100000 else 0
                found[relative] = (kind, info.st_mode & 0o7777, info.st_uid, info.st_gid, what)
        return {path: what for path, what in found.items() if path.rstrip("-") not in ACCOUNTS and path not in CHURN and path != "etc/.pwd.lock"}

    def named_after_us(self):
        """Every path with our name in it, wherever it is."""
        found = []
        for folder, names, files in os.walk(self.root):
            if folder == str(self.root):
                names[:] = [name for name in names if name not in ("proc", "sys", "dev", "run", "tmp")]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names + files if "agentrouter" in name]
        return sorted(found)

    def processes(self):
        """(pid inside, command) of all but the first process."""
        lines = self.run("sh", "-c", "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' <$p/cmdline 2>/dev/null); done").splitlines()
        return [(pid, command) for pid, _, command in (line.partition(" ") for line in lines) if "agentrouter" in command]

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)
        self.process.wait(30)
        self.process.stdout.close()
        shutil.rmtree(self.root, ignore_errors=True)
