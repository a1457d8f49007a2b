"""The `regression` section: a failure of a real system, and how it must show in this experiment.

`before` has the expected result in each world under the file's `policy`; `after` has the expected
result of the same experiment under the contract. Keys that an expectation leaves out are expected
as in a clean run.
"""

from typing import Annotated, Literal

from pydantic import Field

from adpkv.config.base import Natural, Section, Text
from adpkv.config.checks.bounds import Bounds, bounds

__all__ = [
    "BeforeConfig",
    "ErrorKind",
    "ExpectationConfig",
    "PlaceConfig",
    "RegressionConfig",
    "RequestCountsConfig",
    "ViolationConfig",
    "ViolationKind",
    "World",
]

World = Literal["virtual", "mpi"]

ErrorKind = Literal["none", "mismatch", "deadlock", "livelock", "rank_failed", "rank_lost"]
"""The errors with which a run can break off; `none`: it ran to its end, with any exit code."""

ViolationKind = Literal[
    "write_after_free",
    "freed_in_doubt",
    "read_after_free",
    "leak",
    "double_free",
    "two_owners",
    "two_writers",
    "shared_block",
    "wrong_kv",
    "wrong_collective",
    "two_terminal_responses",
    "no_terminal_response",
    "impossible_response",
    "diverging_traces",
    "early_deadline",
    "unbounded_wait",
    "shutdown_without_cause",
    "no_shutdown_with_cause",
]
"""All kinds of violations."""

OutcomeName = Literal[
    "completed",
    "deadlock",
    "violation",
    "rank_lost",
    "internal_error",
    "unhealthy",
    "interrupted",
]

Ranks = tuple[Natural, ...]
Words = Annotated[Text, Field(min_length=1)]


class PlaceConfig(Section):
    """Where some ranks were when the job broke off."""

    ranks: Ranks = Field(description="world ranks")
    kind: Words | None = Field(
        default=None, description="the collective they were in, such as tp_gather; null for any"
    )
    site: Words | None = Field(
        default=None, description="its call site, such as flush; null for any"
    )


class ViolationConfig(Section):
    """A violation that must be reported."""

    kind: ViolationKind = Field(description="of violation")
    ranks: Ranks | None = Field(
        default=None, description="exactly the ranks on which it is seen; null for any"
    )


class RequestCountsConfig(Section):
    """How many requests must end with each outcome."""

    completed: Bounds | None = Field(
        default=None, description="null for all that do not end in another way"
    )
    cancelled: Bounds = bounds(about="by their clients")
    timed_out: Bounds = bounds(about="past one of their limits")
    failed: Bounds = bounds(about="with an error")
    refused: Bounds = bounds(about="at once, by admission control")


class ExpectationConfig(Section):
    """The expected result of a run. The defaults are a clean run's."""

    error: ErrorKind = Field(default="none", description="how the run breaks off")
    says: Words | None = Field(
        default=None, description="words in the error's message; null for any"
    )
    places: tuple[PlaceConfig, ...] = Field(
        default=(),
        description="where ranks are, as the error says; others are not checked",
    )
    ranks: Ranks | None = Field(
        default=None, description="exactly the ranks that failed; null for any"
    )
    violations: tuple[ViolationConfig, ...] = Field(
        default=(), description="what must be seen; other kinds must not"
    )
    also: tuple[ViolationKind, ...] = Field(
        default=(), description="kinds of violation that may come with it"
    )
    outcome: OutcomeName | None = Field(
        default=None, description="how the run ends; null for what follows from the above"
    )
    requests: RequestCountsConfig | None = Field(
        default=None, description="null for all completed; not checked if the run breaks off"
    )
    quarantined: Bounds = bounds(about="transfers still in doubt at the end, over all ranks")


class BeforeConfig(Section):
    """How the failure must show in each world in which the scenario makes sense."""

    virtual: ExpectationConfig | None = Field(default=None, description="in virtual time")
    mpi: ExpectationConfig | None = Field(default=None, description="on real ranks")


class RegressionConfig(Section):
    """A failure of a real system as an experiment. Only `adpkv regress` reads this section."""

    id: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="its name on the command line"
    )
    title: Words = Field(description="the failure in a few words")
    references: tuple[Words, ...] = Field(
        default=(), description="where it was reported: issues and pull requests"
    )
    before: BeforeConfig = Field(description="under the file's policy")
    after: ExpectationConfig = Field(
        default_factory=ExpectationConfig, description="under the contract"
    )
