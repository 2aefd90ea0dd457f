"""The disk that the virtual machine starts from: Debian's kernel and root as packages give them, our programs, and the units of deploy/systemd.

Kernel and root are made once and kept in the build folder; the disk is made for each run, since the programs change.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = ["systemd", "systemd-sysv", "python3", "util-linux", "kmod", "busybox-static", "ca-certificates"]
# What the first steps of a boot load, until the disk is there; everything else the system loads by itself.
FIRST_MODULES = ["virtio_pci", "virtio_blk", "ext4"]
CODEX = "opt/agents/codex/0.169.0/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"

# The kernel package is unpacked, not installed: its scripts would make an initrd and a boot loader's menu.
GET_KERNEL = """set -e
cd "$1/root"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \\(linux-image-[^ ]*\\)$/\\1/p')
apt-get download "$name"
dpkg-deb -x linux-image-*.deb kernel
mv kernel/lib/modules ../usr/lib/modules
mv kernel/boot/vmlinuz-* ../boot/vmlinuz
rm -r kernel linux-image-*.deb
chroot "$1" depmod "$(ls ../usr/lib/modules)"
"""

# The scripted agent, but for a workspace that asks for an agent that takes memory until it is stopped.
AGENT = """#!/bin/sh
if [ "$1" != --version ] && [ -e /workspace/hog ]; then exec python3 -c 'b=bytearray(b"x"*(400<<20))'; fi
exec "${0%/*}/scripted" "$@"
"""

FIRST_PROGRAM = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t proc none /proc
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module || echo "cannot load $module"; done
n=0
while ! /bin/busybox mount -t ext4 /dev/vda /root 2>/dev/null; do
  n=$((n + 1)); [ $n -lt 600 ] || { echo "no disk"; /bin/busybox poweroff -f; }
  /bin/busybox usleep 100000
done
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


def run(*command, **more):
    subprocess.run([str(part) for part in command], check=True, **more)


def base_archive(cache):
    """The root as a tar archive, made anew when the list of packages or the recipe changes."""
    recipe = repr((SUITE, MIRROR, PACKAGES, GET_KERNEL))
    archive = cache / f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if not archive.exists():
        print(f"making the root from Debian's packages ({archive.name}): some minutes, once", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        hook = cache / "get-kernel"
        hook.write_text("#!/bin/sh\n" + GET_KERNEL)
        hook.chmod(0o755)
        part = archive.with_suffix(".part")
        run("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}", f"--customize-hook={hook}", SUITE, part, MIRROR)
        part.rename(archive)
    return archive


def shared_libraries(program):
    """Where the loader finds what `program` is linked with."""
    listing = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
    if "not found" in listing:
        raise RuntimeError(f"{program} lacks libraries here:\n{listing}")
    return [pathlib.Path(word) for line in listing.splitlines() for word in line.split() if word.startswith("/")]


def put_program(tree, source, place):
    target = tree / place
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    target.chmod(0o755)
    for library in shared_libraries(source):
        inside = tree / "usr/lib/x86_64-linux-gnu" / library.name
        if not inside.exists() and not (tree / "usr/lib64" / library.name).exists():
            shutil.copy(library.resolve(), inside)


def put_units(tree):
    for path in sorted((ROOT / "deploy/systemd").iterdir()):
        if path.name.endswith((".service", ".sysusers")):
            folder = "etc/systemd/system" if path.suffix == ".service" else "usr/lib/sysusers.d"
            shutil.copy(path, tree / folder / path.name.replace(".sysusers", ".conf"))
    run("chroot", tree, "systemd-sysusers")
    tests = tree / "etc/systemd/system/vm-tests.service"
    tests.write_text("[Unit]\nDescription=Tests\nAfter=basic.target\n[Service]\nType=oneshot\nStandardOutput=journal+console\n"
                     "TimeoutStartSec=infinity\nExecStart=/usr/bin/python3 -B /opt/vm/inside.py\nExecStopPost=/usr/bin/systemctl --no-block poweroff\n")
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / tests.name).symlink_to(f"../{tests.name}")
    # Devices are the kernel's own here: nothing waits for a terminal or a network.
    for name in ("getty@tty1.service", "serial-getty@ttyS0.service", "systemd-timesyncd.service", "apt-daily.timer", "apt-daily-upgrade.timer",
                 "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer"):
        link = tree / "etc/systemd/system" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (tree / "etc/hostname").write_text("vm\n")
    (tree / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")


def module_order(tree):
    """Files of FIRST_MODULES and all that they need, each behind its needs."""
    folder = next((tree / "usr/lib/modules").iterdir())
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        name, rest = line.split(":", 1)
        needs[pathlib.Path(name).name.split(".")[0].replace("-", "_")] = (name, rest.split())
    order = []
    for module in FIRST_MODULES:
        if module in needs:  # others are part of the kernel
            name, before = needs[module]
            order += [path for path in [*reversed(before), name] if path not in order]
    return folder, order


def cpio_entry(name, mode, data=b"", device=(0, 0)):
    encoded = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def make_initramfs(tree, target):
    folder, order = module_order(tree)
    parts = [cpio_entry(name, 0o40755) for name in ("dev", "proc", "root", "bin", "modules")]
    parts += [cpio_entry("dev/console", 0o20600, device=(5, 1)), cpio_entry("bin/busybox", 0o100755, (tree / "bin/busybox").read_bytes()),
              cpio_entry("init", 0o100755, FIRST_PROGRAM.encode()),
              cpio_entry("modules/order", 0o100644, "\n".join(pathlib.Path(path).name for path in order).encode())]
    parts += [cpio_entry(f"modules/{pathlib.Path(path).name}", 0o100644, (folder / path).read_bytes()) for path in order]
    target.write_bytes(b"".join(parts) + cpio_entry("TRAILER!!!", 0))


def make_disk(work, cache, programs):
    """work/disk.img, work/vmlinuz, work/initramfs. `programs`: name -> path, of agentrouter, scripted_agent and sandbox_test."""
    archive = base_archive(cache)
    tree = work / "tree"
    tree.mkdir()
    run("tar", "-xf", archive, "-C", tree, "--numeric-owner")
    put_program(tree, programs["agentrouter"], "usr/bin/agentrouter")
    put_program(tree, programs["agentrouter-git"], "usr/bin/agentrouter-git")
    put_program(tree, programs["scripted_agent"], pathlib.Path(CODEX).with_name("scripted"))
    (tree / CODEX).write_text(AGENT)
    (tree / CODEX).chmod(0o755)
    (tree / "srv/hog").mkdir(mode=0o755)
    (tree / "srv/hog/hog").touch()
    put_program(tree, programs["sandbox_test"], "opt/vm/sandbox_test")
    for name in ("inside.py", "services.py"):
        shutil.copy(pathlib.Path(__file__).with_name(name), tree / "opt/vm" / name)
    shutil.copy(ROOT / "deploy/systemd/as-root.conf", tree / "opt/vm")
    put_units(tree)
    run("chroot", tree, "ldconfig")
    shutil.copy(tree / "boot/vmlinuz", work / "vmlinuz")
    make_initramfs(tree, work / "initramfs")
    disk = work / "disk.img"
    with open(disk, "wb") as file:
        os.truncate(file.fileno(), 3 << 30)
    run("mkfs.ext4", "-q", "-d", tree, "-E", "lazy_itable_init=1,lazy_journal_init=1", disk)
    shutil.rmtree(tree)
