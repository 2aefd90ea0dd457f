"""Repositories in and changes out, as a person types it: a clone, a folder that is sent, changes taken over, files, archive, push, fork. Scripted agent."""
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from agents import AgentsDir
from harness import KEY, PROGRAM, Case, Server, main

IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}


def git(folder, *args):
    done = subprocess.run(["git", "-C", str(folder), *args], check=True, env={**os.environ, **IDENTITY}, capture_output=True, text=True)
    return done.stdout.strip()


class CliWorkspace(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        cls.folder.chmod(0o755)
        cls.work = cls.folder / "work"
        cls.work.mkdir()
        git(cls.work, "init", "-q", "-b", "main")
        for name, text in (("a.txt", "a\n"), (".gitignore", "*.log\n"), ("build.log", "mine\n")):
            (cls.work / name).write_text(text)
        git(cls.work, "add", "-A")
        git(cls.work, "commit", "-q", "-m", "base")
        cls.remote = cls.folder / "remote.git"
        git(cls.folder, "clone", "-q", "--bare", str(cls.work), str(cls.remote))
        cls.url = f"file://{cls.remote}"
        config = cls.folder / "agentrouter.toml"
        config.write_text(f'[git]\nfile_roots = ["{cls.folder}"]\n[push]\nallow = ["{cls.url} fix/*"]\n')
        cls.agents = AgentsDir()
        cls.server = Server(agents_dir=cls.agents.path, args=("--sim", "--config", str(config))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        shutil.rmtree(cls.folder, ignore_errors=True)
        super().tearDownClass()

    def call(self, *args, expect=0, text=True, cwd=None):
        done = subprocess.run([str(PROGRAM), *args], stdin=subprocess.DEVNULL, capture_output=True, text=text, timeout=60, cwd=cwd,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "AGENTROUTER_API_KEY": KEY,
                                   "AGENTROUTER_API_BASE_URL": self.server.url})
        self.assertEqual(done.returncode, expect, (done.stdout[-2000:], done.stderr[-2000:]))
        return done

    def run_json(self, task, *args):
        """The session of a run that completes."""
        session = json.loads(self.call("run", "--json", *args, task).stdout.splitlines()[-1])
        self.assertEqual(session["run"]["status"], "completed", session)
        return session["run"]["id"]

    def test_a_clone_its_files_and_a_push(self):
        run = self.run_json("sim: sh echo more >> a.txt; mkdir d; echo new > d/n; echo x > x.log\nsim: say done", "--workspace", self.url, "--ref", "main")
        self.assertIn("M  100644", self.call("files", run).stdout)
        self.assertIn("d/n", self.call("files", "-r", run).stdout)
        self.assertNotIn("d/n", self.call("files", run).stdout)
        self.assertEqual(self.call("files", run, "a.txt").stdout, "a\nmore\n")
        self.assertIn("file_not_found", self.call("files", run, "nowhere", expect=1).stderr)
        archive = self.folder / "w.tar.gz"
        self.call("archive", run, "-o", str(archive))
        with tarfile.open(archive) as packed:
            self.assertEqual(packed.extractfile("d/n").read(), b"new\n")
            self.assertEqual(packed.extractfile(".gitignore").read(), b"*.log\n")
        changes = self.folder / "c.tar.gz"
        self.call("archive", run, "--changes", "-o", str(changes))
        with tarfile.open(changes) as packed:
            self.assertEqual({m.name for m in packed if m.isfile()}, {"a.txt", "d/n"})
        self.assertIn("push_forbidden", self.call("push", run, "main", "-m", "No", expect=1).stderr)
        pushed = json.loads(self.call("push", run, "fix/it", "-m", "Fix it", "--json").stdout)
        self.assertEqual(git(self.remote, "rev-parse", "fix/it"), pushed["commit"])
        self.assertEqual(git(self.remote, "show", "fix/it:d/n"), "new")

    def test_a_folder_that_is_sent_and_gets_its_changes(self):
        folder = self.folder / "sent"
        git(self.folder, "clone", "-q", str(self.work), str(folder))
        (folder / "ignored.log").write_text("private\n")
        before = (folder / ".git/index").read_bytes()
        done = self.call("run", "--workspace", ".", "--upload", "--apply",
                         "sim: sh cat a.txt; ls -a > seen.txt; echo more >> a.txt; rm .gitignore\nsim: say done", cwd=folder)
        self.assertRegex(done.stderr, r"Sending \d files, ")
        self.assertIn("Applied to ", done.stderr)
        self.assertEqual((folder / "a.txt").read_text(), "a\nmore\n")
        self.assertNotIn("ignored.log", (folder / "seen.txt").read_text())
        self.assertNotIn(".git\n", (folder / "seen.txt").read_text())
        self.assertFalse((folder / ".gitignore").exists())
        self.assertEqual((folder / "ignored.log").read_text(), "private\n")
        self.assertEqual((folder / ".git/index").read_bytes(), before)
        # A second time the same changes do not fit.
        patch = self.folder / "again"
        shutil.copytree(folder, patch)
        done = self.call("run", "--workspace", str(patch), "--upload", "sim: sh echo third >> a.txt\nsim: say done")
        self.assertIn("workspace_patch -o - | git apply", done.stderr)
        self.assertEqual((patch / "a.txt").read_text(), "a\nmore\n")

    def test_a_fork_goes_its_own_way(self):
        first = self.run_json("sim: sh echo 1 > one\nsim: say done", "--workspace", self.url)
        self.run_json("sim: sh echo 2 > two\nsim: say done", "--continue", first)
        fork = self.run_json("sim: sh ls > seen\nsim: say done", "--fork", first, "--at-turn", "1")
        self.assertEqual(self.call("files", fork, "seen").stdout, "a.txt\none\nseen\n")
        newest = self.run_json("sim: sh ls > seen\nsim: say done", "--fork", first)
        self.assertEqual(self.call("files", newest, "seen").stdout, "a.txt\none\nseen\ntwo\n")
        self.assertIn("turn_not_found", self.call("run", "--fork", first, "--at-turn", "9", "Go on", expect=1).stderr)


if __name__ == "__main__":
    main()
