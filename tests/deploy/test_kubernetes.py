"""deploy/k8s: valid by the published schemas without a field that they do not know, names that fit together, and configurations that the program takes.
What no schema says (whether a cluster gives a pod these privileges) is not tested."""
import copy
import os
import pathlib
import sys
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from schemas import DEPLOY, faults_of_objects, installed, shown  # noqa: E402

K8S = DEPLOY / "k8s"


def objects_of(path):
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = installed()
        cls.files = sorted(path for path in K8S.rglob("*.yaml") if path.name != "kustomization.yaml")
        cls.objects = [item for path in cls.files for item in objects_of(path)]

    def named(self, kind, name):
        return next(item for item in self.objects if item["kind"] == kind and item["metadata"]["name"] == name)

    def pods(self):
        """(object, pod template) of each that makes pods."""
        return [(item, item["spec"]["template"]) for item in self.objects if item["kind"] in ("Deployment", "StatefulSet")]

    def test_every_object_is_valid_and_has_no_field_that_nobody_knows(self):
        self.assertGreater(len(self.objects), 15)
        self.assertEqual(faults_of_objects(self.folder, self.objects), {})

    def test_the_check_finds_what_is_wrong(self):
        worker = self.named("StatefulSet", "agentrouter-worker")
        broken = []
        for change in (lambda o: o["spec"].update(replicas="two"), lambda o: o["spec"].update(replcias=2), lambda o: o["spec"]["template"]["spec"].update(hostUser=False),
                       lambda o: o["spec"].pop("selector"), lambda o: o["spec"]["template"]["spec"]["containers"][0].update(volumeMount=[]),
                       lambda o: o.update(kind="StatfulSet"), lambda o: o["spec"]["template"]["spec"]["securityContext"]["seccompProfile"].update(localProfile="x")):
            broken.append(copy.deepcopy(worker))
            change(broken[-1])
        found = faults_of_objects(self.folder, broken)
        self.assertEqual(sorted(found), list(range(len(broken))), found)
        self.assertIn("replcias is no field", found[1][0])

    def test_everything_is_in_one_namespace_and_in_the_kustomization(self):
        for item in self.objects:
            if item["kind"] != "Namespace":
                self.assertEqual(item["metadata"]["namespace"], "agentrouter", item["metadata"]["name"])
        document = objects_of(K8S / "kustomization.yaml")[0]
        text = (K8S / "kustomization.yaml").read_text()
        for path in self.files:
            name = path.relative_to(K8S).as_posix()
            if path.name == "secret.template.yaml":
                self.assertNotIn(name, text)
            elif name.startswith("optional/"):
                self.assertIn(f"# - {name}", text)
            else:
                self.assertIn(name, document["resources"])
        self.assertEqual(set(document["resources"]) - {path.relative_to(K8S).as_posix() for path in self.files}, set())
        images = {container["image"].rsplit(":", 1)[0] for _, pod in self.pods() for container in pod["spec"]["containers"]}
        self.assertEqual(images, {image["name"] for image in document["images"]})

    def test_selectors_ports_volumes_and_keys_name_what_is_there(self):
        secret, config = self.named("Secret", "agentrouter-secrets"), self.named("ConfigMap", "agentrouter-config")
        labels = [pod["metadata"]["labels"] for _, pod in self.pods()]
        ports = {port["name"] for _, pod in self.pods() for container in pod["spec"]["containers"] for port in container["ports"]}
        for owner, pod in self.pods():
            self.assertEqual(owner["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])
            volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
            for volume in pod["spec"]["volumes"]:
                self.assertEqual(volume.get("configMap", {"name": config["metadata"]["name"]})["name"], config["metadata"]["name"])
                self.assertEqual(volume.get("secret", {"secretName": secret["metadata"]["name"]})["secretName"], secret["metadata"]["name"])
            for container in pod["spec"]["containers"]:
                self.assertEqual({mount["name"] for mount in container["volumeMounts"]}, volumes)
                for variable in container["env"]:
                    if "valueFrom" in variable:
                        self.assertIn(variable["valueFrom"]["secretKeyRef"]["key"], secret["stringData"])
                    else:
                        self.assertIn(pathlib.PurePath(variable["value"]).name, secret["stringData"])
                mine = {port["name"] for port in container["ports"]}
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if probe in container:
                        self.assertIn(container[probe]["httpGet"]["port"], mine)
        for item in self.objects:
            wanted = item["spec"].get("selector") if item["kind"] in ("Service", "PodDisruptionBudget", "ServiceMonitor") else None
            wanted = item["spec"]["podSelector"] if item["kind"] == "NetworkPolicy" else wanted
            if wanted is not None:
                wanted = wanted.get("matchLabels", wanted if item["kind"] == "Service" else {})
                self.assertTrue(any(wanted.items() <= each.items() for each in labels), item["metadata"]["name"])
            for port in item["spec"].get("ports", []) if item["kind"] == "Service" else []:
                self.assertIn(port["targetPort"], ports)
            scaled = item["spec"].get("scaleTargetRef") if "spec" in item else None
            if scaled:
                self.named(scaled["kind"], scaled["name"])

    def test_workers_have_what_sandboxes_need_and_nothing_else_more_than_api_nodes(self):
        for owner, pod in self.pods():
            works = owner["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
            spec, container = pod["spec"], pod["spec"]["containers"][0]
            self.assertEqual(container["securityContext"].get("procMount"), "Unmasked" if works else None)
            self.assertEqual(spec.get("hostUsers"), False if works else None)
            self.assertEqual(spec["securityContext"]["seccompProfile"]["type"], "Localhost" if works else "RuntimeDefault")
            self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
            self.assertTrue(spec["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"])
            self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"] or spec["automountServiceAccountToken"])
            self.assertIn("memory", container["resources"]["limits"])

    def test_the_program_takes_each_configuration(self):
        config = self.named("ConfigMap", "agentrouter-config")["data"]
        for owner, pod in self.pods():
            arguments = pod["spec"]["containers"][0]["args"]
            name = pathlib.PurePath(arguments[arguments.index("--config") + 1]).name
            flags = [word for index, word in enumerate(arguments) if word != "--config" and arguments[index - 1] != "--config"]
            what = shown(config[name], flags)
            self.assertEqual(what["role"], owner["metadata"]["labels"]["app.kubernetes.io/component"])
            self.assertEqual(what["listen"], "0.0.0.0:8787")
            self.assertEqual(what["metrics"]["listen"], "0.0.0.0:9464")
            self.assertEqual(what["blobs"]["url"], "s3://agentrouter")

    def test_a_worker_has_the_time_and_the_memory_that_its_runs_may_take(self):
        worker = self.named("StatefulSet", "agentrouter-worker")["spec"]["template"]["spec"]
        arguments = worker["containers"][0]["args"]
        flags = [word for index, word in enumerate(arguments) if word != "--config" and arguments[index - 1] != "--config"]
        what = shown(self.named("ConfigMap", "agentrouter-config")["data"]["worker.toml"], flags)
        self.assertGreater(worker["terminationGracePeriodSeconds"], what["sandbox"]["limits"]["wall_seconds"])
        limit = worker["containers"][0]["resources"]["limits"]["memory"]
        self.assertTrue(limit.endswith("Gi"))
        self.assertGreaterEqual(int(limit[:-2]) << 30, what["concurrency"] * what["sandbox"]["limits"]["memory_bytes"] * 5 // 4)
        trigger = self.named("ScaledObject", "agentrouter-worker")["spec"]["triggers"][0]["metadata"]
        self.assertEqual(trigger["threshold"], str(what["concurrency"]))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    unittest.main(verbosity=2)
