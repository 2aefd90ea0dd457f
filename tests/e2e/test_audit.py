"""The audit chain of a real server: made by real runs, whole after kill -9, exported, verified without a server, and broken in every way that
somebody could try, in an export and in the database itself."""
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

from harness import KEY, PROGRAM, Case, Server, canonical, digest, main
from pages import reseal

TASK = "sim: sh touch yes.txt\nsim: sh touch no.txt\nsim: reply Done."


def command(server, *words, text=None, expect=0):
    env = {"PATH": os.environ["PATH"], "HOME": str(server.data), "AGENTROUTER_API_BASE_URL": server.url or "", "AGENTROUTER_API_KEY": KEY}
    done = subprocess.run([str(PROGRAM), *words], input=text, capture_output=True, text=True, env=env, timeout=60)
    if expect is not None and done.returncode != expect:
        raise AssertionError(f"{words}: {done.returncode} {done.stdout[-500:]} {done.stderr[-500:]}")
    return done


class Audit(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-audit-"))
        cls.server = Server().start()
        cls.runs = [cls.one_run("codex"), cls.one_run("claude_code", killed=True)]
        cls.lines = command(cls.server, "audit", "export").stdout.splitlines()
        cls.entries = [json.loads(line) for line in cls.lines]
        cls.head = command(cls.server, "audit", "head").stdout.strip()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    @classmethod
    def one_run(cls, kind, killed=False):
        """Of two actions one is approved and one denied; with `killed` the server dies between question and answer."""
        server = cls.server
        run = server.create(TASK, runtime={"kind": kind}, approvalScope="action", approvalMode="manual")["id"]
        after = 0
        for number in range(3):
            page = {"items": []}
            while not page["items"]:
                page = server.call("GET", f"/v1/approvals?runId={run}&after={after}&waitSeconds=20")
            question, after = page["items"][0], page["nextAfter"]
            if killed and number == 1:
                server.kill()
                server.start()
            verb = "deny" if "no.txt" in json.dumps(question["event"]["payload"]["action"]) else "approve"
            server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/{verb}", {"actionDigest": question["actionDigest"]})
        server.finish(run)
        return run

    def verify(self, lines, *words, expect=0):
        return command(self.server, "audit", "verify", "-", *words, text="".join(line + "\n" for line in lines), expect=expect)

    def broken(self, lines, code, *words):
        done = self.verify(lines, *words, expect=1)
        self.assertIn(f"({code})", done.stderr)
        return done.stderr

    def sealed(self, entry, previous=None):
        entry = {k: v for k, v in entry.items() if k != "hash"}
        if previous:
            entry["previous"] = previous
        return canonical({**entry, "hash": digest(entry)})

    def test_every_decision_and_action_of_both_agents_is_in_it(self):
        for run in self.runs:
            events = self.server.events(run)
            audited = [e for e in events if e["type"].split(".")[0] in ("action", "policy", "approval", "execution") or e["type"] == "run.completed"]
            mine = [e for e in self.entries if e["runId"] == run]
            self.assertEqual((mine[0]["type"], mine[0]["who"][:4]), ("run.created", "key_"))
            self.assertEqual([(e["sequence"], e["type"]) for e in mine[1:]], [(e["sequence"], e["type"]) for e in audited])
            for entry, event in zip(mine[1:], audited):
                self.assertEqual(entry["payloadDigest"], digest(event["payload"]), event["type"])
                self.assertEqual(entry["actionDigest"], event["payload"].get("actionDigest", ""))
            decided = [e for e in mine if e["type"] == "approval.decided"]
            self.assertEqual(len(decided), 3)
            self.assertTrue(all(e["actor"] == "human" and e["who"].startswith("key_") for e in decided))

    def test_another_program_finds_the_same_chain(self):
        previous = "sha256:" + "0" * 64
        for number, (line, entry) in enumerate(zip(self.lines, self.entries), 1):
            self.assertEqual((entry["number"], entry["previous"], line), (number, previous, canonical(entry)))
            previous = digest({k: v for k, v in entry.items() if k != "hash"})
            self.assertEqual(entry["hash"], previous)
        self.assertEqual(self.head, f"{len(self.lines)}:{previous}")

    def test_it_is_intact_and_goes_on_from_an_earlier_export(self):
        self.assertIn(f"Intact: {len(self.lines)} entries", self.verify(self.lines, "--head", self.head).stdout)
        first, rest = self.folder / "first", command(self.server, "audit", "export", "--after", "9").stdout.splitlines()
        self.assertEqual(rest, self.lines[9:])
        first.write_text("".join(line + "\n" for line in self.lines[:9]))
        self.verify(rest, "--from", str(first))
        self.broken(rest, "audit_missing")
        self.broken(rest[1:], "audit_missing", "--from", str(first))
        self.broken(self.lines[:5], "audit_truncated", "--from", str(first))

    def test_each_kind_of_entry_changed_deleted_inserted_swapped_and_cut_off(self):
        kinds = {}
        for at, entry in enumerate(self.entries):
            kinds.setdefault(entry["type"], at)
        self.assertGreaterEqual(len(kinds), 8, kinds)
        for kind, at in kinds.items():
            with self.subTest(kind):
                last = at == len(self.lines) - 1
                for field in ("who", "type", "actionDigest", "payloadDigest", "time", "runId"):
                    forged = canonical({**self.entries[at], field: "sha256:" + "1" * 64})
                    self.assertIn(f"entry {at + 1}", self.broken([*self.lines[:at], forged, *self.lines[at + 1:]], "audit_changed"))
                if not last:
                    self.broken([*self.lines[:at], *self.lines[at + 1:]], "audit_missing")
                    self.broken([*self.lines[:at], self.lines[at + 1], self.lines[at], *self.lines[at + 2:]], "audit_missing")
                    # With a hash that fits, the next entry does not follow it.
                    again = self.sealed({**self.entries[at], "who": "somebody else"})
                    self.broken([*self.lines[:at], again, *self.lines[at + 1:]], "audit_rewritten")
                self.broken([*self.lines[:at], self.lines[at], *self.lines[at:]], "audit_reordered")
                self.broken(self.lines[:at], "audit_truncated", "--head", self.head)

    def test_a_whole_new_chain_is_seen_only_by_whoever_kept_a_head(self):
        forged, previous = [], None
        for entry in self.entries:
            forged.append(self.sealed({**entry, "who": ""}, previous))
            previous = json.loads(forged[-1])["hash"]
        self.verify(forged)
        self.broken(forged, "audit_rewritten", "--head", self.head)

    def test_events_are_compared_with_the_chain(self):
        run = self.runs[0]
        kept = command(self.server, "events", run, "--json").stdout.splitlines()
        file = self.folder / "events"

        def with_events(lines, expect=0):
            file.write_text("".join(line + "\n" for line in lines))
            return self.verify(self.lines, "--events", str(file), expect=expect)
        self.assertIn("events are as they were", with_events(kept).stdout)
        archive = self.server.artifacts(run)["session_events"]
        self.assertIn("events are as they were", with_events(self.server.download(run, archive["id"]).decode().splitlines()).stdout)
        for at, line in enumerate(kept):
            event = json.loads(line)
            if event["type"] in ("approval.decided", "execution.completed"):
                event["payload"]["reason"] = "another one"
                self.assertIn("another payload", with_events([*kept[:at], json.dumps(event), *kept[at + 1:]], 1).stderr)
                self.assertIn("not in the file", with_events([*kept[:at], *kept[at + 1:]], 1).stderr)

    def test_a_change_in_the_database_is_seen_in_the_next_export(self):
        """Each on a copy, as somebody with the file would do it."""
        cases = {
            "UPDATE audit SET who = 'key_of_somebody' WHERE type = 'approval.decided'": "audit_changed",
            "UPDATE audit SET time = time + 60000 WHERE number = 3": "audit_changed",
            "DELETE FROM audit WHERE number = 4": "audit_missing",
            "DELETE FROM audit WHERE number = 1": "audit_missing",
            "DELETE FROM audit WHERE number > 5": "audit_truncated",
            "DELETE FROM audit": "audit_truncated",
            "UPDATE audit SET number = -number; UPDATE audit SET number = 3 WHERE number = -2; UPDATE audit SET number = 2 WHERE number = -3;"
            "UPDATE audit SET number = -number WHERE number < 0": "audit_changed",
            "INSERT INTO audit SELECT workspace, (SELECT max(number) + 1 FROM audit), time, run_id, sequence, event_id, type, actor, who, action_id, "
            "action_digest, payload_digest, previous, hash FROM audit WHERE number = 2": "audit_changed",
        }
        self.server.stop()
        try:
            for number, (sql, code) in enumerate(cases.items()):
                with self.subTest(sql):
                    data = self.folder / f"copy-{number}"
                    shutil.copytree(self.server.data, data, ignore=shutil.ignore_patterns("*.sock"))
                    with sqlite3.connect(data / "agentrouter.db") as database:
                        database.executescript(sql)
                    database.close()
                    reseal(data / "agentrouter.db")
                    with Server(data=data) as server:
                        lines = command(server, "audit", "export").stdout.splitlines()
                    self.broken(lines, code, "--head", self.head)
        finally:
            self.server.start()

    def test_the_chain_goes_on_after_kill_9_at_any_moment(self):
        server = self.server
        for _ in range(3):
            run = server.create("sim: sh true\nsim: reply Done.", approvalScope="action", runtime={"kind": "codex", "mode": "full_access"})["id"]
            server.wait_until(run, lambda e: e["type"] == "action.proposed")
            server.kill()
            server.start()
            server.finish(run)
        lines = command(server, "audit", "export").stdout.splitlines()
        self.verify(lines, "--head", self.head)
        self.assertGreater(len(lines), len(self.lines))
        # Nothing twice: each event has one entry.
        places = [(e["runId"], e["sequence"]) for e in map(json.loads, lines)]
        self.assertEqual(len(places), len(set(places)))


if __name__ == "__main__":
    main()
