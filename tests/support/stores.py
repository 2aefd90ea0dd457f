"""The store and the object store that the servers of a suite are put on.

AGENTROUTER_TEST_STORE=postgres: one PostgreSQL for the suite, in it a database for each data folder. AGENTROUTER_TEST_BLOBS=s3: one S3 server, in its bucket
a prefix for each data folder. Without them a server keeps everything in its data folder.
"""
import atexit
import fnmatch
import os
import pathlib
import zlib

POSTGRES = os.environ.get("AGENTROUTER_TEST_STORE") == "postgres"
S3_BLOBS = os.environ.get("AGENTROUTER_TEST_BLOBS") == "s3"

# What looks at files of SQLite or at bytes in the data folder, and why it is not asked elsewhere: by suite, or by suite, class and test.
ABOUT_FILES = {
    "test_backup": "backup, restore and fsck are SQLite's; PostgreSQL has its own (docs/operating.md)",
    "test_storage_faults": "faults of the disk below SQLite; those of PostgreSQL are src/store/postgres' own tests and tests/cluster",
    "test_crash": "the moments at which it kills are read from the SQLite file; tests/cluster kills at random ones",
    "test_s3": "has object stores of its own",
    "test_migrate": "moves what a SQLite file has, to a PostgreSQL that it starts itself",
    "test_provider_keys.MasterKeys.*": "the key in a data folder, rows of the SQLite file and its backups",
    "test_provider_keys.Rotation.*": "rotates the key in a data folder and looks at the SQLite file",
    "test_provider_keys.SharedStore.*": "has a PostgreSQL of its own",
    "test_cluster": "its servers share one PostgreSQL and one object store, whatever is asked for",
    "test_audit.*.test_a_change_in_the_database_*": "changes rows of the SQLite file",
    "test_bad_input.*.test_a_database_*": "a SQLite file of a newer version, and one that is none",
    "test_secrets.*.test_the_search_finds_a_key_that_is_really_there": "its control looks for a planted key in files of the data folder",
    "test_turns.*.test_what_is_damaged_or_gone*": "changes the bytes of a checkpoint in the data folder; test_s3 has it on S3",
}
# Servers that share a store have to be given what seals secrets in it.
MASTER_KEY = 32 * "5a"
# A request that a killed server did not finish is cut, and a strict store says so.
CUT_REQUESTS = {"XAmzContentSHA256Mismatch", "IncompleteBody", "BadDigest", "InvalidDigest"}


def reason_not_to_run(suite, test=""):
    """None, or why this is not run on the stores that were asked for."""
    if not (POSTGRES or S3_BLOBS):
        return None
    names = [suite, f"{suite}.{test}"] if test else [suite]
    return next((why for pattern, why in ABOUT_FILES.items() if any(fnmatch.fnmatchcase(name, pattern) for name in names)), None)


_s3 = None


def s3_server():
    """The suite's S3 server; it ends with the suite, and fails it when the server of ours has asked what a strict store refuses."""
    global _s3
    if _s3 is None:
        import s3
        _s3 = s3.S3(prefix="")
        atexit.register(_end_s3)
    return _s3


def _end_s3():
    found = [one for one in _s3.state()["complaints"] if one[0] not in CUT_REQUESTS]
    _s3.process.kill()
    _s3.process.wait()
    if found:
        print(f"requests that a strict store refuses: {found[:5]}", flush=True)
        os._exit(1)


def prefix_of(data):
    return "".join(c if c.isalnum() else "-" for c in pathlib.Path(data).name.strip("-."))[:60] + f"-{zlib.crc32(str(data).encode()):08x}"


def environment(data):
    """What a server on this data folder is told."""
    env = {}
    if POSTGRES:
        import postgres
        env.update({"AGENTROUTER_STORE_URL": postgres.url_of_folder(data), "AGENTROUTER_MASTER_KEY": MASTER_KEY})
        os.chmod(postgres.shared().folder, 0o711)  # its socket is for servers of plain users, too
    if S3_BLOBS:
        store = s3_server()
        env.update(store.environment())
        env.update({"AGENTROUTER_BLOBS_URL": f"s3://{store.bucket}/{prefix_of(data)}", "AGENTROUTER_BLOBS_ENDPOINT": store.endpoint})
    return env


def stored(data, pattern):
    """Keys of blobs that a server on this data folder has and that fit: "runs/*/checkpoint/*"."""
    if S3_BLOBS:
        start = f"{prefix_of(data)}/keys/"
        found = {name[len(start):].rsplit("/", 1)[0] for name in s3_server().names() if name.startswith(start)}
    else:
        blobs = pathlib.Path(data, "blobs")
        # A walk takes it that folders go meanwhile.
        found = {str(pathlib.Path(folder, name).relative_to(blobs)) for folder, _, names in os.walk(blobs) for name in names}
    return sorted(key for key in found if fnmatch.fnmatchcase(key, pattern))
