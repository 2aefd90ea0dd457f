"""A repository of 10,000 files as workspace: the folder itself is never changed, and the patch gives exactly the agent's tree."""
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import stores
from harness import Case, Server, main

FILES = 10_000


def git(folder, *args, **more):
    env = {**os.environ, "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t",
           "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return subprocess.run(["git", "-C", str(folder), "-c", "gc.auto=0", "-c", "maintenance.auto=false", *args], check=True, env=env, capture_output=True, **more).stdout


def make_repository(folder):
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for i in range(FILES):
        path = folder / f"src/d{i % 100:02}/f{i:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {i}\nline two\nline three\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho hi\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "plain.sh").write_text("#!/bin/sh\necho plain\n")
    os.symlink("src/d00/f00000.txt", folder / "link")
    os.symlink("/etc/passwd", folder / "absolute-link")
    (folder / "image.bin").write_bytes(bytes(range(256)) * 40)
    with open(os.fsencode(folder) + b"/caf\xe9.txt", "w") as file:
        file.write("not UTF-8\n")
    (folder / "caf\u00e9 with space.txt").write_text("UTF-8\n")
    (folder / ".gitignore").write_text("build/\n*.log\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "README").write_text("second\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "second")
    (folder / "build").mkdir()
    (folder / "build/out.o").write_bytes(b"\0" * 1000)
    with open(folder / "large.bin", "wb") as file:
        file.truncate(100 << 20)
        file.write(b"large")
    git(folder, "add", "large.bin")
    git(folder, "commit", "-q", "-m", "large")


def tree(folder, skip_ignored=False):
    """path -> (kind, mode, mtime, content hash) of everything below, .git included unless ignored things are skipped."""
    found = {}
    top = os.fsencode(folder)
    for base, dirs, files in os.walk(top):
        if skip_ignored:
            dirs[:] = [d for d in dirs if d not in (b".git", b"build")]
        for name in dirs + files:
            path = os.path.join(base, name)
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                if skip_ignored and name.endswith(b".log"):
                    continue
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                if skip_ignored:
                    continue
                content = ""
            mode = stat.S_IFMT(info.st_mode) | (info.st_mode & 0o111 if skip_ignored and stat.S_ISREG(info.st_mode) else info.st_mode & 0o7777 if not skip_ignored else 0)
            found[os.path.relpath(path, top)] = (mode, 0 if skip_ignored else info.st_mtime_ns, content)
    return found


TASK = r"""Change the repository.
sim: edit src/d01/f00001.txt line two => line 2
sim: sh printf 'appended\n' >> src/d02/f00002.txt && sed -i 's/line three/line 3/' src/d03/f00003.txt
sim: write src/added.txt added by the agent\n
sim: sh printf '\000\001binary\377' > added.bin
sim: sh rm src/d04/f00004.txt && chmod +x plain.sh
sim: sh mkdir -p build && echo ignored > build/more.o && echo ignored > debug.log
sim: sh git -c user.name=a -c user.email=a@example.org commit -qam 'by the agent' && git log --oneline | head -1
sim: reply Changed.
"""


class Workspace(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-repository-", dir="/var/tmp"))
        cls.repository = cls.folder / "repository"
        make_repository(cls.repository)
        cls.server = Server(args=("--sim", "--workspace-root", str(cls.folder))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def finish(self, task, **fields):
        run = self.server.create(task, workspace={"path": str(self.repository)}, **fields)
        run, events = self.server.finish(run["id"])
        return run, events

    def test_the_patch_gives_the_agents_tree_and_the_folder_is_unchanged(self):
        before = tree(self.repository)
        run, events = self.finish(TASK)
        self.assertEqual(run["status"], "completed", run.get("failure"))
        failed = [e["payload"] for e in events if e["type"] == "agent.tool_completed" and e["payload"]["status"] != "completed"]
        self.assertFalse(failed)
        self.assertEqual(tree(self.repository), before)

        artifacts = self.server.artifacts(run["id"])
        index = json.loads(self.server.download(run["id"], artifacts["workspace_file_index"]["id"]))
        self.assertEqual(sorted((f["status"], f["path"]) for f in index["files"]), [
            (" D", "src/d04/f00004.txt"), (" M", "plain.sh"), (" M", "src/d01/f00001.txt"), (" M", "src/d02/f00002.txt"),
            (" M", "src/d03/f00003.txt"), ("??", "added.bin"), ("??", "src/added.txt")])

        clone = self.folder / "clone"
        git(self.folder, "clone", "-q", str(self.repository), str(clone))
        patch = self.folder / "changes.patch"
        patch.write_bytes(self.server.download(run["id"], artifacts["workspace_patch"]["id"]))
        git(clone, "apply", str(patch))

        # The agent's tree, made again by hand on a third copy.
        expected = self.folder / "expected"
        git(self.folder, "clone", "-q", str(self.repository), str(expected))
        subprocess.run(["sh", "-ec", r"""
            sed -i 's/line two/line 2/' src/d01/f00001.txt
            printf 'appended\n' >> src/d02/f00002.txt; sed -i 's/line three/line 3/' src/d03/f00003.txt
            printf 'added by the agent\n' > src/added.txt
            printf '\000\001binary\377' > added.bin
            rm src/d04/f00004.txt; chmod +x plain.sh"""], cwd=expected, check=True)
        self.assertEqual(tree(clone, skip_ignored=True), tree(expected, skip_ignored=True))

    def test_read_only_mode_makes_every_write_fail_in_the_kernel(self):
        run, events = self.finish("Try to write.\nsim: sh touch new.txt; echo code $?\nsim: sh echo x >> README; echo code $?\nsim: reply tried",
                                  runtime={"kind": "codex", "mode": "read_only"})
        self.assertEqual(run["status"], "completed", run.get("failure"))
        outputs = " ".join(e["payload"].get("output", "") for e in events if e["type"] == "agent.tool_completed")
        self.assertIn("Read-only file system", outputs)
        artifacts = self.server.artifacts(run["id"])
        self.assertEqual(self.server.download(run["id"], artifacts["workspace_patch"]["id"]), b"")
        self.assertEqual(json.loads(self.server.download(run["id"], artifacts["workspace_file_index"]["id"])), {"files": []})

    def test_folders_outside_the_roots_are_refused(self):
        for path, code in (("/etc", "workspace_forbidden"), (str(self.folder / "../.."), "workspace_forbidden"),
                           (str(self.folder / "none"), "workspace_not_found"), (str(self.server.data), "workspace_forbidden")):
            body = {"task": "t", "workspace": {"path": path}}
            if stores.POSTGRES and code == "workspace_not_found":  # the folder is one of the worker's machine: nobody else can say
                run, events = self.server.finish(self.server.call("POST", "/v1/runs", body)["id"])
                self.assertEqual((run["failure"]["code"], run["failure"]["reason"][:44]), ("workspace_failed", "The workspace cannot be used on this machine"), path)
                self.assertNotIn("agent.started", [event["type"] for event in events])
                continue
            reply = self.server.call("POST", "/v1/runs", body, expect=(400,))
            self.assertEqual(reply["error"]["code"], code, path)


if __name__ == "__main__":
    main()
