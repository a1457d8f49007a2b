"""A copy of a section with other values has nothing that was computed of the values before."""

from adpkv.config import Experiment, load
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


def test_a_quick_copy_is_the_same_as_a_checked_one() -> None:
    experiment = load(folder() / "explore.yaml")
    before = (experiment.block_bytes, experiment.legal_silence, experiment.kept)
    cache = experiment.kv_cache.having(blocks=9)
    assert cache == experiment.kv_cache.model_copy(update={"blocks": 9})
    assert cache.model_fields_set == experiment.kv_cache.model_fields_set | {"blocks"}
    assert not {"legal_silence", "kept"} & experiment.having(kv_cache=cache).__dict__.keys()
    other = experiment.having(seed=7)
    assert (other.block_bytes, other.legal_silence, other.kept) == before
    assert (other.kept, other.seed, experiment.seed) == (experiment.kept, 7, 0)


def test_what_is_kept_depends_on_all_but_the_seed_the_workload_and_the_faults() -> None:
    fields = set(Experiment.model_fields)
    free = {"name", "seed", "workload", "faults", "regression", "sweep"}
    assert Experiment.computed_of["kept"] == fields - free


def test_copies_have_what_was_computed_before_they_were_made() -> None:
    experiment = load(folder() / "explore.yaml").computed()
    assert set(experiment.computed_of) <= experiment.__dict__.keys()
    assert experiment.having(seed=7).kept is experiment.kept
