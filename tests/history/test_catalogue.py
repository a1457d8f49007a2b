"""Every historical value of `policy:` stands for something, and nothing but the commands knows."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

from adpkv.config import parse
from adpkv.config.policy import PolicyConfig
from adpkv.core.rules import Rules
from adpkv.history import POLICIES, assembly
from adpkv.history.policy import replace
from adpkv.worlds.assemble import build_rank
from tests.scenarios.story import setting

PACKAGE = Path(__file__).parents[2] / "adpkv"


def experiment(**policy: str) -> Any:
    return parse(setting("policy", 1, 1, policy=policy), "policy")


def test_every_value_but_the_contracts_has_a_policy() -> None:
    found = {
        (name, value)
        for name, field in PolicyConfig.model_fields.items()
        for value in get_args(field.annotation)
        if value != field.default
    }
    assert found == set(POLICIES)


def test_the_contract_is_the_first_value_and_the_default() -> None:
    for name, field in PolicyConfig.model_fields.items():
        assert get_args(field.annotation)[0] == field.default, name


def test_without_a_policy_nothing_is_replaced() -> None:
    assert assembly(experiment()) is build_rank
    assert assembly(experiment(on_timeout="quarantine")) is build_rank


@pytest.mark.parametrize("key", sorted(POLICIES))
def test_each_policy_says_what_it_was_and_changes_something(key: tuple[str, str]) -> None:
    policy = POLICIES[key]
    assert "#" in policy.about, "where the field learned better"
    other = policy.rules(Rules())
    assert other != Rules() or policy.install is not type(policy)("").install


def test_what_is_not_there_cannot_be_replaced() -> None:
    with pytest.raises(AttributeError, match="Rules has no such_thing to replace"):
        replace(Rules(), "such_thing", print)


def test_only_the_doors_know_history() -> None:
    knowing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("adpkv.history"):
                knowing.add(path.relative_to(PACKAGE).parts[0])
    assert knowing == {"history", "cli", "api.py"}
