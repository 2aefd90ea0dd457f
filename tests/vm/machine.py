"""One boot of the virtual machine: no network, a console that is kept as a file, and a second serial line on which the tests inside report."""
import json
import pathlib
import select
import subprocess
import time


class Machine:
    def __init__(self, work, name, phase, accelerator="tcg", memory=2048):
        self.console, self.results = work / f"{name}.console", work / f"{name}.results"
        self.results.touch()
        command = ["nice", "-n", "10", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-machine", f"q35,accel={accelerator}", "-cpu", "max", "-smp", "2", "-m", str(memory), "-nic", "none",
                   "-kernel", work / "vmlinuz", "-initrd", work / "initramfs",
                   "-append", f"console=ttyS0 panic=-1 no_timer_check mitigations=off quiet systemd.show_status=no vm.phase={phase}",
                   "-drive", f"file={work / 'disk.img'},if=virtio,format=raw,cache=writeback",
                   "-serial", f"file:{self.console}", "-serial", f"file:{self.results}"]
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL)
        self.seen = 0

    def messages(self, seconds):
        """What the tests inside say, one after another, until the machine is off."""
        end = time.monotonic() + seconds
        while True:
            over = self.process.poll() is not None
            lines = self.results.read_bytes()[self.seen:].split(b"\n")
            for line in lines[:-1]:
                self.seen += len(line) + 1
                if line.strip():
                    yield json.loads(line)
            if over:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the machine has not finished after {seconds} s; {self.last_words()}")
            select.select([], [], [], 0.1)

    def last_words(self):
        return "its console ended with:\n" + self.console.read_text(errors="replace")[-3000:]

    def cut_power(self):
        """As if the plug were pulled: nothing inside is told."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def available():
    """What is missing on this machine to run it, as names of packages."""
    needed = {"qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs"}
    places = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
    return sorted(package for program, package in needed.items() if not any(pathlib.Path(place, program).exists() for place in places))
