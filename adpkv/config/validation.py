"""Validates an experiment's data and reports all problems at once, as sentences.

pydantic checks each section; the relations between sections (`config.checks`) need a complete
experiment. So if parts are wrong, they are cut out of a copy and replaced by defaults or
placeholders. The relations that do not read these parts are checked with this draft, which is never
run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from adpkv.config import keys
from adpkv.config.checks.relations import broken
from adpkv.config.document import Key
from adpkv.config.experiment import Experiment
from adpkv.config.named import NOT_INSTALLED
from adpkv.config.presets import with_preset
from adpkv.config.problem import ABSENT, Problem, dotted, lookup
from adpkv.counting import counted
from adpkv.plugins import MODEL, WORKLOAD, near_name
from adpkv.pydantic_plugins import without_plugins

__all__ = ["MOST_PROBLEMS", "validate"]

_ROUNDS: Final = 3
"""How often pydantic validates: to find the problems, to validate the draft, and once more if
cutting parts out has shown another problem."""

_REQUESTS: Final[tuple[Key, ...]] = ("workload", "requests")
_ITEMS: Final[Mapping[tuple[Key, ...], object]] = {
    ("faults",): {"kind": "stall"},
    ("topology", "servers"): {"instances": [0]},
    ("topology", "maintenance"): {"instance": 0},
    ("calibration", "groups"): {"ranks": 1},
    _REQUESTS: {"at": "0s", "prompt_tokens": 1, "output_tokens": 1},
}
"""The placeholder for a wrong entry of a list, by the list's path."""

_ALONE: Final = frozenset({"regression", "sweep"})
"""Sections that no other section needs."""

_STAND_INS: Final[Mapping[tuple[Key, ...], object]] = {
    ("name",): "draft",
    ("topology",): {"context": {"ranks": 1}, "generation": {"ranks": 1}},
    ("topology", "context"): {"ranks": 1},
    ("topology", "context", "ranks"): 1,
    ("topology", "generation"): {"ranks": 1},
    ("topology", "generation", "ranks"): 1,
    ("workload",): {"kind": "trace"},
    ("workload", "rate"): 1,
    ("workload", "users"): 1,
    _REQUESTS: 1,
    ("workload", "prompt_tokens"): {"min": 1, "max": 1},
    ("workload", "prompt_tokens", "min"): 1,
    ("workload", "prompt_tokens", "max"): 1,
    ("workload", "output_tokens"): {"min": 1, "max": 1},
    ("workload", "output_tokens", "min"): 1,
    ("workload", "output_tokens", "max"): 1,
    ("workload", "shared_prefix", "groups"): 1,
    ("workload", "shared_prefix", "tokens"): 1,
}
"""The placeholders of required keys, by path; all other keys have defaults."""

MOST_PROBLEMS: Final = 100
"""The most problems that are reported. If there are more, relations are not checked."""

_EARLIER: Final = frozenset({"advertised_per_kib", "post", "post_per_kib", "notice_per_kib"})
"""Keys of `calibration` that earlier versions wrote. What they measured is not the same as what
others measure now, so no key is a near one."""

