#!/usr/bin/env python3
"""Fails on constructs that this project does not use, outside the files named here with their reason.

Also reports (without failing) files and folders over the comfortable sizes of CONTRIBUTING.md.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)

# construct -> (pattern, {path prefix: reason})
BANS = {
    "system_clock::now": (r"system_clock::now", {"src/base/clock.cpp": "the one place that reads the clock"}),
    "asio::detached": (r"\bdetached\b", {}),
    "std::thread": (r"std::j?thread\b", {
        "src/cli/interrupt": "waits for signals while the client waits for the server",
        "src/sandbox/warm": "makes boxes while nothing is launched; no event loop there, and no thread of a pool is to be held"}),
    "sleep": (r"\b(usleep|nanosleep|sleep|sleep_until)\s*\(|this_thread::sleep", {"src/sandbox/init/": "no event loop there"}),
    "getenv": (r"\bgetenv\b|\benviron\b", {
        "src/apps/environment.cpp": "the server's environment", "src/cli/environment.cpp": "the client's environment"}),
    "fork": (r"\b(v?fork|posix_spawnp?)\s*\(", {
        "src/sandbox/": "starting confined processes is what this room is for",
        "src/testing/postgres_server.cpp": "starting the database of tests",
        "src/apps/spawn.cpp": "starting the warden and npm",
        "src/vault/kms_process.cpp": "starting a key service's program", "src/cli/": "starting a local server"}),
    "system()": (r"(?<![\w:.])system\s*\(", {}),
    "remove_all": (r"remove_all", {"src/testing/": "temporary folders of tests"}),
    "catch (...)": (r"catch\s*\(\s*\.\.\.\s*\)", {
        "src/base/pool.cpp": "carries any exception to the waiting task",
        "src/store/": "carries any exception to the waiting task"}),
    "new/delete": (r"(?<![\w.])(new\s+[A-Za-z_:]+\s*[({\[;]|delete\s+\w)", {}),
    "printf": (r"\b(f|d)?printf\s*\(", {
        "src/sandbox/init/": "no C++ runtime there"}),
}


def strip(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"//.*", "", line)


# Both compilers destroy some temporaries of a conditional twice there (docs/decisions/0007).
AWAITED_CHOICE = re.compile(r"co_await\s[^;{}]*\?[^;{}]*\([^;{}]*:[^;{}]*;")


def main():
    problems, sizes = [], []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cc"):
            continue
        relative = path.relative_to(root).as_posix()
        lines = path.read_text(errors="replace").splitlines()
        limit = 250 if path.suffix == ".h" else 700 if "_test." in path.name else 500
        if len(lines) > limit:
            sizes.append(f"{relative}: {len(lines)} lines (ask why above {limit})")
        if "_test." in path.name or "conformance" in path.name:
            continue
        whole = "\n".join(map(strip, lines))
        for match in AWAITED_CHOICE.finditer(whole):
            problems.append(f"{relative}:{whole.count(chr(10), 0, match.start()) + 1}: choose before the co_await, not in it")
        for number, line in enumerate(lines, 1):
            code = strip(line)
            for name, (pattern, allowed) in BANS.items():
                if re.search(pattern, code) and not any(relative.startswith(p) for p in allowed):
                    problems.append(f"{relative}:{number}: {name} is not used here: {line.strip()}")
    for text in sizes:
        print("size:", text)
    print("\n".join(problems) if problems else "source: no banned construct")
    return bool(problems)


sys.exit(main())
