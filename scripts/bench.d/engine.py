"""The real Elasticsearch: started for the benchmark, asked, and filled by the bare loop."""

import contextlib
import http.client
import json
import os
import subprocess
import time
from pathlib import Path

import events
import procs
import wire

INSTANCE = "elasticsearch@bench"
POSTGRES = "postgres@bench"
BULK_BYTES = 2_000_000
BULK_CONNECTIONS = 2
PAGE = 5_000
# The interval for polling the engine's progress.
FIRST_PAUSE, SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 0.01, 1.0
# Settings that the engine adds to every index, and those of one index alone.
OWN_SETTINGS = ("creation_date", "lifecycle", "provided_name", "resize", "routing", "uuid", "version")


class EngineError(Exception):
    """The engine did not do what the benchmark needs."""


class Engine:
    """An engine by its URL. `stop` ends it if `start` began it."""

    def __init__(self, url, script=None):
        self.url = url.rstrip("/")
        self.pid = procs.listener(wire.address(url)[1])
        if self.pid is None:
            raise EngineError(f"no process of this machine that listens at {self.url} can be seen")
        self._script = script

    @classmethod
    def start(cls, root, heap, fresh=True):
        """Starts an instance with the engine's own Java settings, through the project's script for engines."""
        script = engines_script(root)
        settings = ["--fresh", "--set", "annals.test.stand_in_types=true"] if fresh else []
        try:
            run(script, "start", INSTANCE, "--bench", "--heap", heap, *settings)
            return cls(run(script, "url", INSTANCE).split()[0], script)
        except BaseException:
            run(script, "stop", INSTANCE)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.stop()

    def stop(self):
        if self._script:
            run(self._script, "stop", INSTANCE)

    def call(self, method, path, body=None, good=(200,)):
        """Returns status and bytes of a call; raises unless it succeeded."""
        connection = http.client.HTTPConnection(*wire.address(self.url), timeout=wire.ANSWER_LIMIT)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status not in good:
            raise EngineError(f"{method} {path}: {answer.status} {text[:600]!r}")
        return answer.status, text

    def json(self, method, path, body=None):
        return json.loads(self.call(method, path, body)[1])

    def indices(self, pattern):
        status, text = self.call("GET", f"/{pattern}?expand_wildcards=all&filter_path=*.aliases", good=(200, 404))
        return sorted(json.loads(text)) if status == 200 else []

    def delete(self, pattern):
        for index in self.indices(pattern):
            self.call("DELETE", f"/{index}", good=(200, 404))

    def definition(self, index):
        """Returns the settings and mappings to create an empty index like this one."""
        found = self.json("GET", f"/{index}")[index]
        settings = {name: value for name, value in found["settings"]["index"].items() if name not in OWN_SETTINGS}
        return {"settings": {"index": settings}, "mappings": found["mappings"]}

    def wait_searchable(self, pattern, expected, limit):
        """Returns once a search finds this many of the benchmark's events, and never more.

        The count of index operations tells when it is worth to refresh. Each time it is asked for costs the engine a
        millisecond, and only the side that has its documents sent by somebody else has to ask often: so it is asked for
        again when half of the rest should be there.
        """
        deadline = time.monotonic() + limit
        stats = f"/{pattern}/_stats/indexing?expand_wildcards=all&filter_path=_all.primaries.indexing.index_total"
        query = {"query": {"term": {"event.provider": events.PROVIDER}}}
        seen, first = 0, None
        while time.monotonic() < deadline:
            done = self.json("GET", stats).get("_all", {}).get("primaries", {}).get("indexing", {}).get("index_total", 0)
            if done >= expected:
                self.call("POST", f"/{pattern}/_refresh?expand_wildcards=all")
                seen = self.json("POST", f"/{pattern}/_count?expand_wildcards=all", query)["count"]
                if seen > expected:
                    raise EngineError(f"{pattern} holds {seen} events where {expected} were sent")
                if seen == expected:
                    return
            first = first or (time.monotonic(), done)
            time.sleep(pause(*first, time.monotonic(), done, expected))
        raise EngineError(f"after {limit:.0f} s, a search in {pattern} sees {seen} of {expected} events")

    def documents(self, pattern):
        """Every (id, source) of the benchmark's events, by id; the sources are the engine's bytes, not encoded anew."""
        body = {"size": PAGE, "sort": ["_doc"], "query": {"term": {"event.provider": events.PROVIDER}}}
        path = f"/{pattern}/_search?scroll=2m&expand_wildcards=all"
        found = []
        while True:
            text = self.call("POST", path, body)[1].decode()
            page = list(hits(text))
            scroll = text[text.index('"_scroll_id":"') + 14 :].partition('"')[0]
            if not page:
                self.call("DELETE", "/_search/scroll", {"scroll_id": scroll})
                return sorted(found)
            found += page
            path, body = "/_search/scroll", {"scroll": "2m", "scroll_id": scroll}

    def check_verbatim(self, index, documents, samples=50):
        """The sources are byte for byte what the engine returns for one document alone."""
        for identity, source in documents[:: max(1, len(documents) // samples)]:
            alone = self.call("GET", f"/{index}/_source/{identity}")[1].decode()
            if alone != source:
                raise EngineError(f"the source of {identity} came out differently: {source!r}, alone {alone!r}")

    def load_bare(self, index, bodies, expected, limit):
        """Posts prebuilt bulk bodies, and waits until all their documents are searchable."""
        path = f"/{index}/_bulk?filter_path=errors"
        requests = [wire.request("POST", path, body, "application/x-ndjson") for body in bodies]
        drive = wire.Drive(self.url, requests, BULK_CONNECTIONS, check_bulk)
        meter = procs.Meter(engine=self.pid)
        drive.run()
        self.wait_searchable(index, expected, limit)
        return meter.stop()


@contextlib.contextmanager
def postgres(root, fresh=True):
    """Runs PostgreSQL with as much memory for its tables as the other engine has for its heap; yields its URL."""
    script = engines_script(root)
    try:
        run(script, "start", POSTGRES, "--bench", "--set", "shared_buffers=1GB", *(["--fresh"] if fresh else []))
        yield run(script, "url", POSTGRES).split()[0]
    finally:
        run(script, "stop", POSTGRES)


def vacuum(url):
    """Runs what autovacuum does by itself within a minute of a certain number of events. Here a day of events arrives within
    seconds, so autovacuum would run afterwards or not at all."""
    run("psql", url, "-XqAtc", "VACUUM annals.events, annals.objects")


def engines_script(root):
    script = os.environ.get("ANNALS_ENGINES_SCRIPT", str(Path(root) / "scripts" / "engines"))
    if not Path(script).is_file():
        raise EngineError(f"there is no {script} to start engines with; ANNALS_ENGINES_SCRIPT may name another")
    return script


def pause(first_at, first_done, now, done, expected):
    """Returns how long half of the rest takes at the pace so far, within bounds."""
    pace = (done - first_done) / (now - first_at) if done > first_done else 0
    return min(max((expected - done) / pace / 2, SHORTEST_PAUSE), LONGEST_PAUSE) if pace else FIRST_PAUSE


def run(*command):
    """Runs a command and returns its output; its errors go to standard error."""
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode != 0:
        raise EngineError(f"{' '.join(command)} ended with status {finished.returncode}")
    return finished.stdout


def hits(text):
    """The (id, source) pairs of a search's answer, both as they stand there."""
    decoder = json.JSONDecoder()
    marker = '"_source":'
    at = 0
    while (found := text.find(marker, at)) >= 0:
        identity = text[text.rindex('"_id":"', at, found) + 7 : found].partition('"')[0]
        start = found + len(marker)
        _, at = decoder.raw_decode(text, start)
        yield identity, text[start:at]


def bulk_bodies(documents):
    """Bulk bodies of about `BULK_BYTES` that create these documents under their ids."""
    lines, size = [], 0
    for identity, source in documents:
        line = f'{{"create":{{"_id":"{identity}"}}}}\n{source}\n'.encode()
        lines.append(line)
        size += len(line)
        if size >= BULK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def check_bulk(status, _head, body):
    if status != 200 or b'"errors":false' not in body:
        raise EngineError(f"a bulk request was answered {status}: {body[:600]!r}")
