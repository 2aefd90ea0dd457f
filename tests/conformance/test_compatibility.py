"""docs/compatibility.md names what proves each row: every check, test and file that it names must exist."""
import json
import os
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/compatibility.md"


def rows():
    """(line number, fact, verdict, proofs) of every row of the tables."""
    for number, line in enumerate(DOCUMENT.read_text().splitlines(), 1):
        if line.startswith("| ") and not line.startswith("| ---") and not line.startswith("| Fact"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            yield number, cells[0], cells[1] if len(cells) > 1 else "", cells[2] if len(cells) > 2 else ""


class Compatibility(unittest.TestCase):
    def test_every_row_has_a_verdict_and_a_proof(self):
        found = list(rows())
        self.assertGreater(len(found), 100)
        for number, _, verdict, proof in found:
            with self.subTest(line=number):
                self.assertIn(verdict, ("same", "better"))
                self.assertRegex(proof, r"`[^`]+`")

    def test_everything_that_it_names_exists(self):
        listed = subprocess.run([str(ROOT / "tools/conformance"), "--list", "--json"], capture_output=True, text=True, check=True,
                                env={"PATH": os.environ["PATH"]}, timeout=60)
        checks = {check["name"] for check in json.loads(listed.stdout)}
        for number, _, _, proof in rows():
            for name in re.findall(r"`([^`]+)`", proof):
                with self.subTest(line=number, name=name):
                    if name.endswith("/*"):
                        self.assertTrue(any(check.startswith(name[:-1]) for check in checks))
                    elif name.startswith(("tests/", "src/", "sdk/", "openapi/")):
                        self.assertTrue((ROOT / name).is_file())
                    else:
                        self.assertIn(name, checks)


if __name__ == "__main__":
    unittest.main(verbosity=2)
