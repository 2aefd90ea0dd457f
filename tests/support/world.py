"""What a machine holds because of a server and its runs, as sets: in namespaces of a suite's own they can be compared for equality."""
import contextlib
import os
import pathlib

SPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def own_link(kind, pid="self"):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    return None


def pids():
    return [int(e) for e in os.listdir("/proc") if e.isdigit()]


def counts():
    """Everything a run must give back: in namespaces of the suite's own these are exact."""
    running = pids()
    return {"processes": sorted(running), "netns": sorted({own_link("net", p) for p in running} - {None}),
            "mountns": sorted({own_link("mnt", p) for p in running} - {None}),
            "mounts": sorted(l.split(" ", 4)[4] for l in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())}


def difference(before):
    now = counts()
    return {k: {"new": [x for x in now[k] if x not in before[k]], "missing": [x for x in before[k] if x not in now[k]]}
            for k in now if now[k] != before[k]}


def cgroups_of(data):
    """Groups of the installation in this data folder, in every hierarchy."""
    try:
        info = os.stat(pathlib.Path(data, "attempts"))
    except OSError:
        return []
    name = f"agentrouter.{info.st_dev:x}-{info.st_ino:x}"
    return sorted(os.path.join(folder, one) for folder, names, _ in os.walk("/sys/fs/cgroup") for one in names
                  if one == name or one.startswith(name + "."))


def loop_devices():
    return sorted(path.parts[3] for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"))


def entries_of(data):
    """What lies in the data folder beyond its records: folders of attempts and layers, sockets, files that are being made."""
    data, found = pathlib.Path(data), []
    for folder, places in (("attempts", "*"), ("push", "*"), ("uploads", "*"), ("blobs/.tmp", "*"), ("layers/kept", "*"), ("layers/states", "*"),
                           ("layers/uses", "*"), ("layers/gone", "*"), ("trees", ".*")):
        found += [str(path.relative_to(data)) for path in (data / folder).glob(places)]
    for folder, names, files in os.walk(data):
        names[:] = [name for name in names if name not in ("blobs", "attempts", "trees", "layers")]
        for name in files:
            path = pathlib.Path(folder, name)
            if name == "takeover.sock":  # the server's own; the next one makes it anew
                continue
            if path.is_socket() or name.endswith((".new", ".tmp", ".part")):
                found.append(str(path.relative_to(data)))
    return sorted(set(found))


def world(data):
    """counts(), every kind of namespace, and what lies in cgroups, loop devices and the data folder."""
    spaces = sorted({f"{kind}:{link}" for p in pids() for kind in SPACES if (link := own_link(kind, p))})
    return {**counts(), "namespaces": spaces, "cgroups": cgroups_of(data), "loops": loop_devices(), "entries": entries_of(data)}


def differs(before, data):
    now = world(data)
    return {k: {"new": [x for x in now[k] if x not in before[k]], "missing": [x for x in before[k] if x not in now[k]]}
            for k in now if now[k] != before[k]}
