"""The command line of scripts/bench."""

import argparse
import signal
import sys

import context as ctx
import elasticsearch
import engine
import export
import find
import latency
import load
import memory
import service
import sqlite
import start
import stores
import wire
from report import say

# Each: the function, the default numbers of events and rounds, and the help text.
COMMANDS = {
    "elasticsearch": (elasticsearch.run, 200_000, 3, "documents per second, and its ratio to a bare bulk loop"),
    "sqlite": (sqlite.run, 100_000, 3, "rows per second, and their ratio to a bare insert loop"),
    "latency": (latency.run, 2_000, 1, "single events under light load, and the disk's own sync"),
    "memory": (memory.run, 50_000, 1, "resident memory while a backlog grows and goes"),
    "find": (find.run, 1_000_000, 300, "questions of all kinds to a filled store, and many readers at once"),
    "export": (export.run, 1_000_000, 3, "a whole export against a bare scroll, and the memory that it takes"),
    "start": (start.run, 20_000, 5, "time from the program's start to its first accepted event"),
}
FAILURES = (engine.EngineError, load.LoadError, service.ServiceError, sqlite.RowsError, wire.WireError, OSError)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not {text}")
    return number


def parser():
    result = argparse.ArgumentParser(prog="scripts/bench", description=sys.modules["__main__"].__doc__)
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, events, rounds, explained) in COMMANDS.items():
        one = commands.add_parser(name, help=explained, description=explained)
        add = one.add_argument
        add("--events", type=positive, default=events, help="events of one round (default %(default)s)")
        add("--rounds", type=positive, default=rounds, help="measured rounds or pairs (default %(default)s)")
        add("--event-bytes", type=positive, default=360, help="bytes of an event as sent (default %(default)s)")
        add("--seed", type=int, default=1, help="of the pseudo-random events (default %(default)s)")
        add("--connections", type=positive, default=3, help="from the client to Annals (default %(default)s)")
        add("--binary", default=str(ctx.ROOT / "target/release/annals"), help="default target/release/annals")
        add("--set", action="append", default=[], metavar="KEY=VALUE", help="a dotted key of Annals' configuration")
        add("--work", default=str(ctx.ROOT / "target/bench"), help="where data folders go (default target/bench)")
        add("--timeout", type=positive, default=300, help="seconds to wait for any one thing (default %(default)s)")
        if name in ("elasticsearch", "sqlite", "latency", "find", "export"):
            add("--calm", type=int, default=30, help="seconds to wait for a calm machine (default %(default)s)")
        add("--json", action="store_true", help="print one line of JSON instead of the table")
        add("--assert", action="store_true", dest="check", help="exit with 1 when a promise is missed")
        add("--keep", action="store_true", help="leave what was written")
        if name in ("elasticsearch", "memory", "find", "export"):
            add("--heap", default="1g", help="Java heap of the engine (default %(default)s)")
            add("--engine-url", help="use this running engine instead of starting one")
        if name in ("find", "export"):
            add("--store", choices=stores.KINDS, help="this store alone (default: one after the other)")
            add("--again", action="store_true", help="ask what a run of find or export with --keep has left")
        if name == "find":
            add("--readers", type=int, default=200, help="who ask at once, or 0 for none (default %(default)s)")
        if name == "elasticsearch":
            add("--perf", action="store_true", help="one more round under perf: what takes Annals' CPU time")
        if name == "sqlite":
            add("--table", default="events", help="the table with one row for each event (default %(default)s)")
            add("--rows-program", help="a built tests/bench/sqlite_rows.rs (default: cargo builds it)")
        if name == "latency":
            add("--rate", type=positive, default=200, help="events a second (default %(default)s)")
        if name == "memory":
            add("--backlog", type=positive, default=1024, help="MiB in the data folder (default %(default)s)")
    return result


def main():
    options = parser().parse_args()
    # SIGTERM cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ctx.Context(options) as context:
            report = COMMANDS[options.command][0](context)
    except ctx.UsageError as wrong:
        say(str(wrong))
        return 2
    except FAILURES as failure:
        say(f"failed: {failure}")
        return 3
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    print(report.json() if options.json else report.markdown())
    return 1 if options.check and not report.kept else 0
