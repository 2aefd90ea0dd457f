"""What clients were told, what they saw and what was done to the servers: facts in the order in which they became known, a line of JSON each.

| `what` | Says |
| --- | --- |
| `asked` | a run was asked for: `op`, `how` (create, message, fork), `key`, `about` (the run that a message or fork names), `task`, `words`, `may_end` |
| `answered` | and this was the answer: `op`, `status`, `run` |
| `unanswered` | no answer came; the request may be made again, with the same key |
| `decided` | a person's decision was acknowledged: `run`, `action`, `digest`, `word` (approve, deny), `sequence` |
| `refused` | it was not: the same with `code` |
| `cancelled` | a cancel was acknowledged: `run`, `state` (of the run in the answer) |
| `closed` | a close was acknowledged: `run` |
| `fault` | something was done to a server: `kind`, `site`, `run` of a keeper or sandbox, `began`, `ended` (seconds since the epoch) |
| `watched` | all that one subscriber saw of one run: see watchers.py |
| `odd_reply`, `silence`, `crash` | what must not happen |

Every fact has `site`: the server that it is about.
"""
import json
import threading
import time


class History:
    """Safe from any thread. Each fact is in the file at once, so that it outlives whatever happens to this program."""

    def __init__(self, path):
        self.path, self.facts = path, []
        self._file, self._lock, self._next = open(path, "a", encoding="utf-8"), threading.Lock(), 0

    def add(self, what, **fields):
        fact = {"what": what, "time": round(time.time(), 3), **fields}
        with self._lock:
            self.facts.append(fact)
            self._file.write(json.dumps(fact, ensure_ascii=False) + "\n")
            self._file.flush()
        return fact

    def reporter(self, site):
        return lambda what, **fields: self.add(what, site=site, **fields)

    def op(self):
        with self._lock:
            self._next += 1
            return self._next

    def close(self):
        self._file.close()


def load(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
