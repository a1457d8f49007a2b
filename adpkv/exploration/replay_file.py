"""A case as a file, and as a token short enough to be pasted: what `adpkv replay` takes.

The file is YAML: the whole experiment, the choices of its schedule one by one, and what was found
with a digest of all events, so that a replay can say whether it is the same, bit for bit.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adpkv import __version__
from adpkv.config import Experiment, parse
from adpkv.config.document import Malformed
from adpkv.config.document import read as read_yaml
from adpkv.config.document import write as write_yaml
from adpkv.core.ids import NEVER
from adpkv.errors import ConfigError, UsageError
from adpkv.exit_codes import ExitCode
from adpkv.exploration.cases import MOST_DEPTH, Case, Pct
from adpkv.exploration.schedules import CALM, Choices, Spread
from adpkv.exploration.trial import Trial, signature
from adpkv.worlds.virtual.schedule import MOST_PLACE

__all__ = ["FORMAT", "Recorded", "file_text", "read_replay", "read_text", "record", "token"]

FORMAT: Final = 1
"""Of the file and the token. A run is the same only under the version of adpkv that found it, or
one whose virtual world does the same."""

MOST_BYTES: Final = 4 << 20
PREFIX: Final = "adpkv1."

_LISTS: Final = {
    "order": (4, "[kind, owner, to, at_ns, place]"),
    "haste": (3, "[sender, to, number, sixteenths]"),
    "speed": (2, "[group, iteration, sixteenths]"),
}
"""How many numbers identify a choice of each kind."""

_RANGES: Final = {
    "order": (-MOST_PLACE, MOST_PLACE),
    "haste": (-3_600_000_000_000, 16),
    "speed": (0, 15),
}
"""What a choice may be. A message that is late has its nanoseconds, negative."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A case, and what came of it when it was found."""

    case: Case
    signature: str = ""
    detail: str = ""
    exit_code: int = ExitCode.COMPLETED
    digest: str = ""
    seed: int | None = None
    """The seed of the exploration in which it was found."""
    version: str = __version__
    """Of the adpkv that has found it."""


_NUMBERS_OF_DRAWN: Final = 4


def record(trial: Trial, seed: int | None = None) -> Recorded:
    """What is to be kept of a trial whose schedule is written down."""
    detail = trial.found[0].detail if trial.found else ""
    known_by = signature(trial.found)
    return Recorded(trial.case, known_by, detail, int(trial.exit_code), trial.digest, seed)


def _data(recorded: Recorded, experiment: dict[str, Any]) -> dict[str, Any]:
    case = recorded.case
    return {
        "adpkv_replay": FORMAT,
        "adpkv": __version__,
        "found": {
            "signature": recorded.signature,
            "detail": recorded.detail,
            "exit_code": int(recorded.exit_code),
            "events": recorded.digest,
            "seed": recorded.seed,
        },
        "healed_ns": case.healed_ns if case.healed_ns < NEVER else None,
        "schedule": _schedule_data(case.schedule),
        "experiment": experiment,
    }


def _schedule_data(schedule: Choices | Spread | Pct) -> dict[str, Any]:
    """Choice by choice where they are known; of a run that nobody survived, how they are drawn."""
    if isinstance(schedule, Choices):
        return schedule.data()
    if isinstance(schedule, Spread):
        return {"drawn": [schedule.seed, schedule.order, schedule.haste, schedule.speed]}
    return {"pct": [schedule.seed, schedule.depth, schedule.owners, schedule.events]}


def _plain(experiment: Experiment) -> dict[str, Any]:
    """Without what the defaults say, where that gives the same experiment."""
    short = experiment.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    try:
        if parse(short, experiment.name) == experiment:
            return short
    except ConfigError:
        pass
    return experiment.model_dump(by_alias=True, mode="json")


def file_text(recorded: Recorded) -> str:
    """The file."""
    head = (
        f"# {recorded.signature or 'nothing was wrong'}\n"
        "#\n"
        "#   adpkv replay THIS-FILE               the same run, bit for bit\n"
        "#   adpkv replay THIS-FILE --story 0     the story of a request\n"
        "#   adpkv replay THIS-FILE --step        event by event\n\n"
    )
    return head + write_yaml(_data(recorded, _plain(recorded.case.experiment)))


