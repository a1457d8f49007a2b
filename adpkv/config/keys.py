"""Which keys are known at each place of an experiment's YAML; for hints in error messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from adpkv.config.document import Key
from adpkv.config.experiment import Experiment
from adpkv.config.model import CostModelConfig, CustomModelConfig, GemmModelConfig
from adpkv.config.named import CUSTOM
from adpkv.config.problem import ABSENT, lookup
from adpkv.config.workload import (
    ClosedLoopConfig,
    CustomWorkloadConfig,
    PoissonConfig,
    ScriptConfig,
    TraceConfig,
)
from adpkv.plugins import MODEL

__all__ = ["UNIONS", "WORKLOADS", "at", "section_of"]

WORKLOADS: Final[Mapping[str, type[BaseModel]]] = {
    "poisson": PoissonConfig,
    "closed_loop": ClosedLoopConfig,
    "trace": TraceConfig,
    "script": ScriptConfig,
}
"""The models of adpkv's own kinds of workload, by `workload.kind`."""

UNIONS: Final[Mapping[str, Mapping[str, type[BaseModel]]]] = {
    "workload": {**WORKLOADS, CUSTOM: CustomWorkloadConfig},
    "model": {"cost": CostModelConfig, "gemm": GemmModelConfig, CUSTOM: CustomModelConfig},
}
"""The sections whose keys depend on their `kind`: section -> kind -> model."""


def at(path: Sequence[Key], data: object) -> list[str]:
    """The keys that are known in the section at `path`. `data` has the `kind` of such sections."""
    model: type[BaseModel] | None = Experiment
    for i, key in enumerate(path):
        if isinstance(key, int):
            continue
        if i == 0 and key in UNIONS:
            kind = lookup(data, (key, "kind"))
            if key == "model" and kind is ABSENT:
                kind = MODEL.ours[0]
            model = UNIONS[key].get(str(kind))
        elif model is not None:
            model = _children(model).get(key)
    return [] if model is None else list(_names(model))


def section_of(key: str) -> tuple[str, ...] | None:
    """The path of the section that has `key`; None unless exactly one has it."""
    found = {path[:-1] for path in _all_paths(Experiment, ()) if path[-1] == key}
    return found.pop() if len(found) == 1 else None


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _children(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections inside a section, by key, without those of several models."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        models = list(_models(field.annotation))
        if len(models) == 1:
            found[field.alias or name] = models[0]
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _models(part)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _all_paths(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    children = _children(model)
    for name in _names(model):
        yield (*above, name)
        if name in children:
            yield from _all_paths(children[name], (*above, name))
    if model is Experiment:
        for section, kinds in UNIONS.items():
            for one in kinds.values():
                yield from _all_paths(one, (section,))
