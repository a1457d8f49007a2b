"""HOST:PORT as people write it, and when it is refused."""

from __future__ import annotations

import pytest
from config_minimal import minimal

from adpkv.config import dump, parse
from adpkv.config.address import host_and_port, parse_address
from adpkv.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9400", "127.0.0.1", 9400),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[::1]:65535", "::1", 65535),
        ("node-7.cluster_a:9400", "node-7.cluster_a", 9400),
    ],
)
def test_an_address_stays_as_it_was_written(text: str, host: str, port: int) -> None:
    assert parse_address(text) == text
    assert host_and_port(text) == (host, port)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (9400, "needs a host too: write 127.0.0.1:9400"),
        ("9400", "needs a host too: write 127.0.0.1:9400"),
        (":9400", "needs a host too: write 127.0.0.1:9400"),
        ("localhost", "must be HOST:PORT such as 127.0.0.1:9400"),
        ("http://localhost:9400", "must be HOST:PORT"),
        ("::1:9400", "must be HOST:PORT"),
        ("127.0.0.1:9400 ", "must be HOST:PORT"),
        (True, "must be HOST:PORT"),
        ("127.0.0.1:0", "must have a port from 1 to 65535"),
        ("127.0.0.1:65536", "must have a port from 1 to 65535"),
    ],
)
def test_what_is_no_address_is_refused(value: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(minimal(observe={"http": value}), "test")
    (problem,) = caught.value.problems
    assert problem.startswith(f"observe.http: {told}")


def test_nobody_is_served_unless_asked_for() -> None:
    experiment = parse(minimal(), "test")
    assert experiment.observe.http is None
    assert "http: null" in dump(experiment)


def test_leaders_speak_often_enough_to_be_believed() -> None:
    observe = {"pulse": "60s", "ready_timeout": "2s"}
    assert parse(minimal(observe=observe), "test").pulse_ns == 60_000_000_000
    asked = parse(minimal(observe=observe | {"http": "127.0.0.1:9400"}), "test")
    assert asked.pulse_ns == 500_000_000
    hasty = parse(
        minimal(observe=observe | {"http": "127.0.0.1:9400"}, diagnosis={"hang_timeout": "1s"}),
        "test",
    )
    assert hasty.pulse_ns == 250_000_000


def test_an_idle_server_must_be_heard_of_in_time() -> None:
    observe = {"http": "127.0.0.1:9400", "ready_timeout": "1s"}
    with pytest.raises(ConfigError) as caught:
        parse(minimal(observe=observe), "test")
    (problem,) = caught.value.problems
    assert "observe.ready_timeout: must be more than twice executor.idle_wait" in problem
    assert parse(minimal(observe={"ready_timeout": "1s"}), "test").observe.http is None