def token(recorded: Recorded) -> str:
    """The same in one word, without what was said of the find."""
    data = _data(recorded, _plain(recorded.case.experiment))
    found = data["found"]
    data["found"] = {"signature": found["signature"], "events": found["events"]}
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)
    return PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_replay(given: str) -> Recorded:
    """From a file's name, or from a token.

    Raises:
        UsageError: it is neither, or of another version, or has choices that are not known.
    """
    if given.startswith(PREFIX):
        return _recorded(_unpacked(given), "the token")
    path = Path(given)
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{given}: cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{given}: is no replay file: larger than {MOST_BYTES} bytes")
    try:
        return read_text(raw.decode("utf-8-sig"), given)
    except UnicodeDecodeError:
        raise UsageError(f"{given}: not UTF-8") from None


def read_text(text: str, source: str) -> Recorded:
    """From the text of a file; `source` names it in errors.

    Raises:
        UsageError: as `read_replay`.
    """
    try:
        data = read_yaml(text).data
    except Malformed as error:
        where = f"{source}:{error.line}" if error.line else source
        raise UsageError(f"{where}: not YAML: {error.text}") from None
    return _recorded(data, source)


def _unpacked(given: str) -> object:
    packed = given.removeprefix(PREFIX)
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(raw, MOST_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError("cut off")
        return json.loads(text)
    except (ValueError, zlib.error, RecursionError) as error:
        raise UsageError(f"the token is damaged, or not whole: {error}") from None


def _recorded(data: object, source: str) -> Recorded:
    if not isinstance(data, dict) or "adpkv_replay" not in data:
        raise UsageError(f"{source}: is no replay file: it has no adpkv_replay")
    version = data["adpkv_replay"]
    if version != FORMAT:
        raise UsageError(
            f"{source}: adpkv_replay: version {version!r} is not known here: this is adpkv"
            f" {__version__}, which reads version {FORMAT}"
        )
    known = {"adpkv_replay", "adpkv", "found", "healed_ns", "schedule", "experiment"}
    if strange := sorted(set(map(str, data)) - known):
        raise UsageError(f"{source}: {strange[0]}: is not known here")
    experiment = data.get("experiment")
    if not isinstance(experiment, dict):
        raise UsageError(f"{source}: experiment: must be a mapping of sections")
    found = data.get("found") or {}
    healed_ns = data.get("healed_ns")
    if healed_ns is not None and _whole(healed_ns, f"{source}: healed_ns") < 0:
        raise UsageError(f"{source}: healed_ns: must not be negative")
    if not isinstance(found, dict):
        raise UsageError(f"{source}: found: not as `adpkv explore` writes it")
    return Recorded(
        Case(
            parse(experiment, source),
            _choices(data.get("schedule") or {}, source),
            NEVER if healed_ns is None else healed_ns,
        ),
        str(found.get("signature", "")),
        str(found.get("detail", "")),
        _whole(found.get("exit_code", 0), f"{source}: found.exit_code"),
        str(found.get("events", "")),
        found.get("seed"),
        str(data.get("adpkv", "")),
    )


def _whole(value: object, where: str, most: int = NEVER) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{where}: must be a whole number")
    if not -most <= value <= most:
        raise UsageError(f"{where}: is larger than {most}")
    return value


def _choices(data: object, source: str) -> Choices | Spread | Pct:
    if not isinstance(data, Mapping):
        raise UsageError(f"{source}: schedule: must be a mapping")
    for name, kind in (("drawn", Spread), ("pct", Pct)):
        if name in data:
            given = data[name]
            where = f"{source}: schedule.{name}"
            if len(data) > 1 or not isinstance(given, list) or len(given) != _NUMBERS_OF_DRAWN:
                raise UsageError(f"{where}: must be four whole numbers, and stand alone")
            numbers_of = [_whole(one, where) for one in given]
            if min(numbers_of) < 0 or (kind is Pct and numbers_of[1] > MOST_DEPTH):
                raise UsageError(f"{where}: must not be negative; a depth is at most {MOST_DEPTH}")
            return kind(*numbers_of)
    flat = []
    for name, entries in data.items():
        if name not in _LISTS:
            raise UsageError(
                f"{source}: schedule.{name}: is no kind of choice that is known here: known are"
                f" {', '.join(_LISTS)}"
            )
        numbers, shape = _LISTS[name]
        for place, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            where = f"{source}: schedule.{name}[{place}]"
            if not isinstance(entry, list) or len(entry) != numbers + 1:
                raise UsageError(f"{where}: must be {shape}")
            values = [_whole(value, where) for value in entry]
            least, most = _RANGES[name]
            if not least <= values[-1] <= most:
                raise UsageError(f"{where}: the choice must be from {least} to {most}")
            flat.append((name, tuple(values[:-1]), values[-1]))
    return Choices.of(flat) if flat else CALM
