"""A real PostgreSQL server for a test: a cluster in a temporary folder, as a plain user (root starts it as nobody), on a unix socket there and on a
free port of this host. It ends with the process that started it.

    with Postgres() as server:
        url = server.url(server.database())
        server.stop("immediate"); server.start()

A `Proxy` in front of it can be cut: what it loses then is lost as on a network.
"""
import atexit
import concurrent.futures
import contextlib
import ctypes
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
SUPERUSER = "tester"


def _plain_user():
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _end_with_parent(user):
    """In the child, before its program: a plain user's from here on, and killed when this process ends."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare():
        if user:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        libc.prctl(1, signal.SIGQUIT, 0, 0, 0)

    return prepare


# The kernel means the thread that has started it, when it ends a child with its parent: this one lives as long as the program.
_starter = concurrent.futures.ThreadPoolExecutor(1)


class Postgres:
    """`settings` are lines of postgresql.conf: {"wal_level": "logical"}."""

    def __init__(self, settings=None, listen="127.0.0.1"):
        self.settings, self.listen = dict(settings or {}), listen
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-postgres-"))
        self.user, self.process, self.databases = _plain_user(), None, 0
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self._run("initdb", "-D", self.folder / "cluster", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.port = self._free_port()
        if listen != "127.0.0.1":
            with open(self.folder / "cluster/pg_hba.conf", "a") as rules:
                rules.write("host all all all trust\n")
        atexit.register(self.remove)

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def _run(self, program, *arguments):
        done = subprocess.run([PROGRAMS / program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
                              text=True, preexec_fn=_end_with_parent(self.user))
        if done.returncode != 0:
            raise AssertionError(f"{program}: {done.stdout}")
        return done.stdout

    def start(self, seconds=60):
        command = [str(PROGRAMS / "postgres"), "-D", str(self.folder / "cluster"), "-k", str(self.folder), "-p", str(self.port),
                   "-c", f"listen_addresses={self.listen}", "-c", "max_connections=300", "-c", "shared_buffers=64MB"]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        self.log = open(self.folder / "log", "ab")
        self.process = _starter.submit(subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd="/", start_new_session=True,
                                       preexec_fn=_end_with_parent(self.user)).result()
        end = time.monotonic() + seconds
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL did not start: {self.log_text()[-2000:]}")
            select.select([], [], [], 0.02)
        return self

    def answers(self):
        return subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]).returncode == 0

    def stop(self, how="fast", seconds=60):
        """smart, fast or immediate (a crash), as pg_ctl has them."""
        if not self.process:
            return
        self.process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
        self.process.wait(seconds)
        self.process = None
        self.log.close()

    def restart(self, how="fast"):
        self.stop(how)
        self.start()

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.remove()

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace") if (self.folder / "log").exists() else ""

    def sql(self, script, database="postgres"):
        """What psql prints, unaligned and without headers."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", SUPERUSER, "-d", database,
                         "-c", script).strip()

    def database(self):
        """A new, empty database: its name."""
        self.databases += 1
        name = f"t{self.databases}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def url(self, database, host=None, port=None, **parameters):
        """Through the socket, or what is given instead."""
        text = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        place = f"{host}:{port or self.port}" if host else f"{urllib.parse.quote(str(self.folder), safe='')}:{port or self.port}"
        return f"postgres://{SUPERUSER}@{place}/{database}{text}"

    def set_read_only(self, read_only):
        """As an operator, or a failover to a server that follows: whoever is connected is cut off."""
        self.sql(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if read_only else 'off'}")
        self.sql("SELECT pg_reload_conf()")
        self.cut_sessions()

    def cut_sessions(self):
        self.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")


_shared = None


def shared():
    """One for all tests of this process that do it no harm."""
    global _shared
    if _shared is None:
        _shared = Postgres().start()
    return _shared


_of_folder = {}


def url_of_folder(folder):
    """The database of a data folder, made when it is asked for first: for suites that run on either store."""
    key = str(folder)
    if key not in _of_folder:
        _of_folder[key] = shared().url(shared().database())
    return _of_folder[key]


class Proxy:
    """A TCP port in front of a server. `cut()` closes every connection; while `refusing` new ones are closed at once; while `holding` nothing passes."""

    def __init__(self, host, port):
        self.target, self.refusing, self.holding = (host, port), False, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs, self.lock = set(), threading.Lock()
        self.open = True
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, timeout=5)
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self.lock:
                self.pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pass, args=(pair, source, sink), daemon=True).start()

    def _pass(self, pair, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self.holding and pair in self.pairs:
                    select.select([], [], [], 0.01)
                sink.sendall(data)
        self._close(pair)

    def _close(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self):
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self._close(pair)

    def close(self):
        self.open = False
        self.listener.close()
        self.cut()
