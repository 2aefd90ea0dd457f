"""tools/openapi_json.py: what becomes of a YAML document in the program."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/openapi_json.py"


class OpenapiJson(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tool(self, text, target="out.json"):
        source = self.folder / "in.yaml"
        source.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-B", TOOL, source, self.folder / target], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    def converted(self, text):
        self.assertEqual(self.run_tool(text), (0, ""))
        return json.loads((self.folder / "out.json").read_text(encoding="utf-8"))

    def refused(self, text, words, target="out.json"):
        code, said = self.run_tool(text, target)
        self.assertEqual(code, 1)
        self.assertIn(words, said)
        self.assertFalse((self.folder / target).exists())

    def test_scalars_are_those_of_yaml_1_2(self):
        self.assertEqual(self.converted("a: on\nb: yes\nc: 2026-01-05T09:30:00Z\nd: 2026-01-05\ne: 0x10\nf: 1_000\ng: 010\nh: 1:30\n"),
                         {"a": "on", "b": "yes", "c": "2026-01-05T09:30:00Z", "d": "2026-01-05", "e": "0x10", "f": "1_000", "g": 10, "h": "1:30"})
        self.assertEqual(self.converted("[true, False, -7, 1.5, null, ~, '200', \"1\"]"), [True, False, -7, 1.5, None, None, "200", "1"])

    def test_text_stays_as_it_is(self):
        self.assertEqual(self.converted("a: 'caf\u00e9 \U0001f600'\nb: |\n  two\n  lines\n"), {"a": "caf\u00e9 \U0001f600", "b": "two\nlines\n"})

    def test_a_status_is_a_key_of_text_when_it_is_quoted(self):
        self.assertEqual(list(self.converted("'200': {}\n'404': {}\n")), ["200", "404"])

    def test_anchors_and_merges(self):
        self.assertEqual(self.converted("a: &a {x: 1}\nb: {<<: *a, y: 2}\n")["b"], {"x": 1, "y": 2})

    def test_a_key_that_occurs_twice_is_an_error_with_its_place(self):
        self.refused("paths:\n  /a: 1\n  /b: 2\n  /a: 3\n", "the key '/a' occurs twice")
        self.assertIn("line 4", self.run_tool("paths:\n  /a: 1\n  /b: 2\n  /a: 3\n")[1])

    def test_broken_yaml_is_an_error(self):
        self.refused("a: [1, 2\n", "openapi_json: ")
        self.refused("a: !!python/object/apply:os.getcwd []\n", "openapi_json: ")

    def test_the_source_holds_the_document_whole_in_pieces_that_a_compiler_takes(self):
        text = "text: '" + "\u00e9\\\\n\"" * 9000 + "'\n"
        document = json.dumps(self.converted(text), ensure_ascii=False, separators=(",", ":"))
        self.assertEqual(self.run_tool(text, "out.cpp"), (0, ""))
        source = (self.folder / "out.cpp").read_text(encoding="utf-8")
        pieces = re.findall(r'R"OPENAPI\((.*?)\)OPENAPI"', source, re.S)
        self.assertEqual("".join(pieces), document)
        self.assertGreater(len(pieces), 3)
        self.assertLess(max(len(piece.encode()) for piece in pieces), 65536)
        self.assertIn("std::string_view openapi_document() {", source)

    def test_a_document_that_would_end_the_literal_is_refused(self):
        self.refused("text: 'x)OPENAPI'\n", "openapi_json: ", "out.cpp")

    def test_the_document_of_the_product(self):
        document = self.converted((ROOT / "openapi/openapi.yaml").read_text(encoding="utf-8"))
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertIn("/v1/runs/{runId}/messages", document["paths"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
