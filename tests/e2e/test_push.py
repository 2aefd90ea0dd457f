"""The changes of a run on a clone, pushed over file:// and over loopback HTTP with git's own http-backend. Scripted agent."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from agents import AgentsDir
from git_http import GitHttp
from harness import Case, Server, main

PUSH = {"branch": "agentrouter/work", "message": "What the agent did"}
CHANGE = r"""sim: say changing
sim: sh echo more >> a.txt; rm gone.txt; mkdir -p n/e; echo n > n/e/w; ln -s a.txt link; chmod +x mode.sh; echo ignored > x.log; printf '\0\1' > bin; git config core.hooksPath /workspace/hooks; mkdir -p hooks; printf '#!/bin/sh\ntouch CANARY\n' > hooks/pre-push; chmod +x hooks/pre-push; git -c user.name=a -c user.email=a@a commit -qam own
sim: say done
"""


def git(folder, *args):
    env = {**os.environ, "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
           "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return subprocess.run(["git", "-C", str(folder), *args], check=True, env=env, capture_output=True, text=True).stdout.strip()


class Push(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-push-"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.canary = self.folder / "CANARY"
        work = self.folder / "work"
        work.mkdir()
        git(work, "init", "-q", "-b", "main")
        for name, text in (("a.txt", "a\n"), ("gone.txt", "gone\n"), ("mode.sh", "#!/bin/sh\n"), (".gitignore", "*.log\n"),
                           (".gitattributes", "* filter=evil\n")):
            (work / name).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "base")
        self.remote = self.folder / "remote.git"
        git(self.folder, "clone", "-q", "--bare", str(work), str(self.remote))
        self.url = f"file://{self.remote}"
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        self.agents = agents

    def server(self, config=""):
        path = self.folder / "agentrouter.toml"
        path.write_text(f'[git]\nfile_roots = ["{self.folder}"]\n' + config)
        return Server(agents_dir=self.agents.path, args=("--sim", "--workspace-root", str(self.folder), "--config", str(path)))

    def changed(self, server, task=CHANGE, **source):
        run = server.create(task, workspace={"git": {"url": self.url, **source}})["id"]
        ended, _ = server.finish(run)
        self.assertEqual(ended["status"], "completed", ended)
        return run

    def code(self, server, run, body=None):
        status, _, data = server.request("POST", f"/v1/runs/{run}/push", body or PUSH)
        return status, json.loads(data)["error"]["code"]

    def check_branch(self, push):
        self.assertEqual(git(self.remote, "rev-parse", "agentrouter/work"), push["commit"])
        self.assertEqual(git(self.remote, "rev-parse", "agentrouter/work^"), git(self.remote, "rev-parse", "main"))
        self.assertEqual(git(self.remote, "ls-tree", "-r", "--name-only", "agentrouter/work").split("\n"),
                         [".gitattributes", ".gitignore", "a.txt", "bin", "hooks/pre-push", "link", "mode.sh", "n/e/w"])
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        git(self.folder, "clone", "-q", "-b", "agentrouter/work", str(self.remote), str(clone))
        self.assertEqual((clone / "a.txt").read_text(), "a\nmore\n")
        self.assertTrue(os.access(clone / "mode.sh", os.X_OK))
        self.assertEqual(os.readlink(clone / "link"), "a.txt")
        self.assertEqual(git(self.remote, "log", "-1", "--format=%an <%ae> %B", "agentrouter/work"), "AgentRouter <agentrouter@localhost> What the agent did")
        self.assertFalse(self.canary.exists())
        self.assertFalse((clone / "CANARY").exists())

    def test_over_file(self):
        with self.server(f'[push]\nallow = ["{self.url} agentrouter/*"]\n') as server:
            run = self.changed(server)
            push = server.call("POST", f"/v1/runs/{run}/push", PUSH)["push"]
            self.assertEqual({**push, "commit": ""}, {"branch": "agentrouter/work", "commit": "", "url": self.url, "files": 7})
            self.check_branch(push)
            self.assertEqual(server.call("POST", f"/v1/runs/{run}/push", PUSH)["push"], push)
            self.assertEqual(self.code(server, run, {**PUSH, "branch": "main"}), (403, "push_forbidden"))
            self.assertEqual(list((server.data / "push").iterdir()), [])
            # What another turn adds goes to a branch of its own: nothing is forced.
            second = server.call("POST", f"/v1/runs/{run}/messages", {"message": "sim: sh echo 2 > second\nsim: say done\n"}, expect=(202,))["runId"]
            server.finish(second)
            self.assertEqual(self.code(server, second), (409, "push_rejected"))
            again = server.call("POST", f"/v1/runs/{second}/push", {**PUSH, "branch": "agentrouter/second"})["push"]
            self.assertEqual(again["files"], 8)
            nothing = self.changed(server, "sim: say nothing\n")
            self.assertEqual(self.code(server, nothing), (409, "no_changes"))

    def test_over_http_with_the_servers_credential(self):
        http = GitHttp(self.folder, "agent:s3cret-canary")
        self.addCleanup(http.close)
        token = self.folder / "token"
        token.write_text("s3cret-canary\n")
        host = f"127.0.0.1:{http.port}"
        self.url = f"http://{host}/remote.git"
        clone = f'http_hosts = ["{host}"]\n[git.credentials."{host}"]\nusername = "agent"\ntoken_file = "{token}"\n'
        with self.server(clone + f'[push]\nallow = ["{self.url} *"]\ncredentials = ["http://{host}/ agent {token}"]\n') as server:
            run = self.changed(server)
            push = server.call("POST", f"/v1/runs/{run}/push", PUSH)["push"]
            self.check_branch(push)
            self.assertNotIn("s3cret", json.dumps(push) + json.dumps(server.events(run)) + server.log_text())
            hook = self.remote / "hooks/pre-receive"
            hook.write_text("#!/bin/sh\nexit 1\n")
            hook.chmod(0o755)
            self.assertEqual(self.code(server, run, {**PUSH, "branch": "agentrouter/refused"}), (409, "push_rejected"))
            token.write_text("another\n")
            server.stop()
            server.start()
            self.assertEqual(self.code(server, run, {**PUSH, "branch": "agentrouter/other"}), (502, "push_auth_failed"))
            http.close()
            self.assertEqual(self.code(server, run, {**PUSH, "branch": "agentrouter/away"}), (502, "push_unreachable"))

    def test_not_allowed_by_default_and_what_is_no_clone(self):
        with self.server() as server:
            run = self.changed(server)
            self.assertEqual(self.code(server, run), (403, "push_forbidden"))
            scratch = server.create("sim: sh echo x > x\nsim: say done\n")["id"]
            server.finish(scratch)
            self.assertEqual(self.code(server, scratch), (409, "no_git_workspace"))
            active = server.create("sim: sh sleep 600\n")["id"]
            server.wait_until(active, lambda e: e["type"] == "agent.started")
            self.assertEqual(self.code(server, active), (409, "run_not_ended"))
            server.call("POST", f"/v1/runs/{active}/cancel", {})
            server.finish(active)
            self.assertEqual(self.code(server, "run_nobody"), (404, "run_not_found"))


if __name__ == "__main__":
    main()
