"""The JSON Schema of an experiment, with which editors complete and check the YAML."""

from __future__ import annotations

from typing import Any

from adpkv.config.experiment import Experiment
from adpkv.config.keys import WORKLOADS

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the YAML file, with durations and sizes as text patterns.

    The schema does not have the relations between sections; `adpkv validate` checks them.
    """
    schema = Experiment.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "adpkv experiment"
    kinds = {kind: f"#/$defs/{model.__name__}" for kind, model in WORKLOADS.items()}
    schema["properties"]["workload"]["discriminator"] = {"propertyName": "kind", "mapping": kinds}
    return schema
