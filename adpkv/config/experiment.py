"""The model of an experiment: everything that one YAML file describes.

Make it with `adpkv.config.load` or `parse`. These also check the relations between the sections
(`config.checks`); pydantic's own validation checks each section by itself only.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from adpkv.config.base import LARGEST, Section, Switch
from adpkv.config.calibration import CalibrationConfig
from adpkv.config.diagnosis import DiagnosisConfig
from adpkv.config.faults import FaultConfig
from adpkv.config.legal_silence import LegalSilence, legal_silence
from adpkv.config.model import (
    CostedModelConfig,
    CostModelConfig,
    GemmModelConfig,
    ModelConfig,
)
from adpkv.config.policy import PolicyConfig
from adpkv.config.regression import RegressionConfig
from adpkv.config.servers import COST_FIELDS
from adpkv.config.serving import (
    AdmissionConfig,
    ExecutorConfig,
    KvCacheConfig,
    ObserveConfig,
    RouterConfig,
    SloConfig,
    TopologyConfig,
)
from adpkv.config.staging import Staging, staging
from adpkv.config.sweep import SweepConfig
from adpkv.config.transceiver import TransceiverConfig
from adpkv.config.workload import WorkloadConfig
from adpkv.core.step_cost import Costs
from adpkv.plugins import MEMORY, TRANSPORT

__all__ = ["Experiment"]


PULSES_PER_TIMEOUT: Final = 4

"""How many pulses fit into the shortest time after which a missing pulse has a consequence."""

HANG_NS: Final = 30_000_000_000
"""The default of `diagnosis.hang_timeout`: a rank for which its group waits longer is stuck."""

MOST_FAULTS: Final = 1000
"""The most faults of an experiment. Every rank checks each fault at every event that it may hit."""


class Experiment(Section):
    """Everything that determines a run. The same experiment gives the same virtual run, bit for
    bit."""

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="part of the output folder's name: ASCII letters, digits, dot, dash, underscore"
    )
    seed: int = Field(
        default=0,
        strict=True,
        ge=0,
        lt=1 << 63,
        description="of all random draws",
    )
    topology: TopologyConfig = Field(description="which ranks form which instances")
    executor: ExecutorConfig = Field(
        default_factory=ExecutorConfig, description="the limits of one rank's work"
    )
    kv_cache: KvCacheConfig = Field(
        default_factory=KvCacheConfig, description="one rank's pool of KV blocks"
    )
    transceiver: TransceiverConfig = Field(
        default_factory=TransceiverConfig, description="how KV moves between instances"
    )
    admission: AdmissionConfig = Field(
        default_factory=AdmissionConfig, description="what is refused because too much waits"
    )
    router: RouterConfig = Field(
        default_factory=RouterConfig, description="which rank gets which request"
    )
    model: ModelConfig = Field(
        default_factory=CostModelConfig, description="what a forward step costs"
    )
    calibration: CalibrationConfig | None = Field(
        default=None,
        description="what real runs were measured to cost beyond that, virtual world only"
        " (`adpkv calibrate`); null for nothing",
    )
    workload: WorkloadConfig = Field(description="which requests arrive when")
    slo: SloConfig | None = Field(
        default=None, description="what counts as goodput; null: none is reported"
    )
    faults: tuple[FaultConfig, ...] = Field(
        default=(), max_length=MOST_FAULTS, description="injected faults"
    )
    on_rank_failure: Literal["shutdown", "shrink"] = Field(
        default="shutdown",
        description="`shutdown`: when a rank fails, the job answers all requests and ends with "
        "code 5; `shrink`: its group goes on without it (but not without rank 0, which has the "
        "coordinator)",
    )
    on_instance_unhealthy: Literal["shutdown", "drain"] = Field(
        default="shutdown",
        description="`shutdown`: a rank that is unhealthy for `transceiver.shutdown_grace` ends "
        "the job with code 75; `drain`: its instance is taken out of service while others of its "
        "kind, or spares, can serve, and put in again once it is healthy",
    )
    on_sigterm: Literal["answer", "finish"] = Field(
        default="answer",
        description="`answer`: what is open is answered as failed at once; `finish`: nothing is "
        "admitted any more, and what is open is finished within `executor.drain_timeout`",
    )
    recompute: Switch = Field(
        default=False,
        description="with `shrink` or `drain`: requests lost with a failed rank, or taken from an "
        "instance, are computed again instead of answered as failed",
    )
    policy: PolicyConfig = Field(
        default_factory=PolicyConfig,
        description="historical policies; by default the contract's rules",
    )
    diagnosis: DiagnosisConfig = Field(
        default_factory=DiagnosisConfig, description="when ranks count as stuck"
    )
    observe: ObserveConfig = Field(
        default_factory=ObserveConfig, description="what a run records and shows"
    )
    regression: RegressionConfig | None = Field(
        default=None,
        description="what `adpkv regress` must see of it; null for an ordinary experiment",
    )

    sweep: SweepConfig | None = Field(
        default=None, description="what `adpkv sweep` varies; null for an ordinary experiment"
    )

    computed_of: ClassVar[Mapping[str, frozenset[str]]] = {
        "block_bytes": frozenset({"model", "kv_cache"}),
        "staging": frozenset({"model", "kv_cache", "transceiver"}),
        "legal_silence": frozenset(
            {"model", "executor", "kv_cache", "topology", "transceiver", "workload", "calibration"}
        ),
        "kept": frozenset(
            {
                *("topology", "executor", "kv_cache", "transceiver", "admission", "router"),
                *("model", "calibration", "slo", "on_rank_failure", "on_instance_unhealthy"),
                *("on_sigterm", "recompute", "policy", "diagnosis", "observe"),
            }
        ),
    }

    @cached_property
    def kept(self) -> dict[object, Any]:
        """Values that depend on nothing of this experiment but on the sections that `computed_of`
        has here: not on its seed, workload and faults. Copies in which only those are others have
        them too, so an exploration computes them once. Each has a key of its own."""
        return {}

    @cached_property
    def legal_silence(self) -> LegalSilence:
        """How long a healthy rank may take to react."""
        return legal_silence(
            self.slowest_model,
            self.executor,
            self.largest_cache,
            self.transceiver,
            self.workload,
            0 if self.staging is None else self.staging.nbytes(self.block_bytes),
            self.calibration,
            self.topology.most_ranks,
        )

    @property
    def model_device(self) -> str:
        """What computes the steps of real ranks: `cuda`, or `host`, also for models that only take
        time."""
        if not isinstance(self.model, GemmModelConfig):
            return "host"
        if self.model.device != "auto":
            return self.model.device
        return "cuda" if self.kv_cache.memory == "cuda" else "host"

    @property
    def needs_device(self) -> bool:
        """Whether each real rank needs a GPU, for its KV or for its steps."""
        return self.kv_cache.memory == "cuda" or self.model_device == "cuda"

    def ports_in(self, world: str) -> dict[str, str]:
        """What moves and what holds the KV in a world, `mpi` or `virtual`, by their names here. In
        virtual time a custom one too, but none of ours: there are the link and the ledger."""
        names = {TRANSPORT: self.transceiver.transport, MEMORY: self.kv_cache.memory}
        return {
            slot.port.lower(): "virtual" if world == "virtual" and name in slot.ours else name
            for slot, name in names.items()
        }

    @property
    def device_key(self) -> str:
        """The key by which each real rank needs a GPU, with its value, for messages."""
        of_memory = self.kv_cache.memory == "cuda"
        return "kv_cache.memory: cuda" if of_memory else "model.device: cuda"

    @property
    def hang_ns(self) -> int:
        """How long a group waits for a rank until it counts as stuck, in nanoseconds:
        `diagnosis.hang_timeout`, or a default that is longer than a healthy rank can take."""
        set_ns, look_ns = self.diagnosis.hang_timeout_ns, self.legal_silence.look_ns
        if set_ns is not None:
            return max(set_ns, look_ns)
        return max(HANG_NS, 2 * look_ns, 2 * self.executor.idle_wait_ns)

    @property
    def ready_ns(self) -> int:
        """How long a ready server may show no progress, in nanoseconds: `observe.ready_timeout`,
        but at least twice as long as a healthy rank can take."""
        return max(self.observe.ready_timeout_ns, 2 * self.legal_silence.look_ns)

    @property
    def pulse_ns(self) -> int:
        """The interval in nanoseconds between the pulses of a leader: `observe.pulse`. With
        `observe.http` it is short enough that one late pulse makes no rank unready or stuck."""
        observe = self.observe
        if observe.http is None:
            return observe.pulse_ns
        shortest_ns = min(self.ready_ns, self.hang_ns)
        return max(1, min(observe.pulse_ns, shortest_ns // PULSES_PER_TIMEOUT))

    def costs_of(self, instance: int) -> Costs:
        """The coefficients of a step on this instance. The model is one that has them."""
        assert isinstance(self.model, CostedModelConfig)
        server = self.topology.server(instance)
        return self.model.costs if server is None else server.costs(self.model.costs)

    def measured_costs_of(self, instance: int) -> Costs:
        """The same as calibrated: what the virtual world takes."""
        costs = self.costs_of(instance)
        return costs if self.calibration is None else self.calibration.step.added_to(costs)

    def blocks_of(self, instance: int) -> int:
        """The KV blocks of each rank of this instance."""
        server = self.topology.server(instance)
        given = None if server is None else server.blocks
        return self.kv_cache.blocks if given is None else given

    def blocks_of_rank(self, rank: int) -> int:
        """The KV blocks of this world rank."""
        if not self.topology.servers:
            return self.kv_cache.blocks
        return self.blocks_of(self.topology.build().instance_of(rank).index)

    @property
    def least_blocks(self) -> int:
        """The KV blocks that a rank of any instance has at least: each may get any request."""
        return min(map(self.blocks_of, range(self._instances)))

    @property
    def largest_cache(self) -> KvCacheConfig:
        """The section with the largest pool that some rank has."""
        if not self.topology.servers:
            return self.kv_cache
        blocks = max(map(self.blocks_of, range(self._instances)))
        return self.kv_cache.model_copy(update={"blocks": blocks})

    @property
    def _instances(self) -> int:
        return self.topology.context.instances + self.topology.generation.instances

    @property
    def slowest_model(self) -> ModelConfig:
        """The section with the largest of each coefficient that some instance has."""
        model, servers = self.model, self.topology.servers
        if not isinstance(model, CostedModelConfig) or not servers:
            return model
        all_costs = [model.costs, *(one.costs(model.costs) for one in servers)]
        largest = {
            attribute: max(getattr(costs, name) for costs in all_costs)
            for attribute, name in COST_FIELDS.items()
        }
        return model.model_copy(update=largest)

    @cached_property
    def block_bytes(self) -> int:
        """Bytes of one KV block."""
        return self.model.kv_bytes_per_token * self.kv_cache.block_tokens

    @cached_property
    def staging(self) -> Staging | None:
        """The staging area of each rank; None without staging."""
        return staging(self.transceiver, self.kv_cache, self.block_bytes)

    @property
    def most_peer_blocks(self) -> int:
        """How many blocks may be in flight with one peer. With staging there is no such limit: a
        peer touches slots, and never a block."""
        limit = self.transceiver.max_inflight_blocks_per_peer
        return limit if self.staging is None else LARGEST
