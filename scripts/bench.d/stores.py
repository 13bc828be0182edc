"""The stores that can be asked: each running, filled through Annals, and settled."""

import contextlib
import time

import context as ctx
import engine
import events
import questions
import service
import wire
from report import say

KINDS = ("sqlite", "postgres", "elasticsearch")
PREFIX = ".benchfind"


@contextlib.contextmanager
def running(context, kind):
    """Yields the settings by which Annals finds the store, and the engine if it is one that can be asked as well."""
    if kind == "sqlite":
        yield service.sqlite_store(context.folder / kind / "events.db"), None
    elif kind == "postgres":
        say("starting PostgreSQL with its own settings")
        with engine.postgres(ctx.ROOT, fresh=not context.again) as url:
            yield service.postgres_store(url), None
    else:
        with context.engine() as found:
            if not context.again:
                found.delete(f"{PREFIX}-*")
            yield service.elasticsearch_store(found.url, PREFIX), found


def history(options):
    return events.History.over(questions.SPAN, options.events)


def fill(context, one):
    """Sends the history through Annals, unless an earlier run did, and waits until all of it is found."""
    options = context.options
    if context.again:
        return
    say(f"filling the store with {options.events:,} events")
    bodies = events.bodies(options.events, options.event_bytes, options.seed, history(options))
    begun = time.monotonic()
    requests = one.stream(bodies, questions.SPACES)
    wire.Drive(one.url, requests, options.connections, service.check_accepted).run()
    wait_found(one, options.events, options.timeout + options.events / 1_000)
    say(f"filled after {time.monotonic() - begun:,.0f} s")


def wait_found(one, expected, limit):
    """Waits until so many of the benchmark's events are found; what Annals itself records of the asking is of today."""
    deadline = time.monotonic() + limit
    while (count := one.json(f"{questions.PATH}/_count?end={questions.LAST}")["count"]) < expected:
        if time.monotonic() > deadline:
            raise service.ServiceError(f"after {limit:.0f} s, {count:,} of {expected:,} events are found")
        time.sleep(1)
    if count > expected:
        raise service.ServiceError(f"{count:,} events are found where {expected:,} were sent")
