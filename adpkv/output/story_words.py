"""The text for each event of a request's story.

An event without a text of its own is shown as it was written, so that nothing is ever left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from adpkv.core.topology import Kind, Topology

__all__ = ["KINDS", "TROUBLE", "Event", "Setting", "is_trouble", "words"]


class Event(msgspec.Struct, frozen=True):
    """One line of `events.jsonl`; `detail` is all that is not fixed."""

    at_ns: int
    rank: int
    kind: str
    request: int
    detail: dict[str, Any]


class Setting(msgspec.Struct, frozen=True):
    """What the ranks of a story are called, and which ones served this request."""

    topology: Topology
    servers: dict[Kind, tuple[int, ...]]
    """The ranks of each kind that were given the request: one, or all replicas."""
    staged: bool = False
    """With staging peers touch a staging slot, and the request's blocks are its rank's alone."""

    @property
    def exposed(self) -> str:
        """What a peer may touch, with the verb that follows."""
        return "its staging slot is" if self.staged else "its blocks are"

    def side(self, rank: int) -> Kind | None:
        """What kind of rank it is; None for the coordinator."""
        return None if rank < 0 else self.topology.instance_of(rank).kind

    def who(self, rank: int) -> str:
        """Its name, the same as everywhere: its number, and its instance."""
        if rank < 0:
            return "coordinator"
        return f"rank {rank} ({self.topology.instance_of(rank).name})"

    def peer(self, rank: int) -> str:
        """The name of the rank at the other end of the request's transfer."""
        here = self.side(rank)
        other = Kind.GENERATION if here is Kind.CONTEXT else Kind.CONTEXT
        found = self.servers.get(other, ())
        return self.who(found[0]) if len(found) == 1 else f"its {other} rank"


TROUBLE: Final = frozenset(
    {
        "client_cancel",
        "client_deadline",
        "fault",
        "refused",
        "cancelled",
        "failed",
        "quarantined",
        "timed_out",
        "violation",
    }
)
"""Kinds of events that the story of a request that went well does not have."""

_BAD_OUTCOMES: Final = frozenset({"cancelled", "failed", "timed_out"})

_CAUSES: Final[Mapping[str, str]] = {
    "cancel": "it is not wanted any more",
    "wait_limit": "it waited too long for blocks or a slot",
    "deadline": "it took too long",
    "done": "all bytes are there",
    "ended": "it ended without all bytes",
    "error": "the transport reports an error, and proves nothing",
    "peer_lost": "the other end is gone",
    "stop": "the instance stops",
    "ask": "nothing was heard of it; its sender is asked again",
}
"""Why a session moved."""

Words = Callable[[Event, Setting], str]


def is_trouble(event: Event) -> bool:
    """Is this where something went wrong?"""
    if event.kind == "health":
        return not event.detail.get("healthy", True)
    if event.kind in ("responded", "ended"):
        return event.detail.get("outcome") in _BAD_OUTCOMES
    return event.kind in TROUBLE


def words(event: Event, setting: Setting) -> str:
    """What happened, without when and where."""
    side = setting.side(event.rank)
    known = _WORDS.get((event.kind, side)) or _WORDS.get((event.kind, None))
    if known is not None:
        return known(event, setting)
    told = " ".join(f"{key}={_plain(value)}" for key, value in event.detail.items())
    return f"{event.kind.replace('_', ' ')} {told}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _why(event: Event) -> str:
    cause = str(event.detail.get("cause", ""))
    return _CAUSES.get(cause, cause)


def _arrived(event: Event, _: Setting) -> str:
    prompt, output = event.detail.get("prompt_tokens"), event.detail.get("output_tokens")
    tokens = "token" if prompt == 1 else "tokens"
    return f"arrives: {prompt} prompt {tokens}, {output} to generate"


def _instance(event: Event, setting: Setting) -> str:
    index = int(event.detail.get("instance", -1))
    known = 0 <= index < len(setting.topology.instances)
    return setting.topology.instances[index].name if known else str(index)


def _ended(event: Event, _: Setting) -> str:
    detail = event.detail.get("detail")
    return f"is over: {event.detail.get('outcome')}" + (f", {detail}" if detail else "")


def _responded(event: Event, setting: Setting) -> str:
    outcome = event.detail.get("outcome")
    if outcome == "prefilled":
        return "prompt is computed; its KV waits to be fetched"
    if outcome == "completed":
        return "all tokens are generated: answers completed"
    return f"answers {outcome}"


def _advertised(event: Event, setting: Setting) -> str:
    peer = setting.peer(event.rank)
    if event.detail.get("cause") == "silence":
        return f"hears nothing, tells {peer} again where {setting.exposed}"
    return f"tells {peer} where {setting.exposed}"


def _posted(event: Event, setting: Setting) -> str:
    peer = setting.peer(event.rank)
    if event.detail.get("cause") == "advertise_again":
        return f"is asked again, tells {peer} that it has begun"
    return f"sends the KV to {peer}"


def _sent(event: Event, setting: Setting) -> str:
    if event.detail.get("cause") == "cached":
        return f"hears that {setting.peer(event.rank)} has all of the KV; its blocks become cache"
    return "the KV is sent; its blocks become cache"


def _quarantined(event: Event, setting: Setting) -> str:
    waited = event.detail.get("cause") == "wait_limit"
    why = "its sender had no slot for too long" if waited else _why(event)
    return f"transfer in doubt, {setting.exposed} kept: {why}"


