#!/usr/bin/env python3
"""The scripted agent over its own protocol. usage: scripted_agent_test.py PROGRAM"""
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import unittest

PROGRAM = sys.argv.pop(1)


class Client:
    """One process. Answers each question with the next of `decisions` (the last one for ever)."""

    def __init__(self, home, decisions=("accept",), policy="untrusted", resume=None):
        self.workspace = os.path.join(home, "workspace")
        os.makedirs(self.workspace, exist_ok=True)
        self.process = subprocess.Popen(
            [PROGRAM, "app-server", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={"HOME": home, "PATH": "/usr/bin:/bin"})
        self.lines, self.seen, self.asked = queue.Queue(), [], []
        self.decisions, self.ids = list(decisions), 0
        threading.Thread(target=self.pump, daemon=True).start()
        self.call("initialize", {"clientInfo": {"name": "test", "title": "Test", "version": "1"}})
        self.send({"method": "initialized"})
        start = {"cwd": self.workspace, "approvalPolicy": policy, "model": "gpt-5.5"}
        method = "thread/resume" if resume else "thread/start"
        self.thread = self.call(method, {**start, **({"threadId": resume} if resume else {})})["thread"]["id"]

    def pump(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method, params):
        self.ids += 1
        self.send({"id": self.ids, "method": method, "params": params})
        return self.ids

    def next(self):
        line = self.lines.get(timeout=30)
        if line is None:
            return None
        message = json.loads(line)
        self.seen.append(message)
        return message

    def until(self, wanted):
        while (message := self.next()) is not None:
            if wanted(message):
                return message
            if "method" in message and "id" in message:
                self.answer(message)
        return None

    def answer(self, message):
        self.asked.append(message)
        decision = self.decisions.pop(0) if len(self.decisions) > 1 else self.decisions[0]
        if decision is not None:
            key = "action" if message["method"].startswith("mcpServer") else "decision"
            self.send({"id": message["id"], "result": {key: decision}})

    def call(self, method, params):
        number = self.request(method, params)
        answer = self.until(lambda m: m.get("id") == number and "method" not in m)
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def begin(self, script):
        params = {"threadId": self.thread, "input": [{"type": "text", "text": script}]}
        return self.call("turn/start", params)["turn"]["id"]

    def turn(self, script):
        self.begin(script)
        done = self.until(lambda m: m.get("method") == "turn/completed")
        return done["params"]["turn"] if done else None

    def items(self, kind):
        return [m["params"]["item"] for m in self.seen
                if m.get("method") == "item/completed" and m["params"]["item"]["type"] == kind]

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


class ScriptedAgent(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            if client.process.poll() is None:
                client.process.kill()
                client.process.wait()
            for stream in (client.process.stdin, client.process.stdout, client.process.stderr):
                try:
                    stream.close()
                except OSError:
                    pass

    def client(self, *arguments, **more):
        client = Client(self.home, *arguments, **more)
        self.clients.append(client)
        return client

    def read(self, name):
        with open(os.path.join(self.home, "workspace", name), encoding="utf-8") as file:
            return file.read()

    def test_answers_the_version_check_as_the_real_one(self):
        self.assertEqual(subprocess.check_output([PROGRAM, "--version"]), b"codex-cli 0.169.0\n")
        self.assertEqual(subprocess.run([PROGRAM, "exec"], capture_output=True).returncode, 2)

    def test_runs_a_whole_script_and_asks_for_each_action(self):
        agent = self.client()
        turn = agent.turn("Do it\nsim: say hello\nsim: think hm\nsim: sh echo out; echo err >&2; exit 3\n"
                          "sim: write d/a.txt one\\ntwo\nsim: edit d/a.txt two => zwei\nsim: read d/a.txt\n"
                          "sim: with sh true\nsim: repeat 2 sh echo {i} > r{i}\nsim: usage 100 20\nsim: reply bye")
        self.assertEqual((turn["status"], turn["error"]), ("completed", None))
        self.assertEqual([i["text"] for i in agent.items("agentMessage")], ["hello", "bye"])
        self.assertEqual(agent.items("reasoning")[0]["summary"], ["hm"])
        commands = agent.items("commandExecution")
        self.assertEqual((commands[0]["exitCode"], commands[0]["status"]), (3, "failed"))
        self.assertEqual(commands[0]["aggregatedOutput"], "out\nerr\n")
        self.assertEqual(commands[1]["aggregatedOutput"], "one\nzwei\n")
        self.assertIsNone(commands[2]["aggregatedOutput"])
        changes = [i["changes"][0] for i in agent.items("fileChange")]
        self.assertEqual([c["kind"]["type"] for c in changes], ["add", "update"])
        self.assertEqual(changes[1]["diff"], "@@ -2,1 +2,1 @@\n-two\n+zwei\n")
        self.assertEqual(self.read("r2"), "2\n")
        self.assertEqual([m["method"].split("/")[1] for m in agent.asked],
                         ["commandExecution", "fileChange", "fileChange"] + ["commandExecution"] * 4)
        usage = [m["params"]["tokenUsage"] for m in agent.seen if m.get("method") == "thread/tokenUsage/updated"]
        self.assertEqual(usage[-1]["last"]["inputTokens"], 100)
        self.assertGreater(usage[-1]["total"]["totalTokens"], 120)
        self.assertEqual(agent.end(), 0)

    def test_declined_action_is_not_done_and_the_turn_goes_on(self):
        agent = self.client(["decline"])
        turn = agent.turn("sim: sh touch no\nsim: write no.txt x\nsim: mcp server tool\nsim: reply still here")
        self.assertEqual(turn["status"], "completed")
        self.assertEqual(agent.items("commandExecution")[0]["status"], "declined")
        self.assertEqual(agent.items("fileChange")[0]["status"], "declined")
        self.assertEqual(agent.items("mcpToolCall")[0]["status"], "failed")
        self.assertEqual(os.listdir(os.path.join(self.home, "workspace")), [])

    def test_cancel_ends_the_turn(self):
        self.assertEqual(self.client(["cancel"]).turn("sim: sh touch no")["status"], "interrupted")

    def test_asks_nothing_when_the_policy_does_not(self):
        agent = self.client(policy="never")
        agent.turn("sim: sh echo x > f")
        self.assertEqual((agent.asked, self.read("f")), ([], "x\n"))

    def test_interrupt_while_asking_running_and_sleeping(self):
        for script, decisions in (("sim: sh true", [None]), ("sim: sh sleep 60", ["accept"]),
                                  ("sim: sleep 60", ["accept"])):
            agent = self.client(decisions)
            turn = agent.begin(script)
            waits = "item/commandExecution/requestApproval" if decisions == [None] else "turn/started"
            message = agent.until(lambda m, w=waits: m.get("method") == w)
            if decisions == [None]:
                agent.answer(message)
            agent.request("turn/interrupt", {"threadId": agent.thread, "turnId": turn})
            done = agent.until(lambda m: m.get("method") == "turn/completed")
            self.assertEqual(done["params"]["turn"]["status"], "interrupted")
            self.assertEqual(agent.turn("sim: reply again")["status"], "completed")

    def test_closed_stdin_ends_it_without_running_the_command(self):
        agent = self.client([None])
        agent.begin("sim: sh touch no")
        agent.answer(agent.until(lambda m: str(m.get("method")).endswith("requestApproval")))
        self.assertEqual(agent.end(), 0)
        self.assertEqual(os.listdir(os.path.join(self.home, "workspace")), [])

    def test_resumed_thread_remembers_earlier_turns(self):
        agent = self.client()
        agent.turn("the word is xyzzy\nsim: usage 10 1\nsim: reply ok")
        self.assertEqual(agent.end(), 0)
        again = self.client(resume=agent.thread)
        again.turn("sim: usage 10 1\nsim: recall xyzzy")
        again.turn("sim: recall plugh")
        self.assertEqual([i["text"] for i in again.items("agentMessage")], ["seen", "not seen"])
        usage = [m["params"]["tokenUsage"] for m in again.seen if m.get("method") == "thread/tokenUsage/updated"]
        self.assertEqual(usage[0]["total"]["inputTokens"], 20)
        with self.assertRaisesRegex(RuntimeError, "no rollout found"):
            self.client(resume="unknown")

    def test_errors_are_retried_or_final_as_with_the_real_one(self):
        agent = self.client()
        self.assertEqual(agent.turn("sim: error 500\nsim: drop\nsim: fail rate_limit_exceeded\nsim: reply x")["status"],
                         "completed")
        retried = [m["params"]["willRetry"] for m in agent.seen if m.get("method") == "error"]
        self.assertEqual(retried, [True] * 3)
        for line, info in (("error 401 always", {"httpConnectionFailed": {"httpStatusCode": 401}}),
                           ("error 429 always", {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}),
                           ("error 429 insufficient_quota", "usageLimitExceeded"), ("error 404", "modelNotFound"),
                           ("error 500 always", "internalServerError"), ("error 400", "other"),
                           ("fail context_length_exceeded", "contextWindowExceeded")):
            turn = agent.turn("sim: " + line)
            self.assertEqual((turn["status"], turn["error"]["codexErrorInfo"]), ("failed", info), line)

    def test_plain_tasks_and_unknown_lines_are_those_of_the_simulated_provider(self):
        agent = self.client()
        agent.turn("Reply exactly TOKEN.")
        agent.turn("sim: frob")
        self.assertEqual([i["text"] for i in agent.items("agentMessage")],
                         ["TOKEN", "Line 1 of the script is not understood: sim: frob"])

    def test_refuses_what_it_does_not_know(self):
        agent = self.client()
        with self.assertRaisesRegex(RuntimeError, "unknown method"):
            agent.call("thread/fly", {})
        with self.assertRaisesRegex(RuntimeError, "thread not found"):
            agent.call("turn/start", {"threadId": "nope", "input": []})
        with self.assertRaisesRegex(RuntimeError, "Already initialized"):
            agent.call("initialize", {})

    def test_garbage_is_a_line_that_is_no_json(self):
        agent = self.client()
        agent.begin("sim: repeat 2 garbage\nsim: reply after")
        lines = []
        while not lines or b"turn/completed" not in lines[-1]:
            lines.append(agent.lines.get(timeout=30))
        self.assertEqual(len([line for line in lines if line.startswith(b"this is {not} JSON")]), 2)

    def test_flood_writes_that_many_bytes(self):
        agent = self.client()
        agent.begin("sim: flood 1000000 line\nsim: with exit 0")
        agent.process.wait(30)
        longest = 0
        while (line := agent.lines.get(timeout=30)) is not None:
            longest = max(longest, len(line))
        self.assertEqual(longest, 1000000)
        other = self.client()
        self.assertEqual(other.turn("sim: flood 100000\nsim: reply x")["status"], "completed")
        floods = [m["params"]["delta"] for m in other.seen
                  if m.get("method") == "item/agentMessage/delta" and m["params"]["itemId"] == "flood"]
        self.assertEqual(sum(map(len, floods)), 100000)
        last = self.client()
        last.begin("sim: flood 5000 stderr\nsim: exit 0")
        self.assertEqual(len(last.process.stderr.read()), 5000)

    def test_a_crowd_is_asked_about_at_once_and_each_runs_as_it_is_approved(self):
        agent = self.client(decisions=(None,))
        agent.begin("sim: crowd 3 echo\nsim: reply x")
        asked = []
        while len(asked) < 3:
            message = agent.next()
            if message.get("method") == "item/commandExecution/requestApproval":
                asked.append(message)
        for message, decision in zip(reversed(asked), ("accept", "decline", "accept")):
            agent.send({"id": message["id"], "result": {"decision": decision}})
        agent.until(lambda m: m.get("method") == "turn/completed")
        self.assertEqual({(item["aggregatedOutput"], item["status"]) for item in agent.items("commandExecution")},
                         {("3\n", "completed"), (None, "declined"), ("1\n", "completed")})

    def test_exit_ends_with_its_code(self):
        agent = self.client()
        self.assertIsNone(agent.turn("sim: say bye\nsim: exit 7"))
        self.assertEqual(agent.process.wait(30), 7)

    def test_hang_answers_nothing_any_more(self):
        agent = self.client()
        turn = agent.begin("sim: say now\nsim: hang")
        agent.until(lambda m: m.get("method") == "thread/tokenUsage/updated" or
                    (m.get("method") == "item/completed" and m["params"]["item"]["type"] == "agentMessage"))
        agent.request("turn/interrupt", {"threadId": agent.thread, "turnId": turn})
        agent.process.stdin.close()
        with self.assertRaises(subprocess.TimeoutExpired):
            agent.process.wait(0.3)


unittest.main()
