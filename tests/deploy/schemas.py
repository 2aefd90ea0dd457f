"""Published schemas from npm, installed once by package-lock.json, and configurations of deploy/ shown to the program itself."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NODE = os.environ.get("AGENTROUTER_NODE", "node")
# What the secrets that configurations name would hold.
SECRETS = {"store_url": "postgres://agentrouter:xyzzy0123@postgres/agentrouter", "s3_access_key": "AKIADEPLOYTEST", "s3_secret_key": "plover0123456789",
           "master_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "api_key": "ar_deploy_0123456789", "openai_key": "sk-deploy-0123"}


def installed():
    """The folder whose node_modules has what package-lock.json says."""
    folder = pathlib.Path(os.environ.get("AGENTROUTER_BUILD", tempfile.gettempdir())) / "deploy-schemas"
    here = pathlib.Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    lock = (here / "package-lock.json").read_text()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(here / name, folder / name)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300, check=False)
        if done.returncode != 0:
            raise AssertionError(f"npm ci: {done.stderr[-1000:]}")
        stamp.write_text(lock)
    shutil.copy(here / "check_kubernetes.mjs", folder)
    return folder


def faults_of_objects(folder, objects):
    """What the schemas say is wrong with Kubernetes objects; index -> lines."""
    done = subprocess.run([NODE, "check_kubernetes.mjs"], cwd=folder, input=json.dumps(objects), capture_output=True, text=True, timeout=120, check=False)
    if done.stderr:
        raise AssertionError(done.stderr[-2000:])
    found = {}
    for line in done.stdout.splitlines():
        index, _, text = line.partition(": ")
        found.setdefault(int(index), []).append(text)
    return found


def shown(text, flags=()):
    """What `serve --print-config` makes of a configuration, with made-up secrets where it names files; AssertionError when it refuses."""
    with tempfile.TemporaryDirectory(prefix="agentrouter-deploy-") as name:
        folder = pathlib.Path(name)
        for secret, value in SECRETS.items():
            (folder / secret).write_text(value + "\n")
            (folder / secret).chmod(0o600)
        named = re.findall(r'"(/run/secrets/[^"]*)"', text)
        for path in named:
            if path.rsplit("/", 1)[1] not in SECRETS:
                raise AssertionError(f"{path} is no secret that deploy/ knows")
            text = text.replace(f'"{path}"', f'"{folder / path.rsplit("/", 1)[1]}"')
        (folder / "agentrouter.toml").write_text(text)
        done = subprocess.run([os.environ["AGENTROUTER_PROGRAM"], *flags, "--config", str(folder / "agentrouter.toml"), "--print-config"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"], "HOME": "/nowhere"})
    if done.returncode != 0:
        raise AssertionError(f"the program refuses it: {done.stderr}")
    for value in SECRETS.values():
        if value.rsplit("@", 1)[0] in done.stdout:
            raise AssertionError("a secret is printed")
    return tomllib.loads(done.stdout)
