"""Makes an experiment from a YAML file, or one error that lists all problems with their lines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from adpkv.config import overrides as overriding
from adpkv.config.document import Document, Malformed, read, write
from adpkv.config.experiment import Experiment
from adpkv.config.problem import ABSENT, Problem, dotted, lookup, short
from adpkv.config.replaced_presets import without_replaced
from adpkv.config.shipped import near
from adpkv.config.validation import MOST_PROBLEMS, validate
from adpkv.config.workload import SAMPLE, TraceConfig
from adpkv.errors import ConfigError

__all__ = ["MAX_FILE_BYTES", "dump", "load", "load_data", "parse"]

MAX_FILE_BYTES: Final = 1 << 20
"""The size limit of an experiment file. A larger one is probably a trace or a device, given by
mistake."""


Overrides = Sequence[str] | Mapping[str, Any]


def load(path: Path, overrides: Overrides = (), *, installed: bool = True) -> Experiment:
    """Read an experiment file.

    A relative trace path is looked up in the current folder, then in the YAML file's folder. The
    experiment gets it as an absolute path.

    Args:
        path: the file.
        overrides: `a.b=value` texts with values in YAML, or a mapping from paths to values.
        installed: False if the experiment will not be run: then the entry points that it names need
            not be installed.

    Raises:
        ConfigError: the experiment is not valid; the error lists all problems, each with path,
            value and line.
    """
    source = str(path)
    document = _read(path)
    lines = [f"{source}:{line}: {text}" for line, text in document.findings[:MOST_PROBLEMS]]
    return _checked(document.data, source, overrides, lines, document, path.parent, installed)


def load_data(data: Mapping[str, Any], source: str, overrides: Overrides = ()) -> Experiment:
    """As `load`, from sections in memory. A relative trace path is looked up in the current folder.

    Args:
        data: the sections.
        source: the experiment's name in error messages.
        overrides: as for `load`.

    Raises:
        ConfigError: the experiment is not valid; the error lists all problems.
    """
    return _checked(dict(data), source, overrides, [], None, Path())


def _checked(
    data: object,
    source: str,
    overrides: Overrides,
    lines: list[str],
    document: Document | None,
    folder: Path,
    installed: bool = True,
) -> Experiment:
    changed = overriding.apply(data, overrides)
    lines += changed.complaints
    if not isinstance(changed.data, dict):
        raise ConfigError(
            source, [*lines, f"must be a mapping of sections ({_found(changed.data)})"]
        )
    written = without_replaced(data, changed, folder)
    experiment, problems = validate(_without_empty(written), installed=installed, folder=folder)
    if experiment is not None:
        experiment, problems = _with_trace(experiment, folder)
    if experiment is not None and not lines:
        experiment, lines = _with_trace_faults(experiment)
    if problems:
        from adpkv.config.kinds import other_kind  # most experiments have none

        lines += _problem_lines(other_kind(problems, data, changed), changed, document)
    if experiment is None or lines:
        raise ConfigError(source, lines)
    return experiment


def parse(data: dict[str, Any], source: str) -> Experiment:
    """Check an experiment that is already in memory; `source` names it in the error.

    Touches no file: a trace path stays as it is.

    Raises:
        ConfigError: the experiment is not valid; the error lists all problems.
    """
    experiment, problems = validate(_without_empty(data))
    if experiment is None:
        raise ConfigError(source, _problem_lines(problems, overriding.Overridden(data), None))
    return experiment


def dump(experiment: Experiment) -> str:
    """The experiment as YAML text, with every default written out; `load` reads it back equal."""
    return write(experiment.model_dump(by_alias=True))


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(str(path), [_missing(path)]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(str(path), [f"is no experiment: larger than {MAX_FILE_BYTES} bytes"])
    try:
        return read(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        text = f"{path}:{line}: not UTF-8: byte 0x{raw[error.start]:02x}"
        raise ConfigError(str(path), [text]) from None
    except Malformed as error:
        where = f"{path}:{error.line}" if error.line else f"{path}"
        raise ConfigError(str(path), [f"{where}: not YAML: {error.text}"]) from None


def _missing(path: Path) -> str:
    names = near(path)
    if names:
        return f"there is no such file; did you mean {' or '.join(names)}?"
    return "there is no such file; `adpkv configs` lists the experiments that have names"


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    # A section such as `executor:` whose keys are all commented out is null, and means defaults.
    return {key: value for key, value in data.items() if value is not None}


def _with_trace(experiment: Experiment, folder: Path) -> tuple[Experiment | None, list[Problem]]:
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path == SAMPLE:
        return experiment, []
    tried = list(
        dict.fromkeys((Path(workload.path).absolute(), (folder / workload.path).absolute()))
    )
    found = next((path for path in tried if os.path.isfile(path)), None)
    if found is None:
        looked = " and ".join(str(path) for path in tried)
        return None, [Problem(("workload", "path"), f"there is no such file: looked for {looked}")]
    placed = workload.model_copy(update={"path": str(found)})
    return experiment.model_copy(update={"workload": placed}), []


def _with_trace_faults(experiment: Experiment) -> tuple[Experiment | None, list[str]]:
    """The experiment with the faults that stand in its trace; or what is wrong with them, each with
    its place in the trace."""
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or not workload.trace_faults:
        return experiment, []
    if workload.path == SAMPLE:
        return experiment, []
    from adpkv.traces.faults import faults_in

    found = faults_in(
        Path(workload.path),
        speed=workload.speed,
        limit=workload.limit,
        follow=workload.sessions == "follow",
    )
    if not found:
        return experiment, []
    data = experiment.model_dump(by_alias=True)
    own = len(experiment.faults)
    data["faults"] = [*data["faults"], *(one.entry for one in found)]
    data["workload"]["trace_faults"] = False
    changed, problems = validate(data)
    lines = []
    for problem in problems:
        of_trace = problem.path[:1] == ("faults",) and len(problem.path) > 1
        number = problem.path[1] if of_trace else -1
        if isinstance(number, int) and own <= number < own + len(found):
            place = found[number - own].place
            text = f"{dotted(('fault', *problem.path[2:]))}: {problem.text}"
            lines.append(str(place.error(str(problem.path[-1]), text)))
        else:
            lines.append(f"{dotted(problem.path)}: {problem.text}")
    return changed, lines


def _problem_lines(
    problems: Sequence[Problem], changed: overriding.Overridden, document: Document | None
) -> list[str]:
    """One line of text per problem, in the order of the file; problems without a line come last."""
    placed: list[tuple[int, str]] = []
    for problem in problems:
        notes = _found(lookup(changed.data, problem.path)) if problem.path else ""
        if problem.default is not ABSENT:
            notes = f"{_found(problem.default)} by default"
        line = document.line_of(problem.path) if document else None
        if changed.sets(problem.path):
            line, where = None, f", from {changed.by}"
        else:
            where = f", line {line}" if line else ""
        text = f"{dotted(problem.path)}: {problem.text}" if problem.path else problem.text
        note = f" ({(notes + where).removeprefix(', ')})" if notes or where else ""
        placed.append((line or MAX_FILE_BYTES, text + note))
    return [text for _, text in sorted(placed, key=lambda entry: entry[0])]


def _found(value: object) -> str:
    return "" if value is ABSENT else f"found {short(value)}"
