"""The JSON Schema of an experiment, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from adpkv.config.experiment import Experiment
from adpkv.config.keys import WORKLOADS

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the YAML file: keys as in the file, durations and sizes by pattern.

    It cannot say the relations between sections; `adpkv validate` does.
    """
    schema = Experiment.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "adpkv experiment"
    kinds = {kind: f"#/$defs/{model.__name__}" for kind, model in WORKLOADS.items()}
    schema["properties"]["workload"]["discriminator"] = {"propertyName": "kind", "mapping": kinds}
    return schema
