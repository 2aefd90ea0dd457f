#!/usr/bin/env python3
"""Fails when a file includes a room that its own room does not declare, or a library kept out of it.

The rooms and their DEPS are read from src/CMakeLists.txt; configure time checks their direction.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
src = root / "src"

# Third parties and the places that may include them.
CONFINED = {
    r"boost/json|boost/json\.hpp": ["src/base/json", "src/net/", "sdk/cpp/src/", "tests/scripted_agent/"],
    r"boost/beast": ["src/net/", "src/egress/"],
    r"openssl/": ["src/net/", "src/egress/", "src/workspace/", "src/apps/"],
    r"boost/asio/ssl": ["src/net/", "src/egress/"],
    r"sqlite3\.h": ["src/store/sqlite/", "src/store/postgres/sqlite_source", "src/store/postgres/words.cpp"],
    r"libpq-fe\.h": ["src/store/postgres/"],
    r"sched\.h|linux/|sys/mount\.h": ["src/sandbox/", "src/workspace/", "src/keeper/attempt_lock", "src/net/own_address", "tests/"],
    r"seccomp\.h": ["src/sandbox/"],
    r"spdlog/": ["src/base/log.cpp"],
    r"CLI/": ["src/cli/"],
    r"toml": ["src/apps/"],
    r"curl/": ["sdk/cpp/src/", "src/blobs/s3/"],
    r"sodium\.h": ["src/base/", "src/vault/", "src/egress/", "src/apps/"],
    r"archive(_entry)?\.h": ["src/workspace/archive.cpp"],
    r"git2(\.h|/)": ["src/git/"],
    r"libssh2": ["src/egress/"],
    r"zlib\.h": ["src/base/", "src/workspace/"],
}
INCLUDE = re.compile(r'\s*#\s*include\s+([<"])([^>"]+)[>"]')


def rooms():
    text = (src / "CMakeLists.txt").read_text()
    found = {}
    for match in re.finditer(r"agentrouter_module\((\w+)([^)]*)\)", text):
        words, key, args = match[2].split(), None, {}
        for word in words:
            if word in ("DEPS", "LINKS", "TEST_DEPS", "TEST_LINKS", "SUBDIRS"):
                key = args.setdefault(word, [])
            elif key is not None:
                key.append(word)
        found[match[1]] = (set(args.get("DEPS", [])), set(args.get("TEST_DEPS", [])))
    return found


def check(path, known):
    room = path.relative_to(src).parts[0] if src in path.parents else None
    relative = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match[2]
        first = target.split("/")[0]
        if room in known and match[1] == '"' and first in known and first != room:
            deps, test_deps = known[room]
            is_test = path.name.endswith(("_test.cpp", "_test.h", "_conformance.h"))
            if first not in deps and not (is_test and first in test_deps):
                yield f"{relative}:{number}: room '{room}' includes '{first}', which is not in its DEPS"
        if relative.startswith("sdk/") and first in known:
            yield f"{relative}:{number}: the SDK includes '{first}' of src/"
        for pattern, places in CONFINED.items():
            if re.match(pattern, target) and not any(relative.startswith(p) for p in places) and not relative.startswith(("tests/", "bench/")):
                yield f"{relative}:{number}: {target} is confined to {', '.join(places)}"


def main():
    known = rooms()
    # apps is joined in src/apps/CMakeLists.txt and may use every room.
    known.setdefault("apps", (set(known), set(known)))
    known["apps"] = (set(known), set(known))
    problems = []
    for top in (src, root / "sdk"):
        for path in sorted(top.rglob("*.[hc]*")):
            if path.suffix in (".h", ".hpp", ".cpp", ".cc", ".c"):
                problems += check(path, known)
    print("\n".join(problems) if problems else f"layers: {len(known)} rooms, no include against the order")
    return bool(problems)


sys.exit(main())
