"""cgroup v1 groups that are handed to a plain user, as an administrator would."""
import contextlib
import os
import pathlib
import time

CONTROLLERS = ("memory", "pids", "cpu")


class DelegatedGroups:
    """One group per v1 controller, owned by `user`. `prefix` starts a command inside of them."""

    def __init__(self, user):
        self.folders = []
        for name in CONTROLLERS:
            mounted = self._mounted(name)
            if not mounted:
                continue
            folder = mounted / f"agentrouter-delegated-{os.getpid()}"
            if folder not in self.folders:
                folder.mkdir()
                self.folders.append(folder)
            for path in (folder, folder / "cgroup.procs", folder / "tasks"):
                os.chown(path, user, user)
        procs = " ".join(str(folder / "cgroup.procs") for folder in self.folders)
        self.prefix = ["/bin/sh", "-c", f'for g in {procs}; do echo $$ > $g || exit 1; done; exec "$@"', "sh"]

    @staticmethod
    def _mounted(controller):
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            if kind == "cgroup" and controller in options.split(","):
                return pathlib.Path(place)
        return None

    @staticmethod
    def possible():
        return os.geteuid() == 0 and all(DelegatedGroups._mounted(name) for name in CONTROLLERS)

    def remove(self):
        deadline = time.monotonic() + 10
        for folder in self.folders:
            while folder.exists() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    folder.rmdir()
