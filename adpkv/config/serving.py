"""The sections `topology`, `executor`, `kv_cache`, `router`, `slo` and `observe`."""

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field

from adpkv.config.address import Address
from adpkv.config.base import Count, Duration, Natural, Section, Size, Switch, duration, size
from adpkv.config.named import name_of
from adpkv.config.servers import ServerConfig
from adpkv.core.failure_memory import MemoryLimits
from adpkv.core.topology import Kind, Topology
from adpkv.plugins import MEMORY, POLICY

__all__ = [
    "AdmissionConfig",
    "ExecutorConfig",
    "GroupConfig",
    "KvCacheConfig",
    "MaintenanceConfig",
    "ObserveConfig",
    "RouterConfig",
    "SloConfig",
    "TopologyConfig",
]


MOST_SERVERS: Final = 1000
"""The most entries of `topology.servers`."""


class GroupConfig(Section):
    """The servers of one kind."""

    instances: Count = Field(default=1, description="how many servers of this kind")
    ranks: Count = Field(description="ranks of each of them; they form one group")
    spares: Natural = Field(
        default=0,
        description="how many of them, the last ones, serve only in place of one that is taken out"
        " or has failed",
    )


class MaintenanceConfig(Section):
    """An instance that is taken out of service on purpose."""

    instance: Natural = Field(
        description="which one, by its number: context instances from 0, then generation"
    )
    after_ns: Duration = duration("0s", key="after", about="when it gets no requests any more")
    duration_ns: Duration | None = Field(
        default=None,
        alias="duration",
        gt=0,
        description="for how long; then it may serve again; null for to the end",
    )


class TopologyConfig(Section):
    """The instances and their ranks. Context instances have the first world ranks."""

    context: GroupConfig = Field(description="the servers that prefill")
    generation: GroupConfig = Field(description="the servers that decode")
    servers: tuple[ServerConfig, ...] = Field(
        default=(), max_length=MOST_SERVERS, description="instances that differ from the others"
    )
    maintenance: tuple[MaintenanceConfig, ...] = Field(
        default=(),
        max_length=MOST_SERVERS,
        description="instances that are taken out of service, and put in again. One that is out"
        " finishes what it has, for at most `executor.drain_timeout`",
    )
    attention: Literal["data_parallel", "replicated"] = Field(
        default="data_parallel",
        description="`data_parallel`: each request on one rank of its server (ADP); "
        "`replicated`: on all of them, each with its shard of the KV",
    )

    collectives: Literal["auto", "shared_memory", "mpi"] = Field(
        default="auto",
        description="what carries the small collectives of real ranks: `shared_memory` within a "
        "host, and a rank of each host between hosts; `mpi`; `auto`: shared memory where all ranks "
        "of a group can have it",
    )

    @property
    def replicated(self) -> bool:
        """Whether all ranks of an instance hold each of its requests."""
        return self.attention == "replicated"

    @property
    def ranks(self) -> int:
        """How many ranks the job has in all."""
        groups = (self.context, self.generation)
        alike = sum(group.instances * group.ranks for group in groups)
        return alike if not self.servers else sum(map(sum, self.sizes()))

    @property
    def least_ranks(self) -> int:
        """How many ranks every instance has."""
        if not self.servers:
            return min(self.context.ranks, self.generation.ranks)
        return min(map(min, self.sizes()))

    @property
    def most_ranks(self) -> int:
        """How many ranks the largest instance has."""
        if not self.servers:
            return max(self.context.ranks, self.generation.ranks)
        return max(map(max, self.sizes()))

    def sizes(self) -> tuple[list[int], list[int]]:
        """The ranks of each instance: of the context instances, and of the generation instances."""
        first = self.context.instances
        context = [self.context.ranks] * first
        generation = [self.generation.ranks] * self.generation.instances
        for one in self.servers:
            for index in one.instances if one.ranks is not None else ():
                if index < first:
                    context[index] = one.ranks or 0
                elif index - first < len(generation):
                    generation[index - first] = one.ranks or 0
        return context, generation

    def server(self, index: int) -> ServerConfig | None:
        """What differs on this instance; None if nothing does."""
        return next((one for one in self.servers if index in one.instances), None)

    def build(self) -> Topology:
        """The instances with their world ranks."""
        return self._built

    @cached_property
    def _built(self) -> Topology:
        if self.servers:
            return Topology.of_sizes(*self.sizes())
        return Topology.of(
            context=(self.context.instances, self.context.ranks),
            generation=(self.generation.instances, self.generation.ranks),
        )


class ExecutorConfig(Section):
    """The limits of one rank's work, and how long it waits."""

    token_budget: Count = Field(
        default=8192,
        description="prompt tokens a rank computes per step; longer prompts are chunked",
    )
    max_batch_size: Count = Field(default=64, description="requests a rank decodes at once")
    max_requests_per_rank: Count = Field(
        default=256, description="requests assigned to a rank, the waiting ones included"
    )
    queue_timeout_ns: Duration = duration(
        "600s",
        key="queue_timeout",
        about="longest wait of a request, from its arrival until it is first scheduled",
        gt=0,
    )
    busy_wait_ns: Duration = duration(
        "10ms",
        key="busy_wait",
        about="longest wait of a group while one of its ranks has transfers or blocks to release",
        gt=0,
    )
    idle_wait_ns: Duration = duration(
        "500ms", key="idle_wait", about="longest wait of a group without any of these", gt=0
    )
    drain_timeout_ns: Duration = duration(
        "10s",
        key="drain_timeout",
        about="how long a stopping rank waits for transfers in flight; at least as long as the"
        " proof of a transfer's end may take",
        gt=0,
    )


