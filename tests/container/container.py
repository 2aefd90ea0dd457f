"""Containers of an image's root, run by crun from a configuration that says what an engine would give them: seccomp, masked paths, user, capabilities."""
import json
import pathlib
import shutil
import subprocess
import uuid

USER = 10001
# What container engines hide of /proc and make read-only where nothing else is said.
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def profile(path):
    """A seccomp profile as engines write it, as the runtime takes it: for x86-64, and without any capability."""
    document = json.loads(pathlib.Path(path).read_text())
    rules = []
    for rule in document["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if includes.get("caps") or (includes.get("arches") and "amd64" not in includes["arches"]) or "amd64" in (excludes.get("arches") or []):
            continue
        kept = {key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key) is not None}
        rules.append({**kept, "args": rule["args"]} if rule.get("args") else {key: value for key, value in kept.items() if key != "args"})
    result = {"defaultAction": document["defaultAction"], "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
    if "defaultErrnoRet" in document:
        result["defaultErrnoRet"] = document["defaultErrnoRet"]
    return result


def without_namespaces(rules):
    """The same profile without the calls that make namespaces and mounts."""
    gone = {"clone3", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root", "setns", "umount", "umount2", "unshare"}
    kept = [{**rule, "names": [name for name in rule["names"] if name not in gone | {"clone"}]} for rule in rules["syscalls"]]
    flags = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}  # CLONE_NEW*
    return {**rules, "syscalls": [rule for rule in kept if rule["names"]] + [{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]},
                                                                           {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}


class Container:
    """`volume`: the data folder. `masked`: whether /proc is as engines have it by default."""

    def __init__(self, work, root, command, volume, seccomp=None, masked=False, environment=(), mounts=()):
        self.name = f"agentrouter-test-{uuid.uuid4().hex[:12]}"
        self.bundle = pathlib.Path(work, self.name)
        self.bundle.mkdir()
        self.state = pathlib.Path(work, "crun")
        proc = ["nosuid", "noexec", "nodev"]
        config = {
            "ociVersion": "1.0.2", "hostname": "container", "root": {"path": str(root), "readonly": True},
            "process": {"user": {"uid": USER, "gid": USER}, "args": list(command), "cwd": "/var/lib/agentrouter", "noNewPrivileges": True,
                        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "AGENTROUTER_AGENTS_DIR=/opt/agentrouter/agents", *environment],
                        "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": proc},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                       {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
                       {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
                       {"destination": "/var/lib/agentrouter", "type": "bind", "source": str(volume), "options": ["rbind", "rw", "nosuid", "nodev"]},
                       *({"destination": inside, "type": "bind", "source": str(outside), "options": ["bind", "ro"]} for outside, inside in mounts)],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                      **({"maskedPaths": MASKED, "readonlyPaths": READ_ONLY} if masked else {}),
                      **({"seccomp": seccomp} if seccomp else {})}}
        (self.bundle / "config.json").write_text(json.dumps(config))
        self.process = None

    def crun(self, *arguments):
        # It refuses a machine that has both versions of cgroups, also where it is to use none: so it sees none.
        return ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "crun", "crun", "--root", str(self.state), "--cgroup-manager=disabled", *arguments]

    def start(self, log):
        self.process = subprocess.Popen(self.crun("run", "--bundle", str(self.bundle), self.name), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        return self

    def output(self, seconds=120):
        done = subprocess.run(self.crun("run", "--bundle", str(self.bundle), self.name), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout

    def inside(self, *command, seconds=60):
        done = subprocess.run(self.crun("exec", "--user", f"{USER}:{USER}", self.name, *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds, check=False)
        return done.returncode, done.stdout

    def signal(self, name):
        subprocess.run(self.crun("kill", self.name, name), check=True, stdin=subprocess.DEVNULL)

    def close(self):
        subprocess.run(self.crun("delete", "--force", self.name), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.process:
            self.process.wait(30)
            self.process.stdout.close()
        shutil.rmtree(self.bundle, ignore_errors=True)
