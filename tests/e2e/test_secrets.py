"""The provider key is nowhere where an agent or a reader of our data could find it, and it does reach the provider.

A loopback upstream demands the key (`agentrouter sim --require-key`). Each place is searched for a canary key; a control shows that the
search finds a key that is really there.
"""
import base64
import gzip
import os
import pathlib
import re
import subprocess
import tempfile

from harness import KEY, PROGRAM, Case, Server, main, wait_for

CANARY = "sk-canary-7f3a9c51d2e84b06"

TASK = r"""Look everywhere.
sim: sh env; cat /proc/self/environ | tr '\0' '\n'; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n'
sim: sh cat /home/agent/.codex/config.toml; grep -rsl sk-canary / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr 2>/dev/null; echo searched
sim: sleep 3
sim: sh echo waiting > waiting.txt
sim: reply Looked.
"""


class Upstream:
    def __enter__(self):
        self.process = subprocess.Popen([str(PROGRAM), "sim", "--listen", "127.0.0.1:0", "--require-key", CANARY],
                                        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        self.url = re.search(r"http://\S+", line)[0]
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def sandbox_processes(server_pid):
    """Every process in a pid namespace that is not ours: the inside of sandboxes."""
    own = os.readlink("/proc/self/ns/pid")
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") != own:
                    found.append(int(entry))
            except OSError:
                pass
    return found


def memory_of(pid):
    """All readable memory of a process, region by region."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, perms, *_ = line.split()
            if "r" not in perms or "[v" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            while start < end:
                size = min(end - start, 8 << 20)
                try:
                    memory.seek(start)
                    yield memory.read(size)
                except (OSError, ValueError, OverflowError):
                    pass
                start += size


def places_with(needle, server, run_id, inside):
    """Names of the places that hold `needle`."""
    needle = needle.encode()
    found = set()
    for pid in inside:
        for name in ("cmdline", "environ"):
            try:
                if needle in pathlib.Path(f"/proc/{pid}/{name}").read_bytes():
                    found.add(f"sandbox {name}")
            except OSError:
                pass
        try:
            if any(needle in region for region in memory_of(pid)):
                found.add("sandbox memory")
        except OSError:
            pass
    # What an ended attempt has left may be removed meanwhile.
    for path in (pathlib.Path(folder) / name for folder, _, names in os.walk(server.data) for name in names):
        if path.is_file():
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if data[:2] == b"\x1f\x8b":
                data += gzip.decompress(data)
            if needle in data:
                found.add(f"data {path.relative_to(server.data).parts[0]}")
    if needle in server.log_text().encode():
        found.add("server log")
    for event in server.events(run_id):
        if needle.decode() in str(event):
            found.add("events")
    for pid in [server.pid, *[p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_keeper(p)]]:
        try:
            if needle in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add("command line of ours")
        except OSError:
            pass
    return found


def is_keeper(pid):
    try:
        return b"keeper" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2]
    except OSError:
        return False


class Secrets(Case):
    def start(self, key, upstream, args=()):
        return Server(args=args, env={"OPENAI_API_KEY": key, "OPENAI_BASE_URL": upstream.url})

    def test_the_key_reaches_the_provider_and_is_nowhere_else(self):
        with Upstream() as upstream, self.start(CANARY, upstream) as server:
            run = server.create(TASK)
            server.wait_until(run["id"], lambda e: e["type"] == "agent.tool_completed" and "searched" in e["payload"].get("output", ""))
            inside = sandbox_processes(server.pid)
            self.assertTrue(inside)
            self.assertEqual(places_with(CANARY, server, run["id"], inside), set())
            run, events = server.finish(run["id"])
            self.assertEqual(run["status"], "completed", run.get("failure"))
            self.assertEqual(places_with(CANARY, server, run["id"], sandbox_processes(server.pid)), set())
            self.assertTrue([e for e in events if e["type"] == "egress.request"])

    def test_the_upstream_refuses_every_other_key_and_the_run_says_so(self):
        with Upstream() as upstream, self.start("sk-wrong-key-000000", upstream) as server:
            run, _ = server.finish(server.create("Reply exactly HELLO")["id"])
            self.assertEqual(run["status"], "failed")
            self.assertEqual(run["failure"]["code"], "provider_runtime_failed")
            self.assertEqual(run["failure"]["cause"], "provider_auth_failed")

    def test_without_a_key_the_run_names_the_variables_to_set(self):
        with Server(args=()) as server:
            run, _ = server.finish(server.create("Reply exactly HELLO")["id"])
            self.assertEqual(run["failure"]["code"], "provider_unconfigured")
            self.assertIn("OPENAI_API_KEY", run["failure"]["reason"])

    def test_what_was_looked_at_before_the_agent_is_said(self):
        with Server() as server:
            _, events = server.finish(server.create("Reply exactly HELLO")["id"])
            seen = next(e["payload"] for e in events if e["type"] == "credential_boundary.verified")
            self.assertEqual(seen["checkedSurfaces"], ["env", "proc", "home"])
            self.assertTrue(seen["complete"] and seen["workspaceComplete"], seen)
            self.assertFalse(seen["workspaceHoldsSecret"])
            self.assertGreaterEqual(seen["files"], 3)
            self.assertGreaterEqual(seen["processes"], 2)

    def failure_of(self, server, **body):
        run, events = server.finish(server.create("Reply exactly HELLO", **body)["id"])
        self.assertEqual(run["status"], "failed", run)
        self.assertEqual(run["failure"]["code"], "credential_boundary_failed", run["failure"])
        self.assertNotIn(CANARY, str(run["failure"]) + str(events))
        self.assertFalse({e["type"] for e in events} & {"credential_boundary.verified", "action.proposed", "agent.started", "egress.request"})
        return run["failure"]

    def test_a_key_that_would_enter_with_the_agent_stops_the_run(self):
        # Each agent is told the model's name in its own way: a file of its home, its arguments, its environment.
        env = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "ANTHROPIC_API_KEY": CANARY}
        with Server(args=(), env=env) as server:
            causes = {kind: self.failure_of(server, runtime={"kind": kind, "model": CANARY})["cause"] for kind in ("codex", "claude_code")}
            self.assertLessEqual(set(causes.values()), {"home", "proc", "env"}, causes)

    def test_a_key_in_what_the_operator_shows_stops_the_run(self):
        with tempfile.TemporaryDirectory(prefix="agentrouter-shown-") as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            shown = folder / "shown"
            shown.mkdir()
            config = folder / "server.toml"
            config.write_text(f'[mcp_servers.shown]\ncommand = "/bin/true"\nargs = []\nmount = "{shown}"\n')
            env = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
            with Server(args=("--config", str(config)), env=env) as server:
                (shown / "credentials").write_text("x\n" + base64.encodebytes(b"user:" + CANARY.encode() * 3).decode())
                failure = self.failure_of(server, mcp=["shown"])
                self.assertEqual(failure["cause"], "files")
                self.assertIn("/credentials", failure["reason"])

    def test_a_key_in_the_workspace_is_the_users_own_and_in_no_record(self):
        forms = {CANARY, base64.b64encode(b"KEY=" + CANARY.encode()).decode(), CANARY.encode().hex(), CANARY.encode().hex().upper()}
        task = ("Leak.\nsim: sh cat .env; base64 -w 20 .env; xxd -p .env; xxd -p -u -c 9 .env; cat .env >&2\n"
                "sim: sh cp .env copied; head -c 18 .env; echo\nsim: reply Leaked.")
        with tempfile.TemporaryDirectory(prefix="agentrouter-leak-") as folder, Upstream() as upstream:
            pathlib.Path(folder).chmod(0o755)
            (pathlib.Path(folder) / ".env").write_text(f"KEY={CANARY}\n")
            with self.start(CANARY, upstream, ("--workspace-root", folder)) as server:
                run, events = server.finish(server.create(task, workspace={"path": folder})["id"])
                self.assertEqual(run["status"], "completed", run.get("failure"))
                self.assertTrue(next(e for e in events if e["type"] == "credential_boundary.verified")["payload"]["workspaceHoldsSecret"])
                artifacts = {kind: server.download(run["id"], a["id"]) for kind, a in server.artifacts(run["id"]).items()}
                said = [e for e in events if e["type"] != "run.created"]
                for form in forms:
                    core = form[6:-6]
                    self.assertFalse(core in str(said), f"an event holds {form}")
                    for kind, data in artifacts.items():
                        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
                        self.assertFalse(core.encode() in text, f"{kind} holds {form}")
                    self.assertNotIn(core, server.log_text())
                self.assertIn(b"+KEY=[REDACTED]", artifacts["workspace_patch"])
                self.assertIn("[REDACTED]", str(events))
                # The files themselves are the user's.
                self.assertIn(CANARY.encode(), server.request("GET", f"/v1/runs/{run['id']}/files/copied")[2])

    def test_the_search_finds_a_key_that_is_really_there(self):
        # The control: a task that leaks a marker on purpose, in each place that an agent can reach.
        marker = "sk-leaked-5d20c7e1"
        task = (f"Leak.\nsim: sh export LEAK={marker}; echo $LEAK; echo $LEAK > leaked.txt; setsid sh -c 'sleep 30; : {marker}' >/dev/null 2>&1 </dev/null & sleep 0.5; echo leaked\n"
                "sim: sleep 5\nsim: sh true\nsim: reply Leaked.")
        with Server() as server:
            run = server.create(task)
            server.wait_until(run["id"], lambda e: e["type"] == "agent.tool_completed" and "leaked" in e["payload"].get("output", ""))
            found = places_with(marker, server, run["id"], sandbox_processes(server.pid))
            self.assertLessEqual({"sandbox cmdline", "sandbox environ", "sandbox memory", "data attempts", "events"}, found)
            server.finish(run["id"])
            found = places_with(marker, server, run["id"], [])
            self.assertLessEqual({"data blobs", "events"}, found)
            self.assertTrue({p for p in found if p.startswith("data agentrouter.db")}, found)

    def test_the_search_finds_a_key_that_the_server_itself_would_leak(self):
        # The same control for what only the server can get wrong: its log, its command line, a file of its own.
        marker = "sk-leaked-91b4e2aa"
        talkative = ("sh", "-c", 'echo "{\\"level\\":\\"info\\",\\"key\\":\\"$0\\"}" >&2; exec "$@"', marker)
        with tempfile.TemporaryDirectory(suffix=marker) as root, \
                Server(prefix=talkative, args=("--sim", "--workspace-root", root)) as server:
            (server.data / "plan.tmp").write_bytes(gzip.compress(marker.encode()))
            run, _ = server.finish(server.create("Reply exactly HELLO")["id"])
            # The store has it, too: servers tell each other the roots that they have.
            found = {place for place in places_with(marker, server, run["id"], []) if not place.startswith("data agentrouter.db")}
            self.assertEqual(found, {"server log", "command line of ours", "data plan.tmp"})


if __name__ == "__main__":
    main()
