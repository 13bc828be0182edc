"""From HTTP request to row, against a bare loop that inserts the same rows with the same durability."""

import json
import os
import subprocess

import context as ctx
import procs
import service
import wire
from report import Floor, Report, median, say

FLOOR = 0.70


class RowsError(Exception):
    """The program that watches and fills databases (tests/bench/sqlite_rows.rs) failed."""


def build_rows_program():
    """Builds the program with the SQLite that Annals contains; returns its path."""
    say("building the bare loop (cargo bench --bench sqlite_rows --no-run)")
    command = ["cargo", "bench", "--bench", "sqlite_rows", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=ctx.ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "sqlite_rows":
            return message["executable"]
    raise RowsError("cargo named no executable for sqlite_rows")


class Watch:
    """Waits, in a separate process, until a table has this many more rows than at first."""

    def __init__(self, program, database, table, more):
        command = [program, "watch", str(database), table, str(more)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if not self._process.stdout.readline():
            raise RowsError(f"the rows of {table} in {database} could not be counted")

    def wait(self, limit):
        try:
            rows, _ = self._process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise RowsError(f"the rows were not there after {limit:.0f} s") from None
        finally:
            self._process.kill()
        return int(rows)


def annals(context, name, bodies, program):
    """Sends the whole load through Annals; returns the time, the peak memory, and the CPU time by thread."""
    events = sum(count for count, _ in bodies)
    database = context.folder / name / "events.db"
    with context.service(name, service.sqlite_store(database)) as one:
        one.start().wait_ready()
        requests = one.requests(bodies)
        watch = Watch(program, database, context.options.table, events)
        os.sync()
        procs.wait_calm(context.options.calm)
        drive = wire.Drive(one.url, requests, context.options.connections, service.check_accepted)
        threads = procs.cpu_by_thread(one.pid)
        meter = procs.Meter(one.pid)
        drive.run()
        rows = watch.wait(context.options.timeout)
        spent = meter.stop()
        if rows != events:
            raise RowsError(f"{rows} rows were added where {events} events were sent")
        return spent, procs.memory(one.pid)["peak"], ctx.threads_table(threads, one.pid, events)


def bare(context, name, program):
    """Copies the rows of Annals' database into a new one next to it."""
    source = context.folder / name / "events.db"
    copy = context.folder / name / "bare.db"
    command = [program, "copy", str(source), str(copy), context.options.table]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout)


def run(context):
    options = context.options
    bodies = context.bodies()
    program = options.rows_program or build_rows_program()
    result = Report(f"SQLite: {options.events:,} events, in the database, against the bare loop")
    ratios, threads = [], {}
    for number in range(1, options.rounds + 1):
        name = f"sqlite-{number}"
        spent, peak, threads = annals(context, name, bodies, program)
        rate = options.events / spent.seconds
        say(f"annals, round {number}: {rate:,.0f} events/s")
        os.sync()
        procs.wait_calm(options.calm)
        loop = bare(context, name, program)
        bare_rate = options.events / loop["seconds"]
        say(f"bare loop, round {number}: {bare_rate:,.0f} events/s")
        context.discard(name)
        ratios.append(rate / bare_rate)
        cost = spent.per_event(options.events)
        result.rows.append(
            {
                "round": number,
                "annals/s": round(rate),
                "bare/s": round(bare_rate),
                "ratio": round(ratios[-1], 3),
                "annals µs": cost["annals_cpu_us"],
                "bare µs": round(loop["cpu_seconds"] * 1e6 / options.events, 2),
                "client µs": cost["client_cpu_us"],
                "others %": spent.others_percent,
                "peak MiB": ctx.mib(peak),
                "rows": loop["rows"],
            }
        )
    result.floors.append(Floor("median ratio", round(median(ratios), 3), FLOOR))
    result.notes.append(f"SQLite {loop['sqlite']}, transactions of 1,000 events, WAL, synchronous=FULL")
    result.notes.append("µs are CPU time per event; «others» is what else ran on the machine meanwhile")
    result.notes.append("annals by thread, µs: " + ", ".join(f"{thread} {used}" for thread, used in threads.items()))
    result.details = {"ratios": ratios, "threads": threads}
    return result
