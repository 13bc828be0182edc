"""Common to all benchmarks: options, folders, the engine, the prebuilt load."""

import json
import shutil
import subprocess
from pathlib import Path

import events
import procs
from engine import Engine
from report import say
from service import Service

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


class UsageError(Exception):
    """An invalid option."""


class Context:
    """The options of one run, and the folder in which it works."""

    def __init__(self, options):
        self.options = options
        self.binary = Path(options.binary)
        if not self.binary.is_file():
            raise UsageError(f"there is no {self.binary}; build it: cargo build --release")
        self.folder = Path(options.work).resolve() / options.command
        self.settings = dict(setting(pair) for pair in options.set)

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_exception):
        if self.options.keep:
            say(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def service(self, name, settings):
        """A service with its own data folder, not yet started; --set takes precedence over all other settings."""
        return Service(self.binary, self.folder / name, settings | self.settings)

    def discard(self, name):
        if not self.options.keep:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def engine(self, fresh=True):
        if self.options.engine_url:
            return Engine(self.options.engine_url)
        say("starting Elasticsearch with its own Java settings")
        return Engine.start(ROOT, self.options.heap, fresh)

    def bodies(self, count=None):
        """The load: (number of events, NDJSON) for each request."""
        count = count or self.options.events
        say(f"building {count:,} events")
        return list(events.bodies(count, self.options.event_bytes, self.options.seed))


def setting(pair):
    """Parses KEY=VALUE; the value is JSON if it parses as such, else text."""
    key, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"--set needs KEY=VALUE, not {pair!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def mib(size):
    return round(size / MIB, 1)


class Profile:
    """`perf` on a process, if the option asks for it: its CPU time by function."""

    def __init__(self, context, pid):
        self._file = context.folder / "perf.data"
        command = ["perf", "record", "-q", "-F", "499", "-g", "-o", str(self._file), "-p", str(pid)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, lines=30):
        self._process.terminate()
        self._process.wait()
        command = ["perf", "report", "-i", str(self._file), "--stdio", "--no-children", "-g", "none"]
        command += ["--percent-limit", "0.5", "--sort", "dso,symbol"]
        shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        found = [line.rstrip(" -") for line in shown.stdout.splitlines() if line.strip() and not line.startswith("#")]
        return found[:lines]


def threads_table(before, pid, events_count):
    """CPU of each group of threads since `before` (see procs.cpu_by_thread), in microseconds per event."""
    spent = {name: used - before.get(name, 0.0) for name, used in procs.cpu_by_thread(pid).items()}
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return {name: round(used * 1e6 / events_count, 2) for name, used in ordered if used > 0.005}
