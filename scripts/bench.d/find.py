"""Latency of queries on each store; also of 200 concurrent readers while events are logged."""

import json
import os
import time

import events
import load
import procs
import questions
import service
import stores
import wire
from report import Floor, Report, median, percentile, say

# The engine's JIT compiler has to warm up.
ENGINE_WARM_UP = 3_000
ABOVE_ENGINE_MS = 1.0
P99_MS = 50.0
# The promise holds up to this many events, and doubles beyond them.
PROMISED_EVENTS = 1_000_000
WHILE_WRITING = 5.0
READERS_SECONDS = 15
WRITE_RATE = 10_000
# The least share of WRITE_RATE that the writer has to reach.
WRITE_FLOOR = 0.98


class Turns:
    """Annals and, if it can be queried itself, the engine: a connection each, alternating which is first."""

    def __init__(self, one, engine):
        self._one, self._key = one, one.key()
        self._annals = wire.Connection(wire.address(one.url))
        self._engine = wire.Connection(wire.address(engine.url)) if engine else None

    def close(self):
        self._annals.close()
        if self._engine:
            self._engine.close()

    def warm_up(self, question):
        """Queries the engine, directly and through Annals, until its code is compiled."""
        if self._engine:
            for number in range(ENGINE_WARM_UP):
                variant = number % len(question.paths)
                self._annals.exchange(wire.request("GET", question.paths[variant], key=self._key))
                self._engine.exchange(engine_request(question.bodies[variant]))

    def ask(self, question):
        """Returns the seconds of each answer of Annals and of the engine; the latter are empty if it is not queried. Every
        query runs twice and the second run counts: the first one loads the data into memory."""
        self._ask(question)
        return self._ask(question)

    def _ask(self, question):
        annals = [wire.request("GET", path, key=self._key) for path in question.paths]
        engine = [engine_request(body) for body in question.bodies or ()] if self._engine else []
        sides = [(self._annals, annals, []), (self._engine, engine, [])]
        for number in range(len(annals)):
            totals = set()
            for connection, requests, taken in sides if number % 2 else reversed(sides):
                if requests:
                    begun = time.perf_counter()
                    status, _, body = connection.exchange(requests[number])
                    taken.append(time.perf_counter() - begun)
                    totals.add(total(status, body))
            if len(totals) > 1:
                raise service.ServiceError(f"{question.name}: Annals and the engine find {totals} events")
        return sides[0][2], sides[1][2]


def engine_request(body):
    path = f"/{stores.PREFIX}-event-log-*/_search?allow_partial_search_results=false&expand_wildcards=open,hidden"
    return wire.request("POST", path, body)


def total(status, body):
    """Returns the number of all matches; `None` if the answer does not have it."""
    if status != 200:
        raise service.ServiceError(f"a question was answered {status}: {body[:600]!r}")
    answer = json.loads(body)
    return answer["total"] if "total" in answer else answer.get("hits", {}).get("total", {}).get("value")


def row(kind, question, annals, engine):
    def ms(seconds):
        return round(seconds * 1000, 2)

    result = {"store": kind, "question": question.name, "asked": len(annals)}
    result |= {"median ms": ms(median(annals)), "p99 ms": ms(percentile(annals, 99)), "max ms": ms(max(annals))}
    if engine:
        result |= {"engine: median ms": ms(median(engine)), "p99": ms(percentile(engine, 99))}
        result["above ms"] = round(result["median ms"] - result["engine: median ms"], 2)
    return result


def floor(kind, question, measured, count):
    name = f"{kind}, {question.name}"
    if "above ms" in measured:
        return [Floor(f"{name}: median above the engine's, ms", measured["above ms"], ABOVE_ENGINE_MS, at_least=False)]
    if kind == "elasticsearch" or not question.is_bounded:
        return []
    limit = P99_MS if count <= PROMISED_EVENTS else 2 * P99_MS
    return [Floor(f"{name}: p99 ms", measured["p99 ms"], limit, at_least=False)]


def one_at_a_time(context, kind, one, engine, result):
    """Runs each kind of query by itself."""
    options = context.options
    page = one.json(f"{questions.PATH}/_find?per_page=1000&fields=event.id&sort_order=desc&end={questions.LAST}")
    identities = [event["event"]["id"] for event in page["data"]]
    asked = questions.all_of_them(stores.history(options), identities, options.rounds, options.seed)
    turns = Turns(one, engine)
    for question in asked[:2]:
        turns.warm_up(question)
    for question in asked:
        measured = row(kind, question, *turns.ask(question))
        say(f"{kind}, {question.name}: median {measured['median ms']} ms, p99 {measured['p99 ms']} ms")
        result.rows.append(measured)
        result.floors += floor(kind, question, measured, options.events)
    turns.close()
    return asked


def while_writing(context, kind, one, asked, result):
    """Runs one reader, many, and many while events are logged. Each queries again at once, so many wait for each other."""
    options, key = context.options, one.key()
    if options.readers == 0:
        return
    both = [path for pair in zip(*(question.paths for question in asked[:2]), strict=True) for path in pair]
    requests = [wire.request("GET", path, key=key) for path in both]
    before, count = stores.found(one), WRITE_RATE * (READERS_SECONDS + 5)
    coming = events.bodies(count, options.event_bytes, options.seed + 1, stores.history(options), before)
    prebuilt = one.requests(coming)
    alone = load.read(one.url, requests, 1, READERS_SECONDS / 3)
    quiet = load.read(one.url, requests, options.readers, READERS_SECONDS)
    writer = load.Writer(one.url, prebuilt, options.connections, events.BATCH / WRITE_RATE)
    busy = load.read(one.url, requests, options.readers, READERS_SECONDS)
    rate = writer.stop() * events.BATCH
    begun = time.monotonic()
    stores.wait_found(one, before + writer.sent * events.BATCH, options.timeout)
    behind = time.monotonic() - begun
    for name, taken, seconds in (
        ("1 reader", alone, READERS_SECONDS / 3),
        (f"{options.readers} readers", quiet, READERS_SECONDS),
        (f"{options.readers} readers, events coming in", busy, READERS_SECONDS),
    ):
        question = questions.Question(f"find by object, {name}", [])
        result.rows.append(row(kind, question, taken, []) | {"answers/s": round(len(taken) / seconds)})
    ratio = round(percentile(busy, 99) / percentile(quiet, 99), 2)
    result.floors += [
        Floor(f"{kind}, {options.readers} readers: p99 while events come in over the quiet one", ratio, WHILE_WRITING, False),
        Floor(f"{kind}: events a second meanwhile", round(rate), round(WRITE_RATE * WRITE_FLOOR)),
    ]
    single = round(percentile(busy, 99) / percentile(alone, 99), 1)
    result.notes.append(
        f"{kind}: {len(busy):,} answers to {options.readers} readers while events came in, none of them an error; their p99 "
        f"is {single} times that of one reader alone; the store was {behind:.1f} s behind at the end"
    )


def measure(context, kind, result):
    with stores.running(context, kind) as (one, engine):
        os.sync()
        procs.wait_calm(context.options.calm)
        asked = one_at_a_time(context, kind, one, engine, result)
        while_writing(context, kind, one, asked, result)


def run(context):
    options = context.options
    result = Report(f"Questions to {options.events:,} events")
    for kind in [options.store] if options.store else stores.KINDS:
        measure(context, kind, result)
    result.notes += [
        f"each question {options.rounds} times, about other objects or from another moment on each time, on one connection; "
        "«all» goes over every event, and less often",
        "readers ask by object, every second time with KQL, and again as soon as they are answered; the client is one process",
    ]
    return result
