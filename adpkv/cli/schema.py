"""`adpkv schema`: the JSON Schema of an experiment file, for editors."""

from __future__ import annotations

__all__ = ["schema"]


def schema() -> None:
    """Print the JSON Schema of an experiment file, for editors."""
    import json

    from adpkv.config import json_schema

    print(json.dumps(json_schema(), indent=2))
