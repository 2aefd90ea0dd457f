#!/usr/bin/env python3
"""Chaos on the real thing: run.py [--seconds S] [--server-kills N] [--keeper-kills N] [--seed N] [--subscribers N] [--customers N] ...

Two servers under load, whose processes are killed, stopped, starved and whose disks are full at random moments; 200 live subscribers; then everything is
read through the API and judged. Needs the targets `agentrouter` and `scripted_agent`, and both agent CLIs installed. As root it lives in a pid and a mount
namespace of its own. The last line is the verdict; after a failure the folder that it names holds the history, the accounts and the servers' logs.
"""
import argparse
import os
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from chaos_run import Chaos, carry_out  # noqa: E402
from first_process import in_own_space, reap_all  # noqa: E402


def inside(options):
    return carry_out(lambda: Chaos(options))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long it goes on at least")
    parser.add_argument("--server-kills", type=int, default=0, help="and until a server was killed so often")
    parser.add_argument("--keeper-kills", type=int, default=0, help="and until keepers were")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--subscribers", type=int, default=200)
    parser.add_argument("--customers", type=int, default=8, help="who ask the server with the scripted agent; a quarter as many the other one")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds that a customer rests between two things, at most")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds between two faults, on average")
    parser.add_argument("--last-turns", type=int, default=100, help="how many conversations are continued at the end")
    parser.add_argument("--scripted-only", action="store_true", help="without the server of the real Codex")
    parser.add_argument("--keep", action="store_true", help="the folder, also when nothing was found")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() == 0 and not options.inside:
        return in_own_space([*sys.argv, "--inside"] if any(a.startswith("--seed") for a in sys.argv) else
                            [*sys.argv, f"--seed={options.seed}", "--inside"])
    return reap_all(lambda: inside(options)) if options.inside else inside(options)


if __name__ == "__main__":
    sys.exit(main())
