"""The `calibration` section: what the virtual world's machine costs, as measured on real runs.

`adpkv calibrate` writes it. Real runs do not read it: their machine costs what it costs.
"""

from fractions import Fraction
from typing import Final

from pydantic import Field

from adpkv.config.base import Count, Duration, FineDuration, Section, Size, duration, fine_duration
from adpkv.core.step_cost import Costs

__all__ = [
    "PROBABILITIES",
    "CalibrationConfig",
    "GroupCalibration",
    "MessageCalibration",
    "RequestCalibration",
    "Spread",
    "StallCalibration",
    "StepCalibration",
    "TransferCalibration",
    "WorkCalibration",
]

PROBABILITIES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""The probabilities of the quantiles of `Spread`, in order."""


class StepCalibration(Section):
    """What is added to the coefficients of a step (`model`)."""

    base_ns: FineDuration = fine_duration("0s", key="base", about="for each step")
    prefill_token_ns: FineDuration = fine_duration(
        "0s", key="per_prefill_token", about="per prompt token"
    )
    prefill_pair_ns: FineDuration = fine_duration(
        "0s", key="per_prefill_pair", about="per (token, earlier token) pair"
    )
    sequence_ns: FineDuration = fine_duration(
        "0s", key="per_sequence", about="per request that decodes a token"
    )
    context_token_ns: FineDuration = fine_duration(
        "0s", key="per_context_token", about="per token of KV that is read"
    )

    def added_to(self, costs: Costs) -> Costs:
        """The coefficients with these additions."""
        return Costs(
            costs.base_ns + self.base_ns,
            costs.prefill_token_ns + self.prefill_token_ns,
            costs.prefill_pair_ns + self.prefill_pair_ns,
            costs.sequence_ns + self.sequence_ns,
            costs.context_token_ns + self.context_token_ns,
        )


class Spread(Section):
    """A duration that differs from time to time, as quantiles. Between two of them it is a straight
    line; one that is smaller than the one before it counts as that one."""

    least_ns: Duration = duration("0s", key="least", about="never less")
    p10_ns: Duration = duration("0s", key="p10", about="less in one of 10")
    p25_ns: Duration = duration("0s", key="p25", about="less in one of 4")
    p50_ns: Duration = duration("0s", key="p50", about="less in one of 2")
    p75_ns: Duration = duration("0s", key="p75", about="more in one of 4")
    p90_ns: Duration = duration("0s", key="p90", about="more in one of 10")
    p95_ns: Duration = duration("0s", key="p95", about="more in one of 20")
    p99_ns: Duration = duration("0s", key="p99", about="more in one of 100")
    p999_ns: Duration = duration("0s", key="p999", about="more in one of 1000")
    most_ns: Duration = duration("0s", key="most", about="never more")

    @property
    def quantiles_ns(self) -> tuple[int, ...]:
        """In order of `PROBABILITIES`; none is smaller than the one before."""
        found: list[int] = []
        for name in type(self).model_fields:
            found.append(max(getattr(self, name), found[-1] if found else 0))
        return tuple(found)

    @property
    def longest_ns(self) -> int:
        """The longest that it can be."""
        return self.quantiles_ns[-1]


class StallCalibration(Section):
    """Stalls: now and then all steps of a group stand still, for longer than noise explains."""

    every_ns: Duration = duration(
        "0s", key="every", about="one in each span of this length, at a drawn time; 0s: none"
    )
    length: Spread = Field(default_factory=Spread, description="how long one is")


class GroupCalibration(Section):
    """What an iteration costs groups of one size. Another size takes the nearest."""

    ranks: Count = Field(description="the size of the groups")
    collective_ns: Duration = duration(
        "0s", key="collective", about="one small collective, in place of `model.collective`"
    )
    iteration_ns: Duration = duration(
        "0s", key="iteration", about="what else an iteration with a step takes"
    )
    sequence_ns: FineDuration = fine_duration(
        "0s", key="per_sequence", about="the same, per request that its busiest rank decodes"
    )
    idle_ns: Duration = duration(
        "0s", key="idle", about="what an iteration without a step takes until it waits"
    )
    jitter: Spread = Field(default_factory=Spread, description="by how much a step takes longer")
    stalls: StallCalibration = Field(
        default_factory=StallCalibration, description="when steps stand still"
    )


class MessageCalibration(Section):
    """How long messages take, in place of `transceiver.mail_latency`."""

    to_coordinator: Spread = Field(
        default_factory=Spread,
        description="to the coordinator from a rank, since its iteration began, beside what that"
        " does until then",
    )
    beside_coordinator: Spread = Field(
        default_factory=Spread,
        description="the same from rank 0, whose process the coordinator has",
    )
    admitted: Spread = Field(
        default_factory=Spread,
        description="from a request's arrival until the coordinator sends it to a rank",
    )
    from_coordinator: Spread = Field(
        default_factory=Spread, description="from the coordinator to a rank"
    )
    between_ranks: Spread = Field(
        default_factory=Spread,
        description="from rank to rank, since its iteration began, in the same way",
    )
    notice: Spread = Field(
        default_factory=Spread,
        description="a group that waits notices what has arrived so much later",
    )
    backoff_ns: Duration = duration(
        "0s", key="backoff", about="a group that has waited for less notices sooner in proportion"
    )

    @property
    def longest_ns(self) -> int:
        """The longest that any message takes."""
        return max(
            self.to_coordinator.longest_ns,
            self.beside_coordinator.longest_ns,
            self.from_coordinator.longest_ns + self.admitted.longest_ns,
            self.between_ranks.longest_ns,
        )


class WorkCalibration(Section):
    """What something costs the iteration of a group in which its ranks do it. The ranks have their
    own KV side by side, so of that the most counts that one has."""

    once_ns: FineDuration = fine_duration("0s", key="once", about="for an iteration with any of it")
    each_ns: FineDuration = fine_duration("0s", key="each", about="and each time, on any rank")
    block_ns: FineDuration = fine_duration(
        "0s", key="per_block", about="and for each KV block of the rank that has most to do"
    )
    kib_ns: FineDuration = fine_duration("0s", key="per_kib", about="and for each KiB of them")

    def most_ns(self, times: int, blocks: int, kib: Fraction) -> Fraction:
        """What so much of it takes."""
        return self.once_ns + times * self.each_ns + blocks * self.block_ns + kib * self.kib_ns


class RequestCalibration(Section):
    """What requests cost the iteration of a group in which it deals with them."""

    assigned: WorkCalibration = Field(
        default_factory=WorkCalibration, description="to give it to a rank, and look for its prefix"
    )
    prefilled: WorkCalibration = Field(
        default_factory=WorkCalibration,
        description="a step with prompt tokens, and the KV that it makes",
    )
    advertised: WorkCalibration = Field(
        default_factory=WorkCalibration, description="to reserve blocks and ask for their KV"
    )
    answered: WorkCalibration = Field(
        default_factory=WorkCalibration, description="to answer one whose KV was here"
    )


class TransferCalibration(Section):
    """What a transfer costs, in place of `transceiver.link`, and how it holds up iterations."""

    latency_ns: Duration = duration(
        "20us", key="latency", about="from the end of a post to its arrival"
    )
    bandwidth_bytes_per_s: Size = Field(
        default=10 << 30,
        alias="bandwidth",
        gt=0,
        description="bytes per second, shared by all transfers of a sender",
        json_schema_extra={"default": "10GiB"},
    )
    posted: WorkCalibration = Field(default_factory=WorkCalibration, description="to begin to send")
    sent: WorkCalibration = Field(
        default_factory=WorkCalibration, description="to see that it is sent"
    )
    received: WorkCalibration = Field(
        default_factory=WorkCalibration, description="to see that it is here, and to check it"
    )


class CalibrationConfig(Section):
    """What real runs cost beyond the model: `adpkv calibrate` measures it, and the virtual world
    adds it."""

    step: StepCalibration = Field(
        default_factory=StepCalibration, description="corrections of the step's coefficients"
    )
    start_ns: Duration = duration(
        "0s", key="start", about="from the beginning of the run until its ranks take requests"
    )
    groups: tuple[GroupCalibration, ...] = Field(
        default=(), max_length=100, description="what an iteration costs, by the size of the group"
    )
    requests: RequestCalibration = Field(
        default_factory=RequestCalibration, description="what single requests cost"
    )
    messages: MessageCalibration = Field(
        default_factory=MessageCalibration, description="how long messages take"
    )
    transfers: TransferCalibration = Field(
        default_factory=TransferCalibration, description="what a transfer costs"
    )

    def group(self, ranks: int) -> GroupCalibration | None:
        """What holds for groups of this size: the nearest, of two the smaller."""
        return min(self.groups, key=lambda one: (abs(one.ranks - ranks), one.ranks), default=None)
