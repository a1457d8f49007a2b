"""The small HTTP server: it answers, is bounded, and goes away; binding fails in words."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from adpkv.errors import UsageError
from adpkv.output.http import MOST_CLIENTS, Answer, HttpServer, json_answer

BOUND_S = 20
"""For what takes a moment unless it never comes."""


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def failing(accepts: str) -> Answer:
    raise LookupError("no such thing")


@pytest.fixture
def server(address: str) -> Iterator[HttpServer]:
    found = HttpServer(address)
    found.start(
        {
            "/well": lambda accepts: json_answer(HTTPStatus.OK, {"accepts": accepts}),
            "/ill": lambda _: json_answer(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False}),
            "/broken": failing,
        }
    )
    yield found
    found.close()


def ask(url: str, method: str = "GET") -> tuple[int, bytes]:
    request = urllib.request.Request(url, method=method, headers={"Accept": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), BOUND_S)


@pytest.mark.usefixtures("server")
def test_paths_are_answered_and_others_are_told_which_there_are(address: str) -> None:
    assert ask(f"http://{address}/well?x=1") == (200, b'{\n  "accepts": "text/plain"\n}\n')
    assert ask(f"http://{address}/well", "HEAD") == (200, b"")
    assert ask(f"http://{address}/ill")[0] == 503
    code, body = ask(f"http://{address}/else")
    assert code == 404
    assert b"/well" in body
    assert ask(f"http://{address}/well", "POST")[0] == 501


@pytest.mark.usefixtures("server")
def test_an_answer_that_cannot_be_made_is_never_200(address: str) -> None:
    assert ask(f"http://{address}/broken") == (
        500,
        b'{\n  "error": "LookupError: no such thing"\n}\n',
    )


@pytest.mark.usefixtures("server")
def test_clients_beyond_the_bound_are_turned_away(address: str) -> None:
    silent = [connect(address) for _ in range(MOST_CLIENTS)]
    with connect(address) as late:
        assert late.recv(1) == b"", "closed at once, unasked"
    for client in silent:
        client.close()


def test_a_silent_client_does_not_keep_the_server(address: str) -> None:
    server = HttpServer(address)
    server.start({})
    with connect(address):
        server.close()
    # The address is free again, although a client of the old server has not gone yet.
    HttpServer(address).close()


def test_an_address_in_use_is_said(address: str) -> None:
    first = HttpServer(address)
    with pytest.raises(UsageError, match=f"observe.http: cannot serve at {address}: Address alr"):
        HttpServer(address)
    first.close()


@pytest.mark.parametrize("where", ["192.0.2.1:9400", "no-such-host.invalid:9400"])
def test_an_address_that_is_not_ours_is_said(where: str) -> None:
    with pytest.raises(UsageError, match=f"cannot serve at {where}: "):
        HttpServer(where)
