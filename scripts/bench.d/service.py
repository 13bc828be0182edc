"""Annals itself: its configuration, its process, and its own reports."""

import http.client
import itertools
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import events
import wire

EVENTS_PATH = "/api/event_log/events"


class ServiceError(Exception):
    """Annals failed; the text says how, and where its log is."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def elasticsearch_store(url, prefix):
    return {"stores.es.kind": "elasticsearch", "stores.es.urls": [url], "stores.es.index_prefix": prefix}


def postgres_store(url):
    return {"stores.pg.kind": "postgres", "stores.pg.url": url, "stores.pg.tls": "off"}


def sqlite_store(path):
    return {"stores.lite.kind": "sqlite", "stores.lite.path": str(path)}


def toml_line(key, value):
    # The JSON forms of texts, numbers, booleans and arrays of them are TOML too.
    return f"{key} = {json.dumps(value)}"


class Service:
    """One `annals serve` on a free port. `settings` are dotted keys of its configuration file."""

    def __init__(self, binary, folder, settings):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.pid = None
        self._binary = str(Path(binary).resolve())
        self._process = None
        self._log = self.folder / "annals.log"
        self._config = self.folder / "annals.toml"
        everything = {
            "data_dir": str(self.data),
            "server.listen": self.url.removeprefix("http://"),
            f"providers.{events.PROVIDER}.actions": list(events.ACTIONS),
        } | settings
        self._config.write_text("".join(toml_line(*item) + "\n" for item in everything.items()))

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.stop()

    def spawn(self):
        """Starts the process and returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "serve", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self.pid = self._process.pid
        return self

    def start(self, limit=60.0):
        """Starts the process and waits until it answers and has written its key."""
        self.spawn()
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                if self.get("/livez")[0] == 200 and self.key():
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        raise ServiceError(f"annals did not answer within {limit:.0f} s{self.end_of_log()}")

    def wait_ready(self, limit=60.0):
        """Waits until every store is ready."""
        deadline = time.monotonic() + limit
        while (answer := self.get("/readyz"))[0] != 200:
            self.check_alive()
            if time.monotonic() > deadline:
                raise ServiceError(f"not ready after {limit:.0f} s: {answer[1][:600]}{self.end_of_log()}")
            time.sleep(0.05)
        return self

    def check_alive(self):
        if self._process.poll() is not None:
            raise ServiceError(f"annals ended with status {self._process.returncode}{self.end_of_log()}")

    def stop(self, how=signal.SIGTERM, limit=60.0):
        """Stops the process if it runs; returns how many seconds that took."""
        begun = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(limit)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return time.monotonic() - begun

    def key(self):
        """Returns the key created at the first start, or an empty text while there is none."""
        try:
            return (self.data / "admin.key").read_text().strip()
        except FileNotFoundError:
            return ""

    def get(self, path):
        """Returns status and text of a GET."""
        connection = http.client.HTTPConnection(*wire.address(self.url), timeout=wire.ANSWER_LIMIT)
        try:
            connection.request("GET", path, headers={"Authorization": f"ApiKey {self.key()}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as failure:
            raise ServiceError(f"GET {path}: {failure!r}{self.end_of_log()}") from failure
        finally:
            connection.close()

    def json(self, path):
        status, text = self.get(path)
        if status != 200:
            raise ServiceError(f"GET {path}: {status} {text[:600]}")
        return json.loads(text)

    def requests(self, bodies):
        """Prebuilt requests that log these (number of events, NDJSON) bodies."""
        return list(self.stream(bodies))

    def stream(self, bodies, spaces=("",)):
        """Like `requests`, but each is built on demand; the spaces alternate."""
        key = self.key()
        for space, (_, body) in zip(itertools.cycle(spaces), bodies):
            path = f"/s/{space}{EVENTS_PATH}" if space else EVENTS_PATH
            yield wire.request("POST", path, body, "application/x-ndjson", key)

    def end_of_log(self, lines=12):
        try:
            last = self._log.read_text(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            last = []
        return f"; the end of {self._log}:\n" + "\n".join(last)


def check_accepted(status, head, body):
    """Returns None if every event was accepted, or the seconds to wait before a retry; raises on anything else."""
    if status == 202:
        asked, accepted = body.count(b'"status"'), body.count(b'"accepted"')
        if accepted == 0 or asked != accepted:
            raise ServiceError(f"only {accepted} of {asked} events were accepted: {body[:600]!r}")
        return None
    if status == 429:
        return wire.backoff(head, 1.0)
    raise ServiceError(f"annals answered {status}: {body[:600]!r}")
