"""Runs on repositories: over file:// and over loopback HTTP with git's own http-backend behind basic authentication. Everything in the repository is
hostile, and the canaries on this machine stay untouched. Scripted agent."""
import base64
import contextlib
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
        backend, self.root, self.seen, self.hold = self, root, [], threading.Event()

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
                                      "http://127.0.0.1:1/a.git", f"http://u:p@{self.backend.host}/bare.git", "https://h.test/a\nb", "/etc")]
        cases += [{"url": self.http_url, "ref": r} for r in ("-x", "a..b", "a b", "--all")]
        cases += [{"url": self.http_url, "subdir": d} for d in ("../x", "/etc", ".git")]
        for source in cases:
            status, _, data = self.server.request("POST", "/v1/runs", {"task": "t", "workspace": {"git": source}})
            self.assertEqual((status, json.loads(data)["error"]["code"]), (400, "workspace_forbidden"), source)
        status, _, data = self.server.request("POST", "/v1/runs", {"task": "t", "workspace": {"git": {"url": "git@h.test:a.git"}}})
        self.assertEqual((status, json.loads(data)["error"]["code"]), (400, "unsupported_option"))


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
