"""A conversation over several turns with the real Codex: workspace, home and thread go on."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import Case, Server, main

FIRST = """sim: say first
sim: sh git init -q . && echo tracked > tracked.txt && git add tracked.txt && git -c user.name=a -c user.email=a@a commit -qm one; echo more >> seen.txt; echo note > ignored.log
sim: say done with the first turn
"""
SECOND = """sim: sh cat seen.txt tracked.txt ignored.log; echo more >> seen.txt; git log --oneline | wc -l
sim: recall seen.txt
"""

# What three turns do to a folder: each line is a command, run by the agent, and by the test in a copy.
CHANGES = [
    "rm gone.txt; mv old.txt new.txt; chmod 600 plain.sh; chmod +x new.txt; mkdir -p deep/er; echo 1 > deep/er/a; printf '\\0\\1' > raw.bin",
    "rm -r tree; mkdir tree; echo only > tree/only.txt; ln -s deep/er/a soft; ln -s /nowhere dangling; ln deep/er/a hard; rm link; echo file > link",
    "echo more >> deep/er/a; mv tree wood; rm -r deep/er; chmod 555 deep; rm new.txt; mkdir new.txt; echo in > new.txt/in; echo back > gone.txt",
]
# Everything below the folder, with types, modes, targets and contents; times too, which a copy does not have.
# Of folders not how many there are in them: one that several layers have always says 1.
LIST = "find . -mindepth 1 -type d -printf '%p %y %m\\n' -o -printf '%p %y %m %l %n\\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"
TIMES = "find . -mindepth 1 -printf '%p %T@\\n' | LC_ALL=C sort"


def make_folder(folder):
    for name, text in (("gone.txt", "gone"), ("old.txt", "old"), ("plain.sh", "#!/bin/sh"), ("tree/a/b.txt", "b"), ("tree/c.txt", "c"), ("kept.txt", "kept")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (folder / "link").symlink_to("kept.txt")


def snapshot(folder):
    """Everything that an agent might have changed."""
    found = {}
    for base, dirs, files in os.walk(folder):
        for name in [*dirs, *files]:
            path = pathlib.Path(base, name)
            info = path.lstat()
            content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = (info.st_mode, info.st_uid, info.st_nlink if path.is_file() else 0, info.st_mtime_ns, info.st_ctime_ns, content)
    return found


class Conversation(Case):
    def types(self, server, run):
        return [event["type"] for event in server.events(run)]

    def payload(self, server, run, kind):
        return next(event["payload"] for event in server.events(run) if event["type"] == kind)

    def continue_run(self, server, run, message, **fields):
        return server.call("POST", f"/v1/runs/{run}/messages", {"message": message, **fields}, expect=(202,))["runId"]

    def patch(self, server, run):
        artifact = server.artifacts(run)["workspace_patch"]
        return server.download(run, artifact["id"]).decode()

    def test_the_second_turn_goes_on_where_the_first_ended(self):
        with Server() as server:
            first = server.create(FIRST)["id"]
            self.assertEqual(server.finish(first)[0]["status"], "completed")
            kinds = self.types(server, first)
            self.assertIn("sandbox.created", kinds)
            self.assertEqual(kinds.index("checkpoint.created") + 1, kinds.index("sandbox.destroyed"))
            second = self.continue_run(server, first, SECOND)
            self.assertEqual(server.finish(second)[0]["status"], "completed")
            kinds = self.types(server, second)
            self.assertIn("sandbox.resumed", kinds)
            self.assertNotIn("sandbox.created", kinds)
            self.assertNotIn("credential_boundary.verified", kinds)
            self.assertEqual(self.payload(server, first, "agent.started")["threadId"],
                             self.payload(server, second, "agent.started")["threadId"])
            self.assertEqual(self.payload(server, second, "agent.response")["text"], "seen")
            patch = self.patch(server, second)
            self.assertIn("tracked.txt", patch)
            self.assertIn("+more\n+more\n", patch)

    def outputs(self, server, run):
        return [event["payload"]["output"] for event in server.events(run) if event["type"] == "agent.tool_completed"]

    def local(self, folder, command):
        """What the command says in a folder of ours, as in a script's line."""
        text = command.replace("\\\\", "\\")
        return subprocess.run(["/bin/sh", "-c", text], cwd=folder, check=True, capture_output=True, text=True).stdout

    def test_three_turns_change_a_folder_as_one_would_and_never_the_folder_itself(self):
        place = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-folder-", dir="/var/tmp"))
        folder, copy = place / "folder", place / "copy"
        folder.mkdir()
        make_folder(folder)
        shutil.copytree(folder, copy, symlinks=True)
        try:
            before = snapshot(folder)
            with Server(args=("--sim", "--workspace-root", str(place))) as server:
                run, times = None, None
                for change in CHANGES:
                    task = f"sim: sh {TIMES}\nsim: sh {change}\nsim: sh {LIST}\nsim: sh {TIMES}\nsim: reply Changed."
                    run = server.create(task, workspace={"path": str(folder)})["id"] if run is None else self.continue_run(server, run, task)
                    ended = server.finish(run)[0]
                    self.assertEqual(ended["status"], "completed", ended.get("failure"))
                    began, _, listed, left = self.outputs(server, run)
                    if times is not None:
                        self.assertEqual(began, times, "the turn begins as the one before ended, to the nanosecond")
                    times = left
                    self.local(copy, change)
                    self.assertEqual(listed, self.local(copy, LIST))
            self.assertEqual(snapshot(folder), before)
        finally:
            shutil.rmtree(place)

    def test_a_server_that_is_killed_during_and_between_turns_changes_nothing(self):
        with Server() as server:
            first = server.create("sim: sh echo one > one.txt\nsim: reply One.")["id"]
            server.finish(first)
            server.kill()
            server.start()
            second = self.continue_run(server, first, "sim: sh cat one.txt; echo two > two.txt; sleep 2\nsim: sh cat two.txt\nsim: reply Two.")
            server.wait_until(second, lambda event: event["type"] == "agent.tool_started")
            server.kill()
            server.start()
            ended = server.finish(second)[0]
            self.assertEqual(ended["status"], "completed", ended.get("failure"))
            self.assertEqual(self.outputs(server, second), ["one\n", "two\n"])
            server.kill()
            server.start()
            third = self.continue_run(server, second, "sim: sh cat one.txt two.txt\nsim: recall two.txt")
            self.assertEqual(server.finish(third)[0]["status"], "completed")
            self.assertEqual(self.outputs(server, third), ["one\ntwo\n"])
            self.assertEqual(self.payload(server, third, "agent.response")["text"], "seen")
            threads = {self.payload(server, run, "agent.started")["threadId"] for run in (first, second, third)}
            self.assertEqual(len(threads), 1)
            for run in (first, second, third):
                events = server.events(run)
                self.assertEqual([event["sequence"] for event in events], list(range(1, len(events) + 1)))
                self.assertEqual([event["type"] for event in events].count("checkpoint.created"), 1)

    def test_a_first_turn_that_is_cancelled_as_its_agent_starts_is_continued(self):
        with Server() as server:
            for moment in ("execution.started", "agent.started"):
                first = server.create("sim: sh echo never; sleep 60\n")["id"]
                server.wait_until(first, lambda event: event["type"] == moment)
                server.call("POST", f"/v1/runs/{first}/cancel", {})
                self.assertEqual(server.finish(first)[0]["status"], "cancelled")
                second = self.continue_run(server, first, "sim: sh ls\nsim: reply Second.")
                ended = server.finish(second)[0]
                self.assertEqual(ended["status"], "completed", ended.get("failure"))

    def test_a_cancelled_first_turn_is_continued(self):
        with Server() as server:
            first = server.create("sim: sh echo kept > kept.txt; sleep 60\n")["id"]
            server.wait_until(first, lambda event: event["type"] == "agent.tool_started")
            server.call("POST", f"/v1/runs/{first}/cancel", {})
            self.assertEqual(server.finish(first)[0]["status"], "cancelled")
            second = self.continue_run(server, first, "sim: sh cat kept.txt\nsim: say read\n")
            self.assertEqual(server.finish(second)[0]["status"], "completed")
            self.assertIn("sandbox.resumed", self.types(server, second))

    def test_a_question_that_nobody_answers_expires(self):
        with Server() as server:
            run = server.create("sim: say never", approvalMode="manual", approvalTimeoutSeconds=1)["id"]
            ended = server.finish(run)[0]
            self.assertEqual(ended["status"], "failed")
            self.assertEqual(ended["failure"]["code"], "approval_expired")
            self.assertNotIn("execution.started", self.types(server, run))


if __name__ == "__main__":
    main()
