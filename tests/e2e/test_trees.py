"""What an agent works on comes from elsewhere: uploads of every format. Scripted agent."""
import gzip
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import zipfile

from agents import AgentsDir
from harness import Case, Server, main, sha256

PLAIN_USER = 65534
FILES = {"README": b"hello\n", "src/a.txt": b"alpha\n", "src/deep/b.txt": b"beta\n", "run.sh": b"#!/bin/sh\necho ran\n"}


def tar_of(files=FILES, mode="w", extra=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


def zip_of(files=FILES):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if name.endswith(".sh") else 0o100644) << 16
            archive.writestr(info, data)
    return out.getvalue()


def entry(name, kind, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


class Trees(Case):
    server_args = ("--sim",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.server = Server(agents_dir=cls.agents.path, args=cls.server_args).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.abandon()
        cls.server.stop()
        cls.server.remove_data()
        cls.agents.remove()
        super().tearDownClass()

    def upload(self, data, expect=201, server=None, kind="application/octet-stream"):
        status, _, reply = (server or self.server).request("POST", "/v1/uploads", data, {"Content-Type": kind})
        self.assertEqual(status, expect, reply[:500])
        return json.loads(reply)

    def refused(self, data, status, code):
        error = self.upload(data, status)["error"]
        self.assertEqual(error["code"], code)
        return error

    def ended(self, run, status="completed", server=None):
        found, events = (server or self.server).finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return events

    @staticmethod
    def output(events, index=0):
        return [e["payload"] for e in events if e["type"] == "agent.tool_completed"][index]["output"]

    def trees(self, server=None):
        return sorted(p.name for p in ((server or self.server).data / "trees").iterdir())


class Uploads(Trees):
    def test_every_format_is_the_same_workspace(self):
        plain = tar_of()
        zstd = subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True, check=True)
        forms = {"tar": plain, "tar.gz": gzip.compress(plain), "tar.zst": zstd.stdout, "zip": zip_of()}
        seen = set()
        for name, data in forms.items():
            upload = self.upload(data)["upload"]
            self.assertEqual((upload["bytes"], upload["sha256"], upload["files"]), (len(data), sha256(data), len(FILES)), name)
            run = self.server.create("sim: sh find . -type f -exec sha256sum {} + | sort; ./run.sh\nsim: reply Done.",
                                     workspace={"upload": {"id": upload["id"]}})["id"]
            seen.add(self.output(self.ended(run)))
            record = self.server.call("GET", f"/v1/runs/{run}/record")["workspace"]
            self.assertEqual((record["kind"], record["upload"]["id"]), ("upload", upload["id"]), name)
        self.assertEqual(len(seen), 1, seen)
        self.assertIn("ran", seen.pop())

    def test_changes_stay_in_the_run_and_go_on_in_its_next_turn(self):
        upload = self.upload(tar_of())["upload"]["id"]
        first = self.server.create("sim: sh echo changed > src/a.txt; rm README\nsim: reply Done.", workspace={"upload": {"id": upload}})["id"]
        self.ended(first)
        patch = self.server.download(first, self.server.artifacts(first)["workspace_patch"]["id"])
        self.assertIn(b"-alpha\n+changed\n", patch)
        other = self.server.create("sim: sh cat src/a.txt README\nsim: reply Done.", workspace={"upload": {"id": upload}})["id"]
        self.assertEqual(self.output(self.ended(other)), "alpha\nhello\n")
        turn = self.server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh cat src/a.txt; ls\nsim: reply Done."}, expect=(202,))["runId"]
        self.assertEqual(self.output(self.ended(turn)), "changed\nrun.sh\nsrc\n")

    def test_equal_bytes_are_unpacked_once_also_after_a_crash(self):
        data = tar_of({**FILES, "own": b"for this test"})
        with Server(agents_dir=self.agents.path) as server:
            first = self.upload(data, server=server)["upload"]
            tree = server.data / "trees" / self.trees(server)[0]
            before = os.stat(tree / "tree").st_ino
            second = self.upload(data, server=server)["upload"]
            self.assertNotEqual(first["id"], second["id"])
            (server.data / "trees/.new-left-by-a-crash/tree").mkdir(parents=True)
            server.kill()
            server.start()
            self.assertEqual(self.trees(server), [tree.name])
            self.upload(data, server=server)
            self.assertEqual(os.stat(tree / "tree").st_ino, before)
            run = server.create("sim: sh cat own\nsim: reply Done.", workspace={"upload": {"id": first["id"]}})["id"]
            self.assertEqual(self.output(self.ended(run, server=server)), "for this test")

    def test_a_server_of_a_plain_user_takes_uploads(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        user = PLAIN_USER if os.geteuid() == 0 else None
        if user:
            os.chown(data, user, user)
        try:
            with Server(data=data, agents_dir=self.agents.path, user=user, env={"HOME": str(data)}) as server:
                upload = self.upload(tar_of(), server=server)["upload"]["id"]
                run = server.create("sim: sh cat src/a.txt; echo changed > src/a.txt; ./run.sh\nsim: reply Done.", workspace={"upload": {"id": upload}})["id"]
                self.assertEqual(self.output(self.ended(run, server=server)), "alpha\nran\n")
        finally:
            shutil.rmtree(data, ignore_errors=True)
            (data.parent / (data.name + ".log")).unlink(missing_ok=True)

    def test_hostile_archives_are_refused_by_name_and_leave_nothing(self):
        with tempfile.TemporaryDirectory() as outside:
            canary = pathlib.Path(outside) / "canary"
            canary.write_text("untouched")
            before = self.trees()
            hostile = {
                "device": entry("dev", tarfile.CHRTYPE), "fifo": entry("pipe", tarfile.FIFOTYPE),
                "setuid": entry("s", tarfile.REGTYPE, mode=0o4755), "setgid": entry("s", tarfile.REGTYPE, mode=0o2755),
                "absolute": entry(str(canary), tarfile.REGTYPE), "dots": entry("../../canary", tarfile.REGTYPE),
                "link": entry("l", tarfile.SYMTYPE, outside), "relative link": entry("l", tarfile.SYMTYPE, "../../.."),
                "hard link": entry("h", tarfile.LNKTYPE, str(canary)), "hard link up": entry("h", tarfile.LNKTYPE, "../x"),
            }
            for name, info in hostile.items():
                with self.subTest(name):
                    error = self.refused(tar_of(extra=[info]), 400, "archive_refused")
                    self.assertIn("entry", error["details"])
            through = [entry("l", tarfile.SYMTYPE, "src"), entry("l/new", tarfile.REGTYPE)]
            self.refused(tar_of(extra=through), 400, "archive_refused")
            chain = [entry("s/t/x", tarfile.SYMTYPE, "d/../.."), entry("s/t/d", tarfile.SYMTYPE, "..")]
            self.refused(tar_of(extra=chain), 400, "archive_refused")
            self.assertEqual((canary.read_text(), os.listdir(outside)), ("untouched", ["canary"]))
            self.assertEqual(self.trees(), before)

    def test_what_is_no_archive_is_unreadable(self):
        for data in (b"", b"x", b"PK\3\4 not really", gzip.compress(b"no tar"), os.urandom(5000), tar_of()[:700], gzip.compress(gzip.compress(tar_of()))):
            self.refused(data, 400, "archive_unreadable")

    def test_unknown_uploads_make_no_run(self):
        for upload in ("upload_x", "../x", "upload_00000000-0000-4000-8000-000000000000"):
            status, _, data = self.server.request("POST", "/v1/runs", {"task": "t", "workspace": {"upload": {"id": upload}}})
            self.assertEqual((status, json.loads(data)["error"]["code"]), (404, "upload_not_found"))


class FromRuns(Trees):
    def start_from(self, run, task, **fields):
        return self.server.create(task, workspace={"fromRun": {"runId": run}}, **fields)["id"]

    def test_files_go_on_and_memory_and_home_do_not(self):
        upload = self.upload(tar_of())["upload"]["id"]
        first = self.server.create("sim: sh echo mine > new; rm README; echo kept > ~/note\nsim: reply The word is plover.",
                                   workspace={"upload": {"id": upload}})["id"]
        self.ended(first)
        second = self.start_from(first, "sim: sh cat new src/a.txt; ls README ~/note 2>/dev/null; echo end\nsim: recall plover\nsim: reply Done.")
        events = self.ended(second)
        self.assertEqual(self.output(events), "mine\nalpha\nend\n")
        self.assertIn("sandbox.created", [e["type"] for e in events])
        self.assertNotIn("plover", json.dumps([e["payload"] for e in events if e["type"] == "agent.response"]))
        self.assertNotEqual(self.server.run(second)["conversationId"], first)
        record = self.server.call("GET", f"/v1/runs/{second}/record")["workspace"]
        self.assertEqual((record["fromRun"]["runId"], record["upload"]["id"]), (first, upload))
        turn = self.server.call("POST", f"/v1/runs/{second}/messages", {"message": "sim: sh cat new; ls\nsim: reply Done."}, expect=(202,))["runId"]
        self.assertEqual(self.output(self.ended(turn)), "mine\nnew\nrun.sh\nsrc\n")
        patch = self.server.download(second, self.server.artifacts(second)["workspace_patch"]["id"])
        self.assertIn(b"+mine", patch)

    def test_the_files_are_those_of_that_turn_whatever_follows(self):
        first = self.server.create("sim: sh echo one > f\nsim: reply Done.")["id"]
        self.ended(first)
        turn = self.server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh echo two > f\nsim: reply Done."}, expect=(202,))["runId"]
        self.ended(turn)
        self.assertEqual(self.output(self.ended(self.start_from(first, "sim: sh cat f\nsim: reply Done."))), "one\n")
        self.assertEqual(self.output(self.ended(self.start_from(turn, "sim: sh cat f\nsim: reply Done."))), "two\n")

    def test_runs_that_are_unknown_or_active_give_nothing(self):
        def code(run):
            status, _, data = self.server.request("POST", "/v1/runs", {"task": "t", "workspace": {"fromRun": {"runId": run}}})
            return status, json.loads(data)["error"]["code"]
        self.assertEqual(code("run_x"), (404, "run_not_found"))
        active = self.server.create("sim: sleep 600\nsim: reply Never.")["id"]
        self.server.wait_until(active, lambda e: e["type"] == "agent.started")
        self.assertEqual(code(active), (409, "run_busy"))
        self.server.call("POST", f"/v1/runs/{active}/cancel")
        self.ended(active, "cancelled")


class UploadLimits(Trees):
    @classmethod
    def setUpClass(cls):
        cls.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        cls.config.write("[uploads]\nmax_bytes = 200000\nmax_entries = 50\nmax_unpacked_bytes = 100000000\nmax_ratio = 100\nmax_depth = 5\n"
                         "max_path_bytes = 60\n[trees]\nmax_bytes = 300000\n")
        cls.config.flush()
        cls.server_args = ("--sim", "--config", cls.config.name)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.config.close()

    def limit(self, data, limit, most):
        error = self.refused(data, 413, "archive_limit")
        self.assertEqual((error["details"]["limit"], error["details"]["most"]), (limit, most))

    def test_each_limit_is_reached_and_told(self):
        self.limit(os.urandom(200_001), "archive_bytes", 200_000)
        self.limit(tar_of({f"f{i}": b"" for i in range(51)}), "entries", 50)
        self.limit(tar_of({"a/b/c/d/e/f": b""}), "depth", 5)
        self.limit(tar_of({"n" * 61: b""}), "path_bytes", 60)
        self.limit(gzip.compress(tar_of({"zeros": bytes(99_000_000)})), "ratio", 100)

    def test_trees_that_nothing_stands_on_make_room_and_those_of_uploads_do_not(self):
        data = [tar_of({f"big{i}": os.urandom(120_000)}) for i in range(3)]
        self.upload(data[0])
        self.upload(data[1])
        error = self.refused(data[2], 503, "storage_full")
        self.assertIn("max_bytes", error["message"])
        self.assertEqual(len(self.trees()), 2)


if __name__ == "__main__":
    main()
