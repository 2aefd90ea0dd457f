"""A server as a service: what it tells its manager, sockets that it is given, signals, and the configuration read again while it runs. A manager of
the tests' own stands for systemd (support/service_manager.py); systemd itself is in tests/vm."""
import contextlib
import http.client
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from agents import AgentsDir
from harness import KEY, PROGRAM, ROOT, Case, Server, main, wait_for
from service_manager import Manager, has_ended, listening, served
from takeover import Peer

PLAIN_USER = 65534
SLOW = "sim: repeat 15 sh sleep 0.1\nsim: reply Done."


class ServiceCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = AgentsDir()

    @classmethod
    def tearDownClass(cls):
        cls.agents.remove()
        super().tearDownClass()

    def managed(self, *sockets, args=(), abstract=False, **more):
        manager = Manager(abstract)
        self.addCleanup(manager.close)
        return manager, served(manager, sockets, agents_dir=self.agents.path, args=("--sim", *args), **more)

    def server(self, *args):
        return Server(agents_dir=self.agents.path, args=("--sim", *args))

    def started_run(self, server):
        run = server.create(SLOW)["id"]
        server.wait_until(run, lambda e: e["type"] == "agent.tool_completed")
        return run


class Manages(ServiceCase):
    def test_it_says_when_it_is_ready_and_when_it_stops(self):
        for abstract in (False, True):
            manager, server = self.managed(abstract=abstract)
            with server:
                ready = manager.until("READY")
                self.assertEqual((ready["READY"], ready["pid"]), ("1", server.pid))
                self.assertIn(server.url, ready["STATUS"])
                self.assertEqual(server.stop(), 0)
                self.assertEqual(manager.until("STOPPING")["STOPPING"], "1")

    def test_the_watchdog_is_fed_by_what_answers_requests(self):
        manager, server = self.managed(env={"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "self"})
        with server:
            first = manager.until("WATCHDOG", 5)
            self.assertEqual(first["pid"], server.pid)
            begun = time.monotonic()
            for _ in range(4):
                manager.until("WATCHDOG", 5)
            self.assertLess(time.monotonic() - begun, 4 * 0.4)
            server.process.send_signal(signal.SIGSTOP)
            with self.assertRaises(AssertionError):
                for _ in range(3):  # what was said before it stood still
                    manager.hear(1)
            server.process.send_signal(signal.SIGCONT)
            manager.until("WATCHDOG", 5)

    def test_a_manager_that_is_not_there_or_a_variable_that_makes_no_sense(self):
        with Server(agents_dir=self.agents.path, env={"NOTIFY_SOCKET": "/nowhere/at/all"}) as server:
            self.assertEqual(server.request("GET", "/healthz")[0], 200)
        for variable, value in (("NOTIFY_SOCKET", "relative"), ("WATCHDOG_USEC", "soon")):
            with self.assertRaises(AssertionError) as failed:
                Server(env={variable: value}).start()
            self.assertIn(f"{variable} is", str(failed.exception))

    def test_after_a_takeover_the_manager_knows_the_new_process(self):
        manager, server = self.managed(env={"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "self"})
        with server:
            manager.until("READY")
            server.process.send_signal(signal.SIGUSR2)
            newer = int(manager.until("MAINPID")["MAINPID"])
            self.assertEqual(manager.until("BARRIER")["pid"], server.pid)
            self.assertEqual(server.process.wait(20), 0)
            self.assertEqual(manager.until("READY")["pid"], newer)
            fed = manager.until("WATCHDOG", 5)
            while fed["pid"] != newer:
                fed = manager.until("WATCHDOG", 5)
            os.kill(newer, signal.SIGTERM)
            self.assertEqual(manager.until("STOPPING")["pid"], newer)
            wait_for(lambda: has_ended(newer), 20, "its end")


class Memory(ServiceCase):
    """What is in the memory of a server is for no core file and no other process of its account, and sandboxes, which begin with its limits, still start."""

    def closed(self, pid, user):
        limits = re.search(r"Max core file size +(\S+) +(\S+)", pathlib.Path(f"/proc/{pid}/limits").read_text()).groups()
        ours = resource.getrlimit(resource.RLIMIT_CORE)[1]
        self.assertEqual(limits, ("0", "unlimited" if ours == resource.RLIM_INFINITY else str(ours)))
        as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--") if user else ()
        if user or os.geteuid() != 0:
            for secret in ("environ", "mem", "maps"):
                self.assertNotEqual(subprocess.run([*as_user, "head", "-c1", f"/proc/{pid}/{secret}"], capture_output=True).returncode, 0, secret)

    def test_it_is_closed_to_others_also_after_a_takeover(self):
        for user in (None, PLAIN_USER) if os.geteuid() == 0 else (None,):
            data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-test-"))
            self.addCleanup(shutil.rmtree, data, ignore_errors=True)
            self.addCleanup((data.parent / (data.name + ".log")).unlink, missing_ok=True)
            if user:
                os.chown(data, user, user)
            manager, server = self.managed(data=data, user=user, env={"HOME": str(data)}, abstract=True)
            with server:
                self.closed(manager.until("READY")["pid"], user)
                run, _ = server.finish(server.create("sim: sh ulimit -c\nsim: reply Done.")["id"])
                self.assertEqual(run["status"], "completed", run.get("failure"))
                server.process.send_signal(signal.SIGUSR2)
                newer = int(manager.until("MAINPID")["MAINPID"])
                self.assertEqual(server.process.wait(20), 0)
                manager.until("READY")
                self.closed(newer, user)
                run, _ = server.finish(server.create("sim: sh echo two\nsim: reply Done.")["id"])
                self.assertEqual(run["status"], "completed", run.get("failure"))
                os.kill(newer, signal.SIGTERM)
                wait_for(lambda: has_ended(newer), 20, "its end")


class Activation(ServiceCase):
    def test_it_serves_the_sockets_that_it_is_given_and_no_other(self):
        first, second = listening(), listening()
        waiting = http.client.HTTPConnection(*first.getsockname(), timeout=30)
        waiting.request("GET", "/healthz")  # before there is a server
        manager, server = self.managed(first, second, names=("api", "more"))
        with server:
            self.assertEqual(server.url, "http://%s:%d" % first.getsockname())
            self.assertEqual(waiting.getresponse().status, 200)
            waiting.close()
            server.port = second.getsockname()[1]
            run = self.started_run(server)
            # Neither its variables nor its sockets go on to what it starts.
            for pid in self.children(server.pid):
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
                self.assertNotIn(b"LISTEN_", environment)
                self.assertNotIn(b"NOTIFY_SOCKET", environment)
            server.finish(run)
            server.tidy()
            server.stop()
            # The socket is the manager's: who comes meanwhile waits for the next server.
            late = http.client.HTTPConnection(*first.getsockname(), timeout=30)
            late.request("GET", "/healthz")
            server.start()
            self.assertEqual(late.getresponse().status, 200)
            late.close()
        first.close()
        second.close()

    def children(self, pid):
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(entry)
        return found

    def test_a_unix_socket_is_served_too(self):
        manager = Manager()
        self.addCleanup(manager.close)
        path = str(pathlib.Path(manager.folder.name, "api.sock"))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(path)
        unix.listen(8)
        server = served(manager, [unix], agents_dir=self.agents.path)
        self.assertEqual(server.launch(), f"agentrouter: listening on unix:{path}\n")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(path)
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertIn(b" 200 ", client.recv(65536))
        server.stop()
        server.remove_data()
        unix.close()

    def test_what_is_no_listening_socket_is_refused(self):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _, server = self.managed(datagrams, names=("api",))
        with self.assertRaises(AssertionError) as failed:
            server.start()
        self.assertIn("descriptor 3 (api) is no stream socket that listens: want ListenStream= and Accept=no", str(failed.exception))
        datagrams.close()

    def test_sockets_of_a_manager_go_on_to_the_newer_server(self):
        first = listening()
        manager, server = self.managed(first)
        with server:
            server.process.send_signal(signal.SIGUSR2)
            newer = int(manager.until("MAINPID")["MAINPID"])
            self.assertEqual(server.process.wait(20), 0)
            self.assertEqual(server.request("GET", "/healthz")[0], 200)
            os.kill(newer, signal.SIGTERM)
            wait_for(lambda: has_ended(newer), 20, "its end")
        first.close()

    def test_sockets_of_a_manager_stay_when_the_owner_drops_the_takeover(self):
        first = listening()
        _, server = self.managed(first, args=("--takeover",))
        with server:
            server.stop()
            with Peer("owner", server.data, "get", "welcome", "get", "close", "stdin") as owner:
                owner.process.stdout.readline()
                server.start()
                self.assertEqual(int(server.port), first.getsockname()[1])
                self.assertEqual(server.request("GET", "/healthz")[0], 200)
        first.close()


class Signals(ServiceCase):
    def test_at_a_terminal_a_hangup_ends_it_when_the_terminal_is_gone(self):
        terminal, end = os.openpty()
        data = tempfile.mkdtemp(prefix="agentrouter-terminal-")
        process = subprocess.Popen([str(PROGRAM), "serve", "--sim", "--listen", "127.0.0.1:0", "--data", data], stdin=end, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=Server(data=data).environment(), start_new_session=True)
        os.close(end)
        try:
            self.assertIn(b"listening on", process.stdout.readline())
            process.send_signal(signal.SIGHUP)
            for line in process.stderr:
                if b"listening again" in line:
                    break
            os.close(terminal)
            process.send_signal(signal.SIGHUP)
            self.assertEqual(process.wait(20), 0)
        finally:
            process.kill()
            process.communicate()
            shutil.rmtree(data)

    def test_while_it_drains_a_second_sigterm_ends_it_and_the_next_server_goes_on(self):
        manager, server = self.managed(args=("--drain",))
        with server:
            run = self.started_run(server)
            server.process.terminate()
            manager.until("STOPPING")
            while "Waiting for runs" not in manager.until("STATUS")["STATUS"]:
                pass
            self.assertEqual(server.run(run)["status"], "running")  # it still answers
            server.process.terminate()
            begun = time.monotonic()
            self.assertEqual(server.process.wait(20), 0)
            self.assertLess(time.monotonic() - begun, 5)
            server.process.stdout.close()
            server.start()
            self.assertEqual(server.finish(run)[0]["status"], "completed")
            server.tidy()


class Reload(ServiceCase):
    def setUp(self):
        super().setUp()
        self.manager, self.reloaded = self.managed()
        self.reloaded.data.mkdir(exist_ok=True)
        self.file = self.reloaded.data / "agentrouter.toml"

    def write(self, text):
        self.file.write_text(text)

    def in_workspace(self, server):
        """What a run in a folder beside the data folder is answered with."""
        with tempfile.TemporaryDirectory(dir=server.data.parent) as folder:
            return server.request("POST", "/v1/runs", {"task": "sim: reply Done.", "workspace": {"path": folder}})[0]

    def reload(self, server):
        """Sends SIGHUP; gives what the manager heard when it was done."""
        server.process.send_signal(signal.SIGHUP)
        begun = self.manager.until("RELOADING")
        self.assertGreater(int(begun["MONOTONIC_USEC"]), 0)
        return self.manager.until("READY")

    def test_what_it_says_counts_at_once_and_nothing_is_missed(self):
        self.write("")
        with self.reloaded as server:
            self.manager.until("READY")
            run = self.started_run(server)
            with server.follow(run) as stream:
                events = stream.read(30)
                next(events)
                self.assertEqual(self.in_workspace(server), 400)
                self.write(f'log_level = "debug"\nworkspace_roots = ["{server.data.parent}"]\n[limits.default]\nmax_actions = 7\n')
                self.assertIn("Serving on", self.reload(server)["STATUS"])
                self.assertIn('"changed":"limits.default.max_actions, log_level, workspace_roots"', server.log_text())
                seen = list(events)
                self.assertTrue(stream.whole)
                last = stream.last_id
            with server.follow(run, last) as again:
                rest = list(again.read(30))
            self.assertEqual(rest[0]["sequence"], last + 1)
            self.assertEqual(rest[-1]["type"], "run.completed", (seen[-1:], rest[-1]))
            self.assertEqual(self.in_workspace(server), 201)
            self.assertEqual(server.process.poll(), None)
            server.finish(server.call("GET", "/v1/runs?limit=1")["items"][0]["id"])
            server.tidy()

    def test_a_key_that_has_changed_is_asked_for(self):
        key = self.reloaded.data / "key"
        key.write_text(KEY)
        del self.reloaded.extra_env["NOTIFY_SOCKET"]
        self.reloaded.extra_env.update(NOTIFY_SOCKET=self.manager.name, AGENTROUTER_API_KEY="", AGENTROUTER_API_KEY_FILE=str(key))
        with self.reloaded as server:
            self.manager.until("READY")
            self.assertEqual(server.request("GET", "/v1/runs")[0], 200)
            key.write_text("ar_another_key_0123456789")
            self.reload(server)
            self.assertEqual(server.request("GET", "/v1/runs")[0], 401)
            self.assertEqual(server.request("GET", "/v1/runs", key="ar_another_key_0123456789")[0], 200)
            self.assertNotIn("ar_another_key", server.log_text())

    def test_what_does_not_work_leaves_everything_as_it_was(self):
        policies = self.reloaded.data / "policies"
        self.write('log_level = "info"\n')
        with self.reloaded as server:
            self.manager.until("READY")
            for text, cause in (("log_levle = 'debug'\n", 'agentrouter.toml:1: unknown key'),
                                ("= broken", "agentrouter.toml:1:"),
                                ('[policy]\ndefault = "nowhere"\n', "nowhere"),
                                ('[webhooks]\nca_file = "/nowhere.pem"\n', "/nowhere.pem")):
                self.write(text)
                self.assertIn("not used", self.reload(server)["STATUS"])
                self.assertIn(cause, server.log_text())
            self.write("")
            policies.mkdir()
            (policies / "broken.toml").write_text("verdict = 1\n")
            self.assertIn("not used", self.reload(server)["STATUS"])
            self.assertEqual(server.request("GET", "/healthz")[0], 200)

    def calls(self, server):
        """How often it has read and written so far: how far it has got."""
        return sum(int(line.split()[1]) for line in pathlib.Path(f"/proc/{server.pid}/io").read_text().splitlines() if line.startswith("sysc"))

    def some_way_into_a_reload(self, server, calls):
        """Sends SIGHUP; comes back when the server has read and written that often since it took the configuration, or is there again."""
        taken, again = (server.log_text().count(word) for word in ("using the configuration", "listening again"))
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.log_text().count("using the configuration") > taken, 20, "the configuration")
        begun = self.calls(server)
        wait_for(lambda: self.calls(server) >= begun + calls or server.log_text().count("listening again") > again, 20, "the reload")

    def test_a_sigterm_at_any_moment_of_it_ends_the_server(self):
        self.write("")
        for moment in range(20):
            with self.reloaded as server:
                server.finish(server.create("sim: reply Done.")["id"])
                self.some_way_into_a_reload(server, 6 * moment)
                self.assertEqual(server.stop(), 0)

    def test_a_change_at_any_moment_of_it_counts(self):
        contents = ("", f'workspace_roots = ["{self.reloaded.data.parent}"]\n')
        self.write(contents[0])
        with self.reloaded as server:
            for moment in range(20):
                newest = 1 - moment % 2
                self.some_way_into_a_reload(server, 6 * moment)
                self.write(contents[newest])
                server.process.send_signal(signal.SIGHUP)
                answer = (400, 201)[newest]
                wait_for(lambda answer=answer: self.in_workspace(server) == answer, 20, "the newest configuration")
            server.tidy()

    def test_what_needs_a_restart_is_named(self):
        self.write("")
        with self.reloaded as server:
            self.manager.until("READY")
            # The folder is given by a flag here, so the file cannot change it: a second server shows the key.
        other = self.reloaded.data.parent / (self.reloaded.data.name + "-moved")
        config = self.reloaded.data.parent / (self.reloaded.data.name + ".toml")
        config.write_text(f'provider = "sim"\nlisten = "127.0.0.1:0"\ndata = "{other}"\n')
        process = subprocess.Popen([str(PROGRAM), "serve", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.reloaded.environment())
        try:
            self.manager.until("READY")
            config.write_text('provider = "sim"\nlisten = "127.0.0.1:0"\ndata = "/nowhere/else"\n')
            process.send_signal(signal.SIGHUP)
            self.manager.until("RELOADING")
            self.manager.until("READY")
            process.terminate()
            self.assertIn(b'"keys":"data"', process.communicate(timeout=20)[1])
            self.assertEqual(process.returncode, 0)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(other, ignore_errors=True)
            config.unlink()


class Units(Case):
    NAMES = ("agentrouter.service", "agentrouter.socket", "agentrouter-api.service", "agentrouter-worker.service")

    def faults(self, folder):
        done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", *(str(folder / name) for name in self.NAMES)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        # The program and its manual are installed only where the units are used.
        return [line for line in done.stdout.splitlines() if "/usr/bin/agentrouter is not executable" not in line and "man:agentrouter(1)" not in line
                and "man agentrouter" not in line]

    def test_systemd_finds_no_fault_with_the_units(self):
        self.assertTrue(shutil.which("systemd-analyze"), "tools/setup test installs it")
        units = ROOT / "deploy/systemd"
        self.assertEqual({path.name for path in units.iterdir() if path.suffix in (".service", ".socket")}, set(self.NAMES))
        self.assertEqual(self.faults(units), [])
        with tempfile.TemporaryDirectory() as folder:
            for name in self.NAMES:
                text = (units / name).read_text()
                pathlib.Path(folder, name).write_text(text.replace("Type=notify", "Type=notfiy").replace("Backlog=4096", "Backlog=many"))
            said = "\n".join(self.faults(pathlib.Path(folder)))
            self.assertEqual(said.count("notfiy"), 3)
            self.assertIn("many", said)


if __name__ == "__main__":
    main()
