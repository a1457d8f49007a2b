"""A small HTTP server in threads of its own: some paths, each answered by a function.

Made for probes and scrapers on a trusted network: no TLS, no names, one request a connection, and
never more threads than `MOST_CLIENTS`. `http.server.HTTPServer` is not used because it looks this
host's name up as it binds, which can take seconds.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, NamedTuple

from adpkv.config.address import host_and_port
from adpkv.errors import UsageError

__all__ = ["Answer", "HttpServer", "Route", "json_answer"]

MOST_CLIENTS: Final = 16
"""Further clients are turned away at once, instead of costing the ranks a thread each."""

CLIENT_TIMEOUT_S: Final = 5.0
"""A client that says nothing for so long is let go."""

LOOK_EVERY_S: Final = 0.2
"""How often the server looks whether it is to end; clients are noticed at once."""


class Answer(NamedTuple):
    """The response for a path."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str], Answer]
"""Makes a path's answer; the argument is the client's `Accept` header. Called in any thread."""


def json_answer(status: int, value: object) -> Answer:
    """A value as JSON."""
    body = json.dumps(value, indent=2).encode() + b"\n"
    return Answer(status, "application/json; charset=utf-8", body)


class HttpServer:
    """Bound to its address by the constructor; answers from `start` to `close`."""

    def __init__(self, address: str) -> None:
        """Bind.

        Raises:
            UsageError: the address is in use, not this host's, or unknown.
        """
        host, port = host_and_port(address)
        try:
            self._server = _bound(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"observe.http: cannot serve at {address}: {reason}") from error
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def start(self, routes: Mapping[str, Route]) -> None:
        """Answer for these paths from now on."""
        self._server.routes = routes
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more, and give the address back. Waits for no client."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(LOOK_EVERY_S)


def _bound(host: str, port: int) -> _Server:
    family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return _Server(family, where)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True  # what a former run has just left may still be closing
    daemon_threads = True  # a client never keeps the process
    request_queue_size = MOST_CLIENTS

    def __init__(self, family: int, where: Any) -> None:
        self.address_family = family
        self.routes: Mapping[str, Route] = {}
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(where, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()  # no thread could be started for it
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away is no input, and the terminal is the run's.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def version_string(self) -> str:
        """The name of the server, without versions of anything."""
        return "adpkv"

    def do_GET(self) -> None:
        """Answer."""
        self._send(self._answer(), with_body=True)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._send(self._answer(), with_body=False)

    def _answer(self) -> Answer:
        assert isinstance(self.server, _Server)
        routes = self.server.routes
        route = routes.get(self.path.partition("?")[0])
        if route is None:
            return json_answer(HTTPStatus.NOT_FOUND, {"paths": sorted(routes)})
        try:
            return route(self.headers.get("Accept", ""))
        except Exception as error:
            # A probe must not take silence, let alone 200, for good health.
            said = f"{type(error).__name__}: {error}"
            return json_answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": said})

    def _send(self, answer: Answer, *, with_body: bool) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Probes come every few seconds; the terminal is the run's."""
