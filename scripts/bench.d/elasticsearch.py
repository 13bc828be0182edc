"""From HTTP request to searchable, against a bare loop that posts the same documents to the same engine."""

import os
from dataclasses import dataclass

import context as ctx
import procs
import service
import wire
from engine import bulk_bodies
from report import Floor, Report, median, say

FLOOR = 0.90
# A pair in which other processes used more of the cores says little about either side.
DISTURBED_PERCENT = 5
PEAK_MIB = 150
# The engine's JIT compiler warms up: CPU time per document falls by half over the first few hundred thousand.
WARM_UPS = 8
WARM = 0.96
ANNALS_WARM_UPS = 2


@dataclass
class Round:
    """One run of Annals."""

    rate: float
    accept_rate: float
    refused: int
    spent: procs.Spent
    peak: int
    threads: dict


class Comparison:
    """Annals and the bare loop, alternating, on one engine."""

    def __init__(self, context, engine, bodies):
        self._context, self._engine, self._bodies = context, engine, bodies
        self._events = sum(count for count, _ in bodies)
        self._limit = context.options.timeout
        self._definition = None
        self._bulk = None
        self.document_bytes = 0.0
        self.profile = []

    def annals(self, number, profile=False):
        """The whole load through Annals, into an empty data folder and a new index."""
        prefix, name = f".bench{number}", f"annals-{number}"
        pattern = f"{prefix}-event-log-*"
        self._engine.delete(f"{prefix}-*")
        try:
            with self._context.service(name, service.elasticsearch_store(self._engine.url, prefix)) as one:
                one.start().wait_ready()
                result = self._measure(one, pattern, profile)
                say(f"annals, round {number}: {result.rate:,.0f} events/s")
            if self._bulk is None:
                self._learn(pattern)
            return result
        finally:
            self._engine.delete(f"{prefix}-*")
            self._context.discard(name)

    def _measure(self, one, pattern, profile):
        requests = one.requests(self._bodies)
        self._settle()
        drive = wire.Drive(one.url, requests, self._context.options.connections, service.check_accepted)
        recorder = ctx.Profile(self._context, one.pid) if profile else None
        threads = procs.cpu_by_thread(one.pid)
        meter = procs.Meter(one.pid, self._engine.pid)
        drive.run()
        accepted = meter.elapsed()
        self._engine.wait_searchable(pattern, self._events, self._limit)
        spent = meter.stop()
        if recorder:
            self.profile = recorder.stop()
        return Round(
            rate=self._events / spent.seconds,
            accept_rate=self._events / accepted,
            refused=drive.refused,
            spent=spent,
            peak=procs.memory(one.pid)["peak"],
            threads=ctx.threads_table(threads, one.pid, self._events),
        )

    def _learn(self, pattern):
        """Fetches the final documents, and the definition of their index, for the bare loop."""
        index = self._engine.indices(pattern)[-1]
        documents = self._engine.documents(pattern)
        self._engine.check_verbatim(index, documents)
        self._definition = self._engine.definition(index)
        self.document_bytes = sum(len(source.encode()) for _, source in documents) / len(documents)
        self._bulk = list(bulk_bodies(documents))
        say(f"took {len(documents):,} documents of {self.document_bytes:.0f} bytes on average")

    def bare(self, number):
        """The same documents by the bare loop, into a new index of the same kind."""
        index = f".bench-bare{number}"
        self._engine.delete(index)
        self._engine.call("PUT", f"/{index}?wait_for_active_shards=1", self._definition)
        try:
            self._settle()
            spent = self._engine.load_bare(index, self._bulk, self._events, self._limit)
            say(f"bare loop, round {number}: {self._events / spent.seconds:,.0f} documents/s")
            return spent
        finally:
            self._engine.delete(index)

    def pair(self, number):
        """Runs both sides, alternating which is first, so that drift favours neither."""
        if number % 2:
            annals, bare = self.annals(number), self.bare(number)
        else:
            bare, annals = self.bare(number), self.annals(number)
        return Pair(annals, bare, self._events)

    def warm_up(self):
        """Repeats the bare loop until the engine's CPU per document falls no further."""
        before = None
        for _ in range(WARM_UPS):
            spent = self.bare(0)
            if before is not None and spent.engine_cpu > before * WARM:
                return
            before = spent.engine_cpu
        say("the engine was still getting faster when the measured rounds began")

    def _settle(self):
        os.sync()
        procs.wait_idle(self._engine.pid)
        procs.wait_calm(self._context.options.calm)


