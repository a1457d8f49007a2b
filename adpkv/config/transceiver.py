"""The `transceiver` section: limits of transfers in flight, deadlines, and the virtual link."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from adpkv.config.base import Count, Duration, Section, Size, duration, size
from adpkv.config.named import name_of
from adpkv.plugins import TRANSPORT, near_name

__all__ = ["LinkConfig", "TransceiverConfig"]

_GRACE_DEADLINES: Final = 2
_PIECE_BYTES: Final = 4 << 20


def _default_grace_ns(earlier: dict[str, Any]) -> int:
    # pydantic passes the fields validated so far; an invalid deadline is reported by itself.
    deadline_ns: int = earlier["progress_deadline_ns"]
    return _GRACE_DEADLINES * deadline_ns


def _default_piece(earlier: dict[str, Any]) -> int:
    # Smaller pieces would not hold up an iteration less, as the budget is posted anyway.
    whole: int = earlier.get("post_budget_bytes", _PIECE_BYTES)
    return whole


def _on_or_off(value: Any) -> Any:
    """YAML 1.1, which many programs still read and write, takes `on` and `off` for true and
    false."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


_BACKENDS: Final = ("UCX", "LIBFABRIC", "GPUNETIO", "Mooncake", "UCCL")
"""Back ends of NIXL that write into other ranks' memory, as far as we know them: others may be
named, but not these in another case."""


def _backend(name: str) -> str:
    known = near_name(name, _BACKENDS, cutoff=1.0)
    if known and name != known:
        raise ValueError(f"is not known here: did you mean {known}?")
    return name


class LinkConfig(Section):
    """The link of the virtual world, one per rank and direction. The real world has its own."""

    latency_ns: Duration = duration(
        "20us", key="latency", about="from the end of a post to its arrival"
    )
    bandwidth_bytes_per_s: Size = size(
        "10GiB", key="bandwidth", about="bytes per second, shared by all transfers", gt=0
    )


class TransceiverConfig(Section):
    """How KV moves from context ranks to generation ranks."""

    transport: Annotated[str, *name_of(TRANSPORT)] = Field(
        default="mpi",
        description="what moves the bytes in the real world; your own one in both",
    )
    nixl_backend: Annotated[str, AfterValidator(_backend)] = Field(
        default="UCX",
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$",
        description="the back end of NIXL that transport nixl writes with",
    )
    max_inflight_transfers: Count = Field(default=64, description="transfers of one rank in flight")
    max_inflight_transfers_per_peer: Count = Field(
        default=8, description="of them, with one peer; at most the quarantine budget"
    )
    max_inflight_blocks_per_peer: Count = Field(
        default=4096,
        description="blocks in flight with one peer: what one stuck peer can put in quarantine",
    )
    transfer_timeout_ns: Duration = duration(
        "60s",
        key="transfer_timeout",
        about="longest transfer, from when its sender begins, without waiting for slots; and how "
        "long a sender may leave an advertise unanswered before it is repeated, and afterwards",
        gt=0,
    )
    wait_timeout_ns: Duration = duration(
        "300s",
        key="wait_timeout",
        about="longest wait for a rank, blocks and a slot before the transfer; and then for a slot "
        "of the sender",
        gt=0,
    )
    quarantine_budget: Count = Field(
        default=16, description="quarantined transfers beyond which a standstill is unhealthy"
    )
    progress_deadline_ns: Duration = duration(
        "60s",
        key="progress_deadline",
        about="longest time without progress while a transfer is in flight; at least as long as "
        "the proof of a transfer's end may take",
        gt=0,
    )
    shutdown_grace_ns: Duration = Field(
        default_factory=_default_grace_ns,
        gt=0,
        alias="shutdown_grace",
        description="unhealthy for this long proposes shutdown; default: 2 x progress_deadline",
    )
    poll_limit: Count = Field(default=64, description="finished transfers processed per poll")
    post_budget_bytes: Size = size(
        "4MiB",
        key="post_budget",
        about="bytes posted per iteration, so that copies do not delay it",
        gt=0,
    )
    post_descriptors: Count = Field(
        default=256,
        description="descriptors or messages posted per iteration by nixl and ucx, which take some "
        "microseconds for each",
    )
    piece_bytes: Size = Field(
        default_factory=_default_piece,
        gt=0,
        alias="piece",
        description="most bytes per posted piece; at least one block; default: the whole "
        "post_budget; ucx takes 512KiB at most in host memory",
    )
    device_piece_bytes: Size = size(
        "256MiB",
        key="device_piece",
        about="in place of piece for memory of a device, where a post copies nothing",
        gt=0,
    )
    device_post_budget_bytes: Size = size(
        "1GiB", key="device_post_budget", about="in place of post_budget there", gt=0
    )
    device_post_descriptors: Count = Field(
        default=64,
        description="in place of post_descriptors there; nixl: of one write, and how many are "
        "posted per iteration follows from the time they take",
    )
    staging: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        default="auto",
        description="whether scattered blocks are packed into slots, and peers touch slots only; "
        "auto: with memory of a device",
    )
    staging_slots: Count = Field(
        default=8, description="staging slots of a rank: so many transfers in flight at most"
    )
    staging_slot_bytes: Size = size(
        "64MiB", key="staging_slot", about="bytes of one slot; at least two blocks", gt=0
    )
    staging_bandwidth_bytes_per_s: Size = size(
        "50GiB",
        key="staging_bandwidth",
        about="bytes per second that a rank packs or unpacks; virtual world only",
        gt=0,
    )
    ucx_error_handling: bool = Field(
        default=True,
        description="ucx: a lost connection ends the transfers on it. Without it, ucx may use "
        "shared memory within a host, but transfers with a killed peer never end (they stay in "
        "quarantine), and reading from one may abort its peer",
    )
    mail_latency_ns: Duration = duration(
        "50us", key="mail_latency", about="of a mailbox message; virtual world only"
    )
    link: LinkConfig = Field(default_factory=LinkConfig, description="the link; virtual world only")
