"""One experiment, as one YAML file describes it.

Built through `adpkv.config.load` or `parse`, which also check what the sections must be to each
other (`relations`): a model validated by hand has only been checked section by section.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field

from adpkv.config.base import Section, Switch
from adpkv.config.diagnosis import DiagnosisConfig
from adpkv.config.faults import FaultConfig
from adpkv.config.legal_silence import LegalSilence, legal_silence
from adpkv.config.model import CostModelConfig, ModelConfig
from adpkv.config.policy import PolicyConfig
from adpkv.config.regression import RegressionConfig
from adpkv.config.serving import (
    ExecutorConfig,
    KvCacheConfig,
    ObserveConfig,
    RouterConfig,
    SloConfig,
    TopologyConfig,
)
from adpkv.config.transceiver import TransceiverConfig
from adpkv.config.workload import WorkloadConfig

__all__ = ["Experiment"]


PULSES_PER_TIMEOUT: Final = 4

HANG_NS: Final = 30_000_000_000
"""A rank that keeps its group waiting for so long is stuck, unless something else is said."""

MOST_FAULTS: Final = 1000
"""Each is looked at by every rank it can hit, whatever happens there."""


class Experiment(Section):
    """Everything that decides a run. Same experiment, same virtual run, bit for bit."""

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="names the output folder: letters, digits, dot, dash, underscore"
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
        default_factory=ExecutorConfig, description="what one rank takes on"
    )
    kv_cache: KvCacheConfig = Field(
        default_factory=KvCacheConfig, description="one rank's pool of KV blocks"
    )
    transceiver: TransceiverConfig = Field(
        default_factory=TransceiverConfig, description="how KV moves between instances"
    )
    router: RouterConfig = Field(
        default_factory=RouterConfig, description="which rank gets which request"
    )
    model: ModelConfig = Field(
        default_factory=CostModelConfig, description="what a forward step costs"
    )
    workload: WorkloadConfig = Field(description="who asks for what, when")
    slo: SloConfig | None = Field(
        default=None, description="what counts as goodput; null: none is reported"
    )
    faults: tuple[FaultConfig, ...] = Field(
        default=(), max_length=MOST_FAULTS, description="what goes wrong"
    )
    on_rank_failure: Literal["shutdown", "shrink"] = Field(
        default="shutdown",
        description="`shutdown`: when a rank fails, the job answers everybody and ends with code 5;"
        " `shrink`: its group goes on without it (rank 0, which has the coordinator, excepted)",
    )
    recompute: Switch = Field(
        default=False,
        description="with `shrink`: requests that went with a failed rank are computed again, not "
        "answered as failed",
    )
    policy: PolicyConfig = Field(
        default_factory=PolicyConfig,
        description="historical policies; left out, the contract holds",
    )
    diagnosis: DiagnosisConfig = Field(
        default_factory=DiagnosisConfig, description="when ranks count as stuck"
    )
    observe: ObserveConfig = Field(
        default_factory=ObserveConfig, description="what a run writes down and shows"
    )
    regression: RegressionConfig | None = Field(
        default=None,
        description="what `adpkv regress` must see of it; null for an ordinary experiment",
    )

    @cached_property
    def legal_silence(self) -> LegalSilence:
        """How long a rank may be silent though all is well."""
        return legal_silence(
            self.model, self.executor, self.kv_cache, self.transceiver, self.workload
        )

    @property
    def hang_ns(self) -> int:
        """For how long a rank may keep its group waiting: as `diagnosis` says. Where it says
        nothing, more than what is in order."""
        set_ns, look_ns = self.diagnosis.hang_timeout_ns, self.legal_silence.look_ns
        if set_ns is not None:
            return max(set_ns, look_ns)
        return max(HANG_NS, 2 * look_ns, 2 * self.executor.idle_wait_ns)

    @property
    def ready_ns(self) -> int:
        """How long a server that is ready may show no sign of life: as `observe` says, but longer
        than it may be silent."""
        return max(self.observe.ready_timeout_ns, 2 * self.legal_silence.look_ns)

    @property
    def pulse_ns(self) -> int:
        """How often a leader says how its instance is: as often as it is shown, or so often that a
        message which is a little late makes nobody unready or failed."""
        observe = self.observe
        if observe.http is None:
            return observe.pulse_ns
        shortest_ns = min(self.ready_ns, self.hang_ns)
        return max(1, min(observe.pulse_ns, shortest_ns // PULSES_PER_TIMEOUT))

    @property
    def block_bytes(self) -> int:
        """Bytes of one KV block."""
        return self.model.kv_bytes_per_token * self.kv_cache.block_tokens
