"""Nothing polls: many live followers of a run that waits for a person cost no CPU. Scripted agent."""
import select
import time

from agents import AgentsDir, cpu_ms, cpu_ticks, keepers
from harness import Case, Server, main, wait_for

FOLLOWERS = 100
SECONDS = 10
MOST_MS = 20


class Idle(Case):
    def test_a_hundred_followers_of_a_waiting_run(self):
        agents = AgentsDir()
        self.addCleanup(agents.remove)
        with Server(agents_dir=agents.path) as server:
            run = server.create("sim: reply Allowed.", approvalMode="manual")["id"]
            question = server.wait_until(run, lambda e: e["type"] == "approval.requested", 30)[-1]
            keeper = wait_for(lambda: keepers(server.data), 20, "the keeper").popitem()[0]
            streams = []
            for _ in range(FOLLOWERS):
                stream = server.follow(run, question["sequence"])
                stream.connect()
                self.assertEqual(stream.status, 200)
                streams.append(stream)
            select.select([], [], [], 1)  # what connecting still costs
            before = {name: (cpu_ms(pid), cpu_ticks(pid)) for name, pid in (("server", server.pid), ("keeper", keeper))}
            start = time.monotonic()
            select.select([], [], [], SECONDS)
            took = time.monotonic() - start
            spent = {name: (cpu_ms(pid) - before[name][0], (cpu_ticks(pid) - before[name][1]) * 10)
                     for name, pid in (("server", server.pid), ("keeper", keeper))}
            print(f"\n  {FOLLOWERS} followers, one waiting run, {took:.1f} s: " +
                  ", ".join(f"{name} {exact:.1f} ms ({ticks} ms in ticks)" for name, (exact, ticks) in spent.items()), flush=True)
            self.assertLess(sum(exact for exact, _ in spent.values()), MOST_MS)
            # They are live all the same.
            server.call("POST", f"/v1/runs/{run}/actions/{question['payload']['actionId']}/approve",
                        {"actionDigest": question["payload"]["actionDigest"]})
            ends = {[e["type"] for e in stream.read(30)][-1] for stream in streams}
            self.assertEqual(ends, {"run.completed"})
            for stream in streams:
                stream.close()


if __name__ == "__main__":
    main()
