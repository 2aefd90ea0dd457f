#!/usr/bin/env python3
"""The slow suite: Debian with systemd and cgroup v2 alone in a virtual machine, our services in it, and a power cut.

    python3 tests/vm/run.py           everything
    python3 tests/vm/run.py --quick   one run per service, and the power cut

It needs root, qemu-system-x86 and mmdebstrap, and the targets agentrouter, agentrouter-git, scripted_agent and sandbox_test of a release
build. The processor is emulated, so it runs on any machine and takes minutes; --accelerator kvm is quicker where there is a KVM.
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import image  # noqa: E402
import machine  # noqa: E402

SECONDS = 1800  # a boot and its tests on a machine that has other things to do; alone it takes a few minutes
FIRST = ["starts under the unit of deploy/systemd", "doctor finds cgroup v2", "a run completes with limits cgroup2"]
SLOW = ["memory.max kills what is too large", "a memory kill of the agent is named", "cpu.max holds", "pids.max stops a fork bomb", "a cancel empties the group",
        "a restart of the service ends runs with a code", "sandbox_test, cgroup cases"]
SECOND = ["a power cut leaves nothing and a code", "a stop leaves no group"]


def wanted():
    names = ["only cgroup v2, under systemd"]
    for part in (FIRST + SLOW, SECOND):
        names += [f"{mode}: {name}" for mode in ("user", "root") for name in part]
    return names


class Report:
    def __init__(self):
        self.done, self.failed = {}, []

    def take(self, message):
        """Prints what it says; returns whether the plug is to be pulled."""
        if "broken" in message:
            self.failed.append("the tests inside")
            print(f"FAILED  the tests inside: {message['broken']}")
        if "test" in message:
            self.done[message["test"]] = message["ok"]
            if not message["ok"]:
                self.failed.append(message["test"])
            print(f"{'ok     ' if message['ok'] else 'FAILED '} {message['test']} ({message['seconds']} s){': ' if message['detail'] else ''}{message['detail']}", flush=True)
        return bool(message.get("cut"))


def boot(work, name, options, report):
    """One boot until the tests inside ask for the power cut, or the machine is off. Returns whether they asked."""
    began, vm = time.monotonic(), machine.Machine(work, name, f"{'quick-' if options.quick else ''}{name}", options.accelerator)
    try:
        for message in vm.messages(SECONDS):
            if report.take(message):
                print(f"        the power is cut, {time.monotonic() - began:.0f} s after it was switched on", flush=True)
                return True
        print(f"        the machine is off, {time.monotonic() - began:.0f} s after it was switched on", flush=True)
    except TimeoutError as error:
        report.failed.append(name)
        print(f"FAILED  {name}: {error}")
    finally:
        vm.cut_power()
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one run per service, and the power cut")
    parser.add_argument("--accelerator", default="tcg", choices=["tcg", "kvm"])
    parser.add_argument("--keep", action="store_true", help="keep disk and consoles, and say where")
    options = parser.parse_args()
    missing = machine.available()
    if os.geteuid() != 0 or missing:
        print(f"not run: {'it needs root' if os.geteuid() != 0 else 'packages are missing: ' + ' '.join(missing)}")
        return 2
    build = pathlib.Path(os.environ.get("AGENTROUTER_BUILD", image.ROOT / "build/release"))
    programs = {name: build / "bin" / name for name in ("agentrouter", "agentrouter-git", "scripted_agent", "sandbox_test")}
    absent = [name for name, path in programs.items() if not path.exists()]
    if absent:
        print(f"not run: build these targets first: {' '.join(absent)}")
        return 2
    began, report = time.monotonic(), Report()
    work = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-vm-"))
    try:
        image.make_disk(work, build / "vm", programs)
        print(f"        the disk is made ({time.monotonic() - began:.0f} s)", flush=True)
        if boot(work, "first", options, report):
            boot(work, "second", options, report)
        elif not report.failed:
            report.failed.append("first")
        if report.failed:
            print(f"\nthe first console ended with:\n{(work / 'first.console').read_text(errors='replace')[-2000:]}")
    finally:
        if options.keep:
            print(f"kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    left_out = [name for name in wanted() if name not in report.done]
    print(f"\n{sum(report.done.values())} passed, {len(report.failed)} failed, {len(left_out)} not run, {time.monotonic() - began:.0f} s")
    for name in left_out:
        print(f"not run: {name}")
    print(f"not run here: {'a real processor (this one is emulated), ' if options.accelerator == 'tcg' else ''}other kernels and distributions, swap, keep-runs.conf (systemd 254)")
    return 1 if report.failed or (left_out and not options.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
