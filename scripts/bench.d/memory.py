"""Memory while the store is away and the journal grows, and while the store catches up."""

import threading
import time

import context as ctx
import procs
import service
import wire
from report import Floor, Report, say

PEAK_MIB = 150
GROWTH_MIB = 20
PREFIX = ".benchmem"
INTERVAL = 0.25


class Samples:
    """Samples resident memory in a separate thread."""

    def __init__(self, pid):
        self.values = []
        self._pid = pid
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._ended.wait(INTERVAL):
            try:
                found = procs.memory(self._pid)
                self.values.append((time.monotonic() - self._begun, found["rss"], found["anonymous"]))
            except (OSError, KeyError):  # the process ended
                return

    def stop(self):
        self._ended.set()
        self._thread.join()


def folder_size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_room(status, head, body):
    if service.check_accepted(status, head, body) is not None:
        raise service.ServiceError("the journal is full before the backlog is reached: raise its bound with --set")


def fill(context, one, bodies):
    """Repeats the load until the data folder has the requested size; returns the number of events."""
    wanted, sent = context.options.backlog * ctx.MIB, 0
    requests = one.requests(bodies)
    while folder_size(one.data) < wanted:
        wire.Drive(one.url, requests, context.options.connections, check_room).run()
        sent += sum(count for count, _ in bodies)
    return sent


def phase(name, values, seconds):
    resident = [rss for _, rss, _ in values] or [0]
    return {
        "phase": name,
        "seconds": round(seconds, 1),
        "MiB at its begin": ctx.mib(resident[0]),
        "at its end": ctx.mib(resident[-1]),
        "peak": ctx.mib(max(resident)),
        "peak of anonymous": ctx.mib(max([anonymous for *_, anonymous in values] or [0])),
    }


def run(context):
    options = context.options
    bodies = context.bodies()
    # An instance keeps its port, so a first start tells the store's address.
    with context.engine() as engine:
        port = wire.address(engine.url)[1]
    settings = service.elasticsearch_store(f"http://127.0.0.1:{port}", PREFIX)
    result = Report(f"Memory with a backlog of {options.backlog:,} MiB")
    with context.service("memory", settings) as one:
        one.start()
        samples = Samples(one.pid)
        say(f"the store is away (port {port}); filling the journal")
        begun = time.monotonic()
        sent = fill(context, one, bodies)
        filled, size = time.monotonic(), folder_size(one.data)
        during_fill = list(samples.values)
        with context.engine() as engine:
            if wire.address(engine.url)[1] != port:
                raise ctx.UsageError("memory needs an engine of its own, without --engine-url")
            away = time.monotonic()
            during_away = samples.values[len(during_fill) :]
            say(f"the store is back; it is to get {sent:,} events")
            engine.wait_searchable(f"{PREFIX}-event-log-*", sent, options.timeout + sent / 5_000)
            drained = time.monotonic()
            samples.stop()
            peak = procs.memory(one.pid)["peak"]
            one.stop()
    # Growth is counted after the first tenth of the backlog, which is the warm-up.
    settled = during_fill[len(during_fill) // 10 :]
    growth = ctx.mib(settled[-1][1] - settled[0][1]) if settled else 0.0
    result.rows += [
        phase("filling, store away", during_fill, filled - begun),
        phase("waiting, store away", during_away, away - filled),
        phase("store catching up", samples.values[len(during_fill) + len(during_away) :], drained - away),
    ]
    result.floors.append(Floor("resident MiB at its peak", ctx.mib(peak), PEAK_MIB, at_least=False))
    result.floors.append(Floor("MiB grown with the backlog", growth, GROWTH_MIB, at_least=False))
    result.notes.append(f"{sent:,} events, {ctx.mib(size):,.0f} MiB in the data folder at most")
    result.notes.append(f"filled at {sent / (filled - begun):,.0f}/s, caught up at {sent / (drained - away):,.0f}/s")
    result.details = {"samples": [(round(at, 2), rss, anonymous) for at, rss, anonymous in samples.values]}
    return result
