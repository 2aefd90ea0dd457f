"""Runs on repositories: over file:// and over loopback HTTP with git's own http-backend behind basic authentication. Everything in the repository is
hostile, and the canaries on this machine stay untouched. Scripted agent."""
import base64
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

from agents import AgentsDir
from harness import Case, Server, main, wait_for

PLAIN_USER = 65534
TOKEN = "s3cr3t-token-of-the-server"
IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder, *args):
    done = subprocess.run(["git", "-C", str(folder), "-c", "protocol.file.allow=always", "-c", "gc.auto=0", *args], env={**os.environ, **IDENTITY},
                          capture_output=True, check=True)
    return done.stdout.decode().strip()


def make_repository(folder, canary):
    """History, a branch, a tag, a submodule, an LFS pointer, hostile attributes, and hooks and configuration that would touch the canary."""
    inner = folder.parent / "inner"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    git(inner, "commit", "-q", "--allow-empty", "-m", "inner")
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "a.txt").write_text("one\n")
    (folder / "lib").mkdir()
    (folder / "lib/part.txt").write_text("part\n")
    (folder / ".gitattributes").write_text("*.txt filter=evil diff=evil merge=evil\n*.bin filter=lfs diff=lfs merge=lfs -text\n* text=auto\n")
    (folder / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n")
    (folder / ".lfsconfig").write_text("[lfs]\n\turl = http://127.0.0.1:1/evil\n")
    os.symlink("/etc/passwd", folder / "absolute")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "tag", "-a", "v1", "-m", "first version")
    git(folder, "submodule", "add", "-q", str(inner), "vendor")
    (folder / "a.txt").write_text("two\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "second")
    git(folder, "branch", "side", "HEAD~1")
    evil = folder / ".git/evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    evil.chmod(0o755)
    for hook in ("post-checkout", "pre-commit", "post-merge", "reference-transaction", "post-index-change"):
        path = folder / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        shutil.copy(evil, path)
    for key in ("core.fsmonitor", "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv", "uploadpack.packObjectsHook",
                "core.sshCommand", "core.alternateRefsCommand"):
        git(folder, "config", key, str(evil))


class Backend:
    """git http-backend as CGI, for who knows the token. `hold`: requests wait for ever."""

    def __init__(self, root, authorized=True):
        backend, self.root, self.seen, self.hold, self.objects = self, root, [], threading.Event(), {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def say(self, status, body, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def lfs(self, path, body):
                if self.command == "GET":
                    found = backend.objects.get(path.rpartition("/")[2])
                    return self.say(200 if found else 404, found or b"", "application/octet-stream")
                answers = []
                for one in json.loads(body)["objects"]:
                    where = backend.elsewhere.get(one["oid"]) or f"http://{backend.host}/lfs/{one['oid']}"
                    known = one["oid"] in backend.objects or one["oid"] in backend.elsewhere
                    answers.append({**one, "actions": {"download": {"href": where, "header": {"X-Ticket": "t"}}}} if known
                                   else {**one, "error": {"code": 404, "message": "Object does not exist"}})
                self.say(200, json.dumps({"transfer": "basic", "objects": answers}).encode(), "application/vnd.git-lfs+json")

            def answer(self):
                body = self.body()
                backend.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
                while backend.hold.is_set():
                    time.sleep(0.05)
                wanted = "Basic " + base64.b64encode(f"robot:{TOKEN}".encode()).decode()
                if authorized and self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", "Basic realm=x")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                path, _, query = self.path.partition("?")
                if "/lfs/" in path:
                    return self.lfs(path, body)
                env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(backend.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                       "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                       "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), **IDENTITY,
                       "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
                out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
                head, _, content = out.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
                self.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content)

            do_GET = do_POST = answer

        self.elsewhere = {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.hold.clear()
        self.server.shutdown()
        self.server.server_close()


class Repositories(Case):
    settings = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-git-"))
        cls.folder.chmod(0o755)
        cls.roots = cls.folder / "roots"
        cls.roots.mkdir()
        cls.canary = cls.folder / "canary"
        make_repository(cls.roots / "project", cls.canary)
        cls.canary.unlink(missing_ok=True)
        git(cls.roots, "clone", "-q", "--bare", str(cls.roots / "project"), "bare.git")
        cls.canary.unlink(missing_ok=True)
        cls.backend = Backend(cls.roots)
        cls.open_backend = Backend(cls.roots, authorized=False)
        (cls.folder / "token").write_text(TOKEN + "\n")
        config = cls.folder / "agentrouter.toml"
        config.write_text(f'[git]\nhttp_hosts = ["{cls.backend.host}", "{cls.open_backend.host}", "127.0.0.1:9"]\nfile_roots = ["{cls.roots}"]\n{cls.settings}'
                          f'[git.credentials."{cls.backend.host}"]\nusername = "robot"\ntoken_file = "{cls.folder}/token"\n')
        cls.agents = AgentsDir()
        cls.server = Server(agents_dir=cls.agents.path, args=("--sim", "--config", str(config))).start()

    @classmethod
    def tearDownClass(cls):
        cls.backend.hold.clear()
        cls.server.abandon()
        cls.server.stop()
        cls.server.remove_data()
        cls.backend.close()
        cls.open_backend.close()
        cls.agents.remove()
        shutil.rmtree(cls.folder, ignore_errors=True)
        super().tearDownClass()

    def start(self, task, **source):
        return self.server.create(task, workspace={"git": source})["id"]

    def ended(self, run, status="completed"):
        found, events = self.server.finish(run)
        self.assertEqual(found["status"], status, found.get("failure"))
        return events

    def failed(self, cause, **source):
        run = self.start("sim: reply Never.", **source)
        self.ended(run, "failed")
        failure = self.server.run(run)["failure"]
        self.assertEqual((failure["code"], failure.get("cause")), ("workspace_failed", cause), failure)
        self.nothing_left()
        return failure["reason"]

    def nothing_left(self):
        wait_for(lambda: not any((self.server.data / "attempts").iterdir()), 20, "the attempt's folder to go")

    @staticmethod
    def payload(events, kind):
        return next(e["payload"] for e in events if e["type"] == kind)

    @staticmethod
    def output(events, index=0):
        return [e["payload"] for e in events if e["type"] == "agent.tool_completed"][index]["output"]

    @property
    def file_url(self):
        return f"file://{self.roots}/project"

    @property
    def http_url(self):
        return f"http://{self.backend.host}/bare.git"

    def head(self, what="HEAD"):
        return git(self.roots / "project", "rev-parse", what + "^{commit}")


LOOK = ("sim: sh cat a.txt lib/part.txt; git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; git log --oneline | wc -l; git remote get-url origin; "
        "ls -A vendor | wc -l; head -1 model.bin; readlink absolute; git status --short | wc -l\nsim: reply Done.")


class Fetching(Repositories):
    def looks_right(self, output, url, commit, branch="trunk", commits=2, text="two"):
        self.assertEqual(output.split("\n"), [text, "part", commit, branch, str(commits), url, "0", "version https://git-lfs.github.com/spec/v1",
                                              "/etc/passwd", "0", ""])

    def test_a_folder_of_this_machine(self):
        before = sorted((p.relative_to(self.roots), p.lstat().st_mtime_ns) for p in (self.roots / "project").rglob("*"))
        run = self.start(LOOK, url=self.file_url)
        events = self.ended(run)
        self.looks_right(self.output(events), self.file_url, self.head())
        prepared = self.payload(events, "workspace.prepared")
        self.assertEqual((prepared["commit"], prepared["branch"]), (self.head(), "trunk"))
        self.assertLess([e["type"] for e in events].index("workspace.preparing"), [e["type"] for e in events].index("sandbox.created"))
        record = self.server.call("GET", f"/v1/runs/{run}/record")["workspace"]
        self.assertEqual((record["commit"], record["tree"], record["git"]["url"]), (self.head(), prepared["tree"], self.file_url))
        self.assertFalse(self.canary.exists())
        self.assertEqual(sorted((p.relative_to(self.roots), p.lstat().st_mtime_ns) for p in (self.roots / "project").rglob("*")), before)

    def test_over_http_the_credential_is_added_outside_and_is_nowhere_inside(self):
        self.backend.seen.clear()
        # In pieces: the task itself is inside.
        encoded = base64.b64encode(f"robot:{TOKEN}".encode()).decode()
        run = self.start(f"sim: sh git remote get-url origin; cat a.txt; for word in {TOKEN[:9]}''{TOKEN[9:]} {encoded[:9]}''{encoded[9:]}; do "
                         "grep -rl $word . /home/agent /tmp /etc /proc/self/environ 2>/dev/null; done; echo end\nsim: reply Done.", url=self.http_url)
        events = self.ended(run)
        self.assertEqual(self.output(events), f"{self.http_url}\ntwo\nend\n")
        self.assertTrue(self.backend.seen)
        self.assertTrue(all(authorization for _, _, authorization in self.backend.seen))
        for path in (self.server.data / "trees").rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.assertNotIn(TOKEN.encode(), path.read_bytes(), path)
        self.assertNotIn(TOKEN, self.server.log_text())
        self.assertNotIn(TOKEN, json.dumps(events))
        self.assertFalse(self.canary.exists())

    def test_branches_tags_commits_depth_and_folders(self):
        for source, commit, branch, commits, text in (
                ({"ref": "side"}, self.head("side"), "side", 1, "one"), ({"ref": "v1"}, self.head("v1"), "HEAD", 1, "one"),
                ({"ref": self.head("side")}, self.head("side"), "HEAD", 1, "one"), ({"depth": 1}, self.head(), "trunk", 1, "two"),
                ({"ref": "refs/heads/trunk"}, self.head(), "trunk", 2, "two")):
            for url in (self.http_url, self.file_url):
                with self.subTest(str(source) + url):
                    events = self.ended(self.start("sim: sh cat a.txt; git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; git log --oneline | wc -l\n"
                                                   "sim: reply Done.", url=url, **source))
                    found = self.output(events).split("\n")
                    # A tree of the commit that is there already may have a branch checked out.
                    branch = found[2] if source.get("ref") == commit else branch
                    self.assertEqual(found[:4], [text, commit, branch, str(commits)])
        events = self.ended(self.start("sim: sh ls -A; cat part.txt\nsim: reply Done.", url=self.http_url, subdir="lib"))
        self.assertEqual(self.output(events), "part.txt\npart\n")

    def test_an_equal_commit_is_fetched_once(self):
        url = f"http://{self.open_backend.host}/bare.git"
        first = self.payload(self.ended(self.start("sim: reply Done.", url=url)), "workspace.prepared")
        self.open_backend.seen.clear()
        second = self.payload(self.ended(self.start("sim: reply Done.", url=url)), "workspace.prepared")
        self.assertEqual((first["cached"], second["cached"], second["tree"]), (False, True, first["tree"]))
        self.assertTrue(self.open_backend.seen)
        self.assertFalse(any(method == "POST" and b"fetch" in body.encode() for method, body, _ in self.open_backend.seen))
        self.open_backend.seen.clear()
        events = self.ended(self.start("sim: reply Done.", url=url, ref=self.head()))
        self.assertEqual(self.payload(events, "workspace.prepared")["cached"], True)
        self.assertEqual(self.open_backend.seen, [])

    def test_later_turns_stand_on_the_same_commit(self):
        work = self.folder / "moving"
        git(self.folder, "clone", "-q", str(self.roots / "bare.git"), str(work))
        git(work, "push", "-q", str(self.roots / "bare.git"), "HEAD:refs/heads/moving")
        run = self.start("sim: sh echo mine >> a.txt\nsim: reply Done.", url=self.http_url, ref="moving")
        self.ended(run)
        (work / "a.txt").write_text("moved\n")
        git(work, "commit", "-qam", "moved")
        git(work, "push", "-q", str(self.roots / "bare.git"), "HEAD:refs/heads/moving")
        turn = self.server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh cat a.txt\nsim: reply Done."}, expect=(202,))["runId"]
        self.assertEqual(self.output(self.ended(turn)), "two\nmine\n")
        fresh = self.start("sim: sh cat a.txt\nsim: reply Done.", url=self.http_url, ref="moving")
        self.assertEqual(self.output(self.ended(fresh)), "moved\n")

    def test_what_cannot_be_fetched_says_why(self):
        self.assertIn("no branch or tag nowhere", self.failed("workspace_ref_not_found", url=self.http_url, ref="nowhere"))
        self.failed("workspace_ref_not_found", url=self.http_url, ref="0" * 40)
        self.failed("workspace_subdir_not_found", url=self.http_url, subdir="nowhere")
        self.failed("workspace_unavailable", url=f"http://{self.backend.host}/missing.git")
        self.failed("workspace_unavailable", url="http://127.0.0.1:9/a.git")
        self.assertIn("credential", self.failed("workspace_auth_failed", url=self.no_credential_url()))
        (self.roots / "empty").mkdir(exist_ok=True)
        self.failed("workspace_unavailable", url=f"file://{self.roots}/empty")

    def no_credential_url(self):
        """Of a host that is listed and has no credential: the open one, which asks for one meanwhile."""
        backend = Backend(self.roots)
        self.addCleanup(backend.close)
        self.open_backend.server.RequestHandlerClass, kept = backend.server.RequestHandlerClass, self.open_backend.server.RequestHandlerClass
        self.addCleanup(setattr, self.open_backend.server, "RequestHandlerClass", kept)
        return f"http://{self.open_backend.host}/bare.git"

    def test_cancelling_while_it_is_fetched_leaves_nothing(self):
        trees = sorted(os.listdir(self.server.data / "trees"))
        self.backend.hold.set()
        try:
            run = self.start("sim: reply Never.", url=self.http_url, depth=7)
            self.server.wait_until(run, lambda e: e["type"] == "workspace.preparing")
            seen = len(self.backend.seen)
            wait_for(lambda: len(self.backend.seen) > seen - 1 and self.backend.seen, 20, "the request")
            begun = time.monotonic()
            self.server.call("POST", f"/v1/runs/{run}/cancel")
            self.ended(run, "cancelled")
            self.assertLess(time.monotonic() - begun, 4)
        finally:
            self.backend.hold.clear()
        self.nothing_left()
        self.assertEqual(sorted(os.listdir(self.server.data / "trees")), trees)

    def test_a_server_that_dies_while_it_is_fetched_fetches_again(self):
        self.backend.hold.set()
        run = self.start("sim: sh cat a.txt\nsim: reply Done.", url=self.http_url, depth=5)
        self.server.wait_until(run, lambda e: e["type"] == "workspace.preparing")
        self.server.kill()
        self.backend.hold.clear()
        self.server.start()
        events = self.ended(run)
        self.assertEqual(self.output(events), "two\n")
        self.assertIn("run.attempt_started", [e["type"] for e in events])
        self.nothing_left()

    def test_a_server_of_a_plain_user_fetches_too(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
        user = PLAIN_USER if os.geteuid() == 0 else None
        if user:
            os.chown(data, user, user)
        config = self.folder / "plain.toml"
        config.write_text(f'[git]\nhttp_hosts = ["{self.open_backend.host}"]\nfile_roots = ["{self.roots}"]\n')
        try:
            with Server(data=data, agents_dir=self.agents.path, user=user, env={"HOME": str(data)}, args=("--sim", "--config", str(config))) as server:
                for url in (f"http://{self.open_backend.host}/bare.git", f"file://{self.roots}/bare.git"):
                    run = server.create("sim: sh cat a.txt; git status --short | wc -l\nsim: reply Done.", workspace={"git": {"url": url}})["id"]
                    found, events = server.finish(run)
                    self.assertEqual(found["status"], "completed", found.get("failure"))
                    self.assertEqual(self.output(events), "two\n0\n")
        finally:
            shutil.rmtree(data, ignore_errors=True)
            (data.parent / (data.name + ".log")).unlink(missing_ok=True)

    def test_addresses_that_are_not_allowed_make_no_run(self):
        outside = self.folder / "outside"
        outside.mkdir(exist_ok=True)
        cases = [{"url": u} for u in ("--upload-pack=touch x", "ext::sh -c id", f"file://{outside}", "file:///etc", f"file://{self.roots}/../outside",
                                      "http://127.0.0.1:1/a.git", f"http://u:p@{self.backend.host}/bare.git", "https://h.test/a\nb", "/etc",
                                      "git@h.test:a.git", "ssh://git@h.test/a.git")]
        cases += [{"url": self.http_url, "ref": r} for r in ("-x", "a..b", "a b", "--all")]
        cases += [{"url": self.http_url, "subdir": d} for d in ("../x", "/etc", ".git")]
        for source in cases:
            status, _, data = self.server.request("POST", "/v1/runs", {"task": "t", "workspace": {"git": source}})
            self.assertEqual((status, json.loads(data)["error"]["code"]), (400, "workspace_forbidden"), source)


def pointer(content, size=None):
    """An LFS pointer to it, and its oid."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content) if size is None else size}\n", oid


class Submodules(Repositories):
    """project -> vendor (middle.git) -> deep (core.git), with relative URLs; project's own submodule names a path of this machine."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, file, inner in (("core", "core.txt", None), ("middle", "middle.txt", ("../core.git", "deep")), ("whole", "whole.txt", ("../middle.git", "vendor"))):
            work = cls.roots / f"work-{name}"
            work.mkdir()
            git(work, "init", "-q", "-b", "main")
            (work / file).write_text(name + "\n")
            if inner:
                url, path = inner
                git(work, "submodule", "add", "-q", str(cls.roots / url[3:]), path)
                git(work, "config", "-f", ".gitmodules", f"submodule.{path}.url", url)
            git(work, "add", "-A")
            git(work, "commit", "-q", "-m", name)
            git(cls.roots, "clone", "-q", "--bare", str(work), f"{name}.git")

    def test_they_come_with_theirs_when_they_are_asked_for(self):
        look = ("sim: sh cat whole.txt vendor/middle.txt vendor/deep/core.txt; git -C vendor/deep rev-parse HEAD; git submodule status | cut -c1; git status --short | wc -l; "
                f"grep -rl {TOKEN[:9]}''{TOKEN[9:]} . /home/agent /tmp /etc 2>/dev/null; echo end\nsim: reply Done.")
        core = git(self.roots / "work-core", "rev-parse", "HEAD")
        for url in (f"http://{self.backend.host}/whole.git", f"file://{self.roots}/whole.git"):
            with self.subTest(url):
                self.backend.seen.clear()
                events = self.ended(self.start(look, url=url, submodules=True))
                self.assertEqual(self.output(events), f"whole\nmiddle\ncore\n{core}\n \n0\nend\n")
                if url.startswith("http"):
                    self.assertEqual({path.split("/")[1] for _, path, _ in self.backend.seen}, {"whole.git", "middle.git", "core.git"})
                self.nothing_left()
                second = self.payload(self.ended(self.start("sim: reply Done.", url=url, submodules=True)), "workspace.prepared")
                self.assertEqual(second["cached"], True)
                empty = self.ended(self.start("sim: sh ls -A vendor | wc -l\nsim: reply Done.", url=url))
                self.assertEqual(self.output(empty), "0\n")
        self.assertFalse(self.canary.exists())

    def test_one_whose_url_is_not_allowed_fails_the_run(self):
        self.assertIn("vendor", self.failed("workspace_submodule_forbidden", url=self.http_url, submodules=True))

    def test_one_that_is_gone_fails_the_run(self):
        shutil.move(self.roots / "core.git", self.roots / "moved.git")
        self.addCleanup(shutil.move, self.roots / "moved.git", self.roots / "core.git")
        self.assertIn("vendor/deep", self.failed("workspace_unavailable", url=f"http://{self.backend.host}/whole.git", submodules=True, depth=1))


class LargeFiles(Repositories):
    def publish(self, name, files):
        work = self.roots / f"work-{name}"
        work.mkdir()
        git(work, "init", "-q", "-b", "main")
        (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        (work / ".lfsconfig").write_text("[lfs]\n\turl = http://127.0.0.1:1/evil\n")
        for path, text in files.items():
            (work / path).parent.mkdir(exist_ok=True)
            (work / path).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", name)
        git(self.roots, "clone", "-q", "--bare", str(work), f"{name}.git")
        return f"http://{self.backend.host}/{name}.git"

    def test_contents_stand_in_place_of_pointers(self):
        large, small = os.urandom(300_000), b"small\n"
        pointers = {content: pointer(content) for content in (large, small)}
        url = self.publish("large", {"model.bin": pointers[large][0], "a dir/-odd name.bin": pointers[small][0], "plain.txt": "plain\n"})
        for content, (_, oid) in pointers.items():
            self.backend.objects[oid] = content
            place = self.roots / "large.git/lfs/objects" / oid[:2] / oid[2:4]
            place.mkdir(parents=True)
            (place / oid).write_bytes(content)
        look = (f"sim: sh sha256sum model.bin | cut -c1-64; cat 'a dir/-odd name.bin' plain.txt; git status --short | wc -l; "
                f"grep -rl {TOKEN[:9]}''{TOKEN[9:]} . /home/agent /tmp /etc 2>/dev/null; echo end\nsim: reply Done.")
        for source in (url, f"file://{self.roots}/large.git"):
            with self.subTest(source):
                self.backend.seen.clear()
                run = self.start(look, url=source, lfs=True)
                self.assertEqual(self.output(self.ended(run)), f"{pointers[large][1]}\nsmall\nplain\n0\nend\n")
                patch = self.server.download(run, self.server.artifacts(run)["workspace_patch"]["id"]).decode()
                self.assertNotIn("diff --git", patch)
                gets = [seen for seen in self.backend.seen if seen[1].startswith("/lfs/")]
                self.assertEqual((len(gets), all(authorization for _, _, authorization in gets)), (2 if source == url else 0, True))
        without = self.ended(self.start("sim: sh head -c 7 model.bin\nsim: reply Done.", url=url))
        self.assertEqual(self.output(without), "version")
        self.assertFalse(self.canary.exists())

    def test_objects_that_cannot_be_had_fail_the_run(self):
        wrong, gone, far, size = (pointer(word) for word in (b"wrong", b"gone", b"far", b"size"))
        self.backend.objects[wrong[1]] = b"Wrong"
        self.backend.objects[size[1]] = b"size"
        self.backend.elsewhere[far[1]] = f"http://{self.open_backend.host}/lfs/x"
        self.assertIn("other content", self.failed("workspace_unavailable", url=self.publish("wrong", {"x.bin": wrong[0]}), lfs=True))
        self.assertIn("does not exist", self.failed("workspace_unavailable", url=self.publish("gone", {"x.bin": gone[0]}), lfs=True))
        self.assertIn("may not be fetched", self.failed("workspace_unavailable", url=self.publish("far", {"x.bin": far[0]}), lfs=True))
        self.failed("workspace_unavailable", url=self.publish("size", {"x.bin": pointer(b"size", 3)[0]}), lfs=True)
        self.assertIn("LFS", self.failed("workspace_too_large", url=self.publish("vast", {"x.bin": pointer(b"vast", 10**14)[0]}), lfs=True))
        self.assertIn("does not have", self.failed("workspace_unavailable", url=f"file://{self.roots}/gone.git", lfs=True))


class FetchLimits(Repositories):
    settings = "max_bytes = 50000\nmax_entries = 40\ntimeout_seconds = 3\n"

    def test_a_repository_over_the_limits_is_too_large(self):
        for name, files in (("fat", {"big": os.urandom(200_000)}), ("wide", {f"f{i}": b"" for i in range(60)}), ("bomb", {f"f{i}": bytes(5000) for i in range(30)})):
            folder = self.roots / name
            folder.mkdir()
            git(folder, "init", "-q", "-b", "main")
            for file, data in files.items():
                (folder / file).write_bytes(data)
            git(folder, "add", "-A")
            git(folder, "commit", "-qm", name)
            self.failed("workspace_too_large", url=f"file://{folder}")
            self.failed("workspace_too_large", url=f"http://{self.open_backend.host}/{name}/.git")

    def test_a_server_that_does_not_answer_is_given_up(self):
        self.backend.hold.set()
        try:
            self.failed("workspace_timeout", url=self.http_url)
        finally:
            self.backend.hold.clear()


if __name__ == "__main__":
    main()