def run(context):
    options = context.options
    bodies = context.bodies()
    sent_bytes = sum(len(body) for _, body in bodies) / options.events
    with context.engine() as engine:
        comparison = Comparison(context, engine, bodies)
        comparison.annals(0)
        comparison.warm_up()
        # Annals' requests take other code paths through the engine than the bare loop's, which have to warm up too.
        for _ in range(ANNALS_WARM_UPS):
            comparison.annals(0)
        pairs = [comparison.pair(number) for number in range(1, options.rounds + 1)]
        if options.perf:
            comparison.annals(options.rounds + 1, profile=True)
    return report(options, comparison, pairs, sent_bytes)


@dataclass
class Pair:
    """A round of Annals and the corresponding one of the bare loop."""

    annals: Round
    bare: procs.Spent
    events: int

    @property
    def bare_rate(self):
        return self.events / self.bare.seconds

    @property
    def ratio(self):
        return self.annals.rate / self.bare_rate

    @property
    def cpu_ratio(self):
        return self.bare.cpu / self.annals.spent.cpu

    @property
    def calm(self):
        return max(self.annals.spent.others_percent, self.bare.others_percent) <= DISTURBED_PERCENT

    def row(self):
        cost, bare_cost = self.annals.spent.per_event(self.events), self.bare.per_event(self.events)
        return {
            "annals/s": round(self.annals.rate),
            "bare/s": round(self.bare_rate),
            "ratio": round(self.ratio, 3),
            "CPU ratio": round(self.cpu_ratio, 3),
            "accepted/s": round(self.annals.accept_rate),
            "429s": self.annals.refused,
            "annals µs": cost["annals_cpu_us"],
            "engine µs": cost["engine_cpu_us"],
            "bare: engine µs": bare_cost["engine_cpu_us"],
            "client µs": cost["client_cpu_us"],
            "bare: client µs": bare_cost["client_cpu_us"],
            "idle µs": cost["idle_us"],
            "bare: idle µs": bare_cost["idle_us"],
            "others %": self.annals.spent.others_percent,
            "bare: others %": self.bare.others_percent,
            "peak MiB": ctx.mib(self.annals.peak),
        }


def report(options, comparison, pairs, sent_bytes):
    result = Report(f"Elasticsearch: {options.events:,} events, searchable, against the bare loop")
    result.rows = [{"round": number} | pair.row() for number, pair in enumerate(pairs, 1)]
    calm = [pair for pair in pairs if pair.calm]
    if not calm:
        result.notes.append("every pair was disturbed by others: trust no throughput here")
    elif len(calm) < len(pairs):
        result.notes.append(f"left out of the medians, being disturbed by others: {len(pairs) - len(calm)} of {len(pairs)}")
    counted = calm or pairs
    cpu_ratio = round(median([pair.cpu_ratio for pair in counted]), 3)
    peak = max(pair.annals.peak for pair in pairs)
    result.floors.append(Floor("median ratio", round(median([pair.ratio for pair in counted]), 3), FLOOR))
    result.floors.append(Floor("resident MiB at full load", ctx.mib(peak), PEAK_MIB, at_least=False))
    stored_bytes = comparison.document_bytes
    threads = pairs[-1].annals.threads
    result.notes += [
        f"an event has {sent_bytes:.0f} bytes when sent and {stored_bytes:.0f} when stored",
        f"median CPU ratio {cpu_ratio}: CPU time of client and engine in the bare loop, over that of client, annals "
        "and engine; the ratio to expect where both keep all cores at work and nothing else runs",
        "µs are CPU time of all cores per event; «others» is what else ran on the machine meanwhile",
        "annals by thread, µs: " + ", ".join(f"{name} {used}" for name, used in threads.items()),
    ]
    result.details = {"cpu_ratio": cpu_ratio, "threads": threads, "profile": comparison.profile}
    result.block = comparison.profile
    return result
