"""The Debian package as a file: made twice it is the same, lintian finds no fault, and what is in it fits what it says."""
import configparser
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import deb  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = ("agentrouter", "agentrouter-api", "agentrouter-worker")


def make():
    return pathlib.Path(deb.output(ROOT / "tools/package", "--built").strip().splitlines()[-1])


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.package = make()
        cls.entries = deb.entries(cls.package)

    def file(self, path):
        return deb.output("sh", "-c", f"dpkg-deb --fsys-tarfile {self.package} | tar -xO .{path}")

    def test_the_same_sources_make_the_same_package(self):
        first = hashlib.sha256(self.package.read_bytes()).hexdigest()
        self.assertEqual(hashlib.sha256(make().read_bytes()).hexdigest(), first)

    def test_lintian_finds_no_fault(self):
        done = subprocess.run(["lintian", "--no-cfg", "--fail-on", "error,warning", "--allow-root", str(self.package)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_it_needs_what_its_programs_are_linked_with_and_nothing_of_a_compiler(self):
        needs = deb.field(self.package, "Depends")
        for package in ("libc6", "libstdc++6", "libssl3", "libsqlite3-0", "libsodium23", "ca-certificates"):
            self.assertRegex(needs, rf"(^|, ){re.escape(package)}\b")
        self.assertNotRegex(needs, r"-dev\b|clang|cmake")

    def test_files_are_roots_and_only_where_a_package_may_put_them(self):
        for path, (mode, owner, _, _) in self.entries.items():
            self.assertEqual(owner, "root/root", path)
            self.assertTrue(path in ("/", "/usr", "/etc") or path.startswith(("/usr/bin", "/usr/lib/", "/usr/share", "/etc/agentrouter")) or path == "/usr/lib", path)
            if not mode.startswith("l"):
                self.assertIn(mode, ("drwxr-xr-x", "-rwxr-xr-x" if path.startswith("/usr/bin/") else "-rw-r--r--"), path)

    def test_it_has_programs_units_manual_completions_and_a_configuration_that_is_kept(self):
        for path in ("/usr/bin/agentrouter", "/usr/bin/agentrouter-git", "/usr/lib/sysusers.d/agentrouter.conf", "/usr/lib/tmpfiles.d/agentrouter.conf",
                     "/usr/share/man/man1/agentrouter.1.gz", "/usr/share/bash-completion/completions/agentrouter", "/usr/share/zsh/vendor-completions/_agentrouter",
                     "/usr/share/fish/vendor_completions.d/agentrouter.fish", "/usr/share/doc/agentrouter/operating.md", "/usr/share/doc/agentrouter/copyright",
                     *(f"/usr/lib/systemd/system/{name}.service" for name in SERVICES)):
            self.assertIn(path, self.entries)
        self.assertEqual(deb.output("dpkg-deb", "--info", self.package, "conffiles").split(), ["/etc/agentrouter/agentrouter.toml"])

    def test_the_manual_has_every_command(self):
        manual = deb.output("sh", "-c", f"dpkg-deb --fsys-tarfile {self.package} | tar -xO ./usr/share/man/man1/agentrouter.1.gz | gzip -dc")
        for command in ("RUN", "SERVE", "DOCTOR", "BACKUP", "APPROVALS"):
            self.assertIn(f".SH {command}\n", manual)

    def test_what_units_start_is_in_the_package_and_takes_their_flags(self):
        program = os.environ["AGENTROUTER_PROGRAM"]
        for name in SERVICES:
            unit = configparser.RawConfigParser(strict=False, interpolation=None)
            unit.optionxform = str
            unit.read_string(self.file(f"/usr/lib/systemd/system/{name}.service"))
            words = unit["Service"]["ExecStart"].split()
            self.assertIn(words[0], self.entries)
            self.assertIn(words[words.index("--config") + 1], self.entries)
            flags = [ROOT / "deploy/debian/agentrouter.toml" if word == "/etc/agentrouter/agentrouter.toml" else word for word in words[1:]]
            shown = tomllib.loads(deb.output(program, *flags, "--print-config"))
            self.assertEqual((shown["data"], shown["role"]), (f"/var/lib/{name}", name.partition("-")[2] or "all"))

    def test_every_key_of_the_configuration_it_comes_with_is_one(self):
        text = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", self.file("/etc/agentrouter/agentrouter.toml"))
        text = re.sub(r'(?m)^api_key_file = .*\n', "", text)  # files that are not there
        config = pathlib.Path(os.environ.get("TMPDIR", "/tmp"), f"agentrouter-package-{os.getpid()}.toml")
        config.write_text(text)
        try:
            shown = tomllib.loads(deb.output(os.environ["AGENTROUTER_PROGRAM"], "serve", "--config", config, "--print-config"))
            self.assertEqual(shown["workspace_roots"], ["/srv/repositories"])
        finally:
            config.unlink()

    def test_scripts_are_ones_that_any_shell_reads(self):
        for name in ("postinst", "prerm", "postrm"):
            subprocess.run(["dash", "-n", str(ROOT / "deploy/debian" / name)], check=True)
            self.assertIn("set -e", deb.output("dpkg-deb", "--info", self.package, name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
