"""tools/check_includes.py: which headers and sources it refuses."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/check_includes.py"


class CheckIncludes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def check(self, **files):
        for name, text in files.items():
            stem, ending = name.rsplit("_", 1)
            path = self.root / "src/room" / f"{stem}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-B", TOOL, self.root], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    def test_a_header_includes_what_it_uses(self):
        self.assertEqual(self.check(a_h="#include <string>\nstd::string name();\n")[0], 0)

    def test_a_header_may_get_it_from_another_of_ours(self):
        self.assertEqual(self.check(a_h="#include <string>\n", b_h='#include "room/a.h"\nstd::string name();\n')[0], 0)

    def test_headers_that_include_each_other_end(self):
        self.assertEqual(self.check(a_h='#include "room/b.h"\n#include <string>\n', b_h='#include "room/a.h"\nstd::string name();\n')[0], 0)

    def test_what_is_missing_is_named(self):
        for text, words in (("std::string name();\n", "src/room/a.h: std::string without <string>"),
                            ("json::object value();\n", "src/room/a.h: json:: without an include of"),
                            ("tl::expected<int, int> value();\n", "src/room/a.h: tl::expected without an include of")):
            with self.subTest(text):
                code, said = self.check(a_h=text)
                self.assertEqual(code, 1)
                self.assertIn(words, said)

    def test_comments_and_texts_use_nothing(self):
        self.assertEqual(self.check(a_h='// std::string\n/* std::vector */\nconstexpr auto text = "std::map";\n')[0], 0)

    def test_a_source_names_its_own_header_first(self):
        self.assertEqual(self.check(a_h="int a();\n", a_cpp='#include "room/a.h"\n#include <string>\n')[0], 0)
        code, said = self.check(a_h="int a();\n", a_cpp='#include <string>\n#include "room/a.h"\n')
        self.assertEqual(code, 1)
        self.assertIn("src/room/a.cpp: its own header is not the first", said)


if __name__ == "__main__":
    unittest.main()
