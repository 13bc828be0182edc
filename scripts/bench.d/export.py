"""A complete export against a bare scroll on the same engine, and its memory."""

import json
import time

import context as ctx
import memory
import procs
import questions
import service
import stores
import wire
from report import Floor, Report, median, say

FLOOR = 0.80
PEAK_MIB = 150
GROWTH_MIB = 20
PAGES = (1_000, 5_000, 10_000)


def exported(one, expected):
    """Seconds for exporting all events, one per line."""
    connection = wire.Connection(wire.address(one.url))
    request = wire.request("GET", f"{questions.PATH}/_export?end={questions.END}", key=one.key())
    begun, lines = time.monotonic(), 0
    for part in connection.stream(request):
        lines += part.count(b"\n")
    taken = time.monotonic() - begun
    connection.close()
    if lines != expected:
        raise service.ServiceError(f"{lines:,} events were exported where {expected:,} were sent")
    return taken


def scrolled(engine, page, expected, sort):
    """Seconds for the same events from the engine itself, without parsing them."""
    connection = wire.Connection(wire.address(engine.url))
    body = {"size": page, "sort": sort, "query": {"range": {"@timestamp": {"lte": questions.END}}}}
    path, hits = f"/{stores.PREFIX}-event-log-*/_search?scroll=2m&expand_wildcards=open,hidden", 0
    begun = time.monotonic()
    while True:
        status, _, answer = connection.exchange(wire.request("POST", path, json.dumps(body).encode()))
        if status != 200:
            raise service.ServiceError(f"a scroll was answered {status}: {answer[:600]!r}")
        found = answer.count(b'"_source":')
        hits += found
        if found < page:
            break
        identity = answer[answer.index(b'"_scroll_id":"') + 14 :].partition(b'"')[0].decode()
        path, body = "/_search/scroll", {"scroll": "2m", "scroll_id": identity}
    taken = time.monotonic() - begun
    connection.close()
    if hits != expected:
        raise service.ServiceError(f"{hits:,} events were scrolled through where {expected:,} were sent")
    return taken


class Comparison:
    def __init__(self, context, kind, one, engine, result):
        self._context, self._kind, self._one, self._engine, self._result = context, kind, one, engine, result
        self._events = context.options.events

    def run(self):
        exported(self._one, self._events)
        page = self._quickest_page() if self._engine else None
        samples = memory.Samples(self._one.pid)
        rates, bare, ordered = [], [], []
        for _ in range(self._context.options.rounds):
            rates.append(self._rate("export", exported(self._one, self._events)))
            if self._engine:
                bare.append(self._rate("bare scroll, in no order", self._scroll(page, ["_doc"])))
                ordered.append(self._rate("bare scroll", self._scroll(page, [{"@timestamp": "asc"}])))
        samples.stop()
        self._report(rates, bare, ordered, page, samples.values)

    def _scroll(self, page, sort):
        return scrolled(self._engine, page, self._events, sort)

    def _quickest_page(self):
        return min(PAGES, key=lambda page: self._scroll(page, ["_doc"]))

    def _rate(self, name, seconds):
        rate = self._events / seconds
        say(f"{self._kind}, {name}: {rate:,.0f} events/s")
        return rate

    def _report(self, rates, bare, ordered, page, samples):
        # The buffers of the first export are kept for the next one.
        settled = [resident for _, resident, _ in samples[len(samples) // 10 :]]
        peak, growth = ctx.mib(procs.memory(self._one.pid)["peak"]), ctx.mib(settled[-1] - settled[0])
        row = {"store": self._kind, "export/s": round(median(rates))}
        if bare:
            ratio = round(median(rates) / median(ordered), 3)
            row |= {"bare scroll/s": round(median(ordered)), "ratio": ratio, "page": page}
            row |= {"in no order/s": round(median(bare)), "its ratio": round(median(rates) / median(bare), 3)}
            self._result.floors.append(Floor(f"{self._kind}: rate over that of the bare scroll", ratio, FLOOR))
        self._result.rows.append(row | {"peak MiB": peak, "MiB grown": growth})
        self._result.floors += [
            Floor(f"{self._kind}: resident MiB at its peak", peak, PEAK_MIB, at_least=False),
            Floor(f"{self._kind}: MiB grown from export to export", growth, GROWTH_MIB, at_least=False),
        ]


def run(context):
    options = context.options
    result = Report(f"Export of {options.events:,} events")
    for kind in [options.store] if options.store else stores.KINDS:
        with stores.running(context, kind) as (one, engine):
            # The process that filled the store has used more memory than an export needs.
            one.stop()
            one.start().wait_ready()
            procs.wait_calm(options.calm)
            Comparison(context, kind, one, engine, result).run()
    result.notes.append("the bare scroll is by time, as the export is; pages have the quickest of " + str(PAGES))
    return result
