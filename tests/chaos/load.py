"""The load: customers who ask for runs, talk to them, fork, cancel and retry, and people who decide about actions.

Every run has words of its own. A word is put into the run's workspace (or told to a server outside of the sandbox) by one action of its agent, so that
the workspace says afterwards what happened and how often: `free` may happen without being asked about, `yes` and `no` are approved and denied,
`never` is left to its deadline, `both` is approved and denied at the same moment.
"""
import heapq
import json
import random
import re
import select
import socket
import threading
import time

from client import Away
from harness import KEY

WORD = re.compile(r"\b(?:free|yes|no|never|both)-[0-9a-f]{12}\b")
END = re.compile(rb"^event: run\.(completed|failed|cancelled)$", re.MULTILINE)
SETTLED = {"run_not_active", "approval_not_pending", "approval_not_requested", "approval_already_decided", "action_digest_mismatch"}
NOT_TO_START = "say This should not start."
SOON = 0.03


def wait(seconds):
    select.select([], [], [], seconds)


class Customer(threading.Thread):
    """Does one thing after the other until `over`; everything that it was told is in the history."""

    def __init__(self, site, api, history, seed, number, over, announce):
        super().__init__(name=f"{site.name} customer {number}", daemon=True)
        self.site, self.api, self.history, self.over, self.announce = site, api, history, over, announce
        self.random = random.Random(f"{seed} {site.name} {number}")
        self.known, self.error = [], None

    def run(self):
        try:
            while not self.over.is_set():
                self.random.choices(list(THINGS), list(THINGS.values()))[0](self)
                wait(self.site.pause * self.random.random())
        except BaseException as error:
            self.error = error

    # Asking.
    def note(self, what, **fields):
        return self.history.add(what, site=self.site.name, **fields)

    def word(self, kind):
        return f"{kind}-{self.random.getrandbits(48):012x}"

    def ask(self, how, path, body, about=None, may_end=("completed",), keyed=True, times=1, **more):
        """The run that it makes, or None. With a key it is asked for until there is an answer; `times`: so often at the same moment."""
        op, key = self.history.op(), f"key-{self.random.getrandbits(64):016x}" if keyed else None
        text = body.get("task") or body.get("message")
        self.note("asked", op=op, how=how, key=key, about=about, task=text, words=WORD.findall(text), may_end=list(may_end), body=body,
                  **more)
        others = [threading.Thread(target=self._ask, args=(op, path, body, key)) for _ in range(times - 1)]
        for one in others:
            one.start()
        run = self._ask(op, path, body, key)
        for one in others:
            one.join()
        if run:
            self.announce(run)
        return run

    def _ask(self, op, path, body, key):
        while True:
            try:
                reply = self.api.send("POST", path, body, key)
            except Away:
                self.note("unanswered", op=op)
                if not key:
                    return None
                wait(SOON)
                continue
            if reply.status == 503 or reply.code() == "idempotency_in_progress":
                wait(4 * SOON)
                continue
            value = reply.json()
            run = value.get("runId") or value.get("id")
            self.note("answered", op=op, status=reply.status, run=run, code=reply.code())
            return run if reply.status in (200, 201, 202) else None

    def create(self, *steps, may_end=("completed",), keyed=None, times=1, **fields):
        task = "\n".join(f"sim: {step}" for step in steps)
        keyed = self.random.random() < 0.8 if keyed is None else keyed
        return self.ask("create", "/v1/runs", {"task": task, **fields}, may_end=may_end, keyed=keyed, times=times)

    def until_answered(self, method, path, body=None):
        """For what may be done twice. The reply, once it is not "later"."""
        while True:
            try:
                reply = self.api.send(method, path, body)
                if reply.status != 503:
                    return reply
            except Away:
                pass
            wait(SOON)

    def follow(self, run):
        """Until the run has ended."""
        while True:
            seen = b""
            try:
                with socket.create_connection(self.site.address, timeout=60) as stream:
                    stream.sendall(f"GET /v1/runs/{run}/stream?follow=true HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
                    while data := stream.recv(1 << 16):
                        seen = seen[-200:] + data
                        if END.search(seen):
                            return
            except OSError:
                pass
            wait(SOON)

    def remember(self, run):
        self.known = [*self.known[-20:], run]

    # What an agent is asked to do.
    def evidence(self, kind, runtime="codex"):
        return f"sh echo {self.word(kind)} >> evidence.txt"

    def filler(self):
        return self.random.choice((
            "say Working.", "sleep 0.3", "sleep 1", "sh for i in $(seq 60); do echo $i > f$i; done", "sh seq 3000", "sh head -c 400000 /dev/zero > big",
            "write notes.md some\\nnotes\\n", "sh mkdir -p a/b && ln -sf ../x a/b/link", '''sh (trap "" TERM INT; sleep 600) >/dev/null 2>&1 & echo left''',
            "sh exit 3"))

    def steps(self, number=2):
        return [step for _ in range(number) for step in (self.filler(), self.evidence("free"))][self.random.randrange(2):]

    # The things that customers do.
    def plain(self):
        run = self.create(*self.steps(), "reply Done.")
        if run:
            self.follow(run)
            self.remember(run)

    def claude(self):
        run = self.create(self.evidence("free"), "say Halfway.", self.evidence("free"), "reply Done.",
                          runtime={"kind": "claude_code", "permissionMode": "bypassPermissions"})
        if run:
            self.follow(run)

    def twice(self):
        """One key from three connections at once, and once more after the end."""
        run = self.create(*self.steps(1), "reply Once.", keyed=True, times=3)
        if run:
            self.follow(run)

    def approvals(self, runtime=None):
        kinds = [self.random.choice(("yes", "yes", "no", "both")) for _ in range(self.random.randint(1, 4))]
        late = self.random.random() < 0.1
        if late:
            kinds.append("never")
        fields = {"approvalTimeoutSeconds": 3} if late else {}
        steps = [self.evidence(kind) for kind in kinds]
        if not self.site.scripted and self.random.random() < 0.7:
            fields["mcp"] = ["far"]
            steps.insert(self.random.randrange(len(steps)), 'mcp far note {"text": "%s"}' % self.word(self.random.choice(("yes", "no"))))
        if runtime:
            fields["runtime"] = runtime
        run = self.create(*steps, "reply Decided.", approvalScope="action", approvalMode="manual",
                          may_end=("completed", "approval_expired") if late else ("completed",), **fields)
        if run:
            self.follow(run)

    def claude_approvals(self):
        self.approvals({"kind": "claude_code"})

    def launch(self):
        """Only the start of the agent is asked about."""
        kind = self.random.choice(("yes", "yes", "no"))
        run = self.create(self.evidence(kind), NOT_TO_START if kind == "no" else "say Let me.", "reply Started.", approvalMode="manual",
                          may_end=("completed",) if kind == "yes" else ("approval_denied",))
        if run:
            self.follow(run)

    def conversation(self):
        run = self.create(*self.steps(1), "reply One.")
        for turn in range(self.random.randint(1, 3)):
            if not run or self.over.is_set():
                return
            self.follow(run)
            self.remember(run)
            message = "\n".join(f"sim: {s}" for s in (*self.steps(1), "sh sort evidence.txt | uniq -d", f"reply Turn {turn + 2}."))
            run = self.ask("message", f"/v1/runs/{run}/messages", {"message": message}, about=run)
        if run:
            self.follow(run)

    def fork(self):
        if not self.known:
            return
        origin = self.random.choice(self.known)
        message = "\n".join(f"sim: {s}" for s in (*self.steps(1), "reply Forked."))
        run = self.ask("fork", f"/v1/runs/{origin}/fork", {"message": message}, about=origin, keyed=self.random.random() < 0.7)
        if run:
            self.follow(run)
            self.remember(run)

    def cancel(self):
        last = "hang" if self.site.scripted and self.random.random() < 0.5 else "sleep 20"
        run = self.create(*self.steps(1), '''sh (trap "" TERM INT; sleep 600) >/dev/null 2>&1 & echo deaf''', last, "reply Too late.", keyed=True,
                          may_end=("cancelled",))
        if not run:
            return
        wait(self.random.random() * 2.5)
        for _ in range(self.random.choice((1, 1, 2))):
            reply = self.until_answered("POST", f"/v1/runs/{run}/cancel", {})
            self.note("cancelled", run=run, state=reply.json().get("status"), status=reply.status)
        self.follow(run)

    def cancel_anything(self):
        """Whatever the run is doing, or has done."""
        run = self.create(*self.steps(1), "reply Perhaps.", keyed=True, may_end=("completed", "cancelled"))
        if not run:
            return
        wait(self.random.random() * 1.2)
        reply = self.until_answered("POST", f"/v1/runs/{run}/cancel", {})
        self.note("cancelled", run=run, state=reply.json().get("status"), status=reply.status)
        self.follow(run)
        self.remember(run)

    def close(self):
        """A conversation is closed, now and then while its turn goes on."""
        early = self.random.random() < 0.4
        run = self.create(*self.steps(1), "reply Closed.", keyed=True, may_end=("completed", "cancelled") if early else ("completed",))
        if not run:
            return
        if not early:
            self.follow(run)
        reply = self.until_answered("POST", f"/v1/runs/{run}/close", {})
        if reply.status == 200:
            self.note("closed", run=run)
        self.follow(run)

    def workspace(self):
        """A folder, a repository or an upload to work on, and its files read while and after that."""
        kind = self.random.choice(("path", "git", "upload"))
        if kind == "upload":
            reply = self.until_answered("POST", "/v1/uploads", self.site.archive)
            if reply.status != 201:
                return
            workspace = {"upload": {"id": reply.json()["upload"]["id"]}}
        else:
            workspace = {"path": str(self.site.files / "plain")} if kind == "path" else {"git": {"url": f"file://{self.site.files}/repository"}}
        run = self.create("sh cat file7.txt | head -1", "edit file3.txt 3 => three", self.evidence("free"), "sleep 0.5", "reply Done.", workspace=workspace)
        if not run:
            return
        wait(self.random.random())
        self.until_answered("GET", f"/v1/runs/{run}/files")
        self.follow(run)
        self.remember(run)


THINGS = {Customer.plain: 8, Customer.claude: 2, Customer.twice: 2, Customer.approvals: 5, Customer.claude_approvals: 1, Customer.launch: 2,
          Customer.conversation: 4, Customer.fork: 3, Customer.cancel: 3, Customer.cancel_anything: 2, Customer.close: 1, Customer.workspace: 2}


class Person(threading.Thread):
    """Decides about all that is asked on a site, as the words say, at once or a little later; until `over`."""

    def __init__(self, site, api, history, seed, over):
        super().__init__(name=f"{site.name} person", daemon=True)
        self.site, self.api, self.history, self.over = site, api, history, over
        self.random, self.due, self.order, self.error = random.Random(f"{seed} {site.name} person"), [], 0, None

    def run(self):
        try:
            after = 0
            while not self.over.is_set():
                after = self._look(after)
                while self.due and (self.due[0][0] <= time.monotonic()):
                    _, _, item, word = heapq.heappop(self.due)
                    self._decide(item, word)
        except BaseException as error:
            self.error = error

    def _look(self, after):
        seconds = 0 if self.due else 1
        try:
            reply = self.api.send("GET", f"/v1/approvals?after={after}&waitSeconds={seconds}&limit=500")
        except Away:
            wait(SOON)
            return after
        if reply.status != 200:
            wait(SOON)
            return after
        page = reply.json()
        for item in page["items"]:
            self._plan(item)
        if self.due and not page["items"]:
            wait(min(max(self.due[0][0] - time.monotonic(), 0), 0.1))
        return page["nextAfter"]

    def _plan(self, item):
        verbs = self._verbs(item)
        delay = self.random.random() * self.random.choice((0, 0, 0.3, 1.5))
        for verb in verbs:
            self.order += 1
            heapq.heappush(self.due, (time.monotonic() + delay, self.order, item, verb))

    def _verbs(self, item):
        action = item["event"]["payload"]["action"]
        words = WORD.findall(json.dumps(action)) if action["type"] == "tool_call" else []
        kind = words[0].split("-")[0] if words else "launch"
        if kind == "launch":
            return ("deny",) if self._launch_denied(item["runId"]) else ("approve",)
        return {"yes": ("approve",), "free": ("approve",), "no": ("deny",), "never": (), "both": ("both",)}[kind]

    def _launch_denied(self, run):
        """Who does not know what a run is for decides nothing: asked until it is told."""
        while not self.over.is_set():
            try:
                reply = self.api.send("GET", f"/v1/runs/{run}")
            except Away:
                wait(SOON)
                continue
            if reply.status == 200:
                return NOT_TO_START in reply.json()["input"]["task"]
            if reply.status == 404:
                return False
            wait(SOON)
        return True

    def _decide(self, item, verb):
        if verb != "both":
            return self._say(item, verb)
        other = threading.Thread(target=self._say, args=(item, "approve"))
        other.start()
        self._say(item, "deny")
        other.join()

    def _say(self, item, verb):
        path, body = f"/v1/runs/{item['runId']}/actions/{item['actionId']}/{verb}", {"actionDigest": item["actionDigest"], "reason": "as the word says"}
        while not self.over.is_set():
            try:
                reply = self.api.send("POST", path, body)
            except Away:
                wait(SOON)
                continue
            if reply.status == 503:
                wait(SOON)
                continue
            fact = {"site": self.site.name, "run": item["runId"], "action": item["actionId"], "digest": item["actionDigest"], "word": verb}
            if reply.status == 200:
                self.history.add("decided", sequence=reply.json()["sequence"], **fact)
            elif reply.code() in SETTLED:
                self.history.add("refused", code=reply.code(), **fact)
            else:
                self.history.add("odd_reply", request=f"POST {path}", status=reply.status, body=reply.data[:300].decode(errors="replace"), site=self.site.name)
            return
