"""A Debian package as a file: its control fields and contents, and another one that is newer and otherwise the same."""
import pathlib
import shutil
import subprocess


def output(*command):
    return subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True, timeout=900).stdout


def field(package, name):
    return output("dpkg-deb", "--field", package, name).strip()


def entries(package):
    """path -> (mode as ls writes it, owner, size, target of a link)."""
    found = {}
    for line in output("dpkg-deb", "--contents", package).splitlines():
        mode, owner, size, _, _, name = line.split(None, 5)
        name, _, target = name.partition(" -> ")
        found[name.removeprefix(".").rstrip("/") or "/"] = (mode, owner, int(size), target)
    return found


def newer(package, version, folder):
    """The same package under another version."""
    tree = pathlib.Path(folder, "newer")
    output("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in control.read_text().splitlines(keepends=True)))
    made = pathlib.Path(folder, f"newer_{version}.deb")
    output("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, made)
    shutil.rmtree(tree)
    return made
