"""The JSON Schema and the reference that is made from it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import json_schema
from adpkv.config.reference import BEGIN, END, rewritten, tables
from adpkv.errors import UsageError

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for model in (schema, *schema["$defs"].values()):
        yield from model.get("properties", {}).items()


def test_the_schema_is_json_and_names_its_dialect() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["required"] == ["name", "topology", "workload"]


def test_the_schema_has_the_keys_of_the_file_and_refuses_others() -> None:
    schema = json_schema()
    models = [schema, *schema["$defs"].values()]
    open_ended = [model["title"] for model in models if model["additionalProperties"]]
    assert open_ended == ["CustomModelConfig", "CustomWorkloadConfig"]
    unit_keys = [key for key, _ in fields(schema) if re.search(r"_(ns|per_s)$", key)]
    assert not unit_keys


def test_every_key_has_a_description() -> None:
    assert not [key for key, field in fields(json_schema()) if not field.get("description")]


def test_defaults_are_as_a_user_would_write_them() -> None:
    patterned = [field for _, field in fields(json_schema()) if "pattern" in field]
    defaults = [field for field in patterned if "default" in field]
    assert len(defaults) > 15
    texts = [field for field in defaults if isinstance(field["default"], str)]
    assert all(re.search(field["pattern"], field["default"]) for field in texts)


def test_the_reference_in_the_document_is_that_of_the_models() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    due = "run: python -m adpkv.config.reference docs/configuration.md"
    assert rewritten(text) == text, due


def test_the_reference_has_every_key() -> None:
    shown = tables()
    missing = [key for key, _ in fields(json_schema()) if not re.search(rf"[`.]{key}`", shown)]
    assert not missing


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(UsageError, match="needs the lines"):
        rewritten(f"text {BEGIN} text")
    assert rewritten(f"a\n{BEGIN}\nold\n{END}\nb").endswith(f"\n\n{END}\nb")