def _fault(event: Event, _: Setting) -> str:
    rest = [f"{k} {_plain(v)}" for k, v in event.detail.items() if k not in ("fault", "phase")]
    phase = event.detail.get("phase")
    where = f" ({phase})" if phase else ""
    return " ".join([f"FAULT {event.detail.get('fault')}{where}", *rest])


def _violation(event: Event, _: Setting) -> str:
    return f"VIOLATION {event.detail.get('violation')}: {event.detail.get('detail')}"


def _health(event: Event, _: Setting) -> str:
    if event.detail.get("healthy"):
        return "is healthy again"
    return f"is unhealthy: {_plain(event.detail.get('reasons', ''))}"


def _stopping(event: Event, _: Setting) -> str:
    return f"stops with code {event.detail.get('code')}: {event.detail.get('detail')}"


def _recovered(event: Event, _: Setting) -> str:
    lost = event.detail.get("lost")
    return f"goes on with all ranks but {_plain(lost)}" if lost else "goes on with all ranks"


_WORDS: Final[Mapping[tuple[str, Kind | None], Words]] = {
    ("arrived", None): _arrived,
    ("routed", None): lambda e, s: f"goes to {_instance(e, s)}",
    ("client_cancel", None): lambda e, s: "its client cancels",
    ("client_deadline", None): lambda e, s: "its client has waited too long, and gives up",
    ("ended", None): _ended,
    ("assigned", None): lambda e, s: "is given it, waits for KV blocks",
    ("held_back", None): lambda e, s: "still has its earlier attempt in doubt: waits for the end",
    ("refused", None): lambda e, s: f"refuses it, no rank ever had it: {e.detail.get('outcome')}",
    ("prefill_began", None): lambda e, s: (
        f"has blocks, begins to compute ({e.detail.get('cached')} tokens cached)"
    ),
    ("responded", None): _responded,
    ("queued", None): lambda e, s: "has blocks, waits for a slot",
    ("advertised", None): _advertised,
    ("peer_queued", None): lambda e, s: f"hears that {s.peer(e.rank)} has no slot yet",
    ("prepared", None): lambda e, s: f"has no slot yet, tells {s.peer(e.rank)} so",
    ("posted", None): _posted,
    ("transferring", None): lambda e, s: f"hears that {s.peer(e.rank)} has begun",
    ("reused", None): lambda e, s: (
        "has 1 block of the prompt already: it is not sent"
        if e.detail.get("blocks") == 1
        else f"has {e.detail.get('blocks')} blocks of the prompt already: these are not sent"
    ),
    ("complete", Kind.CONTEXT): _sent,
    ("complete", Kind.GENERATION): lambda e, s: "the KV is here, begins to decode",
    ("failed", None): lambda e, s: f"transfer failed, its blocks are free: {_why(e)}",
    ("cancelled", None): lambda e, s: f"transfer cancelled, its blocks are free: {_why(e)}",
    ("timed_out", None): lambda e, s: f"transfer timed out, its blocks are free: {_why(e)}",
    ("quarantined", None): _quarantined,
    ("released", None): lambda e, s: (
        f"nobody touches its {'staging slot' if s.staged else 'blocks'} any more: {_why(e)}"
    ),
    ("cancel_answer", None): lambda e, s: (
        f"may its {'staging slot' if s.staged else 'blocks'} be freed? {e.detail.get('answer')}"
    ),
    ("fault", None): _fault,
    ("violation", None): _violation,
    ("health", None): _health,
    ("stopping", None): _stopping,
    ("avoided", None): lambda e, s: (
        f"has failed too often: is avoided for {e.detail.get('pause_s')} s"
    ),
    ("probed", None): lambda e, s: "was avoided after failures: this request is its probe",
    ("readmitted", None): lambda e, s: "has served its probe: is trusted again",
    ("instance_avoided", None): lambda e, s: f"avoids {_instance(e, s)}",
    ("instance_readmitted", None): lambda e, s: f"trusts {_instance(e, s)} again",
    ("instance_out", None): lambda e, s: f"takes {_instance(e, s)} out: {e.detail.get('why')}",
    ("instance_drained", None): lambda e, s: f"{_instance(e, s)} has no request any more",
    ("instance_back", None): lambda e, s: (
        f"puts {_instance(e, s)} in again{', as a spare' if e.detail.get('spare') else ''}"
    ),
    ("instance_stepped_in", None): lambda e, s: f"{_instance(e, s)} steps in",
    ("instance_kept", None): lambda e, s: f"{_instance(e, s)} stays: no other could serve",
    ("taken", None): lambda e, s: f"is taken from {_instance(e, s)}, which is out of service",
    ("closing", None): lambda e, s: f"admits nothing any more: {e.detail.get('detail')}",
    ("rank_lost", None): lambda e, s: f"hears that rank {e.detail.get('lost')} has failed",
    ("recovered", None): _recovered,
    ("recomputed", None): lambda e, s: "is computed again, as another attempt",
    ("survived", None): lambda e, s: (
        f"goes on without rank {e.detail.get('lost')}, which has failed"
    ),
}
"""By kind, and by side where the two sides mean different things."""

KINDS: Final = frozenset(kind for kind, _ in _WORDS)
"""The kinds of events that there are."""
