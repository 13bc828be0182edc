"""HTTP/1.1 over plain sockets with as little work as possible: the client shares the cores with what it measures."""

import socket
import threading
import time
from urllib.parse import urlsplit

ANSWER_LIMIT = 120.0
# How long one request is retried.
PATIENCE = 120.0


class WireError(Exception):
    """The other side closed, answered something that is not HTTP, or took too long."""


def address(url):
    parts = urlsplit(url)
    return parts.hostname, parts.port or 80


def request(method, path, body=b"", content_type="application/json", key=None):
    """Returns the bytes of a complete request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\n"
    if key:
        head += f"Authorization: ApiKey {key}\r\n"
    return head.encode() + b"\r\n" + body


class Connection:
    """One keep-alive connection: one request, then its answer."""

    def __init__(self, where):
        self._socket = socket.create_connection(where, timeout=ANSWER_LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 18)
        self._filled = 0

    def close(self):
        self._socket.close()

    def exchange(self, request_bytes):
        """Sends a request; returns the answer's status, head (in lower case) and body."""
        self._socket.sendall(request_bytes)
        self._filled = 0
        end_of_head = -1
        while end_of_head < 0:
            self._receive()
            end_of_head = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        head = bytes(self._buffer[:end_of_head]).lower()
        start = end_of_head + 4
        status = int(head[9:12])
        if status in (204, 304):
            return status, head, b""
        if b"\r\ntransfer-encoding: chunked" in head:
            return status, head, self._chunks(start)
        length = int(header(head, b"content-length") or 0)
        while self._filled < start + length:
            self._receive()
        return status, head, bytes(self._buffer[start : start + length])

    def stream(self, request_bytes):
        """Sends a request; yields the parts of a chunked body as they arrive, and raises unless it is complete."""
        self._socket.sendall(request_bytes)
        self._filled = 0
        at = self._find(b"\r\n\r\n", 0) + 4
        head = bytes(self._buffer[: at - 4]).lower()
        if head[9:12] != b"200" or b"\r\ntransfer-encoding: chunked" not in head:
            raise WireError(f"expected 200 and a chunked body, not {head[:200]!r}")
        while True:
            # Keeps data only as long as its part.
            self._buffer[: self._filled - at] = self._buffer[at : self._filled]
            self._filled, at = self._filled - at, 0
            end_of_line = self._find(b"\r\n", 0)
            size = int(bytes(self._buffer[:end_of_line]).partition(b";")[0], 16)
            at = end_of_line + 2 + size + 2
            while self._filled < at:
                self._receive()
            if size == 0:
                return
            yield bytes(self._buffer[end_of_line + 2 : at - 2])

    def _chunks(self, at):
        body = bytearray()
        while True:
            end_of_line = self._find(b"\r\n", at)
            size = int(bytes(self._buffer[at:end_of_line]).partition(b";")[0], 16)
            at = end_of_line + 2
            while self._filled < at + size + 2:
                self._receive()
            if size == 0:
                return bytes(body)
            body += self._buffer[at : at + size]
            at += size + 2

    def _find(self, wanted, start):
        while (found := self._buffer.find(wanted, start, self._filled)) < 0:
            self._receive()
        return found

    def _receive(self):
        if self._filled == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        with memoryview(self._buffer) as view:
            received = self._socket.recv_into(view[self._filled :])
        if received == 0:
            raise WireError("the connection was closed before the answer was complete")
        self._filled += received


def header(head, name):
    """Returns the value of a header, or None; `head` and `name` in lower case."""
    _, found, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip() if found else None


def backoff(head, default=0.05):
    """Returns how long a 429 or 503 asks to wait."""
    value = header(head, b"retry-after")
    return float(value) if value and value.isdigit() else default


class Drive:
    """Sends prebuilt requests over several connections, each as fast as its answers come.

    `check(status, head, body)` returns None when the answer is good, or the seconds after which to send the request
    again, and raises on anything else. The connections are made beforehand.
    """

    def __init__(self, url, requests, connections, check):
        self._connections = [Connection(address(url)) for _ in range(connections)]
        self._next = iter(requests)
        self._lock = threading.Lock()
        self._check = check
        self._failure = None
        self.refused = 0

    def run(self):
        """Returns once every request has succeeded; raises the first failure."""
        threads = [threading.Thread(target=self._work, args=(one,), daemon=True) for one in self._connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in self._connections:
            connection.close()
        if self._failure is not None:
            raise self._failure

    def _work(self, connection):
        try:
            while self._failure is None:
                with self._lock:
                    one = next(self._next, None)
                if one is None:
                    return
                give_up = time.monotonic() + PATIENCE
                while (wait := self._check(*connection.exchange(one))) is not None:
                    if time.monotonic() > give_up:
                        raise WireError(f"a request was refused for {PATIENCE:.0f} s")
                    with self._lock:
                        self.refused += 1
                    time.sleep(wait)
        except Exception as failure:  # raised by run
            self._failure = failure
