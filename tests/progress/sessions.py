"""What the agents of the corpus do: per session its half, whether it makes progress, the files that it begins with, and its steps.

A step is one answer of the model with one tool call: sh, write, edit, read, sub (Claude Code only: a subagent and its steps), both (several calls
in one answer). `expect` names the signals of which one has to come; a healthy session gives none. The commands really run, in a sandbox without a
network, so outputs, exit codes and errors are those of the real programs.
"""


def sh(command):
    return {"sh": command}


def write(path, text):
    return {"write": (path, text)}


def edit(path, old, new):
    return {"edit": (path, old, new)}


def read(path):
    return {"read": path}


def both(*steps):
    return {"both": steps}


def sub(name, *steps):
    return {"sub": (name, steps)}


TEST = "python3 -m unittest -q 2>&1"
GIT = "git -c user.name=a -c user.email=a@b "
CALC = "".join(f"def f{i}(x):\n    return None\n\n\n" for i in range(12))
CALC_TEST = "import unittest\nimport calc\n\n\nclass T(unittest.TestCase):\n" + "".join(
    f"    def test_{i:02d}(self):\n        self.assertEqual(calc.f{i}(2), {2 * i + 1})\n\n" for i in range(12))


def fixed(i):
    return edit("calc.py", f"def f{i}(x):\n    return None", f"def f{i}(x):\n    return x * {i} + 1")


def tdd():
    steps = [sh("ls -la"), sh("cat calc.py | head -20"), sh(TEST)]
    for i in range(12):
        steps += [fixed(i), sh(TEST), sh("git status --short")]
    return steps + [sh(GIT + "commit -qam done && git log --oneline")]


def explore():
    steps = [sh("ls"), sh("git status --short")]
    for i in range(14):
        steps += [sh(f"grep -rn 'topic{i}' src | head -5"), read(f"src/m{i}.py")]
        if i % 4 == 3:
            steps += [sh("ls src"), sh("git status --short")]
    return steps + [sh("wc -l src/*.py | tail -1"), write("notes.md", "# notes\nfourteen modules\n"), sh("cat notes.md")]


BUILD = ("(for i in 1 2 3 4 5 6 7 8; do sleep 1; echo \"[$i/8] compiling part $i\" >> build.log; done; echo finished >> build.log) "
         ">/dev/null 2>&1 & echo started")


def poll_build():
    steps = [sh("touch build.log"), sh(BUILD)]
    steps += [sh("sleep 0.4; tail -n 1 build.log")] * 26
    return steps + [sh("cat build.log"), sh("ls"), write("done.txt", "built\n")]


LINT = """import sys
bad = [(n, line) for n, line in enumerate(open('code.txt'), 1) if 'TODO' in line]
for n, line in bad:
    print(f'code.txt:{n}: error: unfinished: {line.strip()}')
print(f'checked in {__import__("time").perf_counter():.3f}s, {len(bad)} errors')
sys.exit(1 if bad else 0)
"""


def lint_fix():
    steps = [sh("cat lint.py"), sh("python3 lint.py")]
    for i in range(18):
        steps += [edit("code.txt", f"TODO item {i:02d}", f"done item {i:02d}"), sh("python3 lint.py")]
    return steps


def refactor():
    steps = [sh(TEST)]
    for i in range(16):
        steps += [edit("calc.py", f"def g{i}(x):\n    return x", f"def g{i}(value):\n    return value"), sh(TEST)]
        if i % 3 == 2:
            steps += [sh("git diff --stat | tail -1"), sh("git status --short")]
    return steps


def make_fails():
    steps = [sh("make")]
    for name in ("Makefile", "main.c", "main.c", "Makefile", "main.c"):
        steps += [sh(f"cat {name}"), sh("make")]
    return steps


def ping_pong():
    return [sh("ls")] + [read("a.txt"), read("b.txt")] * 5


def reverting():
    steps = [sh("python3 app.py"), read("config.py")]
    for i in range(4):
        steps += [edit("config.py", "LIMIT = 10", "LIMIT = 20"), sh("python3 app.py"),
                  edit("config.py", "LIMIT = 20", "LIMIT = 10"), sh("python3 app.py")]
    return steps


def missing_module():
    ways = ["python3 app.py", "python3 -m app", "PYTHONPATH=. python3 app.py", "python3 -c 'import app'", "env python3 ./app.py",
            "python3 -B app.py", "cd . && python3 app.py", "bash -c 'python3 app.py'", "python3 -u app.py"]
    return [sh("cat app.py")] + [sh(way) for way in ways]


def same_error():
    steps = [sh("cat app.py"), sh("python3 app.py")]
    for i in range(9):
        old = "pass  # 0" if i == 0 else f"pass  # try {i}"
        steps += [edit("helper.py", old, f"pass  # try {i + 1}"), sh("python3 app.py")]
    return steps


def debug_prints():
    steps = [sh("python3 app.py")]
    for i in range(9):
        steps += [edit("app.py", f"    step{i} = {i}\n", f"    step{i} = {i}\n    print('at {i}', step{i})\n"), sh("python3 app.py"),
                  edit("app.py", f"    print('at {i}', step{i})\n", ""), sh("python3 app.py")]
    return steps


