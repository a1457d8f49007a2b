"""Experiments: one YAML file each. Their pydantic models, reading and checking them."""

from __future__ import annotations

from adpkv.config.experiment import Experiment
from adpkv.config.loading import dump, load, load_data, parse
from adpkv.config.schema import json_schema

__all__ = ["Experiment", "dump", "json_schema", "load", "load_data", "parse"]
