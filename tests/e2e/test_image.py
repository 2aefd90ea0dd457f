"""Runs that work in a container image of the user's, by crun: scripted agent and real sandboxes, as root and as a plain user; one run with the real Codex."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import unittest

import stores
from agents import SCRIPTED, AgentsDir, keepers
from harness import KEY, PROGRAM, Case, Server, main, wait_for

PLAIN_USER = 65534
CODEX = pathlib.Path(os.environ.get("AGENTROUTER_AGENTS_DIR", "/opt/agentrouter/agents")) / "codex"
TOOLS = ("sh", "cat", "ls", "sleep", "rm", "mkdir", "touch", "id", "env", "stat", "grep")


def libraries(program):
    found = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return re.findall(r"(/[^ )]+) \(", found)


def layer(entries):
    """A gzipped tar of {path: bytes | (mode, bytes) | "-> target" | None for a folder}."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in entries.items():
            info = tarfile.TarInfo(path)
            mode, data = content if isinstance(content, tuple) else (0o644, content)
            info.mode = mode
            if data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data[3:]
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return raw.getvalue()


def programs():
    """A root with some programs and what the scripted agent is linked with."""
    entries = {name: None for name in ("usr", "usr/bin", "usr/lib", "usr/lib64", "etc", "root")}
    entries |= {name: f"-> usr/{name}" for name in ("bin", "lib", "lib64")}
    for source in [*(shutil.which(tool, path="/usr/bin:/bin") for tool in TOOLS), str(SCRIPTED)]:
        if source != str(SCRIPTED):
            entries[f"usr/bin/{pathlib.Path(source).name}"] = (0o755, pathlib.Path(source).resolve().read_bytes())
        for library in libraries(source):
            inside = library.lstrip("/").removeprefix("usr/")
            entries[f"usr/{inside}"] = (0o755, pathlib.Path(library).resolve().read_bytes())
    entries["usr/bin/sh"] = (0o755, pathlib.Path("/bin/dash").read_bytes())
    return entries


