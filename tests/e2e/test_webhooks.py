"""Webhooks against real receivers: signed as the npm package `standardwebhooks` checks it, lost by no kill -9, and harmless however a receiver
behaves."""
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile

from harness import KEY, PROGRAM, Case, Server, main, wait_for
from webhook_receiver import Library, Receiver, make_certificates, own_verdict

CONFIG = """
[webhooks]
allow_hosts = [{hosts}]
ca_file = "{ca}"
"""


class Webhooks(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-webhooks-"))
        cls.ca, cls.certificate = make_certificates(cls.folder)
        cls.library = Library(cls.folder / "npm")
        cls.config = cls.folder / "server.toml"
        cls.config.write_text(CONFIG.format(hosts='"127.0.0.1"', ca=cls.ca))
        cls.server = Server(args=("--sim", "--concurrency", "2", "--config", str(cls.config))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def hook(self, receiver, events=("*",), **more):
        url = receiver if isinstance(receiver, str) else receiver.url()
        webhook = self.server.call("POST", "/v1/webhooks", {"url": url, "events": list(events), **more})
        self.addCleanup(self.server.call, "DELETE", f"/v1/webhooks/{webhook['id']}", expect=(200, 404))
        return webhook

    def webhook(self, webhook):
        return self.server.call("GET", f"/v1/webhooks/{webhook['id']}")

    def deliveries(self, webhook):
        return self.server.call("GET", f"/v1/webhooks/{webhook['id']}/deliveries")["items"]

    def settled(self, webhook, condition):
        wait_for(lambda: condition(self.deliveries(webhook)), 30, "the message's fate")
        return self.deliveries(webhook)

    def check(self, secret, messages):
        for message in messages:
            self.assertTrue(own_verdict(secret, message["headers"], message["body"]))
        good = [(secret, m["headers"], m["body"]) for m in messages]
        self.assertEqual(self.library.verdicts(good), ["good"] * len(good))
        self.assertTrue(all(v.startswith("bad") for v in self.library.verdicts([(s, h, b + " ") for s, h, b in good])))

    def test_a_run_is_told_from_its_beginning_to_its_end(self):
        with Receiver() as receiver:
            webhook = self.hook(receiver)
            run = self.server.create("\n mend the bridge\nwith the secret word plover\nsim: sh touch a.txt\nsim: reply Done.", approvalScope="action", approvalMode="manual",
                                     tags={"team": "infra"})["id"]
            for _ in range(2):
                page = {"items": []}
                while not page["items"]:
                    page = self.server.call("GET", f"/v1/approvals?runId={run}&waitSeconds=20")
                question = page["items"][0]
                self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})
            self.server.finish(run)
            messages = receiver.wait(lambda all: any(m["data"]["type"] == "run.completed" for m in all))
            wait_for(lambda: all(d["state"] == "delivered" for d in self.deliveries(webhook)), 20, "all to be delivered")
            types = sorted(m["data"]["type"] for m in messages)
            self.assertEqual(types, sorted(["run.created", "approval.requested", "approval.decided", "run.started", "approval.requested", "approval.decided", "run.completed"]))
            self.check(webhook["secret"], messages)
            self.assertEqual(len({m["headers"]["webhook-id"] for m in messages}), len(messages))
            for message in messages:
                data = message["data"]["data"]
                self.assertEqual((data["runId"], data["tags"]), (run, {"team": "infra"}))
                self.assertNotIn("plover", message["body"])
                self.assertLess(len(message["body"]), 2000)
            asked = [m["data"]["data"] for m in messages if m["data"]["type"] == "approval.requested" and "touch" in m["data"]["data"]["title"]]
            self.assertEqual(len(asked), 1)
            self.assertTrue(asked[0]["actionDigest"].startswith("sha256:"))
            ends = [m["data"]["data"]["status"] for m in messages if m["data"]["type"] == "run.completed"]
            self.assertEqual(ends, ["completed"])

    def test_secrets_are_rotated_with_both_signatures_for_a_while(self):
        with Receiver() as receiver:
            webhook = self.hook(receiver, ["run.failed"])
            rotated = self.server.call("POST", f"/v1/webhooks/{webhook['id']}/rotate")
            self.server.call("POST", f"/v1/webhooks/{webhook['id']}/test", expect=(202,))
            message = receiver.wait(len)[0]
            self.assertEqual(message["data"]["type"], "test")
            for secret in (webhook["secret"], rotated["secret"]):
                self.check(secret, [message])

    def test_nothing_is_lost_when_the_server_is_killed_between_commit_and_delivery(self):
        """Nobody listens when the run ends; the server dies with the message undelivered, and the next one delivers it under the same id."""
        with socket.create_server(("127.0.0.1", 0)) as placeholder:
            port = placeholder.getsockname()[1]
        webhook = self.hook(f"http://127.0.0.1:{port}/hook", ["run.completed"])
        run = self.server.create("sim: reply Done.")["id"]
        self.server.finish(run)
        first = self.settled(webhook, lambda all: all and all[0]["attempts"] >= 1)[0]
        self.server.kill()
        with Receiver(port=port) as receiver:
            self.server.start()
            message = receiver.wait(len)[0]
            self.assertEqual((message["headers"]["webhook-id"], message["data"]["data"]["runId"]), (first["id"], run))
            self.check(webhook["secret"], [message])
            self.settled(webhook, lambda all: all[0]["state"] == "delivered")

    def test_a_server_that_is_stopped_leaves_what_is_under_way_to_the_next(self):
        answers = iter([None])
        with Receiver(lambda message: next(answers, (200, {}, b""))) as receiver:
            webhook = self.hook(receiver, ["run.created"])
            run = self.server.create("sim: reply Done.")["id"]
            receiver.wait(len)
            self.assertEqual(self.server.stop(10), 0)
            self.server.start()
            messages = receiver.wait(lambda all: len(all) == 2)
            self.assertEqual(len({m["headers"]["webhook-id"] for m in messages}), 1)
            self.assertEqual(self.settled(webhook, lambda told: told[0]["state"] == "delivered")[0]["attempts"], 1)
            self.server.finish(run)

    def test_kill_9_at_any_moment_delivers_each_at_least_once(self):
        with Receiver() as receiver:
            webhook = self.hook(receiver, ["run.created", "run.cancelled"])
            runs = []
            for number in range(5):
                runs.append(self.server.create("sim: reply Done.")["id"])
                self.server.kill()
                self.server.start()
            wanted = {("run.created", run) for run in runs}
            messages = receiver.wait(lambda all: wanted <= {(m["data"]["type"], m["data"]["data"]["runId"]) for m in all})
            ids = {(m["data"]["type"], m["data"]["data"]["runId"]): set() for m in messages}
            for message in messages:
                ids[(message["data"]["type"], message["data"]["data"]["runId"])].add(message["headers"]["webhook-id"])
            self.assertTrue(all(len(one) == 1 for one in ids.values()), "a repeat has the same id")
            for run in runs:
                self.server.finish(run)

    def test_gone_disables_and_a_refusal_is_tried_again_when_it_says(self):
        with Receiver(lambda message: (410, {}, b"")) as gone, Receiver(lambda message: (503, {"Retry-After": "3600"}, b"later")) as busy:
            one, other = self.hook(gone, ["run.created"]), self.hook(busy, ["run.created"])
            run = self.server.create("sim: reply Done.")["id"]
            self.settled(one, lambda all: all and all[0]["state"] == "failed")
            self.assertFalse(self.webhook(one)["enabled"])
            self.assertIn("410", self.webhook(one)["disabledReason"])
            waiting = self.settled(other, lambda all: all and all[0]["attempts"] == 1)[0]
            self.assertEqual((waiting["state"], waiting["status"]), ("pending", 503))
            self.assertGreater(waiting["nextAttemptAt"], waiting["attemptedAt"][:13])
            self.assertIn("failingSince", self.webhook(other))
            self.server.finish(run)
            # A person sends it again once the receiver is well.
            busy.answer = lambda message: (200, {}, b"")
            self.server.call("POST", f"/v1/webhooks/{other['id']}/deliveries/{waiting['id']}/redeliver", expect=(202,))
            self.settled(other, lambda all: all[0]["state"] == "delivered")
            self.assertEqual({m["headers"]["webhook-id"] for m in busy.messages}, {waiting["id"]})
            self.assertNotIn("failingSince", self.webhook(other))

    def test_a_failed_message_is_tried_again_on_the_schedule(self):
        replies = iter([(500, {}, b"")])
        with Receiver(lambda message: next(replies, (200, {}, b""))) as receiver:
            webhook = self.hook(receiver, ["run.created"])
            run = self.server.create("sim: reply Done.")["id"]
            done = self.settled(webhook, lambda all: all and all[0]["state"] == "delivered")[0]
            self.assertEqual(done["attempts"], 2)
            self.assertEqual(len({m["headers"]["webhook-id"] for m in receiver.messages}), 1)
            self.server.finish(run)

    def test_no_receiver_hurts_a_run_or_another_receiver(self):
        flood = b"x" * (1 << 20)

        def endless(message):
            return 200, {"Content-Length": str(1 << 40)}, flood
        with Receiver(lambda message: None) as hanging, Receiver(endless) as flooding, Receiver() as fine:
            stuck, _, good = self.hook(hanging), self.hook(flooding), self.hook(fine)
            dead = self.hook("http://127.0.0.1:9/")
            before = self.memory()
            runs = [self.server.create("sim: sh true\nsim: reply Done.")["id"] for _ in range(4)]
            for run in runs:
                record, _ = self.server.finish(run)
                self.assertEqual(record["status"], "completed")
            wanted = {("run.completed", run) for run in runs}
            fine.wait(lambda all: wanted <= {(m["data"]["type"], m["data"]["data"]["runId"]) for m in all}, 15)
            self.assertLessEqual(len(hanging.messages), 2, "two under way at most")
            self.assertTrue(all(d["state"] == "pending" for d in self.deliveries(stuck)))
            self.assertIn("refused", self.settled(dead, lambda told: any(d["attempts"] for d in told))[-1]["error"])
            self.settled(good, lambda told: all(d["state"] == "delivered" for d in told))
            self.assertLess(self.memory() - before, 64 << 20)

    def memory(self):
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))

    def test_redirects_and_private_addresses_are_not_followed(self):
        with Receiver() as secret:
            with Receiver(lambda message: (307, {"Location": secret.url("/stolen")}, b"")) as luring:
                webhook = self.hook(luring, ["run.failed"])
                self.server.call("POST", f"/v1/webhooks/{webhook['id']}/test", expect=(202,))
                told = self.settled(webhook, lambda all: all and all[0]["state"] == "failed")[0]
                self.assertEqual(told["status"], 307)
                self.assertIn("redirects are not followed", told["error"])
            self.assertEqual(secret.messages, [])

    def test_other_addresses_of_this_machine_are_refused(self):
        for url in ("http://localhost:1/", "http://10.0.0.1/", "https://192.168.1.1/", "https://[::1]/", "http://169.254.169.254/latest", "https://0.0.0.0/",
                    "http://example.com/", "ftp://example.com/", "https://user:word@example.com/"):
            reply = self.server.call("POST", "/v1/webhooks", {"url": url, "events": ["*"]}, expect=(400,))
            self.assertEqual(reply["error"]["code"], "webhook_url_refused", url)
        # A name is judged when it is looked up.
        webhook = self.hook("https://localhost:1/", ["run.failed"])
        self.server.call("POST", f"/v1/webhooks/{webhook['id']}/test", expect=(202,))
        told = self.settled(webhook, lambda all: all and all[0]["state"] == "failed")[0]
        self.assertNotIn("status", told)
        self.assertIn("localhost", told["error"])

    def test_tls_is_believed_by_the_configured_authority_alone(self):
        with Receiver(certificate=self.certificate) as receiver:
            webhook = self.hook(receiver, ["run.failed"])
            self.server.call("POST", f"/v1/webhooks/{webhook['id']}/test", expect=(202,))
            self.check(webhook["secret"], receiver.wait(len)[:1])
            plain = self.folder / "plain.toml"
            plain.write_text('[webhooks]\nallow_hosts = ["127.0.0.1"]\n')
            with Server(args=("--sim", "--config", str(plain))) as other:
                distrusting = other.call("POST", "/v1/webhooks", {"url": receiver.url(), "events": ["run.failed"]})
                other.call("POST", f"/v1/webhooks/{distrusting['id']}/test", expect=(202,))
                wait_for(lambda: other.call("GET", f"/v1/webhooks/{distrusting['id']}/deliveries")["items"][0]["state"] == "failed", 20, "a refusal")
                self.assertIn("TLS", other.call("GET", f"/v1/webhooks/{distrusting['id']}/deliveries")["items"][0]["error"])
            self.assertEqual(len(receiver.messages), 1)

    def test_the_command_line_manages_webhooks(self):
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "AGENTROUTER_API_BASE_URL": self.server.url, "AGENTROUTER_API_KEY": KEY}

        def command(*words):
            return subprocess.run([str(PROGRAM), "webhooks", *words], capture_output=True, text=True, env=env, timeout=60, check=True).stdout
        with Receiver() as receiver:
            made = json.loads(command("create", "--url", receiver.url(), "--event", "run.failed", "--description", "chat", "--json"))
            self.assertIn(made["id"], command("list"))
            self.assertNotIn("whsec_", command("list"))
            command("test", made["id"])
            receiver.wait(len)
            wait_for(lambda: "delivered" in command("deliveries", made["id"]), 20, "the delivery")
            self.assertIn("disabled", command("disable", made["id"]))
            self.assertIn("enabled", command("enable", made["id"]))
            self.assertIn("whsec_", command("rotate", made["id"]))
            self.assertIn("Deleted", command("delete", made["id"]))


if __name__ == "__main__":
    main()
