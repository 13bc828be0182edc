"""From the program's start to its first accepted event."""

import shutil
import signal
import time

import service
import wire
from report import Floor, Report, median, say

FLOOR_SECONDS = 1.0
PAUSE = 0.001


def first_accepted(one, body, limit):
    """Starts the service and tries until an event is accepted; returns how many seconds that took."""
    begun = time.monotonic()
    one.spawn()
    while time.monotonic() - begun < limit:
        one.check_alive()
        try:
            connection = wire.Connection(wire.address(one.url))
        except OSError:
            time.sleep(PAUSE)
            continue
        try:
            request = wire.request("POST", service.EVENTS_PATH, body, "application/json", one.key() or "none")
            status, head, answer = connection.exchange(request)
        except (OSError, wire.WireError):
            continue
        finally:
            connection.close()
        if status == 202:
            taken = time.monotonic() - begun
            service.check_accepted(status, head, answer)
            return taken
        if status not in (401, 429, 503):
            raise service.ServiceError(f"annals answered {status}: {answer[:600]!r}")
        time.sleep(PAUSE)
    raise service.ServiceError(f"no event was accepted within {limit:.0f} s{one.end_of_log()}")


def run(context):
    options = context.options
    bodies = context.bodies()
    line = bodies[0][1].split(b"\n", 1)[0]
    taken = {"an empty data folder": [], "after a clean stop": [], "after kill -9, with events waiting": []}
    stops = []
    for number in range(1, options.rounds + 1):
        name = f"start-{number}"
        settings = service.sqlite_store(context.folder / name / "events.db")
        with context.service(name, settings) as one:
            taken["an empty data folder"].append(first_accepted(one, line, options.timeout))
            wire.Drive(one.url, one.requests(bodies), options.connections, service.check_accepted).run()
            stops.append(one.stop(limit=options.timeout))
            taken["after a clean stop"].append(first_accepted(one, line, options.timeout))
            wire.Drive(one.url, one.requests(bodies), options.connections, service.check_accepted).run()
            one.stop(signal.SIGKILL)
            taken["after kill -9, with events waiting"].append(first_accepted(one, line, options.timeout))
        shutil.rmtree(context.folder / name, ignore_errors=True)
        say(f"round {number}: " + ", ".join(f"{values[-1]:.3f} s {state}" for state, values in taken.items()))
    result = Report(f"Start to first accepted event, with {options.events:,} events logged between the starts")
    for state, values in taken.items():
        result.rows.append(
            {"state": state, "median s": round(median(values), 3), "slowest s": round(max(values), 3)}
        )
    slowest = max(max(values) for values in taken.values())
    result.floors.append(Floor("slowest start, s", round(slowest, 3), FLOOR_SECONDS, at_least=False))
    result.notes.append(f"a clean stop took {median(stops):.2f} s")
    return result