def write_layout(folder, layers, environment):
    """An OCI layout; gives the digest of the manifest."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data):
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    packed = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **put(gzip.compress(one, 1, mtime=0))} for one in layers]
    config = {"os": "linux", "architecture": "amd64", "config": {"Env": environment, "User": "nobody", "Entrypoint": ["/never"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]}}
    manifest = {"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **put(json.dumps(config).encode())}, "layers": packed}
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **put(json.dumps(manifest).encode())}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{**descriptor, "platform": {"os": "linux", "architecture": "amd64"}}]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return descriptor["digest"]


def runtimes():
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and b"--cgroup-manager=disabled" in pathlib.Path(f"/proc/{entry}/cmdline").read_bytes():
                found.append(int(entry))
        except OSError:
            pass
    return found


class Images(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-images-"))
        cls.folder.chmod(0o755)
        upper = {"etc": None, "etc/image-mark": b"of the image\n", "root": None, "root/.wh..wh..opq": b"", "usr/bin/.wh.stat": b"",
                 "usr/bin/own": (0o6755, b"#!/bin/sh\necho own $FLAVOUR\n")}
        cls.digest = write_layout(cls.folder / "layout", [layer(programs()), layer(upper)], ["PATH=/opt/nothing:/usr/bin", "FLAVOUR=plum", "HOME=/wrong"])
        with tarfile.open(cls.folder / "image.tar", "w") as tar:
            tar.add(cls.folder / "layout", ".")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        cls.agents.remove()
        super().tearDownClass()

    def configure(self, text):
        path = self.folder / f"{self.id().rsplit('.', 1)[1]}.toml"
        path.write_text(text)
        return path

    def server(self, text=None, **more):
        if text is None:
            text = f'[images.fruit]\noci_layout = "{self.folder}/layout"\n[images."in.tar"]\narchive = "{self.folder}/image.tar"\ndigest = "{self.digest}"\n'
        return Server(agents_dir=more.pop("agents_dir", self.agents.path), args=("--sim", "--config", str(self.configure(text))), **more)

    @staticmethod
    def output(events):
        return [event["payload"]["output"] for event in events if event["type"] == "agent.tool_completed"]

    def ended(self, server, run, status="completed"):
        found, _ = server.finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return server.events(run)

    def of_type(self, events, name):
        return next(event["payload"] for event in events if event["type"] == name)

    def work_in_the_image(self, server):
        run = server.create("sim: sh cat /etc/image-mark; own; echo $HOME; stat / 2>/dev/null || echo no stat; touch /usr/x 2>/dev/null || echo fixed; echo made > made.txt\n"
                            "sim: reply ok", image="fruit")["id"]
        events = self.ended(server, run)
        self.assertEqual(self.output(events), ["of the image\nown plum\n/home/agent\nno stat\nfixed\n"])
        for name in ("sandbox.created", "sandbox.destroyed"):
            payload = self.of_type(events, name)
            self.assertEqual((payload["driver"], payload["image"], payload["imageDigest"]), ("oci", "fruit", self.digest))
        self.assertEqual(self.of_type(events, "sandbox.destroyed")["gone"], True)
        patch = server.download(run, server.artifacts(run)["workspace_patch"]["id"]).decode()
        self.assertIn("+made", patch)
        turn = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh cat made.txt /etc/image-mark\nsim: reply ok"}, expect=(202,))["runId"]
        events = self.ended(server, turn)
        self.assertEqual(self.output(events), ["made\nof the image\n"])
        self.assertEqual(self.of_type(events, "sandbox.destroyed")["image"], "fruit")
        without = server.create("sim: sh cat /etc/image-mark 2>/dev/null || echo not there\nsim: reply ok")["id"]
        events = self.ended(server, without)
        self.assertEqual(self.output(events), ["not there\n"])
        self.assertEqual(self.of_type(events, "sandbox.destroyed")["driver"], "process")

    def nothing_left(self, server):
        wait_for(lambda: not any((server.data / "attempts").iterdir()), 30, "attempts to be tidied")
        self.assertEqual(runtimes(), [])

    def test_work_conversation_and_artifacts(self):
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        with self.server() as server:
            self.work_in_the_image(server)
            tarred = server.create("sim: sh cat /etc/image-mark\nsim: reply ok", image="in.tar")["id"]
            self.assertEqual(self.output(self.ended(server, tarred)), ["of the image\n"])
            self.assertEqual([path.name for path in (server.data / "images").iterdir()], [self.digest.split(":")[1]])
            self.nothing_left(server)
        self.assertEqual(pathlib.Path("/proc/self/mountinfo").read_text(), mounts)

    @unittest.skipUnless(os.geteuid() == 0, "the other tests are a plain user's already")
    def test_the_same_as_a_plain_user(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        self.addCleanup(shutil.rmtree, data, True)
        os.chown(data, PLAIN_USER, PLAIN_USER)
        with self.server(data=data, user=PLAIN_USER) as server:
            self.work_in_the_image(server)
            self.nothing_left(server)

    def test_cancel_and_the_death_of_a_keeper_leave_nothing(self):
        with self.server() as server:
            def sleeping():
                run = server.create("sim: sh sleep 600\nsim: reply ok", image="fruit")["id"]
                server.wait_until(run, lambda e: e["type"] == "agent.tool_started")
                return run
            run = sleeping()
            self.assertEqual(len(runtimes()), 1)
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            self.ended(server, run, "cancelled")
            self.nothing_left(server)
            run = sleeping()
            os.kill(next(iter(keepers(server.data))), signal.SIGKILL)
            self.ended(server, run, "failed")
            self.nothing_left(server)
            run = sleeping()
            server.kill()
            self.assertEqual(len(runtimes()), 1, "the sandbox is its keeper's, not the server's")
            server.start()
            server.call("POST", f"/v1/runs/{run}/cancel", {})
            self.ended(server, run, "cancelled")
            self.nothing_left(server)

    def test_names_are_known_and_the_default_is_the_operators(self):
        with self.server() as server:
            status, _, data = server.request("POST", "/v1/runs", {"task": "x", "image": "vegetable"})
            if stores.POSTGRES:
                self.assert_waits_for(server, json.loads(data)["id"], {"image": "vegetable"})
            else:
                error = json.loads(data)["error"]
                self.assertEqual((status, error["code"], error["details"]), (400, "image_unknown", {"name": "vegetable", "known": ["fruit", "in.tar"]}))
        text = f'[sandbox]\nimage = "fruit"\n[images.fruit]\noci_layout = "{self.folder}/layout"\n'
        with self.server(text) as server:
            run = server.create("sim: sh cat /etc/image-mark\nsim: reply ok")["id"]
            self.assertEqual(self.output(self.ended(server, run)), ["of the image\n"])

    def test_an_image_is_unpacked_once_and_goes_with_its_configuration(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        self.addCleanup(shutil.rmtree, data, True)
        with self.server(data=data):
            place = next((data / "images").iterdir()) / "rootfs"
            first = place.stat().st_ino
        (data / "images/.new-half").mkdir()
        with self.server(data=data):
            self.assertEqual(place.stat().st_ino, first)
            self.assertEqual(len(list((data / "images").iterdir())), 1)
        with self.server("", data=data):
            self.assertEqual(list((data / "images").iterdir()), [])

    def test_an_image_stays_while_a_run_works_in_it(self):
        layout = self.folder / "changing"
        shutil.copytree(self.folder / "layout", layout)
        with self.server(f'[images.fruit]\noci_layout = "{layout}"\n') as server:
            run = server.create("sim: sh touch made; cat /etc/image-mark; own\nsim: reply ok", image="fruit", approvalScope="action")["id"]
            question = server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
            shutil.rmtree(layout)
            newer = write_layout(layout, [layer({"etc": None, "etc/image-mark": b"newer\n"})], [])

            def names():
                return {f"sha256:{path.name}" for path in (server.data / "images").iterdir()}

            def reload():
                before = server.log_text().count("listening again")
                server.process.send_signal(signal.SIGHUP)
                wait_for(lambda: server.log_text().count("listening again") > before, 30, "the reload")
            server.kill()
            server.start()
            self.assertEqual(names(), {self.digest, newer})
            reload()
            self.assertEqual(names(), {self.digest, newer})
            decisions = [{"actionId": question["actionId"], "actionDigest": question["actionDigest"], "decision": "approved"}]
            server.call("POST", f"/v1/runs/{run}/approvals", {"decisions": decisions})
            self.assertEqual(self.output(self.ended(server, run)), ["of the image\nown plum\n"])
            self.nothing_left(server)
            reload()
            self.assertEqual(names(), {newer})

    def test_an_environment_may_be_of_any_characters(self):
        odd = self.folder / "odd"
        write_layout(odd, [layer({"etc": None})], ["X=" + "\x01" * 16000])
        with self.server(f'[images.odd]\noci_layout = "{odd}"\n') as server:
            self.assertEqual(len(list((server.data / "images").iterdir())), 1)

    def refused(self, text):
        """The server does not start; what it says."""
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        self.addCleanup(shutil.rmtree, data, True)
        ended = subprocess.run([str(PROGRAM), "serve", "--listen", "127.0.0.1:0", "--data", str(data), "--sim", "--config", str(self.configure(text))],
                               capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"], "AGENTROUTER_API_KEY": KEY})
        self.assertNotEqual(ended.returncode, 0)
        self.assertEqual([path for path in (data / "images").glob("*")], [])
        return ended.stderr

    def test_what_cannot_be_used_stops_the_start_with_its_reason(self):
        spoiled = self.folder / "spoiled"
        shutil.copytree(self.folder / "layout", spoiled)
        blob = max((spoiled / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        blob.write_bytes(blob.read_bytes()[:-1] + b"x")
        self.assertIn("is not what its digest says", self.refused(f'[images.bad]\noci_layout = "{spoiled}"\n'))
        self.assertIn('cannot use the image "none"', self.refused('[images.none]\narchive = "/no/such/file"\n'))
        many = self.folder / "many"
        write_layout(many, [layer({"etc": None})], [f"V{i}=x" for i in range(1025)])
        self.assertIn("too many variables", self.refused(f'[images.many]\noci_layout = "{many}"\n'))
        reserve = f"[machine]\ndisk_reserve_bytes = {1 << 44}\n"
        self.assertIn("bytes of the disk are free", self.refused(f'{reserve}[images.fruit]\noci_layout = "{self.folder}/layout"\n'))
        self.assertIn("either oci_layout or archive", self.refused("[images.half]\ndigest = \"sha256:" + "0" * 64 + "\"\n"))
        self.assertIn("there is no [images.x]", self.refused('[sandbox]\nimage = "x"\n'))
        self.assertIn("want an absolute path", self.refused('[images.rel]\narchive = "a.tar"\n'))
        self.assertIn("unknown key", self.refused('[images.odd]\nregistry = "docker.io"\n'))

    @unittest.skipUnless(os.geteuid() == 0, "hides crun by a mount")
    def test_without_crun_a_run_with_an_image_fails_and_the_others_do_not(self):
        subprocess.run(["mount", "--bind", "/dev/null", "/usr/bin/crun"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/usr/bin/crun"], check=True)
        doctor = subprocess.run([str(PROGRAM), "doctor", "--json"], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})
        probe = next(item for item in json.loads(doctor.stdout)["items"] if item["name"] == "images")
        self.assertEqual((probe["found"], probe["required"]), ("degraded", False))
        self.assertIn("crun", probe["remedy"])
        with self.server() as server:
            run = server.create("sim: reply ok", image="fruit")["id"]
            found, _ = server.finish(run)
            self.assertEqual((found["status"], found["failure"]["code"]), ("failed", "runtime_missing"))
            self.ended(server, server.create("sim: reply ok")["id"])
            self.nothing_left(server)

    def hostile(self, name, entries, environment):
        """Another image above the programs; what configures it."""
        layout = self.folder / name
        write_layout(layout, [layer(programs()), layer(entries)], environment)
        return f'[images.fruit]\noci_layout = "{layout}"\n'

    def test_nothing_of_an_image_runs_in_our_own_programs(self):
        source, library = self.folder / "evil.c", self.folder / "evil.so"
        source.write_text('#include <stdio.h>\n__attribute__((constructor)) static void in(void) { char n[64] = ""; FILE* c = fopen("/proc/self/cmdline", "r");'
                          'if (c) fgets(n, 64, c); FILE* f = fopen("/workspace/loaded", "a"); if (f) fprintf(f, "%s\\n", n); }\n')
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        entries = {"usr/lib/evil.so": (0o755, library.read_bytes()), "etc/ld.so.preload": b"/usr/lib/evil.so\n", "etc/codex": None,
                   "etc/codex/managed_config.toml": b"x"}
        text = self.hostile("preload", entries, ["PATH=/usr/bin", "LD_PRELOAD=/usr/lib/evil.so"])
        with self.server(text) as server:
            run = server.create("sim: sh cat /etc/ld.so.preload; ls -A /etc/codex; touch kept\nsim: sh cat loaded\nsim: reply ok", image="fruit")["id"]
            events = self.ended(server, run)
            first, loaded = self.output(events)
            self.assertEqual(first, "")
            self.assertIn("touch\n", loaded)
            proof = self.of_type(events, "credential_boundary.verified")
            self.assertLess(proof["files"], 10_000)
            artifacts = server.artifacts(run)
            patch = server.download(run, artifacts["workspace_patch"]["id"]).decode()
            names = {line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++")}
            self.assertIn("touch", names)
            self.assertEqual([name for name in names if "agentrouter" in name or "loader" in name], [])

    def test_a_secret_in_the_system_of_an_image_stops_the_run(self):
        text = self.hostile("told", {"usr/src": None, "usr/src/app": None, "usr/src/app/.env": f"KEY={KEY}\n".encode()}, ["PATH=/usr/bin"])
        with self.server(text) as server:
            found, _ = server.finish(server.create("sim: reply ok", image="fruit")["id"])
            self.assertEqual((found["status"], found["failure"]["code"]), ("failed", "credential_boundary_failed"))
            self.assertIn("/usr/src/app/.env", found["failure"]["reason"])

    def test_the_real_codex_works_in_the_image(self):
        with self.server(agents_dir=CODEX.parent) as server:
            run = server.create("sim: sh cat /etc/image-mark\nsim: reply ok", image="fruit")["id"]
            self.assertIn("of the image", "".join(self.output(self.ended(server, run))))


if __name__ == "__main__":
    main()