_QUOTED: Final = re.compile(r"'([^']*)'")
_MISSING: Final = "is required, and missing"
_SILENT: Final = frozenset({"default_factory_not_called"})
_PHRASES: Final[Mapping[str, str]] = {
    "missing": _MISSING,
    "invalid_key": "is not known here: keys are text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text (put it in quotes)",
    "string_too_short": "must not be empty",
    "string_unicode": "has a code point that is no character",
    "too_long": "must not have more than {max_length} entries",
    "string_pattern_mismatch": (
        "must be ASCII letters, digits, dots, dashes and underscores, at most 64"
    ),
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def validate(
    data: dict[str, Any], *, installed: bool = True, folder: Path = Path()
) -> tuple[Experiment | None, list[Problem]]:
    """(experiment, []) of valid data, else (None, all problems).

    Args:
        data: the sections as plain values.
        installed: False if the entry points that the experiment names need not be installed.
        folder: where a `config.json` that `model.preset` names is looked up too.
    """
    context = None if installed else NOT_INSTALLED
    problems: list[Problem] = []
    unsound: set[tuple[Key, ...]] = set()
    draft: Experiment | None = None
    data, of_preset = with_preset(data, folder)
    trial = data
    for round_number in range(_ROUNDS):
        try:
            with without_plugins():  # the first one has pydantic compile all models
                draft = Experiment.model_validate(trial, context=context)
            break
        except ValidationError as error:
            count = error.error_count()
            found = [e for e in error.errors(include_url=False) if e["type"] not in _SILENT]
        if round_number == 0:
            problems = _all_problems(found[:MOST_PROBLEMS], data)
        if count > MOST_PROBLEMS:
            return None, [
                *problems,
                Problem((), f"and {counted(count - len(problems), 'more problem')}"),
            ]
        for entry in found:
            cut = _cut_at(_path(entry))
            if any(cut[:length] in unsound for length in range(1, len(cut))):
                continue  # it was cut out with the section around it
            unsound.add(cut)
            trial = _without(trial, cut)
    problems += of_preset
    unsound |= {problem.path[:1] for problem in of_preset}
    if draft is not None:
        related = broken(draft, unsound)
        problems += _with_defaults(related[:MOST_PROBLEMS], data, draft)
        if len(related) > MOST_PROBLEMS:
            problems.append(
                Problem((), f"and {counted(len(related) - MOST_PROBLEMS, 'more problem')}")
            )
    return (None, problems) if problems else (draft, [])


def _with_defaults(problems: Sequence[Problem], data: object, draft: Experiment) -> list[Problem]:
    """The problems, with the default value added to those of keys that the file does not have."""
    shown = draft.model_dump(by_alias=True) if problems else {}
    return [
        msgspec.structs.replace(problem, default=lookup(shown, problem.path))
        if lookup(data, problem.path) is ABSENT
        else problem
        for problem in problems
    ]


def _path(entry: Mapping[str, Any]) -> tuple[Key, ...]:
    """pydantic's path of an error, without the tag of a section's kind, which is no key."""
    path: tuple[Key, ...] = entry["loc"]
    if path and path[0] in keys.UNIONS:
        tagged = path[1:2] and path[1] in keys.UNIONS[str(path[0])]
        if entry["type"].startswith("union_tag"):
            return (*path, "kind")
        return (path[0], *path[2:]) if tagged else path
    return path


def _all_problems(found: Sequence[Mapping[str, Any]], data: object) -> list[Problem]:
    """The problems; those of a calibration that an earlier version made are one."""
    paths = [_path(entry) for entry in found]
    if all(path[:1] != ("calibration",) or path[-1] not in _EARLIER for path in paths):
        return [_problem(entry, data) for entry in found]
    others = [
        _problem(entry, data)
        for entry, path in zip(found, paths, strict=True)
        if path[:1] != ("calibration",)
    ]
    text = "was made by an earlier adpkv: run `adpkv calibrate` again"
    return [*others, Problem(("calibration",), text)]


def _problem(entry: Mapping[str, Any], data: object) -> Problem:
    path = _path(entry)
    kind: str = entry["type"]
    if kind == "extra_forbidden":
        return Problem(path, _unknown(path, data))
    if kind.startswith("union_tag"):
        slot = WORKLOAD if path[0] == "workload" else MODEL
        choices = f"{' or '.join(map(repr, slot.ours))}, or MODULE:FACTORY"
        missing = lookup(data, path) is ABSENT
        return Problem(path, f"{_MISSING}: {choices}" if missing else f"must be {choices}")
    phrase = _PHRASES.get(kind)
    if phrase is None:
        return Problem(path, str(entry["msg"]))
    if kind == "literal_error" and (near := _nearest(entry)):
        return Problem(path, f"is not known here: did you mean {near}?")
    return Problem(path, phrase.format_map(entry.get("ctx", {})))


def _nearest(entry: Mapping[str, Any]) -> str:
    """The allowed value that is most similar to the given one; empty if none is similar."""
    choices = _QUOTED.findall(entry["ctx"]["expected"])
    return near_name(str(entry["input"]), choices)


def _unknown(path: Sequence[Key], data: object) -> str:
    *above, key = path
    here = keys.at(above, data)
    near = difflib.get_close_matches(str(key), here, n=1)
    if near:
        return f"is not known here: did you mean {near[0]}?"
    elsewhere = keys.section_of(str(key))
    if elsewhere:
        return f"is not known here: it belongs to {dotted(elsewhere)}"
    return f"is not known here; known are {', '.join(here)}"


def _cut_at(path: tuple[Key, ...]) -> tuple[Key, ...]:
    """The path of the part to cut out for an error at `path`: one key, one entry of a list, a whole
    section of unknown kind, or a whole section that no other one needs."""
    if (path[0] in keys.UNIONS and path[1:] == ("kind",)) or path[0] in _ALONE:
        return path[:1]
    entry = next((path[: len(above) + 1] for above in _ITEMS if path[: len(above)] == above), path)
    return entry if isinstance(entry[-1], int) else path


def _without(data: Any, path: tuple[Key, ...], above: tuple[Key, ...] = ()) -> Any:
    """A copy of `data` without the part at `path`, or with a placeholder for it."""
    key, rest = path[0], path[1:]
    here = (*above, key)
    if isinstance(data, list | tuple) and isinstance(key, int):
        return [*data[:key], _ITEMS[above], *data[key + 1 :]]
    if rest:
        return data | {key: _without(data[key], rest, here)}
    left = {k: v for k, v in data.items() if k != key}
    if here == _REQUESTS and data.get("kind") == "script":
        return left | {key: [_ITEMS[here]]}
    return left | {key: _STAND_INS[here]} if here in _STAND_INS else left
