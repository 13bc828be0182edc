"""Process data from Linux: CPU time, memory, and the listener on a port."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Returns user and system time of a process and its ended children; 0 for no process."""
    if pid is None:
        return 0.0
    # The second field is the name in parentheses, which may contain blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def cpu_by_thread(pid):
    """Returns CPU seconds by thread name, summed over threads whose names differ only in a final number."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = text[text.index("(") + 1 : text.rindex(")")].rstrip("0123456789-#")
        fields = text.rpartition(")")[2].split()
        seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def memory(pid):
    """Returns resident memory in bytes: current, the part not backed by files, and the peak."""
    wanted = {"VmRSS": "rss", "RssAnon": "anonymous", "VmHWM": "peak"}
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in wanted:
            found[wanted[name]] = int(value.split()[0]) * 1024
    return found


def busy_seconds():
    """Returns the busy CPU seconds of all cores since boot."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def listener(port):
    """Returns the process that listens on a local TCP port, or None if it cannot be found."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(handle) in inodes for handle in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None


def wait_idle(pid, limit=15.0):
    """Waits until a process has used less than a tenth of a core for half a second, up to a time limit."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.5)
        if cpu_seconds(pid) - before < 0.05:
            return


def wait_calm(limit):
    """Waits until the machine has used less than a tenth of one core for a second, up to a time limit."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        before = busy_seconds()
        time.sleep(1)
        if busy_seconds() - before < 0.1:
            return


@dataclass
class Spent:
    """The wall-clock and CPU seconds of a piece of work."""

    seconds: float
    annals_cpu: float
    engine_cpu: float
    client_cpu: float
    other_cpu: float

    @property
    def cpu(self):
        """Returns the CPU seconds of all participants."""
        return self.annals_cpu + self.engine_cpu + self.client_cpu

    @property
    def others_percent(self):
        """Returns the share of all cores that other processes used."""
        return round(100 * self.other_cpu / (self.seconds * (os.cpu_count() or 1)), 1)

    @property
    def idle(self):
        """Returns the idle seconds of all cores."""
        return max(0.0, self.seconds * (os.cpu_count() or 1) - self.cpu - self.other_cpu)

    def per_event(self, events):
        """Returns microseconds per event."""
        return {
            "annals_cpu_us": round(self.annals_cpu * 1e6 / events, 2),
            "engine_cpu_us": round(self.engine_cpu * 1e6 / events, 2),
            "client_cpu_us": round(self.client_cpu * 1e6 / events, 2),
            "idle_us": round(self.idle * 1e6 / events, 2),
        }


class Meter:
    """Measures from construction to `stop`. The client is this process; the others are given by id, or None."""

    def __init__(self, annals=None, engine=None):
        self._annals, self._engine = annals, engine
        self._before = self._read()

    def _read(self):
        return (
            time.monotonic(),
            cpu_seconds(self._annals),
            cpu_seconds(self._engine),
            time.process_time(),
            busy_seconds(),
        )

    def elapsed(self):
        """Returns the seconds since the beginning."""
        return time.monotonic() - self._before[0]

    def stop(self):
        seconds, annals, engine, client, busy = (
            now - then for now, then in zip(self._read(), self._before, strict=True)
        )
        return Spent(seconds, annals, engine, client, max(0.0, busy - annals - engine - client))
