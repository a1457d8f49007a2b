"""The error for `--set workload.kind=OTHER`: one problem that says what to write.

Each kind of workload has its own keys, so the kind alone can hardly be changed. One problem for
each key of the former kind would hide that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adpkv.config.document import Key
from adpkv.config.overrides import Overridden
from adpkv.config.problem import ABSENT, Problem, lookup

__all__ = ["EXAMPLES", "other_kind"]

_KIND: Final[tuple[Key, ...]] = ("workload", "kind")

_LENGTHS: Final = "prompt_tokens: {min: 100, max: 400}, output_tokens: {min: 10, max: 40}"
EXAMPLES: Final[Mapping[str, str]] = {
    "poisson": f"{{kind: poisson, rate: 5, requests: 50, {_LENGTHS}}}",
    "closed_loop": f"{{kind: closed_loop, users: 4, requests: 50, {_LENGTHS}}}",
    "trace": "{kind: trace, path: sample}",
    "script": "{kind: script, requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4}]}",
}
"""A complete section of each kind, to be pasted."""


def other_kind(
    problems: Sequence[Problem], before: object, changed: Overridden
) -> Sequence[Problem]:
    """`problems`, with those that follow from a changed `workload.kind` replaced by one.

    Args:
        before: the data of the file, without overrides.
        changed: the data with overrides.
    """
    kind = lookup(changed.data, _KIND)
    if _KIND not in changed.paths or lookup(before, _KIND) in (ABSENT, kind):
        return problems
    misfits = [p for p in problems if p.path[:1] == ("workload",) and not changed.sets(p.path)]
    example = EXAMPLES.get(kind) if isinstance(kind, str) else None
    if example is None or not misfits:
        return problems
    text = (
        "changes which keys the workload has: give the whole section, such as"
        f" --set 'workload={example}'"
    )
    return [Problem(_KIND, text), *(p for p in problems if p not in misfits)]
