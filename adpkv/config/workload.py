"""The `workload` section: which requests arrive when, and when clients cancel them. There is one
model per kind; a custom workload is given by its name."""

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from adpkv.config.base import (
    Count,
    Duration,
    Fraction,
    Natural,
    Positive,
    Section,
    Switch,
    Text,
    duration,
)
from adpkv.config.named import CUSTOM, CustomSection, kind_of, kind_schema, name_of
from adpkv.plugins import WORKLOAD

__all__ = [
    "SAMPLE",
    "CancelConfig",
    "ClosedLoopConfig",
    "CustomWorkloadConfig",
    "DelayRange",
    "PoissonConfig",
    "ScriptConfig",
    "ScriptedConfig",
    "SharedPrefixConfig",
    "TokenRange",
    "TraceConfig",
    "WorkloadConfig",
]


MOST_ENTRIES: Final = 100_000
"""The most entries of a script. Each may stand for many requests."""

SAMPLE: Final = "sample"
"""The value of `path` that means the packaged trace."""


class TokenRange(Section):
    """A length, drawn uniformly from min to max, both included."""

    min: Count = Field(description="shortest")
    max: Count = Field(description="longest")


class OutputRange(Section):
    """A length of the output, drawn uniformly from min to max, both included."""

    min: Natural = Field(description="shortest; 0: the prompt alone")
    max: Natural = Field(description="longest")


class StopConfig(Section):
    """Output that ends before all tokens that were asked for: no server knows when."""

    probability: Fraction = Field(
        default=0.0, description="with which each output token is the last one"
    )


class RetryConfig(Section):
    """Clients whose request failed, timed out or was refused, and who send it again."""

    attempts: Count = Field(default=1, description="how often a client tries in all; 1: once")
    pause_ns: Duration = duration(
        "1s",
        key="pause",
        about="until the second try; each further pause is twice as long, and a client tries no"
        " more that would have to wait until after the longest run (ten years)",
    )


class DelayRange(Section):
    """A delay, drawn uniformly from min to max, both included."""

    min_ns: Duration = duration("0s", key="min", about="shortest")
    max_ns: Duration = duration("1s", key="max", about="longest")


class SharedPrefixConfig(Section):
    """Prompts that share a prefix, such as a system prompt."""

    groups: Count = Field(description="how many different prefixes there are")
    tokens: Count = Field(description="tokens of a prefix; part of the prompt, not added to it")


class CancelConfig(Section):
    """How many clients cancel their requests, and when."""

    probability: Fraction = Field(
        default=0.0, description="share of the requests that are cancelled"
    )
    delay: DelayRange = Field(
        default_factory=DelayRange, description="from the arrival to the cancel"
    )


class _CommonConfig(Section):
    """The keys of all of adpkv's own kinds of workload except `script`."""

    kind: str
    cancel: CancelConfig = Field(
        default_factory=CancelConfig, description="clients that cancel their requests"
    )
    stop: StopConfig = Field(default_factory=StopConfig, description="output that ends early")
    deadline_ns: Duration | None = Field(
        default=None,
        alias="deadline",
        gt=0,
        description="how long a client waits for its whole answer; then it gives up, and the "
        "request is timed out; null for any time",
    )
    retry: RetryConfig = Field(
        default_factory=RetryConfig, description="clients that try again after a failure"
    )
    pinned: Fraction = Field(
        default=0.0, description="share of the requests whose client insists on a rank of the group"
    )


class _DrawnConfig(_CommonConfig):
    """The keys of the workloads that draw their requests."""

    requests: Count = Field(description="requests in all")
    prompt_tokens: TokenRange = Field(description="length of a prompt")
    output_tokens: OutputRange = Field(description="tokens to generate, at most")
    shared_prefix: SharedPrefixConfig | None = Field(
        default=None, description="prompts that share a prefix; null for none"
    )


class PoissonConfig(_DrawnConfig):
    """Open loop: requests arrive at random, independently of the answers."""

    kind: Literal["poisson"] = Field(description="open loop with exponential gaps")
    rate: Positive = Field(description="requests per second")


class ClosedLoopConfig(_DrawnConfig):
    """Closed loop: each user waits for the answer, thinks, and sends the next request."""

    kind: Literal["closed_loop"] = Field(description="a fixed number of users in a loop")
    users: Count = Field(description="users; so many requests are open at most")
    think_time_ns: Duration = duration(
        "0s", key="think_time", about="between an answer and the user's next request"
    )