class KvCacheConfig(Section):
    """One rank's pool of KV blocks."""

    block_tokens: Count = Field(default=64, description="tokens whose KV one block holds")
    blocks: int = Field(
        default=1024,
        strict=True,
        ge=2,
        le=1 << 24,
        description="blocks per rank; one of them is reserved for the dummy",
    )
    reuse: Switch = Field(default=True, description="keep the blocks of known prefixes (LRU)")
    reuse_received: Switch = Field(
        default=False,
        description="on generation ranks too: what a rank has of a prompt is not sent to it again",
    )
    memory: Annotated[str, *name_of(MEMORY)] = Field(
        default="host",
        description="what holds the bytes in the real world (a ledger does in virtual time): "
        "`host`, `cuda` (a GPU), or your own one, in both",
    )

    def reused_by(self, kind: Kind) -> bool:
        """Whether the ranks of this kind keep the blocks of known prefixes."""
        return self.reuse if kind is Kind.CONTEXT else self.reuse_received


class AdmissionConfig(Section):
    """How much may wait for its first token. What comes beyond that is refused at once."""

    requests: Count | None = Field(
        default=None, description="so many requests, in the whole job; null for any number"
    )
    tokens: Count | None = Field(
        default=None,
        description="so many prompt tokens, in the whole job; one request may always wait; null for"
        " any number",
    )


class RouterConfig(Section):
    """Which rank of an instance gets a request that does not insist on one."""

    policy: Annotated[str, *name_of(POLICY)] = Field(
        default="load",
        description="`load`: the rank with the fewest open tokens; `prefix`: the same, less what it"
        " has cached of the prompt; `round_robin`; `power_of_two`: the less loaded one of two that"
        " are drawn",
    )
    most_overtaken: Count = Field(
        default=16,
        description="how many later requests may be given to ranks before one that finds no room;"
        " then a rank is kept free for it, and after twice as many all of them",
    )
    avoid_after: Natural = Field(
        default=3,
        description="after so many failed transfers in a row a rank is avoided while others are"
        " not: it gets one request, a probe, after each pause; 0: no rank is avoided",
    )
    avoid_pause_ns: Duration = duration(
        "1s",
        key="avoid_pause",
        about="the first pause; each failed probe doubles it",
        gt=0,
    )
    avoid_pause_limit_ns: Duration = duration(
        "60s", key="avoid_pause_limit", about="the longest pause", gt=0
    )

    @property
    def memory_limits(self) -> MemoryLimits:
        """When a rank is avoided, and for how long."""
        return MemoryLimits(self.avoid_after, self.avoid_pause_ns, self.avoid_pause_limit_ns)


class SloConfig(Section):
    """The service level objective: the latencies that a request of the goodput must not exceed."""

    ttft_ns: Duration | None = Field(
        default=None, alias="ttft", description="time to its first token, at most; null for any"
    )
    tpot_ns: Duration | None = Field(
        default=None,
        alias="tpot",
        description="time per output token after the first, at most; null for any",
    )
    e2e_ns: Duration | None = Field(
        default=None, alias="e2e", description="time to its last token, at most; null for any"
    )

    def kept(self, ttft_ns: float | None, tpot_ns: float | None, e2e_ns: float) -> bool:
        """Whether a completed request met the objective. Nanoseconds; `tpot_ns` is None for a
        request of one token, and both are for one without tokens."""
        pairs = ((ttft_ns, self.ttft_ns), (tpot_ns, self.tpot_ns), (e2e_ns, self.e2e_ns))
        return all(most is None or took is None or took <= most for took, most in pairs)


class ObserveConfig(Section):
    """What a run records, checks and shows."""

    events: Switch = Field(default=True, description="write events.jsonl and ranks.jsonl")
    timeline: Switch = Field(
        default=False, description="write what `adpkv timeline` shows; needs events"
    )
    timeline_limit_bytes: Size = size(
        "256MiB",
        key="timeline_limit",
        about="bytes of the timeline that each process writes at most; what comes later is dropped",
        gt=0,
    )
    unbounded_wait_ns: Duration = duration(
        "5s",
        key="unbounded_wait",
        about="how long a rank may leave a message or the end of a transfer unread, not counting"
        " the step in which it came; six times as long on real ranks, as a loaded machine may delay"
        " them",
        gt=0,
    )
    verify_at_end: Switch = Field(
        default=True, description="check a prompt's KV once more when its request has decoded"
    )
    pulse_ns: Duration = duration(
        "1s", key="pulse", about="how often the live progress is refreshed", gt=0
    )
    http: Address | None = Field(
        default=None,
        description="where rank 0 of a real run serves health and metrics (docs/launching.md); "
        "null for nowhere",
    )
    ready_timeout_ns: Duration = duration(
        "5s",
        key="ready_timeout",
        about="a rank or instance without progress for this long is not ready (`observe.http`); "
        "at least two of the longest steps",
        gt=0,
    )
