"""Inside the virtual machine: what cgroup v2, systemd and a power cut do to the product. Reports one JSON line per test on the second serial line."""
import json
import os
import pathlib
import re
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from services import CPU_PERCENT, MEMORY, PIDS, Service, counter, read, run, wait_for  # noqa: E402

SANDBOX_CASES = "Cgroup.*:Box.AForkBomb*:Box.AMemoryBomb*:Box.Destroy*:Box.TheSandboxDies*:Box.TheKeeperIsClosed*:LocalLauncher.*:Warden.*:Doctor.*"
REPORT = open("/dev/ttyS1", "w", encoding="utf-8")


def say(**message):
    print(json.dumps(message), file=REPORT, flush=True)


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


def check(name, test, *arguments):
    began = time.monotonic()
    try:
        detail, good = test(*arguments) or "", True
    except Exception as error:  # whatever it is, the other tests are to run
        place = traceback.extract_tb(error.__traceback__)[-1 if not isinstance(error, AssertionError) else -2]
        detail, good = f"{type(error).__name__} in line {place.lineno}: {error}", False
    say(test=name, ok=good, detail=detail, seconds=round(time.monotonic() - began, 1))


# ---- the machine itself ----

def only_v2():
    kinds = {line.split()[2] for line in read("/proc/mounts").splitlines() if line.split()[2].startswith("cgroup")}
    expect(kinds == {"cgroup2"}, f"mounted: {kinds}")
    expect(os.readlink("/proc/1/exe").endswith("/systemd"), "pid 1 is not systemd")
    return f"Linux {os.uname().release}, {run('systemctl', '--version').splitlines()[0]}"


# ---- a service ----

def starts(service):
    service.install()
    service.start()
    expect(service.is_active(), service.journal())
    owner = service.group.stat().st_uid
    expect((owner == 0) == service.root, f"the group belongs to {owner}")
    return f"the group is uid {owner}'s"


def doctor_says_v2(service):
    code, output = service.as_service("/usr/bin/agentrouter", "doctor", "--json", "--data", "/tmp")
    expect(output.startswith("{"), f"{code} {output}")
    items = {item["name"]: item for item in json.loads(output)["items"]}
    detail = items["resource limits"]["detail"]
    expect(items["resource limits"]["found"] == "ok" and detail.startswith("cgroup v2: memory, pids, cpu in "), f"{code} {detail}")
    bad = [item for item in items.values() if item["required"] and item["found"] != "ok"]
    expect(code == 0 and not bad, f"{code} {bad}")
    return detail


def a_run_completes(service):
    seen = {}

    def look():
        for group in service.groups():
            if read(group / "cgroup.procs").strip():
                seen.update(service.limits_of(group))
    run_id = service.create("sim: sh echo hello; cat /proc/self/cgroup; sleep 2")
    state = service.finish(run_id, look)
    expect(state["status"] == "completed", f"{state}")
    gone = [e["payload"] for e in service.events(run_id) if e["type"] == "sandbox.destroyed"]
    expect(gone and gone[0]["limits"] == "cgroup2", f"{gone}")
    wanted = {"memory.max": str(MEMORY), "pids.max": str(PIDS), "cpu.max": f"{CPU_PERCENT * 1000} 100000"}
    expect(all(seen.get(name) == value for name, value in wanted.items()), f"limits: {seen}")
    expect(service.outputs(run_id) == ["hello\n0::/\n"], f"{service.outputs(run_id)}")
    controllers = read(service.group / "cgroup.subtree_control").split()
    expect({"memory", "pids", "cpu"} <= set(controllers), f"handed on: {controllers}")
    expect(not read(service.group / "cgroup.procs").strip(), "the service's own group holds processes")
    expect(read(service.group / "agentrouter.supervisor/cgroup.procs").strip(), "nothing is in the leaf")
    return f"limits: {gone[0]['limits']}; {seen}"


HOG = """python3 -c 'b=bytearray(b"x"*(400<<20))'"""


def memory_bomb(service):
    kills = [0]

    def look():
        for group in service.groups():
            kills.append(counter(read(group / "memory.events"), "oom_kill"))
    run_id = service.create(f"sim: sh {HOG}; echo code $?; sleep 2")
    state = service.finish(run_id, look)
    expect(max(kills) >= 1, f"the kernel counted no kill in the run's group; {state}")
    expect(service.is_active() and service.answers(), "the service did not live on")
    expect(state["status"] == "completed" and "code 137" in service.outputs(run_id)[0], f"{state} {service.outputs(run_id)}")
    told = [e["type"] for e in service.events(run_id) if "memory" in e["type"]]
    expect(told, f"no event tells of it: {[e['type'] for e in service.events(run_id)]}")
    return f"the command was killed ({max(kills)}), {told[0]} tells of it, the run went on"


