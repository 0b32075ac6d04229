"""Two loopback servers for tests of the network, and what may go wrong with them.

::

    with HttpServer({"lmc/ecl/ident.dat": data}) as server:
        server.fail("lmc/ecl/ident.dat", Fault(after=100, ending="reset"), times=2)
        ...                                      # fetch from server.url
        assert server.served["lmc/ecl/ident.dat"] == len(data) + 200

Files are held in memory by name: the path of the address without its first slash. A file may be replaced at any time;
its tag and time of change follow from its bytes. Each request uses up one fault of its file, in the order in which
they were given; one given with ``times=FOREVER`` stands whenever no other is due.

A server runs in threads of the test, so a child process may fetch from it: what is counted and injected is the same.
`Server.wait_for_stall` tells when a client hangs in a stall, which is the time to kill it or to press Ctrl-C.
"""

import os
import re
import select
import socket
import socketserver
import struct
import threading
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Literal
from urllib.parse import unquote, urlsplit

FOREVER = None
CONNECTION = ""

Ending = Literal["close", "reset", "stall"]

_BLOCK = 1 << 14
_PATIENCE = 30.0


def _has_left(sock):
    """Tell whether the client at the other end has closed, or said that it leaves."""
    try:
        waiting = sock.recv(4, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return waiting in {b"", b"QUIT"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one HTTP request."""

    methods: tuple[str, ...] = ("GET",)
    """Requests that it happens to."""
    status: int = 200
    """Answered instead of the file, unless `body` is given or it is 200."""
    body: bytes | None = None
    """Sent instead of the file."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Put over the headers of the answer; None leaves one out."""
    ending: Ending | None = None
    """How the answer breaks off: the connection is closed in good order, reset, or hangs."""
    after: int | None = None
    """Bytes of the body before the ending; None if it comes before any answer at all."""
    ranges: bool = True
    """False for a server that always sends the whole file."""
    if_range: bool = True
    """False for a server that sends a part even if the file has changed."""
    shift: int = 0
    """Bytes by which the part that is sent lies beyond the part that was asked for."""
    chunked: bool = False
    """Whether the length of the body is not announced."""
    before: Callable[[], object] | None = None
    """Called before the answer."""
    afterwards: Callable[[], object] | None = None
    """Called when the fault has happened, for instance to change the file."""

    def hits(self, method):
        return method in self.methods


@dataclass(frozen=True)
class FtpFault:
    """What goes wrong with one FTP command."""

    command: str = "RETR"
    """Command that it happens to. All but SIZE, MDTM and RETR have no file: give them to the file CONNECTION."""
    reply: str = ""
    """Answered instead of what was asked for."""
    ending: Ending | None = None
    """How the data break off."""
    after: int = 0
    """Bytes of data before the ending."""
    last: str = "226 Transfer complete."
    """Answered after the data; empty if the server hangs up instead."""
    deaf: bool = False
    """For REST: answered as if it were heeded, but the data start from the beginning."""
    before: Callable[[], object] | None = None
    """Called before the command."""
    afterwards: Callable[[], object] | None = None
    """Called when the fault has happened."""

    def hits(self, command):
        return command == self.command


class _Threads(socketserver.ThreadingTCPServer):
    """A server whose threads end with it."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, _request, _address):
        """Say nothing: clients that go away are what these servers are for."""


class Server:
    """What both servers have in common. Everything in it may be read and changed while it runs."""

    scheme = ""
    handler: type

    def __init__(self, files=(), *, host="127.0.0.1"):
        self.files = dict(files)
        # By file: its bytes that were handed to the system, and requests. Pages that go with an error do not count.
        self.served, self.requests = Counter(), Counter()
        # (method or command, file, headers or argument) in the order of arrival.
        self.log = []
        self.agents = set()
        self.connections = self.most_at_once = 0
        self._open_now = set()
        self._queue, self._standing = defaultdict(deque), defaultdict(list)
        self._lock = threading.RLock()
        self._stalls = threading.Semaphore(0)
        self._sockets = set()
        self.closing = threading.Event()
        self._host, self._port = host, 0
        self.open_port()

    @property
    def url(self):
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self.scheme}://{host}:{self._port}/"

    def open_port(self):
        """Take connections, at the same port as before."""
        server = type(
            "_Bound", (_Threads,), {"address_family": socket.AF_INET6 if ":" in self._host else socket.AF_INET}
        )
        self.closing.clear()
        self._server = server((self._host, self._port), type("_Handler", (self.handler,), {"outer": self}))
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close_port(self):
        """Refuse connections and end those that are there."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        # Waits for the threads.
        self._server.server_close()

    close = close_port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fail(self, name, *faults, times=1):
        """Let the next requests for a file go wrong."""
        with self._lock:
            if times is FOREVER:
                self._standing[name].extend(faults)
            else:
                self._queue[name].extend(fault for _ in range(times) for fault in faults)

    def recover(self, name):
        """Drop the faults of a file."""
        with self._lock:
            self._queue.pop(name, None)
            self._standing.pop(name, None)

    def take_fault(self, name, what):
        with self._lock:
            queue = self._queue[name]
            fault = next((fault for fault in queue if fault.hits(what)), None)
            if fault is not None:
                queue.remove(fault)
            else:
                fault = next((fault for fault in self._standing[name] if fault.hits(what)), None)
        if fault is not None and fault.before is not None:
            fault.before()
        return fault

    def note(self, what, name, detail):
        with self._lock:
            self.log.append((what, name, detail))

    def note_request(self, name):
        with self._lock:
            self.requests[name] += 1

    def note_served(self, name, size):
        with self._lock:
            if name:
                self.served[name] += size

    def forget(self):
        """Begin to count anew."""
        with self._lock:
            self.served.clear()
            self.requests.clear()
            self.log.clear()

    def opened(self, sock):
        self.hold(sock)
        with self._lock:
            self.connections += 1
            self._open_now.add(sock)
            # A client that has left counts no more, though its thread here may not have seen it yet.
            self.most_at_once = max(self.most_at_once, sum(not _has_left(other) for other in self._open_now))

    def closed(self, sock):
        self.let_go(sock)
        with self._lock:
            self._open_now.discard(sock)

    def hold(self, sock):
        """Have a socket ended when the server closes."""
        with self._lock:
            self._sockets.add(sock)
        if self.closing.is_set():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def let_go(self, sock):
        with self._lock:
            self._sockets.discard(sock)

    def wait_for_stall(self):
        """Wait until a client hangs in a stall that nobody has waited for yet."""
        assert self._stalls.acquire(timeout=_PATIENCE), "no client came to a stall"

    def stall(self, sock):
        """Hang until the client goes away or the server closes."""
        self._stalls.release()
        while not self.closing.is_set():
            with suppress(OSError, ValueError):
                if select.select([sock], [], [], 0.01)[0] and not sock.recv(1, socket.MSG_PEEK):
                    return
                continue
            return

    def send(self, sock, name, data):
        """Send a body and count what the system took of it."""
        for start in range(0, len(data), _BLOCK):
            block = data[start : start + _BLOCK]
            sock.sendall(block)
            self.note_served(name, len(block))


def _reset(sock):
    """Close a connection so that the other side gets a reset, whatever else still holds the socket."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(sock.detach())


def etag_of(data):
    """Tag that a file has on these servers."""
    return f'"{zlib.crc32(data):08x}-{len(data):x}"'


def changed(data):
    """Time of the last change that a file has on these servers."""
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=zlib.crc32(data) % 10_000_000)


def http_date(when):
    return format_datetime(when, usegmt=True)


def closed_port():
    """Find a port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    outer: "HttpServer"

    def setup(self):
        super().setup()
        self.outer.opened(self.connection)

    def finish(self):
        with suppress(OSError):
            super().finish()
        self.outer.closed(self.connection)

    def handle(self):
        with suppress(OSError):
            super().handle()

    def log_message(self, *_args):
        pass

    def do_GET(self):
        self._answer()

    def do_HEAD(self):
        self._answer()

    def _answer(self):
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        self.outer.agents.add(self.headers.get("User-Agent", ""))
        self.outer.note(self.command, name, dict(self.headers.items()))
        self.outer.note_request(name)
        known = self.outer.take_fault(name, self.command)
        fault = known or Fault()
        try:
            if fault.ending is not None and fault.after is None:
                self._end(fault.ending)
                return
            status, headers, body = self._content(name, fault)
            self._send_head(status, headers)
            if self.command != "HEAD":
                self._send_body(name if status in {200, 206} else "", fault, body, headers)
        finally:
            if fault.afterwards is not None:
                fault.afterwards()

    def _content(self, name, fault):
        """Status, headers and body of an answer."""
        data = self.outer.files.get(name)
        if fault.body is not None:
            status, headers, body = fault.status, {}, fault.body
        elif fault.status != 200:
            status, headers, body = fault.status, {}, b"" if fault.status == 204 else b"sorry\n"
        elif data is None:
            status, headers, body = 404, {}, b"not here\n"
        else:
            status, headers, body = self._part(data, fault)
        if fault.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        headers.update(fault.headers)
        return status, {key: value for key, value in headers.items() if value is not None}, body

    def _part(self, data, fault):
        headers = {"ETag": etag_of(data), "Last-Modified": http_date(changed(data))}
        if not fault.ranges:
            return 200, headers, data
        headers["Accept-Ranges"] = "bytes"
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", "")
        unchanged = not condition or condition in {headers["ETag"], headers["Last-Modified"]}
        if match is None or match[0] == "bytes=-" or (fault.if_range and not unchanged):
            return 200, headers, data
        if match[1]:
            start, end = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
        else:
            start, end = max(0, len(data) - int(match[2])), len(data) - 1
        if start > end:
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b"no such part\n"
        start = min(start + fault.shift, end)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return 206, headers, data[start : end + 1]

    def _send_head(self, status, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _send_body(self, name, fault, body, headers):
        sent = body if fault.ending is None else body[: fault.after]
        if fault.chunked:
            self._send_chunks(name, sent, whole=fault.ending is None)
        else:
            self.outer.send(self.connection, name, sent)
        if fault.ending is not None:
            self._end(fault.ending)
        elif int(headers.get("Content-Length", 0)) > len(body):
            self.close_connection = True

    def _send_chunks(self, name, body, *, whole):
        for start in range(0, len(body), 1000):
            block = body[start : start + 1000]
            self.wfile.write(b"%x\r\n" % len(block))
            self.outer.send(self.connection, name, block)
            self.wfile.write(b"\r\n")
        if whole:
            self.wfile.write(b"0\r\n\r\n")

    def _end(self, ending):
        self.close_connection = True
        if ending == "stall":
            self.outer.stall(self.connection)
        elif ending == "reset":
            _reset(self.connection)


class HttpServer(Server):
    """A web server: HTTP/1.1 with tags, times of change, and parts of files."""

    scheme = "http"
    handler = _HttpHandler


class _FtpHandler(socketserver.StreamRequestHandler):
    outer: "FtpServer"
    disable_nagle_algorithm = True

    def handle(self):
        self._listener, self._start, self._deaf = None, 0, False
        self.outer.opened(self.connection)
        try:
            if self._goes_wrong("CONNECT", CONNECTION) is None:
                self._reply("220 Loopback server ready.")
            self._serve()
        except OSError:
            pass
        finally:
            if self._listener is not None:
                self._listener.close()
            self.outer.closed(self.connection)

    def _serve(self):
        while line := self.rfile.readline(4096):
            command, _, argument = line.decode("latin-1").rstrip("\r\n").partition(" ")
            command = command.upper()
            # The path is bytes of UTF-8, as in an address.
            name = argument.encode("latin-1").decode("utf-8", "replace").removeprefix("/")
            of_file = command in {"SIZE", "MDTM", "RETR"}
            self.outer.note(command, name if of_file else CONNECTION, argument)
            answer = getattr(self, f"ftp_{command.lower()}", None)
            if command == "QUIT":
                self._reply("221 Goodbye.")
                return
            if answer is None:
                self._reply("502 Not known here.")
            elif command == "RETR":
                self.outer.note_request(name)
                if not answer(name):
                    return
            elif self._goes_wrong(command, name if of_file else CONNECTION) is None:
                answer(name if of_file else argument)

    def _reply(self, text):
        self.wfile.write(f"{text}\r\n".encode("latin-1"))

    def _goes_wrong(self, command, name):
        """Answer for the fault of a command, if there is one that answers."""
        fault = self.outer.take_fault(name, command)
        if fault is None:
            return None
        if fault.deaf:
            self._deaf = True
            return None
        if fault.ending is not None:
            self._end(self.connection, fault.ending)
        if fault.reply:
            self._reply(fault.reply)
        if fault.afterwards is not None:
            fault.afterwards()
        return fault if fault.reply or fault.ending else None

    def ftp_user(self, _argument):
        self._reply("331 Any password will do.")

    def ftp_pass(self, argument):
        self.outer.agents.add(argument)
        self._reply("230 Welcome.")

    def ftp_type(self, _argument):
        self._reply("200 As you like.")

    def ftp_size(self, name):
        data = self.outer.files.get(name)
        self._reply("550 No such file." if data is None else f"213 {len(data)}")

    def ftp_mdtm(self, name):
        data = self.outer.files.get(name)
        self._reply("550 No such file." if data is None else f"213 {changed(data):%Y%m%d%H%M%S}")

    def ftp_rest(self, argument):
        self._start = int(argument)
        self._reply(f"350 Starting at {argument}.")

    def ftp_pasv(self, _argument):
        port = self._listen()
        self._reply(f"227 Entering passive mode (127,0,0,1,{port // 256},{port % 256}).")

    def ftp_epsv(self, _argument):
        self._reply(f"229 Entering extended passive mode (|||{self._listen()}|).")

    def _listen(self):
        if self._listener is not None:
            self._listener.close()
        host = self.connection.getsockname()[0]
        self._listener = socket.create_server((host, 0), family=self.connection.family)
        self._listener.settimeout(_PATIENCE)
        return self._listener.getsockname()[1]

    def ftp_retr(self, name):
        """Send a file; False if the server hangs up then."""
        fault = self.outer.take_fault(name, "RETR") or FtpFault()
        data = self.outer.files.get(name)
        start, self._start = 0 if self._deaf else self._start, 0
        try:
            if fault.reply or data is None:
                self._reply(fault.reply or "550 No such file.")
                return True
            self._reply("150 Here it comes.")
            self.outer.hold(self._listener)
            connection, _ = self._listener.accept()
            self.outer.hold(connection)
            with connection:
                self.outer.send(connection, name, data[start:] if fault.ending is None else data[start:][: fault.after])
                if fault.ending is not None:
                    self._end(connection, fault.ending)
            self.outer.let_go(connection)
            if fault.last:
                self._reply(fault.last)
            return bool(fault.last)
        finally:
            if fault.afterwards is not None:
                fault.afterwards()

    def _end(self, sock, ending):
        if ending == "stall":
            self.outer.stall(sock)
        elif ending == "reset":
            _reset(sock)


class FtpServer(Server):
    """An FTP server: passive connections, parts of files, their sizes and times of change."""

    scheme = "ftp"
    handler = _FtpHandler
