"""Repositories over ssh, from a real sshd on a loopback port: the key and the known hosts are the server's and stay outside of the sandbox. Scripted agent."""
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from harness import main, wait_for
from test_git import LOOK, Repositories, git

SSHD = "/usr/sbin/sshd"


def keygen(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


class Sshd:
    """A server of this very user, who may log in with one key."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-sshd-"))
        self.host_key, self.user_key = keygen(self.folder / "host"), keygen(self.folder / "user")
        (self.folder / "authorized").write_text(self.user_key + "\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\nPidFile none\n"
            "UsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n")
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "config")], stderr=self.log)
        wait_for(self.answers, 20, "sshd to listen")

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def text(self):
        return (self.folder / "log").read_text()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def known_hosts(self, name, key=None):
        path = self.folder / name
        kind, word = (key or self.host_key).split()[:2]
        path.write_text(f"# a comment\n[127.0.0.1]:{self.port} {kind} {word}")
        return path

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        shutil.rmtree(self.folder)


class OverSsh(Repositories):
    @classmethod
    def setUpClass(cls):
        cls.sshd, cls.other = Sshd(), Sshd()
        cls.addClassCleanup(cls.sshd.close)
        cls.addClassCleanup(cls.other.close)
        cls.settings = (f'[git.ssh."{cls.sshd.host}"]\nkey_file = "{cls.sshd.folder}/user"\nknown_hosts_file = "{cls.sshd.known_hosts("known")}"\n'
                        f'[git.ssh."{cls.other.host}"]\nkey_file = "{cls.sshd.folder}/user"\nknown_hosts_file = "{cls.other.known_hosts("known")}"\n')
        super().setUpClass()

    def url(self, name, server=None):
        return f"ssh://{getpass.getuser()}@{(server or self.sshd).host}{self.roots}/{name}"

    def test_a_repository_comes_and_the_key_is_nowhere_inside(self):
        line = (self.sshd.folder / "user").read_text().splitlines()[2]
        look = LOOK.replace("\nsim: reply", f"; grep -rl {line[:20]}''{line[20:]} . /home/agent /tmp /etc /proc/self/environ 2>/dev/null; echo end\nsim: reply")
        run = self.start(look, url=self.url("bare.git"))
        events = self.ended(run)
        self.assertEqual(self.output(events).split("\n"), ["two", "part", self.head(), "trunk", "2", self.url("bare.git"), "0",
                                                            "version https://git-lfs.github.com/spec/v1", "/etc/passwd", "0", "end", ""])
        self.assertNotIn(line, self.server.log_text())
        for path in (self.server.data / "trees").rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.assertNotIn(line.encode(), path.read_bytes(), path)
        self.assertFalse(self.canary.exists())
        self.nothing_left()

    def test_branches_commits_and_depth(self):
        for source, commit, commits in (({"ref": "side"}, self.head("side"), 1), ({"ref": self.head("side")}, self.head("side"), 1), ({"depth": 1}, self.head(), 1)):
            with self.subTest(str(source)):
                events = self.ended(self.start("sim: sh git rev-parse HEAD; git log --oneline | wc -l\nsim: reply Done.", url=self.url("bare.git"), **source))
                self.assertEqual(self.output(events), f"{commit}\n{commits}\n")

    def test_submodules_with_relative_addresses_come_over_ssh_too(self):
        for name, inner in (("core", None), ("outer", "core")):
            work = self.roots / f"work-{name}"
            work.mkdir()
            git(work, "init", "-q", "-b", "main")
            (work / f"{name}.txt").write_text(name + "\n")
            if inner:
                git(work, "submodule", "add", "-q", str(self.roots / f"{inner}.git"), "vendor")
                git(work, "config", "-f", ".gitmodules", "submodule.vendor.url", f"../{inner}.git")
            git(work, "add", "-A")
            git(work, "commit", "-q", "-m", name)
            git(self.roots, "clone", "-q", "--bare", str(work), f"{name}.git")
        events = self.ended(self.start("sim: sh cat outer.txt vendor/core.txt; git status --short | wc -l\nsim: reply Done.", url=self.url("outer.git"), submodules=True))
        self.assertEqual(self.output(events), "outer\ncore\n0\n")

    def test_what_goes_wrong_says_why(self):
        self.assertIn("does not", self.failed("workspace_unavailable", url=self.url("missing.git")))
        self.assertIn("credential", self.failed("workspace_auth_failed", url=self.url("bare.git", self.other)))

    def test_a_host_with_another_key_is_told_nothing(self):
        known = self.sshd.folder / "known"
        kept = known.read_text()
        seen = self.sshd.text().count("Accepted publickey")
        self.sshd.known_hosts("known", self.other.host_key)
        self.addCleanup(self.restart)
        self.addCleanup(known.write_text, kept)
        self.restart()
        self.assertIn("not the one in known_hosts", self.failed("workspace_auth_failed", url=self.url("bare.git"), depth=3))
        self.sshd.known_hosts("known", "ssh-ed25519 " + self.other.host_key.split()[1])
        known.write_text(known.read_text().replace("127.0.0.1", "127.0.0.2"))
        self.restart()
        self.assertIn("not in known_hosts", self.failed("workspace_auth_failed", url=self.url("bare.git"), depth=3))
        self.assertEqual(self.sshd.text().count("Accepted publickey"), seen)

    def restart(self):
        self.server.stop()
        self.server.start()

    def test_lfs_over_ssh_is_refused(self):
        self.assertIn("https", self.failed("workspace_unavailable", url=self.url("bare.git"), lfs=True))

    def test_hosts_without_a_key_make_no_run(self):
        for url in ("ssh://git@127.0.0.1:1/a.git", f"ssh://{self.sshd.host}/a.git", "git@h.test:a.git", f"ssh://-oProxyCommand=x@{self.sshd.host}/a"):
            reply = self.server.call("POST", "/v1/runs", {"task": "t", "workspace": {"git": {"url": url}}}, expect=(400,))
            self.assertEqual(reply["error"]["code"], "workspace_forbidden", url)


if __name__ == "__main__":
    main()
