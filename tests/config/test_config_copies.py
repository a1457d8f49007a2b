"""A copy of a section with other values has nothing that was computed of the values before."""

from adpkv.config import load
from adpkv.config.shipped import folder


def test_what_was_computed_of_a_changed_section_is_computed_again() -> None:
    small = load(folder() / "explore.yaml")
    large = load(folder() / "explore.yaml", ["model.dtype_bytes=4", "model.step_base=1s"])
    before = (small.block_bytes, small.legal_silence, small.model.costs)
    assert small.topology.build().ranks == 4
    changed = small.model_copy(update={"model": large.model})
    assert changed.block_bytes == large.block_bytes != before[0]
    assert changed.legal_silence == large.legal_silence != before[1]
    slower = small.model.model_copy(update={"step_base_ns": 1_000_000_000})
    assert slower.costs == large.model.costs != before[2]
    wide = small.topology.context.model_copy(update={"ranks": 3})
    assert small.topology.model_copy(update={"context": wide}).build().ranks == 5


def test_what_does_not_depend_on_the_change_is_kept() -> None:
    experiment = load(folder() / "explore.yaml")
    silence = experiment.legal_silence
    assert experiment.model_copy(update={"seed": 7}).legal_silence is silence


def test_what_an_experiment_says_it_is_computed_of_are_its_attributes() -> None:
    experiment = load(folder() / "explore.yaml")
    for name, sources in experiment.computed_of.items():
        getattr(experiment, name)
        assert name in experiment.__dict__
        assert sources <= set(type(experiment).model_fields)