def memory_kill_is_named(service):
    run_id = service.create(workspace={"path": "/srv/hog"})
    state = service.finish(run_id)
    expect(state["status"] == "failed" and state["failure"]["code"] == "memory_limit", f"{state['status']} {state.get('failure')}")
    expect(service.is_active() and service.answers(), "the service did not live on")
    return f"{state['failure']['code']}: {state['failure']['reason']}"


def cpu_is_held(service):
    """Four that spin on two processors, as much time as one has."""
    used, throttled = {}, [0]

    def look():
        for group in service.groups():
            text = read(group / "cpu.stat")
            throttled.append(counter(text, "nr_throttled"))
            used[time.monotonic()] = counter(text, "usage_usec")
    spin = "python3 -c 'import time; e=time.monotonic()+4\\nwhile time.monotonic()<e: pass' >/dev/null 2>&1 &"
    state = service.finish(service.create(f"sim: sh for i in 1 2 3 4; do {spin} done; wait"), look)
    expect(state["status"] == "completed", f"{state}")
    expect(max(throttled) > 0, "the kernel held nothing back")
    times = sorted(time for time in used if used[time] > 0)
    share = max((used[b] - used[a]) / 1e6 / (b - a) for a in times for b in times if b - a > 2)
    expect(share < CPU_PERCENT / 100 * 1.15, f"{share:.2f} processors were used over 2 s or more")
    return f"{share:.2f} of 2 processors at most over 2 s, held back {max(throttled)} times"


def fork_bomb(service):
    peak, refused = [0], [0]

    def look():
        for group in service.groups():
            peak.append(int(read(group / "pids.current") or 0))
            refused.append(counter(read(group / "pids.events"), "max"))
    run_id = service.create("sim: sh i=0; while [ $i -lt 300 ]; do sleep 600 >/dev/null 2>&1 & i=$((i+1)); done; echo made $i")
    state = service.finish(run_id, look)
    expect(PIDS * 0.8 < max(peak) <= PIDS, f"{max(peak)} processes at most; {state}")
    expect(service.is_active() and service.answers(), "the service did not live on")
    again = service.finish(service.create("sim: sh echo works"))
    expect(again["status"] == "completed", f"afterwards: {again}")
    means = f"the group refused {max(refused)}" if max(refused) else "RLIMIT_NPROC came first"
    return f"at most {max(peak)} processes, {means}, the run {state['status']}"


def cancel_empties(service):
    run_id = service.create("sim: sh trap '' TERM INT; for i in $(seq 60); do setsid sh -c 'trap \"\" TERM INT; while :; do :; done' >/dev/null 2>&1 & done; wait")
    wait_for(lambda: any(int(read(g / "pids.current") or 0) > 55 for g in service.groups()), 60, "the processes to be there")
    began = time.monotonic()
    service.call("POST", f"/v1/runs/{run_id}/cancel", {})
    wait_for(lambda: all(int(read(g / "pids.current") or 0) <= 2 for g in service.groups()), 60, "the kill")
    took = time.monotonic() - began
    state = service.finish(run_id)
    expect(state["status"] == "cancelled", f"{state}")
    return f"60 spinning processes gone {took:.1f} s after the cancel (2 s of them are the agent's grace)"


def restart_ends_runs(service):
    """systemd kills what is in the service's groups; the next server settles what it finds."""
    run_id = service.create("sim: sh echo begun > begun; sleep 600")
    wait_for(lambda: any(e["type"] == "agent.tool_started" for e in service.events(run_id)), 60, "the run to be under way")
    expect(service.groups(), "the run has no group")
    run("systemctl", "restart", service.name)
    service.await_ready()
    state = service.finish(run_id)
    expect(state["status"] == "failed", f"{state}")
    again = service.finish(service.create("sim: sh echo works"))
    expect(again["status"] == "completed", f"afterwards: {again}")
    return f"{state['failure']['code']}"


def main_process(service):
    return int(run("systemctl", "show", "-P", "MainPID", service.name).strip())


def upgrade_in_place(service):
    """SIGUSR2: the newer program is born in the service, and systemd follows it; the run does not notice."""
    run_id = service.create("sim: sh echo one; sleep 20; echo two")
    wait_for(lambda: any(e["type"] == "agent.tool_started" for e in service.events(run_id)), 60, "the run to be under way")
    before = main_process(service)
    run("systemctl", "kill", "--kill-whom=main", "--signal=USR2", service.name)
    wait_for(lambda: main_process(service) not in (0, before), 120, f"another main process; {service.journal()}")
    service.await_ready()
    expect(service.is_active() and not os.path.exists(f"/proc/{before}"), service.journal())
    expect(run("systemctl", "show", "-P", "NRestarts", service.name).strip() == "0", "systemd has started it again")
    leaf = read(service.group / "agentrouter.supervisor/cgroup.procs").split()
    expect(str(main_process(service)) in leaf, f"the newer server is not in the leaf: {leaf}")
    state = service.finish(run_id)
    expect(state["status"] == "completed", f"{state}")
    return f"main process {before} -> {main_process(service)}, the run {state['status']}"


