"""Addresses: HOST:PORT texts such as `127.0.0.1:9400` and `[::1]:9400`, and their two parts."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

__all__ = ["ADDRESS_PATTERN", "Address", "host_and_port", "parse_address"]

_HOST: Final = r"\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+"
ADDRESS_PATTERN: Final = rf"^(?:{_HOST}):[0-9]{{1,5}}$"
_PARTS: Final = re.compile(rf"(?P<host>{_HOST}):(?P<port>[0-9]{{1,5}})")

MOST_PORT: Final = 65_535
EXAMPLE: Final = "127.0.0.1:9400"


def parse_address(value: object) -> str:
    """Return `value` unchanged if it is HOST:PORT; an IPv6 host must be in brackets.

    A port alone is refused, because it may mean this host only or all its networks.

    Raises:
        ValueError: it is not HOST:PORT.
    """
    found = _PARTS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        port = str(value).lstrip(":")
        if not isinstance(value, bool) and port.isascii() and port.isdecimal():
            raise ValueError(f"needs a host too: write 127.0.0.1:{port}")
        raise ValueError(f"must be HOST:PORT such as {EXAMPLE}")
    if not 1 <= int(found["port"]) <= MOST_PORT:
        raise ValueError(f"must have a port from 1 to {MOST_PORT}, such as {EXAMPLE}")
    return found[0]


def host_and_port(address: str) -> tuple[str, int]:
    """(host, port) of an address that `parse_address` has accepted."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


Address = Annotated[
    str,
    BeforeValidator(parse_address),
    WithJsonSchema({"type": "string", "pattern": ADDRESS_PATTERN, "examples": [EXAMPLE]}),
]
"""HOST:PORT."""
