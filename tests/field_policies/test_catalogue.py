"""Every historical value of `policy:` stands for something, and nothing but the commands knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from adpkv.config import parse
from adpkv.config.policy import PolicyConfig
from adpkv.core.ownership import Replica
from adpkv.core.rules import Rules
from adpkv.executor.generation import GenerationServing
from adpkv.executor.phases import Phases
from adpkv.field_policies import assembly
from adpkv.field_policies.catalogue import POLICIES
from adpkv.field_policies.policy import combined
from adpkv.worlds.assemble import build_rank
from tests.scenarios.story import setting
from tests.worlds.virtual.running import run

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
    rules, parts = (
        policy.rules(Rules()),
        (policy.phases, policy.serving, policy.replica, policy.route),
    )
    assert rules != Rules() or any(parts)


def test_policies_that_are_combined_each_have_their_say() -> None:
    said = []

    class Base:
        def say(self) -> None:
            said.append("base")

    class First(Base):
        def say(self) -> None:
            super().say()
            said.append("first")

    class Second(Base):
        def say(self) -> None:
            super().say()
            said.append("second")

    combined(Base, [First, None, Base, Second, First])().say()
    assert said == ["base", "second", "first"]
    assert combined(Base, [None]) is Base


def test_all_policies_can_be_combined() -> None:
    """Each with each: a class of its own for all of them, in which none hides another."""
    for part, base in (("phases", Phases), ("serving", GenerationServing), ("replica", Replica)):
        others = [getattr(policy, part) for policy in POLICIES.values()]
        whole = combined(base, others)
        assert {one for one in others if one is not None} <= set(whole.__mro__)


def test_a_rank_that_waits_in_its_poll_takes_in_what_it_waited_for() -> None:
    """Whenever another policy would poll: else it waits again for what is there."""

    def told(**policy: str) -> Any:
        data = setting("policy", 1, 1, policy=policy)
        one = {"at": "0s", "prompt_tokens": 64, "output_tokens": 4}
        data["workload"] = {"kind": "script", "requests": [one]}
        ran = run(data, assemble=assembly(parse(data, "policy")), most_events=2000)
        assert ran.summary["requests"]["completed"] == 1
        return ran.events

    assert told(poll="blocking", reap="when_scheduled") == told(poll="blocking")


def test_no_policy_reaches_into_another_object() -> None:
    """A subclass or a record, handed in at assembly; the core keeps nothing for them."""
    for path in (PACKAGE / "field_policies").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("setattr", "object.__setattr__"), path
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
                assert ast.unparse(node.value) == "self", path


def test_only_the_doors_know_history() -> None:
    knowing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "adpkv.field_policies"
            ):
                knowing.add(path.relative_to(PACKAGE).parts[0])
    assert knowing == {"field_policies", "cli", "api.py", "exploration", "sweeps"}
