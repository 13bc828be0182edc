"""Continuous load: many readers, each querying again as soon as it has an answer, and a writer with a fixed rate."""

import selectors
import socket
import threading
import time

import service
import wire

RECEIVE = 1 << 18


class LoadError(Exception):
    """A reader got no answer, or a bad one."""


class Reader:
    """One connection. It sends the same queries as the others, from a different start."""

    def __init__(self, where, requests, first):
        self.socket = socket.create_connection(where, timeout=wire.ANSWER_LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0.0
        self._requests, self._next = requests, first
        self._missing, self._received = None, bytearray()

    def ask(self):
        self._missing = None
        self._received.clear()
        self.asked = time.monotonic()
        self.socket.sendall(self._requests[self._next % len(self._requests)])
        self._next += 1

    def is_answered(self, buffer):
        """Reads what has arrived; raises on anything but a complete 200."""
        length = self.socket.recv_into(buffer)
        if length == 0:
            raise LoadError("a reader's connection was closed")
        if self._missing is None:
            self._received += buffer[:length]
            end_of_head = self._received.find(b"\r\n\r\n")
            if end_of_head < 0:
                return False
            head = bytes(self._received[:end_of_head]).lower()
            if head[9:12] != b"200":
                raise LoadError(f"a reader was answered {bytes(self._received[:600])!r}")
            expected = int(wire.header(head, b"content-length") or 0)
            self._missing = expected + end_of_head + 4 - len(self._received)
        else:
            self._missing -= length
        return self._missing <= 0


def read(url, requests, readers, seconds):
    """Returns the seconds of each query answered within the time; raises at the first error."""
    where, taken = wire.address(url), []
    buffer = memoryview(bytearray(RECEIVE))
    with selectors.DefaultSelector() as ready:
        crowd = [Reader(where, requests, number * 7) for number in range(readers)]
        try:
            for one in crowd:
                ready.register(one.socket, selectors.EVENT_READ, one)
                one.ask()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for key, _ in ready.select(timeout=1.0):
                    if key.data.is_answered(buffer):
                        taken.append(time.monotonic() - key.data.asked)
                        key.data.ask()
        finally:
            for one in crowd:
                one.socket.close()
    return taken


class Writer:
    """Sends prebuilt requests at an even rate, in its own threads, until stopped or until they run out."""

    def __init__(self, url, requests, connections, interval):
        self._requests = iter(requests)
        self._interval, self._lock = interval, threading.Lock()
        self._stopped = threading.Event()
        self._begun = self._due = time.monotonic()
        self.sent, self.failure = 0, None
        connections = [wire.Connection(wire.address(url)) for _ in range(connections)]
        self._threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in connections]
        for thread in self._threads:
            thread.start()

    def _work(self, connection):
        try:
            while (request := self._take()) is not None:
                while (wait := service.check_accepted(*connection.exchange(request))) is not None:
                    time.sleep(wait)
                with self._lock:
                    self.sent += 1
        except Exception as failure:  # raised by stop
            self.failure = failure
        finally:
            connection.close()

    def _take(self):
        with self._lock:
            due, self._due = self._due, self._due + self._interval
            request = next(self._requests, None)
        return None if request is None or self._stopped.wait(max(0.0, due - time.monotonic())) else request

    def stop(self):
        """Returns the successful requests per second so far; raises the first error."""
        seconds = time.monotonic() - self._begun
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure
        return self.sent / seconds
