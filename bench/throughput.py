#!/usr/bin/env python3
"""Events a second from the agent's stdout through journal and store to one live subscriber. Scripted agent (no provider).

Usage: AGENTROUTER_SCRIPTED_AGENT=build/release/bin/scripted_agent python3 bench/throughput.py [MESSAGES]
"""
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))
from harness import ROOT, TERMINAL, Server  # noqa: E402

LAYOUT = "codex/0.169.0/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin"


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    agents = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-agents-"))
    os.chmod(agents, 0o755)
    try:
        (agents / LAYOUT).mkdir(parents=True)
        shutil.copy(os.environ.get("AGENTROUTER_SCRIPTED_AGENT", ROOT / "build/release/bin/scripted_agent"), agents / LAYOUT / "codex")
        with Server(agents_dir=agents) as server:
            run = server.create(f"sim: repeat {messages} sh true\nsim: reply done")
            begin = count = None
            with server.follow(run["id"]) as stream:
                for event in stream.read(300):
                    if event["type"] == "agent.started":
                        begin, count = time.perf_counter(), 0
                    elif begin and event["type"].startswith("agent."):
                        count += 1
                        end = time.perf_counter()
                    if event["type"] in TERMINAL:
                        break
            print(f"{count} events in {end - begin:.2f} s: {count / (end - begin):.0f} events/s (scripted agent)")
    finally:
        shutil.rmtree(agents)


main()