class TraceConfig(_CommonConfig):
    """A recorded workload: a file in one of the formats in which traces are published."""

    kind: Literal["trace"] = Field(description="a recorded workload")
    path: Annotated[Text, Field(min_length=1)] = Field(
        default=SAMPLE,
        description="the file, from the current or the YAML's folder; its format is noticed by its "
        "content; `sample` is the packaged one",
    )
    stands_for: Text | None = Field(
        default=None,
        description="while `path` is `sample`: the trace that is meant, and where it is published; "
        "commands say so",
    )
    limit: Count | None = Field(default=None, description="requests taken; null for all")
    speed: Positive = Field(default=1.0, description="timestamps are divided by this")
    prompt_scale: Positive = Field(default=1.0, description="prompt lengths are multiplied by this")
    output_scale: Positive = Field(default=1.0, description="output lengths are multiplied by this")
    sessions: Literal["follow", "recorded"] = Field(
        default="follow",
        description="`follow`: a session's turn comes after the answer before it; `recorded`: all "
        "come at their recorded times",
    )
    think_time_ns: Duration | None = Field(
        default=None,
        alias="think_time",
        description="from an answer to the session's next turn; null: as the trace tells",
    )
    rate: Positive | None = Field(
        default=None,
        description="so many conversations start per second, at random, whatever times the trace "
        "has; a trace without times (ShareGPT) needs it",
    )
    chars_per_token: Positive = Field(
        default=4.0, description="characters of a token, of a trace that has texts"
    )
    hash_tokens: Count | None = Field(
        default=None, description="prompt tokens per hash id; null for what the format has"
    )
    trace_faults: Switch = Field(
        default=True,
        description="add the faults that stand in the trace to `faults`; false in `config.yaml` of "
        "a run, where they are added",
    )


MOST_PREFIXES: Final = 1 << 24
"""A prompt's first block has a number for a name, of which this is a part (`workload.shapes`)."""


class ScriptedConfig(Section):
    """One request of a script, or several equal ones."""

    at_ns: Duration = Field(
        alias="at", description="arrival, from the start of the run; of several, the first's"
    )
    prompt_tokens: Count = Field(description="length of the prompt")
    output_tokens: Natural = Field(
        description="tokens to generate, at most; 0: the prompt is computed, and that is all"
    )
    wanted: Natural | None = Field(
        default=None, description="rank in its instance that the client insists on; null for any"
    )
    cancel_ns: Duration | None = Field(
        default=None,
        alias="cancel",
        description="how long after its arrival the client cancels; null for never",
    )
    invalid: Switch = Field(
        default=False, description="may need more than a rank has; it is then refused"
    )
    deadline_ns: Duration | None = Field(
        default=None,
        alias="deadline",
        gt=0,
        description="how long its client waits for its whole answer; null for the workload's",
    )
    prefix: Annotated[Natural, Field(lt=MOST_PREFIXES)] | None = Field(
        default=None,
        description="prompts with the same number are alike, as far as the shorter one goes; null "
        "for a prompt like no other",
    )
    id: Annotated[Text, Field(min_length=1)] | None = Field(
        default=None,
        description="by what its client calls it: while that request is open, another one with the "
        "same id is refused; null for no name",
    )
    times: Count = Field(default=1, description="how many equal requests")
    every_ns: Duration = duration("0s", key="every", about="time between two of them")


class ScriptConfig(Section):
    """Requests listed one by one, for a scenario in which each request matters."""

    kind: Literal["script"] = Field(description="requests written down one by one")
    requests: tuple[ScriptedConfig, ...] = Field(
        max_length=MOST_ENTRIES,
        description="in any order; they are numbered by arrival, at the same time in this order",
    )
    stop: StopConfig = Field(default_factory=StopConfig, description="output that ends early")
    deadline_ns: Duration | None = Field(
        default=None,
        alias="deadline",
        gt=0,
        description="how long a client waits for its whole answer; then it gives up, and the "
        "request is timed out; null for any time",
    )
    retry: RetryConfig = Field(
        default_factory=RetryConfig, description="clients that try again after a failure"
    )


class CustomWorkloadConfig(CustomSection):
    """A workload that does not come with adpkv, by its name. All other keys are parameters of its
    factory."""

    kind: Annotated[str, *name_of(WORKLOAD), WithJsonSchema(kind_schema(WORKLOAD))] = Field(
        description="`MODULE:FACTORY`, or an entry point of `adpkv.workloads`"
    )


WorkloadConfig = Annotated[
    Annotated[PoissonConfig, Tag("poisson")]
    | Annotated[ClosedLoopConfig, Tag("closed_loop")]
    | Annotated[TraceConfig, Tag("trace")]
    | Annotated[ScriptConfig, Tag("script")]
    | Annotated[CustomWorkloadConfig, Tag(CUSTOM)],
    Discriminator(kind_of(WORKLOAD)),
]
"""Any workload; `kind` says which."""
