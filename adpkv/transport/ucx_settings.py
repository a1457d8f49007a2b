"""UCX's settings for what is moved, and what follows from them for the transport."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from adpkv.transport.ucx_library import Library

__all__ = ["AT_ONCE_OVER_TCP", "Made", "made", "over_tcp"]

AT_ONCE: Final = 4095
"""The largest message that is sent before its receiver has matched it. A larger one ends with an
error if the peer fails. A message that is sent at once in several parts would not: if its sender
was killed between two parts, its receive stayed pending for ever, with error handling too (UCX
1.21)."""

AT_ONCE_OVER_TCP: Final = 512 << 10
"""The same where host memory moves over TCP alone, in one part (`over_tcp`). Such a message takes
half of the processor time: one that is matched first goes in parts of 8 KiB, copied at both
ends."""

PART_BYTES: Final = 2 << 20
"""So much is read from a TCP connection by one call, which is also the limit of a part. A receiver
takes 0.24 ms for 1 MiB so, 0.35 ms with a quarter of it."""

HEADERS: Final = 4 << 10
"""Room for what is before a message in its part."""

WITHOUT_COPY: Final = ("rc_", "dc_", "ud_", "srd", "gga_")
"""What the names of UCX's transports begin with that move host memory by themselves."""


class Made(NamedTuple):
    """A context of UCX.

    Args:
        copies: whether this process copies the bytes of host memory itself.
        at_once: whether messages of up to `AT_ONCE_OVER_TCP` are sent before their receivers have
            matched them, so that posting copies them.
    """

    context: Any
    copies: bool
    at_once: bool


def made(library: Library, *, on_host: bool, error_handling: bool) -> Made:
    """The context of a rank that moves host memory, or a device's."""
    context = library.context({"RNDV_THRESH": str(AT_ONCE + 1)}, (library.tag_feature,))
    copies = not any(f"-- {name}" in context.info for name in WITHOUT_COPY)
    # An older UCX cannot leave out messages of several parts.
    at_once = on_host and copies and error_handling and "PROTOS" in context.config
    if at_once:
        context = library.context(over_tcp(AT_ONCE_OVER_TCP), (library.tag_feature,))
    return Made(context, copies, at_once)


def over_tcp(at_once: int) -> dict[str, str]:
    """UCX's settings with which messages of up to so many bytes are sent at once over TCP, in one
    part; a larger one waits until it is matched.

    A user's own setting of the parts does not count: one that is larger than its receiver's would
    overwrite memory there.
    """
    return {
        "RNDV_THRESH": str(at_once + 1),
        "PROTOS": "^egr/multi/bcopy,egr/multi/zcopy",
        "TCP_RX_SEG_SIZE": str(max(at_once, PART_BYTES) + HEADERS),
    }
