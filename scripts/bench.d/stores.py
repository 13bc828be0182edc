"""The stores to query: each running, and filled through Annals."""

import contextlib
import shutil
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
    """Yields Annals with this store, started and filled, and the engine if it can be queried as well."""
    options = context.options
    fresh = not options.again
    # Outside the folder of the run, so that kept data outlives the next run.
    folder = context.folder.parent / "stores" / kind
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        if not options.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings, asked, settle = stack.enter_context(store(context, kind, folder, fresh))
        one = stack.enter_context(service.Service(context.binary, folder, settings | context.settings))
        one.start().wait_ready()
        if fresh:
            fill(options, one)
            settle()
        yield one, asked


@contextlib.contextmanager
def store(context, kind, folder, fresh):
    """Yields Annals' settings for the store, the engine, and a function to call once it is filled."""
    if kind == "sqlite":
        yield service.sqlite_store(folder / "events.db"), None, lambda: None
    elif kind == "postgres":
        say("starting PostgreSQL")
        with engine.postgres(ctx.ROOT, fresh) as url:
            yield service.postgres_store(url), None, lambda: engine.vacuum(url)
    else:
        with context.engine(fresh) as found:
            if fresh:
                found.delete(f"{PREFIX}-*")
            yield service.elasticsearch_store(found.url, PREFIX), found, lambda: None


def history(options):
    return events.History.over(questions.SPAN, options.events)


def fill(options, one):
    """Sends the history through Annals, and waits until all of it can be found."""
    say(f"filling the store with {options.events:,} events")
    bodies = events.bodies(options.events, options.event_bytes, options.seed, history(options))
    begun = time.monotonic()
    requests = one.stream(bodies, questions.SPACES)
    wire.Drive(one.url, requests, options.connections, service.check_accepted).run()
    wait_found(one, options.events, options.timeout + options.events / 1_000)
    say(f"filled after {time.monotonic() - begun:,.0f} s")


def found(one):
    return one.json(f"{questions.PATH}/_count?end={questions.LAST}")["count"]


def wait_found(one, expected, limit):
    """Waits until this many of the benchmark's events are found; those about the queries have today's date."""
    deadline = time.monotonic() + limit
    while (count := found(one)) < expected:
        if time.monotonic() > deadline:
            raise service.ServiceError(f"after {limit:.0f} s, {count:,} of {expected:,} events are found")
        time.sleep(1)
    if count > expected:
        raise service.ServiceError(f"{count:,} events are found where {expected:,} were sent")
