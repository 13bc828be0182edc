"""Single events under light load, against an fdatasync of as many bytes next to the journal."""

import os
import time

import procs
import service
import wire
from report import Floor, Report, percentile, say

FLOOR_MS = 3.0
# How much longer an event is in the journal than when sent: the members that the log adds, and the frame.
ADDED_BYTES = 500
WARM_UP = 100


def synced_append(handle, content):
    """Seconds for appending and syncing."""
    begun = time.perf_counter()
    os.write(handle, content)
    os.fdatasync(handle)
    return time.perf_counter() - begun


def accepted_event(connection, request):
    """Seconds from the request's first byte to the complete answer."""
    begun = time.perf_counter()
    answer = connection.exchange(request)
    taken = time.perf_counter() - begun
    if service.check_accepted(*answer) is not None:
        raise service.ServiceError("an event was answered 429 under light load")
    return taken


def measure(one, requests, lengths, interval):
    """Alternates both, one event per tick; returns the two lists of seconds."""
    connection = wire.Connection(wire.address(one.url))
    handle = os.open(one.data / "bench.append", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    events, syncs = [], []
    try:
        tick = time.monotonic()
        for request, length in zip(requests, lengths, strict=True):
            tick = max(tick + interval, time.monotonic())
            time.sleep(max(0.0, tick - time.monotonic()))
            events.append(accepted_event(connection, request))
            syncs.append(synced_append(handle, bytes(length + ADDED_BYTES)))
    finally:
        os.close(handle)
        connection.close()
    return events[WARM_UP:], syncs[WARM_UP:]


def run(context):
    options = context.options
    lines = [line for _, body in context.bodies(options.events + WARM_UP) for line in body.splitlines()]
    settings = service.sqlite_store(context.folder / "latency" / "events.db")
    with context.service("latency", settings) as one:
        one.start().wait_ready()
        requests = [wire.request("POST", service.EVENTS_PATH, line, "application/json", one.key()) for line in lines]
        os.sync()
        procs.wait_calm(options.calm)
        say(f"{options.events:,} single events at {options.rate} a second")
        events, syncs = measure(one, requests, [len(line) for line in lines], 1 / options.rate)
    result = Report(f"Latency of single events, {options.rate} a second on one connection")
    for name, values in (("202 for one event", events), ("append + fdatasync", syncs)):
        row = {f"p{percent} ms": round(percentile(values, percent) * 1000, 2) for percent in (50, 90, 99)}
        result.rows.append({"what": name} | row | {"max ms": round(max(values) * 1000, 2)})
    difference = (percentile(events, 99) - percentile(syncs, 99)) * 1000
    result.floors.append(Floor("p99 above the disk's own, ms", round(difference, 2), FLOOR_MS, at_least=False))
    return result
