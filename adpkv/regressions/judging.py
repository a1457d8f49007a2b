"""Compares a run with what its regression expects: one sentence for each deviation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adpkv.config.regression import ExpectationConfig, PlaceConfig, RequestCountsConfig
from adpkv.counting import counted
from adpkv.regressions.seen import Seen

__all__ = ["deviations", "told"]

STUCK = ("mismatch", "deadlock", "livelock")
MOST_SAID = 120
"""Characters of an error's message in a deviation."""


def deviations(expected: ExpectationConfig, seen: Seen, total: int) -> list[str]:
    """Where a run differs from what was expected; `total` is how many requests its workload has."""
    found = list(_of_error(expected, seen))
    if not found and expected.error in STUCK:
        found += _of_places(expected.places, seen)
    found += _of_violations(expected, seen)
    if seen.requests and not found:
        found += _of_end(expected, seen, total)
    return found


def told(expected: ExpectationConfig) -> str:
    """An expectation in a line."""
    if expected.error in STUCK:
        where = [_place(place) for place in expected.places]
        said = [expected.error + (f": {', '.join(where)}" if where else "")]
    elif expected.error != "none":
        who = _ranks(expected.ranks) if expected.ranks else "a rank"
        said = [f"{who} {'failed' if expected.error == 'rank_failed' else 'lost'}"]
    else:
        said = [
            f"{v.kind}{f' on {_ranks(v.ranks)}' if v.ranks else ''}" for v in expected.violations
        ]
        said = said or ([_outcome(expected)] if _outcome(expected) != "completed" else [])
    said += [f"“{expected.says}”"] if expected.says else []
    said += list(_counts_told(expected))
    return "; ".join(said)


def _of_error(expected: ExpectationConfig, seen: Seen) -> Iterator[str]:
    if seen.error != expected.error:
        if expected.error == "none":
            yield f"broke off: {_error(seen)}"
        else:
            yield f"expected {expected.error}, saw {_error(seen)}"
        return
    if expected.says and expected.says not in seen.message:
        yield f"expected an error that says {expected.says!r}, it said: {_short(seen.message)}"
    if expected.ranks and set(expected.ranks) != set(seen.ranks):
        yield f"expected {_ranks(expected.ranks)}, saw {_ranks(sorted(seen.ranks))}"


def _of_places(places: Sequence[PlaceConfig], seen: Seen) -> Iterator[str]:
    stood = {place.rank: place for place in seen.places}
    for place in places:
        for rank in place.ranks:
            at = stood.get(rank)
            if at is None:
                wanted = _collective(place.kind, place.site)
                yield f"expected rank {rank} in {wanted}, it is not named"
            elif place.kind not in (None, at.kind) or place.site not in (None, at.site):
                yield (
                    f"expected rank {rank} in {_collective(place.kind, place.site)},"
                    f" it was in {_collective(at.kind, at.site)}"
                )


def _of_violations(expected: ExpectationConfig, seen: Seen) -> Iterator[str]:
    ranks: dict[str, set[int]] = {}
    for kind, rank in seen.violations:
        ranks.setdefault(kind, set()).add(rank)
    for wanted in expected.violations:
        on = ranks.get(wanted.kind, set())
        if not on:
            yield f"expected {wanted.kind}, which was not seen"
        elif wanted.ranks and on != set(wanted.ranks):
            yield (
                f"expected {wanted.kind} on {_ranks(wanted.ranks)}, seen on {_ranks(sorted(on))}"
            )
    fine = {*(wanted.kind for wanted in expected.violations), *expected.also}
    for kind, on in ranks.items():
        if kind not in fine:
            yield f"{kind} on {_ranks(sorted(on))}"


def _of_end(expected: ExpectationConfig, seen: Seen, total: int) -> Iterator[str]:
    # A violation wins over every other outcome of a run that came to its end.
    unseen = _outcome(expected)
    outcome = "violation" if seen.violations else unseen
    if seen.outcome != outcome:
        yield f"expected to end {outcome}, ended {seen.outcome}"
        return
    # But a run that stops early answers fewer requests, whether or not there are violations.
    yield from _of_requests(expected.requests or RequestCountsConfig(), seen, total, unseen)
    if not expected.quarantined.holds(seen.quarantined):
        yield (
            f"expected {expected.quarantined.text()} transfers in doubt at the end,"
            f" there are {seen.quarantined}"
        )
    if seen.leaked and not seen.violations:
        yield f"{counted(seen.leaked, 'block')} leaked"


def _of_requests(
    expected: RequestCountsConfig, seen: Seen, total: int, outcome: str
) -> Iterator[str]:
    submitted = seen.requests["submitted"]
    if submitted < total and outcome in ("completed", "violation"):
        yield f"{submitted} of {total} requests were answered"
    for key in ("completed", "cancelled", "timed_out", "failed", "refused"):
        bounds = getattr(expected, key)
        if bounds is not None and not bounds.holds(seen.requests[key]):
            name = key.replace("_", " ")
            yield f"expected {bounds.text()} requests {name}, saw {seen.requests[key]}"


def _outcome(expected: ExpectationConfig) -> str:
    if expected.error == "rank_lost":
        return "rank_lost"
    return expected.outcome or ("violation" if expected.violations else "completed")


def _counts_told(expected: ExpectationConfig) -> Iterator[str]:
    requests = expected.requests or RequestCountsConfig()
    for key in ("completed", "cancelled", "timed_out", "failed", "refused"):
        bounds = getattr(requests, key)
        if bounds is not None and bounds.least:
            yield f"{bounds.text()} {key.replace('_', ' ')}"
    if expected.quarantined.least:
        yield f"{expected.quarantined.text()} in doubt"


def _error(seen: Seen) -> str:
    if seen.error == "none":
        return f"none: it ended {seen.outcome}"
    return f"{seen.error} ({_short(seen.message)})" if seen.message else seen.error


def _place(place: PlaceConfig) -> str:
    who = _ranks(place.ranks)
    anywhere = place.kind is None and place.site is None
    return who if anywhere else f"{who} in {_collective(place.kind, place.site)}"


def _collective(kind: str | None, site: str | None) -> str:
    return f"{kind or 'any operation'} at {site}" if site else kind or "any collective"


def _ranks(ranks: Sequence[int]) -> str:
    """`rank 3`, `ranks 3, 5-7`."""
    parts: list[list[int]] = []
    for rank in ranks:
        if parts and parts[-1][-1] == rank - 1:
            parts[-1][1:] = [rank]
        else:
            parts.append([rank])
    named = ", ".join("-".join(str(end) for end in part) for part in parts)
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {named}" if ranks else "no rank"


def _short(message: str) -> str:
    first = " ".join(message.split("\n", 1)[0].split())
    return first if len(first) <= MOST_SAID else f"{first[: MOST_SAID - 3]}..."
