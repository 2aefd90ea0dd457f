"""A server whose artifacts and checkpoints lie in an S3 store that verifies every request: runs, downloads, conversations that go on with
another machine's copies, deleting, outages in the middle."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

from agents import AgentsDir
from harness import KEY, PROGRAM, Case, Server, main, sha256, wait_for
from s3 import S3, SECRET

TASK = "sim: write a.txt one\nsim: sh echo two\nsim: reply Done."
LARGE = "sim: sh head -c 3000000 /dev/urandom > noise.bin\nsim: reply Done."


class OnS3(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-s3-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.agents.remove()
        super().tearDownClass()

    def data(self, s3, name, **settings):
        data = self.folder / name
        data.mkdir()
        (data / "agentrouter.toml").write_text(s3.settings(**settings))
        return data

    def server(self, data, s3):
        return Server(data=data, agents_dir=self.agents.path, env=s3.environment())

    def read_all(self, server, run):
        for kind, artifact in server.artifacts(run).items():
            data = server.download(run, artifact["id"])
            self.assertEqual((sha256(data), len(data)), (artifact["sha256"], artifact["sizeBytes"]), kind)

    def command(self, *words, env, code=0, text=True):
        done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=text, timeout=60,
                              env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **env})
        self.assertIn(done.returncode, (0, 1) if code is None else (code,), (words, done.stdout, done.stderr))
        return done

    def test_a_run_its_artifacts_and_its_conversation_without_any_bytes_here(self):
        with S3() as s3:
            data = self.data(s3, "whole")
            with self.server(data, s3) as server:
                run, _ = server.finish(server.create(LARGE)["id"])
                self.assertEqual(run["status"], "completed", run)
                self.read_all(server, run["id"])
                server.tidy()
            self.assertEqual([p for p in (data / "blobs").rglob("*") if p.is_file()], [])
            self.assertTrue(s3.objects(f"keys/runs/{run['id']}/checkpoint/"), s3.objects())
            self.assertTrue(s3.objects("sha256/"))
            # Neither copies nor layers: as on a machine that never saw the first turn.
            for here in ("blob_cache", "layers"):
                shutil.rmtree(data / here, ignore_errors=True)
            with self.server(data, s3) as server:
                self.read_all(server, run["id"])
                turn = server.call("POST", f"/v1/runs/{run['id']}/messages", {"message": "sim: sh wc -c noise.bin\nsim: reply Again."}, expect=(202,))
                second, events = server.finish(turn["runId"])
                self.assertEqual(second["status"], "completed", second)
                self.assertIn("3000000", json.dumps(events))
                self.read_all(server, second["id"])
                status, _, noise = server.request("GET", f"/v1/runs/{run['id']}/files/noise.bin")
                self.assertEqual((status, len(noise)), (200, 3000000))
                log = server.log_text()
                server.tidy()
            self.assertNotIn(SECRET, log)

    def test_a_folder_moves_to_the_store(self):
        data = self.folder / "moving"
        with Server(data=data, agents_dir=self.agents.path) as server:
            run, _ = server.finish(server.create(LARGE)["id"])
            server.tidy()
        with S3() as s3:
            (data / "agentrouter.toml").write_text(s3.settings())
            refused = self.command("serve", "--data", data, "--listen", "127.0.0.1:0", "--sim", env=s3.environment(), code=1)
            self.assertIn("agentrouter upload-blobs", refused.stderr)
            first = json.loads(self.command("upload-blobs", "--data", data, "--json", env=s3.environment()).stdout)
            self.assertEqual((first["there"], first["lost"]), (0, []))
            again = json.loads(self.command("upload-blobs", "--data", data, "--json", env=s3.environment()).stdout)
            self.assertEqual((again["sent"], again["there"]), (0, first["sent"]))
            shutil.rmtree(data / "blobs/runs")
            with self.server(data, s3) as server:
                self.read_all(server, run["id"])
                turn = server.call("POST", f"/v1/runs/{run['id']}/messages", {"message": "sim: reply Again."}, expect=(202,))
                self.assertEqual(server.finish(turn["runId"])[0]["status"], "completed")
                server.tidy()

    def test_deleting_leaves_nothing_in_the_store(self):
        with S3() as s3:
            data = self.data(s3, "deleting")
            with self.server(data, s3) as server:
                runs = [server.finish(server.create(LARGE)["id"])[0]["id"] for _ in range(2)]
                server.tidy()
                server.call("POST", f"/v1/runs/{runs[0]}/close", {})
                wait_for(lambda: not s3.objects(f"keys/runs/{runs[0]}/checkpoint/"), 30, "the checkpoint to go")
                server.call("POST", f"/v1/runs/{runs[1]}/close", {})
                for run in runs:
                    wait_for(lambda: server.request("DELETE", f"/v1/runs/{run}")[0] in (200, 204), 30, "the run to be deleted")
                wait_for(lambda: not s3.objects(), 30, "every object to go")

    def test_an_outage_delays_the_end_of_a_run_and_loses_nothing(self):
        with S3() as s3:
            data = self.data(s3, "outage")
            with self.server(data, s3) as server:
                before, _ = server.finish(server.create(TASK)["id"])
                run = server.create("sim: write a.txt one\nsim: sh sleep 1\nsim: reply Done.")["id"]
                s3.outage()
                wait_for(lambda: "a step of a run did not work" in server.log_text(), 60, "the end to be tried")
                self.assertEqual(server.run(run)["status"], "running")
                status, headers, body = server.request("GET", f"/v1/runs/{before['id']}/artifacts/{server.artifacts(before['id'])['stdout_log']['id']}/download")
                self.assertEqual(status, 200, "what was read or written here is read without the store")
                shutil.rmtree(data / "blob_cache")
                (data / "blob_cache").mkdir()
                status, headers, body = server.request("GET", f"/v1/runs/{before['id']}/artifacts/{server.artifacts(before['id'])['stdout_log']['id']}/download")
                self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "storage_failed"), body)
                self.assertIn("retry-after", headers)
                # A server that is killed meanwhile changes nothing.
                server.kill()
                server.start()
                self.assertEqual(server.run(run)["status"], "running")
                s3.restore()
                ended, events = server.finish(run)
                self.assertEqual(ended["status"], "completed", ended)
                self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
                self.read_all(server, run)
                server.tidy()

    def test_a_turn_that_begins_in_an_outage_waits_for_its_state(self):
        with S3() as s3:
            data = self.data(s3, "turn")
            with self.server(data, s3) as server:
                first = server.finish(server.create(TASK)["id"])[0]["id"]
                server.tidy()
            for here in ("blob_cache", "layers"):
                shutil.rmtree(data / here, ignore_errors=True)
            with self.server(data, s3) as server:
                s3.outage()
                turn = server.call("POST", f"/v1/runs/{first}/messages", {"message": "sim: sh cat a.txt\nsim: reply Again."}, expect=(202,))
                wait_for(lambda: "a turn waits for its state" in server.log_text(), 60, "the state to be asked for")
                s3.restore()
                second, events = server.finish(turn["runId"])
                self.assertEqual(second["status"], "completed", second)
                server.tidy()

    def test_links_to_the_store_are_given_when_they_are_configured(self):
        with S3() as s3:
            data = self.data(s3, "links", presign_seconds=60)
            with self.server(data, s3) as server:
                run, _ = server.finish(server.create(TASK)["id"])
                for kind, artifact in server.artifacts(run["id"]).items():
                    status, headers, _ = server.request("GET", f"/v1/runs/{run['id']}/artifacts/{artifact['id']}/download")
                    self.assertEqual(status, 307, kind)
                    self.assertEqual(headers["cache-control"], "no-store")
                    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(headers["location"], timeout=30) as reply:
                        self.assertEqual(sha256(reply.read()), artifact["sha256"])
                        self.assertEqual(reply.headers["Content-Type"], artifact["contentType"])
                    told = self.command("download", "--data", data, run["id"], artifact["id"], "-o", "-", env={"AGENTROUTER_API_KEY": KEY}, text=False)
                    self.assertEqual(sha256(told.stdout), artifact["sha256"], "the C++ SDK follows")
                    status, headers, _ = server.request("HEAD", f"/v1/runs/{run['id']}/artifacts/{artifact['id']}/download")
                    self.assertEqual((status, headers["content-length"]), (200, str(artifact["sizeBytes"])))
                server.tidy()

    def test_damaged_bytes_are_not_sent(self):
        with S3() as s3:
            data = self.data(s3, "damaged", cache_bytes=0)
            with self.server(data, s3) as server:
                run, _ = server.finish(server.create(TASK)["id"])
                log = server.artifacts(run["id"])["stdout_log"]
                s3.control(spoil=f"{s3.prefix}keys/{log['r2Key']}/{log['sha256']}")
                status, _, body = server.request("GET", f"/v1/runs/{run['id']}/artifacts/{log['id']}/download")
                self.assertEqual((status, json.loads(body)["error"]["code"]), (503, "artifact_damaged"))
                server.tidy()

    def test_what_is_wrong_is_said_at_the_start_and_by_doctor(self):
        s3 = S3()
        data = self.data(s3, "wrong")
        wrong = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "not-the-secret-key"}
        done = self.command("serve", "--data", data, "--listen", "127.0.0.1:0", "--sim", env=wrong, code=1)
        self.assertIn("SignatureDoesNotMatch", done.stderr)
        self.assertNotIn("not-the-secret-key", done.stderr)
        done = self.command("serve", "--data", data, "--listen", "127.0.0.1:0", "--sim", env={}, code=2)
        self.assertIn("AWS_ACCESS_KEY_ID", done.stderr)
        told = json.loads(self.command("doctor", "--data", data, "--json", env=s3.environment(), code=None).stdout)
        blobs, = (i for i in told["items"] if i["name"] == "blobs")
        self.assertEqual(blobs["found"], "ok", blobs)
        told = json.loads(self.command("doctor", "--data", data, "--json", env=wrong, code=None).stdout)
        blobs, = (i for i in told["items"] if i["name"] == "blobs")
        self.assertIn("SignatureDoesNotMatch", blobs["detail"])
        self.assertTrue(blobs["remedy"])
        # A store that is away is no reason not to serve.
        s3.outage()
        with self.server(data, s3) as server:
            self.assertIn("the blob store does not work now", server.log_text())
            s3.restore()
            self.assertEqual(server.finish(server.create(TASK)["id"])[0]["status"], "completed")
            server.tidy()
        s3.close(expected={"SignatureDoesNotMatch"})

    def test_a_backup_holds_the_database_and_names_the_store(self):
        with S3() as s3:
            data, to = self.data(s3, "backed-up"), self.folder / "backup"
            with self.server(data, s3) as server:
                run, _ = server.finish(server.create(TASK)["id"])
                server.tidy()
                report = json.loads(self.command("backup", to, "--data", data, "--json", env=s3.environment()).stdout)
                self.assertEqual((report["blobs"], report["lost"]), (0, []))
                self.assertEqual(report["blobsElsewhere"], f"s3://{s3.bucket}/{s3.prefix}")
                checked = json.loads(self.command("fsck", "--data", data, "--json", env=s3.environment(), code=None).stdout)
                self.assertEqual([p for p in checked["problems"] if p["code"].startswith("blob")], [])
                self.assertEqual(checked["checked"]["blobsElsewhere"], report["blobsElsewhere"])
                log = server.artifacts(run["id"])["stdout_log"]
            new = self.folder / "restored"
            self.command("restore", to, "--data", new, env={})
            shutil.copy(data / "agentrouter.toml", new / "agentrouter.toml")
            with self.server(new, s3) as server:
                self.read_all(server, run["id"])


if __name__ == "__main__":
    main()
