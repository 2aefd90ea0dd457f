"""What the recorders share: the sandbox that an agent runs in, and one process with its transcript."""
import json
import pathlib
import queue
import subprocess
import threading

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROVIDER = """
python3 /golden/{program} /case/scenario.json /case/requests.jsonl > /case/ready &
while ! [ -s /case/ready ]; do sleep 0.02; done
"""


def box(bwrap, home, workspace, case, binds, env):
    """The words of a bwrap without a network but its own loopback, so a recording holds nothing of this machine."""
    words = [str(bwrap), "--unshare-all", "--die-with-parent", "--new-session", "--hostname", "sandbox",
             "--cap-add", "CAP_NET_BIND_SERVICE", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
             "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    words += ["--bind", str(home), "/home/agent", "--bind", str(workspace), "/workspace", "--bind", str(case), "/case",
              "--ro-bind", str(HERE), "/golden"]
    for source, target in binds:
        words += ["--ro-bind", str(source), target]
    words += ["--chdir", "/workspace", "--clearenv"]
    for key, value in env.items():
        words += ["--setenv", key, value]
    return words


class Agent:
    """One process and its transcript."""

    def __init__(self, words, transcript):
        self.transcript = transcript
        self.asked = 0
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def mark(self, text):
        self.transcript.append("! " + text)

    def send(self, message):
        line = json.dumps(message, separators=(",", ":"))
        self.transcript.append("> " + line)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def next(self):
        line = self.lines.get(timeout=90)
        if line is None:
            return None
        self.transcript.append("< " + line)
        return json.loads(line)

    def kill(self):
        self.process.kill()

    def finish(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        code = self.process.wait(30)
        self.mark(f"end exit {code}" if code >= 0 else f"end signal {-code}")
