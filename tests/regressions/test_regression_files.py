"""Which regressions there are, and who asks for one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from adpkv.errors import UsageError
from adpkv.regressions.catalogue import choose, find_folder, read
from tests.regressions.regress_files import FILES, data, write


def ids(folder: Path) -> list[str]:
    return [scenario.regression.id for scenario in read(folder)]


def test_they_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    for name in ("10", "7b", "x", "7a", "2"):
        write(tmp_path, f"a{name}", regression={"id": name})
    assert ids(tmp_path) == ["x", "2", "7a", "7b", "10"]


def test_all_or_those_that_were_asked_for(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        write(tmp_path, name, regression={"id": name})
    every = read(tmp_path)
    assert choose(every, [], "virtual") == every
    assert [s.regression.id for s in choose(every, ["3", "1", "3"], "virtual")] == ["3", "1"]


def test_a_world_has_those_that_say_something_of_it(tmp_path: Path) -> None:
    write(tmp_path, "1")
    write(tmp_path, "2", regression={"id": "2", "before": {"mpi": {"error": "deadlock"}}})
    every = read(tmp_path)
    assert [s.regression.id for s in choose(every, [], "virtual")] == ["1"]
    assert [s.regression.id for s in choose(every, [], "mpi")] == ["2"]
    with pytest.raises(UsageError, match="regression '2' says nothing of the world virtual"):
        choose(every, ["2"], "virtual")


def test_who_asks_for_an_unknown_one_is_told_the_nearest(tmp_path: Path) -> None:
    for name in ("7a", "7b", "late"):
        write(tmp_path, name, regression={"id": name})
    every = read(tmp_path)
    with pytest.raises(UsageError) as caught:
        choose(every, ["7", "lata", "nothing"], "virtual")
    assert str(caught.value).splitlines() == [
        "there is no regression '7': did you mean 7b or 7a?",
        "there is no regression 'lata': did you mean late?",
        "there is no regression 'nothing': known are late, 7a, 7b",
    ]


def test_what_cannot_be_one_is_refused_all_at_once(tmp_path: Path) -> None:
    plain = data()
    del plain["regression"]
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(plain))
    write(tmp_path, "contract", policy={"responses": "flush"})
    write(tmp_path, "silent", regression={"before": {"virtual": {}}})
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/contract.yaml: 1 problem",
        "  policy: is the contract's, under which nothing can go wrong as described",
        f"{tmp_path}/plain.yaml: 1 problem",
        "  regression: is required here, and missing: what must be seen, and where",
        f"{tmp_path}/silent.yaml: 1 problem",
        "  regression.before.virtual: must say what goes wrong: this is a clean run "
        "(found a mapping, line 29)",
    ]


def test_two_cannot_have_one_id(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b")
    with pytest.raises(UsageError, match=r"b\.yaml: has the id of .*a\.yaml, '1'"):
        read(tmp_path)


def test_a_folder_must_be_there_and_have_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder of regressions: looked for .*nowhere"):
        find_folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="there is no regression in it"):
        read(tmp_path)


def test_ours_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_folder(None).resolve() == FILES


def test_each_of_ours_is_named_for_its_id() -> None:
    for scenario in read(FILES):
        number, _, name = scenario.path.stem.partition("-")
        assert number.lstrip("0") == scenario.regression.id
        assert name == scenario.experiment.name
        assert scenario.regression.references, "where the field met it"