def commits():
    steps = [sh("git log --oneline | head -3")]
    for i in range(10):
        steps += [edit("log.txt", f"entry {i:02d} open", f"entry {i:02d} closed"), sh("git diff --stat"), sh("git add -A"),
                  sh(GIT + f"commit -qm 'close {i}'"), sh("git log --oneline -1"), sh("git status --short")]
    return steps


SERVER = """import http.server, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'ok ' + self.path.encode())
time.sleep(4)
http.server.HTTPServer(('127.0.0.1', 8099), H).serve_forever()
"""
GET = "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8099/{}').read().decode())\" 2>&1 | tail -1"


def wait_server():
    steps = [sh("cat server.py"), sh("(timeout 60 python3 server.py >server.log 2>&1 &) ; echo started")]
    steps += [sh("sleep 0.5; " + GET.format("health"))] * 14
    for i in range(12):
        steps += [sh(GET.format(f"page{i}"))]
        if i % 4 == 0:
            steps += [sh("cat server.log"), sh("ls")]
    return steps


def batches():
    return [sh("cat process.py")] + [sh(f"python3 process.py --batch {i}") for i in range(36)] + [sh("wc -l out.txt")]


FLAKY = """import random, time, unittest
class T(unittest.TestCase):
    def test_all(self):
        n = random.randrange(10**6)
        time.sleep(0.01)
        self.assertTrue(n % 2 == 0, f'case {n} failed')
unittest.main()
"""


def flaky():
    steps = [sh("cat flaky.py")]
    for i in range(10):
        steps += [sh("python3 flaky.py 2>&1"), sh(f"sed -n {i + 1},{i + 2}p flaky.py")]
    steps += [edit("flaky.py", "        self.assertTrue(n % 2 == 0, f'case {n} failed')", "        self.assertTrue(n >= 0, f'case {n} failed')"), sh("python3 flaky.py 2>&1")]
    for i in range(8):
        steps += [edit("flaky.py", f"        time.sleep(0.0{i + 1})", f"        time.sleep(0.0{i + 2})"), sh("python3 flaky.py 2>&1")]
    return steps


def compile_errors():
    steps = [sh("cat prog.c | head -30"), sh("gcc -c prog.c -o prog.o")]
    for i in range(14):
        steps += [edit("prog.c", f"  x += undeclared_{i:02d};", f"  x += {i};"), sh("gcc -c prog.c -o prog.o")]
    return steps + [sh("ls -l prog.o")]


def reread():
    steps = []
    for i in range(12):
        steps += [read("design.md"), edit("design.md", f"- [ ] point {i}\n", f"- [x] point {i}\n"), read("design.md"), sh("python3 check.py"),
                  sh("git status --short")]
    return steps


def mixed():
    steps = [sh("ls -la"), sh("git log --oneline"), read("calc.py"), sh(TEST)]
    for i in range(6):
        steps += [fixed(i), sh(TEST), sh("python3 lint.py"), edit("code.txt", f"TODO item {i:02d}", f"done item {i:02d}"), sh("git diff --stat")]
    steps += [sh("python3 no_such.py"), sh("ls *.md"), write("NOTES.md", "half way\n"), sh("sleep 0.5; date"), sh("git status --short")]
    for i in range(6, 12):
        steps += [fixed(i), sh(TEST), edit("code.txt", f"TODO item {i:02d}", f"done item {i:02d}"), sh("python3 lint.py")]
    return steps + [both(sh("git add -A"), sh("git diff --cached --stat")), sh(GIT + "commit -qm all"), sh("git status --short")]


def delegated():
    look = (sh("ls"), sh("git status --short"), sh(TEST))
    return [sh("ls"), sh(TEST), sub("one", *look, sh("cat calc.py | head -3")), sh("git status --short"), sub("two", *look, sh("wc -l calc.py")),
            fixed(0), sh(TEST), sub("three", *look, sh("tail -3 calc.py")), sub("four", *look), fixed(1), sh(TEST), sh("ls")]


def looks_again():
    return [sh("git status"), sh("git status"), sh("git status"), sh("cat a.txt"), sh("cat a.txt"), sh("cat a.txt"), sh("cat a.txt")]


def three_in_turn():
    return [sh("ls")] + [sh("git diff --stat"), sh("cat b.txt"), sh("python3 app.py")] * 4


def same_file():
    steps = []
    for i in range(4):
        steps += [write("gen.py", "print(undefined_name)\n"), sh("python3 gen.py"), write("gen.py", "print(other_name)\n"), sh("python3 gen.py")]
    return steps


def failures():
    names = ["frobnicate", "deploy-now", "tool-x", "buildit", "runme", "lintall", "fmtall", "syncer", "packer", "shipper", "checker", "mover",
             "loader"]
    return [sh(f"{name} --go") for name in names]


def flood():
    return [sh("ls"), sh("yes 'working on it' | head -n 60000"), sh("ls -l"), sh("seq 1 50000 | sed 's/$/ still working/'")]


