"""What a run has made can be looked at and taken away: live, after the end and after a restart. Scripted agent; one run with the real Codex."""
import gzip
import http.client
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import urllib.parse

from agents import AgentsDir
from harness import Case, Server, main, wait_for

CANARY = "CANARY-HOST-5d1f"
PLAIN_USER = 65534
MAKE = r"""sim: say making
sim: sh echo new > new.txt; echo more >> kept.txt; rm gone.txt; mkdir -p deep/er; echo x > deep/er/x; ln -s /etc/passwd secret; ln -s ../.. deep/up; mkfifo pipe; truncate -s 8G giant; printf '\0\377' > raw; : > "$(printf 'odd\377name')"; mkdir -p .git; echo x > .git/config; python3 -c "import os;[(os.mkdir('d'),os.chdir('d')) for _ in range(300)]"; chmod 000 new.txt
"""


def quoted(path):
    return urllib.parse.quote(path)


class Files(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-files-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", str(self.folder)], check=True)
        work = self.folder / "work"
        work.mkdir()
        (work / "kept.txt").write_text("kept\n")
        (work / "gone.txt").write_text("gone\n")
        (work / "same.txt").write_text("same\n")
        (self.folder / "host-secret").write_text(CANARY)
        self.work = work

    def scripted(self):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        return Server(agents_dir=agents.path, args=("--sim", "--workspace-root", str(self.folder)))

    def list(self, server, run, query=""):
        items, cursor = [], None
        while True:
            more = f"&cursor={quoted(cursor)}" if cursor else ""
            status, _, data = self.get(server, f"/v1/runs/{run}/files?{query}{more}")
            self.assertEqual(status, 200, data[:300])
            page = json.loads(data)
            items += page["items"]
            cursor = page.get("nextCursor")
            if cursor is None:
                return items, page.get("truncated", False)

    def read(self, server, run, path, headers=None):
        return self.get(server, f"/v1/runs/{run}/files/{quoted(path)}", headers)

    def get(self, server, target, headers=None):
        """Asks again while too many others ask, or the run is ending."""
        def answer():
            reply = server.request("GET", target, headers=headers)
            return reply if reply[0] != 503 else None
        return wait_for(answer, 30, f"an answer to {target}")

    def code(self, reply):
        return reply[0], json.loads(reply[2])["error"]["code"]

    def look(self, server, run, live):
        """What holds while the run goes on and after its end."""
        items, truncated = self.list(server, run, "recursive=true")
        self.assertTrue(truncated)  # the folders are too deep
        by_path = {item["path"]: item for item in items}
        self.assertEqual(by_path["new.txt"]["status"], "??")
        self.assertEqual(by_path["new.txt"]["mode"], "100000")
        self.assertEqual(by_path["kept.txt"]["status"], " M")
        self.assertNotIn("status", by_path["same.txt"])
        self.assertNotIn("gone.txt", by_path)
        self.assertEqual(by_path["secret"], {**by_path["secret"], "type": "link", "target": "/etc/passwd"})
        self.assertEqual(by_path["odd\\xffname"]["encoding"], "escaped")
        self.assertEqual(by_path["giant"]["size"], 8 << 30)
        self.assertFalse([path for path in by_path if path.startswith(".git")])
        self.assertEqual("pipe" in by_path, live)
        self.assertEqual([i["path"] for i in self.list(server, run, "limit=3")[0]],
                         [i["path"] for i in items if "/" not in i["path"]])
        self.assertEqual([i["path"] for i in self.list(server, run, "prefix=deep&recursive=true")[0]], ["deep/er", "deep/er/x", "deep/up"])

        status, headers, data = self.read(server, run, "kept.txt")
        self.assertEqual((status, data), (200, b"kept\nmore\n"))
        self.assertEqual(headers["content-type"], "application/octet-stream")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.read(server, run, "new.txt")[2], b"new\n")
        self.assertEqual(self.read(server, run, "same.txt")[2], b"same\n")
        self.assertEqual(self.read(server, run, "raw")[2], b"\0\xff")
        self.assertEqual(self.get(server, f"/v1/runs/{run}/files/{quoted('odd' + chr(92) + 'xffname')}?encoding=escaped")[2], b"")
        status, headers, data = self.read(server, run, "kept.txt", {"Range": "bytes=5-6"})
        self.assertEqual((status, headers["content-range"], data), (206, "bytes 5-6/10", b"mo"))
        self.assertEqual(self.code(self.read(server, run, "kept.txt", {"Range": "bytes=99-"})), (416, "range_not_satisfiable"))

        for path, code in (("secret", "not_a_file"), ("deep", "not_a_file"), ("giant", "file_too_large")):
            self.assertEqual(self.code(self.read(server, run, path)), (409, code), path)
        for path in ("gone.txt", "nothing", "secret/x", "deep/up/etc/passwd", ".git/config", "deep/er/x/y"):
            self.assertEqual(self.code(self.read(server, run, path)), (404, "file_not_found"), path)
        part = self.read(server, run, "giant", {"Range": f"bytes={7 << 30}-{(7 << 30) + 9}"})
        self.assertEqual((part[0], part[2]), (206, b"\0" * 10))

    def test_live_and_afterwards_and_after_a_restart(self):
        with self.scripted() as server:
            # A giant does not fit a checkpoint: live it is there, then it goes.
            run = server.create(MAKE + "sim: sh sleep 600\n", workspace={"path": str(self.work)})["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started" and "sleep 600" in json.dumps(e["payload"]))
            self.look(server, run, live=True)
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)
            self.assertEqual(self.code(self.read(server, run, "kept.txt")), (404, "files_not_kept"))

            smaller = MAKE.replace("truncate -s 8G giant; ", "").replace("range(300)", "range(40)")
            run = server.create(smaller + "sim: say done\n", workspace={"path": str(self.work)})["id"]
            ended, _ = server.finish(run)
            self.assertEqual(ended["status"], "completed")
            before, truncated = self.list(server, run, "recursive=true")
            self.assertFalse(truncated)
            self.assertEqual(self.read(server, run, "new.txt")[2], b"new\n")
            self.assertEqual(self.code(self.read(server, run, "secret")), (409, "not_a_file"))
            server.stop()
            server.start()
            self.assertEqual(self.list(server, run, "recursive=true")[0], before)
            self.assertEqual(self.read(server, run, "kept.txt")[2], b"kept\nmore\n")
            self.archives(server, run)

            server.call("POST", f"/v1/runs/{run}/close", {})
            def gone():
                status, _, data = server.request("GET", f"/v1/runs/{run}/files")
                return status == 410 and json.loads(data)["error"]["code"] == "files_gone"
            wait_for(gone, 30, "the files to be thrown away")
            self.assertEqual(self.code(server.request("GET", f"/v1/runs/{run}/archive")), (410, "files_gone"))
            self.assertEqual((self.work / "kept.txt").read_text(), "kept\n")

    def archives(self, server, run):
        status, headers, data = server.request("GET", f"/v1/runs/{run}/archive")
        self.assertEqual((status, headers["content-type"]), (200, "application/gzip"))
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            names = archive.getnames()
            self.assertEqual(archive.extractfile("kept.txt").read(), b"kept\nmore\n")
            self.assertEqual(archive.extractfile("same.txt").read(), b"same\n")
            self.assertEqual(archive.getmember("secret").linkname, "/etc/passwd")
        self.assertIn("deep/er/x", names)
        self.assertFalse([name for name in names if name.startswith((".git", "gone", "pipe"))])
        status, headers, data = server.request("GET", f"/v1/runs/{run}/archive?format=tar.zst&changes=true")
        self.assertEqual((status, headers["content-type"]), (200, "application/zstd"))
        plain = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            changed = archive.getnames()
        self.assertIn("new.txt", changed)
        self.assertNotIn("same.txt", changed)

    def test_the_agent_does_not_see_what_is_asked_for(self):
        watch = "sim: sh while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >> seen; done\n"
        with self.scripted() as server:
            run = server.create(watch, workspace={"path": str(self.work)})["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started" and "cmdline" in json.dumps(e["payload"]))
            def seen():
                self.assertEqual(self.code(self.read(server, run, "asked-by-a-person")), (404, "file_not_found"))
                text = self.read(server, run, "seen")[2]
                self.assertNotIn(b"asked-by-a-person", text)
                return b"read-files" in text
            wait_for(seen, 60, "the agent to see a reader")
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)

    def test_runs_without_files(self):
        with self.scripted() as server:
            self.assertEqual(self.code(server.request("GET", "/v1/runs/run_nobody/files")), (404, "run_not_found"))
            run = server.create("sim: say hi", approvalMode="block")["id"]
            server.finish(run)
            self.assertEqual(self.code(server.request("GET", f"/v1/runs/{run}/files")), (404, "files_not_kept"))
            waiting = server.create("sim: say hi", approvalMode="manual")["id"]
            server.wait_until(waiting, lambda e: e["type"] == "approval.requested")
            self.assertEqual(server.call("GET", f"/v1/runs/{waiting}/files"), {"items": []})
            server.call("POST", f"/v1/runs/{waiting}/cancel", {})
            server.finish(waiting)

    def log(self, server, run, name, offset=0):
        status, headers, data = server.request("GET", f"/v1/runs/{run}/logs/{name}?offset={offset}")
        self.assertEqual((status, headers["content-type"]), (200, "application/x-ndjson"))
        return data

    def test_logs_grow_and_are_the_artifacts_in_the_end(self):
        with self.scripted() as server:
            run = server.create("sim: sh echo $((40 + 2))-marks; sleep 600\n")["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started")
            live = self.log(server, run, "stdout")
            self.assertIn(b"-marks; sleep 600", live)
            self.assertEqual(self.log(server, run, "stdout", 100)[:100], live[100:200])
            self.assertEqual(self.log(server, run, "stdout", 1 << 40), b"")
            self.assertEqual(self.code(server.request("GET", f"/v1/runs/{run}/logs/stdin")), (404, "artifact_not_found"))
            self.assertEqual(self.code(server.request("GET", f"/v1/runs/{run}/logs/stdout?offset=-1")), (400, "validation_error"))
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)
            for name in ("stdout", "stderr"):
                artifact = server.artifacts(run)[f"{name}_log"]
                self.assertEqual(self.log(server, run, name), gzip.decompress(server.download(run, artifact["id"])))
            self.assertEqual(self.log(server, run, "stdout")[:len(live)], live)
            self.assertEqual(self.log(server, run, "stdout", 7), self.log(server, run, "stdout")[7:])
            denied = server.create("sim: say hi", approvalMode="block")["id"]
            self.assertEqual(self.log(server, denied, "stdout"), b"")
            server.finish(denied)
            self.assertEqual(self.log(server, denied, "stdout"), b"")

    def test_many_files_in_pages(self):
        with self.scripted() as server:
            script = "sim: sh python3 -c \"import os;os.mkdir('m');[open('m/f%06d' % i,'w').close() for i in range(150000)]\"\nsim: sh sleep 600\n"
            run = server.create(script)["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started" and "sleep 600" in json.dumps(e["payload"]), 120)
            page = server.call("GET", f"/v1/runs/{run}/files?prefix=m/&limit=1000")
            self.assertEqual(len(page["items"]), 1000)
            self.assertEqual(page["nextCursor"], "m/f000999")
            page = server.call("GET", f"/v1/runs/{run}/files?prefix=m/&limit=1000&cursor=m/f149000")
            self.assertEqual([len(page["items"]), page["items"][-1]["path"]], [999, "m/f149999"])
            self.assertNotIn("nextCursor", page)
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)

    def test_files_that_change_while_they_are_read(self):
        with self.scripted() as server:
            loop = "while :; do head -c 300000 /dev/zero > busy; : > busy; rm -f t; ln -s /etc/passwd t; rm t; echo x > t; done"
            run = server.create(f"sim: sh {loop}\n")["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started")
            for _ in range(40):
                for path, content in (("t", (b"x\n", b"")), ("busy", None)):
                    try:
                        status, _, data = self.read(server, run, path)
                    except http.client.IncompleteRead:  # cut off: it does not look whole
                        continue
                    self.assertIn(status, (200, 404, 409))
                    if status == 200:
                        self.assertTrue(data in content if content else not data.strip(b"\0"), data[:100])
                self.list(server, run)
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)

    def test_turns_have_patches_of_their_own(self):
        with self.scripted() as server:
            first = server.create("sim: sh echo one > one\nsim: say done\n")["id"]
            server.finish(first)
            second = server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh echo two > two; echo more >> one\nsim: say done\n"}, expect=(202,))["runId"]
            server.finish(second)
            self.assertNotIn("workspace_turn_patch", server.artifacts(first))
            artifacts = server.artifacts(second)
            turn = server.download(second, artifacts["workspace_turn_patch"]["id"]).decode()
            whole = server.download(second, artifacts["workspace_patch"]["id"]).decode()
            self.assertIn("+more", turn)
            self.assertNotIn("+one", turn)
            self.assertIn("+one", whole)
            index = json.loads(server.download(second, artifacts["workspace_file_index"]["id"]))
            self.assertEqual(index["files"], [{"status": "??", "path": "one", "size": 9, "mode": "100644"},
                                              {"status": "??", "path": "two", "size": 4, "mode": "100644"}])
            self.assertEqual(self.read(server, first, "one")[2], b"one\n")
            self.assertEqual(self.read(server, second, "one")[2], b"one\nmore\n")

    def test_a_server_of_a_plain_user_reads_them_too(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        user = PLAIN_USER if os.geteuid() == 0 else None
        if user:
            os.chown(data, user, user)
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        try:
            with Server(data=data, agents_dir=agents.path, user=user, env={"HOME": str(data)}) as server:
                run = server.create("sim: sh echo x > x; chmod 000 x; ln -s /etc/passwd l\nsim: sh sleep 600\n")["id"]
                server.wait_until(run, lambda e: e["type"] == "agent.tool_started" and "sleep 600" in json.dumps(e["payload"]))
                for ended in (False, True):
                    self.assertEqual([i["path"] for i in self.list(server, run)[0]], ["l", "x"])
                    self.assertEqual(self.read(server, run, "x")[2], b"x\n")
                    self.assertEqual(self.code(self.read(server, run, "l")), (409, "not_a_file"))
                    if not ended:
                        server.call("POST", f"/v1/runs/{run}/cancel", {})
                        server.finish(run)
        finally:
            shutil.rmtree(data, ignore_errors=True)
            (data.parent / (data.name + ".log")).unlink(missing_ok=True)

    def test_the_real_codex(self):
        with Server(args=("--sim", "--workspace-root", str(self.folder))) as server:
            run = server.create("sim: write hello.txt hello\nsim: sh sleep 120\n", workspace={"path": str(self.work)})["id"]
            server.wait_until(run, lambda e: e["type"] == "agent.tool_started" and "sleep 120" in json.dumps(e["payload"]), 90)
            self.assertEqual(self.read(server, run, "hello.txt")[2], b"hello\n")
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            server.finish(run)
            self.assertEqual(self.read(server, run, "hello.txt")[2], b"hello\n")


if __name__ == "__main__":
    main()