def reload_counts(service):
    file = service.config
    before, text = main_process(service), file.read_text()
    file.write_text('log_level = "debug"\n' + text)
    run("systemctl", "reload", service.name)
    service.await_ready()
    expect('"changed":"log_level"' in run("journalctl", "-u", service.name, "-o", "cat"), service.journal())
    file.write_text(text)
    run("systemctl", "reload", service.name)
    service.await_ready()
    expect(main_process(service) == before and service.is_active(), service.journal())
    return "systemctl reload, twice"


def sandbox_cases(service):
    """The room's own tests, in a delegated group of this kind of user."""
    code, output = service.as_service("/opt/vm/sandbox_test", f"--gtest_filter={SANDBOX_CASES}")
    passed, skipped = len(re.findall(r"\[       OK \]", output)), re.findall(r"\[  SKIPPED \] (\S+)\n", output)
    complaints = "\n".join(part[:700] for part in re.findall(r"\S+: Failure\n.*?(?=\[  FAILED|\S+: Failure|\Z)", output, re.DOTALL))
    expect(code == 0 and passed > 20, f"ended with {code}: {complaints or output[-1500:]}")
    return f"{passed} passed, skipped: {sorted(set(skipped)) or 'none'}"


def stops_clean(service):
    run("systemctl", "stop", service.name)
    expect(not service.group.exists(), "the group is still there")


# ---- a power cut ----

KEPT = pathlib.Path("/var/lib/cut.json")


def before_the_cut(services):
    going = {}
    for service in services:
        run_id = service.create("sim: sh echo begun > begun; sleep 600")
        wait_for(lambda s=service, r=run_id: any(e["type"] == "agent.tool_started" for e in s.events(r)), 60, "the run to be under way")
        expect(service.groups(), "the run has no group")
        going[service.mode] = run_id
    KEPT.write_text(json.dumps(going))
    os.sync()  # what the tests themselves have to remember; the product has its own promises


def after_the_cut(service):
    run_id = json.loads(KEPT.read_text())[service.mode]
    service.await_ready()
    state = service.finish(run_id)
    expect(state["status"] == "failed" and state["failure"]["code"] == "attempt_lost", f"{state['status']} {state.get('failure')}")
    left = [str(path) for path in [*service.groups(), *(service.data / "attempts").iterdir()]]
    mounts = [line for line in read("/proc/mounts").splitlines() if "attempt_" in line]
    expect(not left and not mounts, f"left: {left} {mounts}")
    again = service.finish(service.create("sim: sh echo works"))
    expect(again["status"] == "completed", f"afterwards: {again}")
    return f"{state['failure']['code']}: {state['failure']['reason']}"


def main():
    phase = re.search(r"vm\.phase=(\S+)", read("/proc/cmdline"))[1]
    services = [Service("user"), Service("root")]
    quick = phase.startswith("quick")
    if phase.endswith("second"):
        for service in services:
            check(f"{service.mode}: a power cut leaves nothing and a code", after_the_cut, service)
            check(f"{service.mode}: a stop leaves no group", stops_clean, service)
        say(finished=True)
        return
    check("only cgroup v2, under systemd", only_v2)
    tests = [("starts under the unit of deploy/systemd", starts), ("doctor finds cgroup v2", doctor_says_v2),
             ("a run completes with limits cgroup2", a_run_completes)]
    if not quick:
        tests += [("memory.max kills what is too large", memory_bomb), ("a memory kill of the agent is named", memory_kill_is_named),
                  ("cpu.max holds", cpu_is_held), ("pids.max stops a fork bomb", fork_bomb), ("a cancel empties the group", cancel_empties),
                  ("SIGUSR2 puts a newer program in its place", upgrade_in_place), ("a reload counts at once", reload_counts),
                  ("a restart of the service ends runs with a code", restart_ends_runs), ("sandbox_test, cgroup cases", sandbox_cases)]
    for service in services:
        for name, test in tests:
            check(f"{service.mode}: {name}", test, service)
    before_the_cut(services)
    say(cut=True)
    wait_for(lambda: False, 600, "the power cut")


if __name__ == "__main__":
    try:
        main()
    except Exception:  # told to the host, which else would wait
        say(broken=traceback.format_exc())