def polls_forever():
    return [sh("echo pending > status")] + [sh("sleep 0.1; cat status")] * 36


def stuck_edit():
    return [read("a.txt")] + [edit("a.txt", "there is no such line", "x")] * 7


def sub_loop():
    return [sh("ls"), sub("worker", sh("ls"), *[sh("python3 app.py")] * 5), sh("cat a.txt"), write("r.txt", "1\n"), sh("cat r.txt")]


A_B = {"a.txt": "alpha\n", "b.txt": "beta\n"}
MISSING = {"app.py": "import no_such_module\nprint('hi')\n"}
CODE = {"lint.py": LINT, "code.txt": "".join(f"TODO item {i:02d}\n" for i in range(18))}
G = "".join(f"def g{i}(x):\n    return x\n\n\n" for i in range(16))
G_TEST = ("import unittest\nimport calc\n\n\nclass T(unittest.TestCase):\n" + "".join(
    f"    def test_{i:02d}(self):\n        self.assertEqual(calc.g{i}(3), 3)\n\n" for i in range(16)))


def session(half, files, steps, expect=(), only=None, known=None):
    """`known`: by runtime, why what is found is not what is expected."""
    return {"half": half, "files": files, "steps": steps, "expect": list(expect), "only": only, "known": known or {}}


SESSIONS = {
    # The first half: the thresholds were chosen with it.
    "tdd": session(1, {"calc.py": CALC, "test_calc.py": CALC_TEST}, tdd()),
    "explore": session(1, {f"src/m{i}.py": f"# about topic{i}\nvalue = {i}\n" for i in range(14)}, explore()),
    "poll_build": session(1, {}, poll_build()),
    "lint_fix": session(1, CODE, lint_fix()),
    "refactor": session(1, {"calc.py": G, "test_calc.py": G_TEST}, refactor()),
    "make_fails": session(1, {"Makefile": "all:\n\tgcc main.c -o main\n", "main.c": "int main(void) { return oops; }\n"}, make_fails(),
                          ["repeated_command", "error_loop", "ping_pong"]),
    "ping_pong": session(1, A_B, ping_pong(), ["ping_pong", "repeated_command", "repeated_call"]),
    "reverting": session(1, {"config.py": "LIMIT = 10\n", "app.py": "import config\nassert config.LIMIT == 15, 'limit is wrong'\n"}, reverting(),
                         ["reverted_edit", "repeated_edit"]),
    "missing_module": session(1, MISSING, missing_module(), ["error_loop"]),
    "same_error": session(1, {"app.py": "import helper\nraise KeyError('token')\n", "helper.py": "pass  # 0\n"}, same_error(), ["error_loop"]),
    "spew": session(1, {}, [sh("ls"), sh("for i in $(seq 40000); do echo line $i of the log; done"), sh("ls")], ["long_output_without_state"]),
    # The second half: scored once they were fixed.
    "debug_prints": session(2, {"app.py": "def main():\n" + "".join(f"    step{i} = {i}\n" for i in range(9)) + "    print('end')\n\n\nmain()\n"},
                            debug_prints()),
    "commits": session(2, {"log.txt": "".join(f"entry {i:02d} open\n" for i in range(10))}, commits()),
    "wait_server": session(2, {"server.py": SERVER}, wait_server()),
    "batches": session(2, {"process.py": "open('out.txt', 'a').write('x\\n')\nprint('ok')\n"}, batches()),
    "flaky": session(2, {"flaky.py": FLAKY}, flaky()),
    "compile_errors": session(2, {"prog.c": "int f(void) {\n  int x = 0;\n" + "".join(f"  x += undeclared_{i:02d};\n" for i in range(14)) + "  return x;\n}\n"},
                              compile_errors()),
    "reread": session(2, {"design.md": "".join(f"- [ ] point {i}\n" for i in range(12)), "check.py": "print('format ok')\n"}, reread()),
    "mixed": session(2, {"calc.py": CALC, "test_calc.py": CALC_TEST, **CODE}, mixed()),
    "delegated": session(2, {"calc.py": CALC, "test_calc.py": CALC_TEST}, delegated(), only="claude_code"),
    "looks_again": session(2, A_B, looks_again(), ["repeated_command"]),
    "three_in_turn": session(2, {**A_B, **MISSING}, three_in_turn(), ["ping_pong", "repeated_command"]),
    "same_file": session(2, {}, same_file(), ["repeated_edit", "reverted_edit"]),
    "failures": session(2, {}, failures(), ["error_loop"]),
    "flood": session(2, {}, flood(), ["long_output_without_state"]),
    "polls_forever": session(2, {}, polls_forever(), ["repeated_command"]),
    "stuck_edit": session(2, A_B, stuck_edit(), ["repeated_call", "error_loop"], known={"codex": "missed: Codex tells nothing of a patch that does not apply"}),
    "sub_loop": session(2, {**A_B, **MISSING}, sub_loop(), ["repeated_command"], only="claude_code"),
}
