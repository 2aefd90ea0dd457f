#!/usr/bin/env python3
"""The end-to-end suites on PostgreSQL and S3: on_postgres.py [--jobs N] [SUITE...].

Each suite gets a PostgreSQL server and an S3 server of its own. Those that are about files of SQLite are named with the reason; so is each single test
(tests/support/stores.py). Environment as for a suite (tests/README.md); the last line counts.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "support"))
os.environ.update(AGENTROUTER_TEST_STORE="postgres", AGENTROUTER_TEST_BLOBS="s3")

import stores  # noqa: E402


def run(suite):
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-B", str(HERE / "support/own_space.py"), str(HERE / f"e2e/{suite}.py")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=1800, check=False, env={**os.environ, "PYTHONPATH": str(HERE / "support")})
    print(f"{'passed' if done.returncode == 0 else 'FAILED'}   {suite}: {time.monotonic() - began:.0f} s"
          f"{'' if done.returncode == 0 else chr(10) + done.stdout[-6000:]}", flush=True)
    return done.returncode == 0


def measuring():
    """Suites that CTest gives the machine to themselves."""
    found = re.search(r"set\(measuring ([^)]*)\)", (HERE / "e2e/CMakeLists.txt").read_text())
    return {name.replace("e2e_", "test_", 1) for name in found[1].split()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="suites at a time")
    parser.add_argument("suites", nargs="*")
    given = parser.parse_args()
    wanted = []
    for suite in given.suites or sorted(path.stem for path in (HERE / "e2e").glob("test_*.py")):
        why = stores.reason_not_to_run(suite)
        if why:
            print(f"not run  {suite}: {why}", flush=True)
        else:
            wanted.append(suite)
    alone = [suite for suite in wanted if suite in measuring()]
    beside = [suite for suite in wanted if suite not in alone]
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        passed = dict(zip(beside, pool.map(run, beside)))
    passed.update({suite: run(suite) for suite in alone})
    failed = [suite for suite in wanted if not passed[suite]]
    for name, why in stores.ABOUT_FILES.items():
        if "." in name:
            print(f"not run  {name}: {why}")
    print(f"on PostgreSQL and S3: {len(wanted) - len(failed)} of {len(wanted)} suites passed{': failed: ' + ', '.join(failed) if failed else ''}")
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
