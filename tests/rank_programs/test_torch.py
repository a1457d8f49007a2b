"""Unmodified programs over torch.distributed: results, faults, and what stays as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-torch has it")

from adpkv.errors import TargetError  # noqa: E402
from adpkv.rank_programs.checking import Checked, Plan, check  # noqa: E402
from adpkv.rank_programs.classify import Kind  # noqa: E402
from adpkv.rank_programs.report_text import render  # noqa: E402
from adpkv.rank_programs.session import Session, Settings  # noqa: E402
from adpkv.rank_programs.target import parse_target  # noqa: E402
from tests.rank_programs import examples  # noqa: E402

PROGRAMS = Path(__file__).parent / "programs"


def performed(target: str, schedules: int = 6, ranks: int = 4, **settings: object) -> Checked:
    with Session(parse_target(target), Settings(ranks, **settings)) as session:  # type: ignore[arg-type]
        return check(session, Plan(schedules))


@pytest.mark.parametrize(
    "family",
    [
        "reductions",
        "gathers",
        "objects",
        "messages",
        "groups",
        "functional",
        "stores",
        "works",
        "data_parallel",
        "generators",
        "devices",
    ],
)
def test_calls_have_the_results_of_torch(family: str) -> None:
    if family == "devices" and 0 < torch.cuda.device_count() < 4:
        pytest.skip("four ranks take four GPUs, or none: then CUDA stands for the CPU")
    found = performed(f"{PROGRAMS / 'torch_calls.py'}:{family}")
    assert found.report is None, render(found.report, 100)
    assert found.schedules == 6


@pytest.mark.parametrize(
    "family",
    ["coalesced", "subgroups", "members_by_their_numbers", "distributed_tensors", "with_gradients"],
)
def test_further_forms_have_the_results_of_torch(family: str) -> None:
    found = performed(f"{PROGRAMS / 'torch_more_calls.py'}:{family}", schedules=4)
    assert found.report is None, render(found.report, 100)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("remote_calls", "torch's RPC (torch.distributed.rpc.init_rpc)"),
        ("workers_of_a_loader", "starts a process (os.fork)"),
    ],
)
def test_what_torch_does_outside_of_the_model_is_refused(fault: str, told: str) -> None:
    report = performed(f"{PROGRAMS / 'torch_faults.py'}:{fault}").report
    assert report is not None
    assert report.diagnosis.kind is Kind.OUTSIDE
    assert told in report.diagnosis.sentence


@pytest.mark.parametrize(
    ("fault", "kind", "odd", "told"),
    [
        ("wrong_operation", Kind.WRONG_OPERATION, (3,), "rank 3 brings broadcast ([4] float32"),
        ("wrong_shape", Kind.ARGUMENT_MISMATCH, (1,), "rank 1 brings all_reduce ([3] float32"),
        ("wrong_split", Kind.ARGUMENT_MISMATCH, None, "elements are sent where"),
        ("order_inversion", Kind.ORDER_INVERSION, (1,), "of group 2 at"),
        ("never_waited", Kind.UNWAITED_OPERATION, (0,), "never waited for its all_reduce #1"),
        ("absent_from_the_rendezvous", Kind.EARLY_EXIT, (2,), "in init_process_group #1"),
        ("crossed_sends", Kind.MISSING_MESSAGE, (0, 1), "rank 0 waits in send to rank 1"),
        ("unknown_reduction", Kind.OUTSIDE, None, "provide torch's reduction PREMUL_SUM"),
        ("split_by_its_backend", Kind.OUTSIDE, None, "provide ProcessGroup.split_group"),
        ("sparse", Kind.OUTSIDE, None, "provide ProcessGroup.allreduce_sparse"),
        ("count_that_is_never_reached", Kind.SPIN, None, "10,000 polls in a row"),
        ("key_that_nobody_writes", Kind.MISSING_MESSAGE, (0,), "waits in store.wait(ready)"),
    ],
)
def test_faults_are_named(fault: str, kind: Kind, odd: tuple[int, ...] | None, told: str) -> None:
    report = performed(f"{PROGRAMS / 'torch_faults.py'}:{fault}").report
    assert report is not None
    assert report.diagnosis.kind is kind
    assert told in report.diagnosis.sentence
    assert odd in (None, report.diagnosis.odd)
    assert "torch_faults.py" in render(report, None)


def test_groups_are_compared_by_name() -> None:
    report = performed(f"{PROGRAMS / 'torch_faults.py'}:order_inversion").report
    assert report is not None
    assert report.why is not None
    assert dict(report.why.variables)["first"] == {
        0: "group 1",
        1: "group 2",
        2: "group 1",
        3: "group 1",
    }


def test_torch_is_noticed_in_any_file_of_the_program(tmp_path: Path) -> None:
    """The first file imports a package of the program, which imports it. Beside it the object that
    an executor is given is there."""
    package = tmp_path / "engine"
    package.mkdir()
    (package / "__init__.py").write_text("from . import steps\n")
    (package / "steps.py").write_text("from .deep.work import meet\n")
    (package / "deep").mkdir()
    (package / "deep" / "work.py").write_text(
        "import torch, torch.distributed as dist\n"
        "def meet():\n"
        "    dist.init_process_group('gloo')\n"
        "    dist.all_reduce(torch.ones(1))\n"
    )
    (tmp_path / "train.py").write_text(
        "import engine\n"
        "def main():\n    engine.steps.meet()\n"
        "def serve(dist):\n    engine.steps.meet()\n    assert dist.tp_allgather(1) == [1] * 4\n"
    )
    assert performed(f"{tmp_path / 'train.py'}:main").operations == 8
    assert performed(f"{tmp_path / 'train.py'}:serve").report is None


def test_mpi4py_beside_torch(tmp_path: Path) -> None:
    """Who a rank is, by MPI; the rest by torch."""
    file = tmp_path / "both.py"
    file.write_text(
        "import torch, torch.distributed as dist\n"
        "from mpi4py import MPI\n"
        "def program():\n"
        "    comm = MPI.COMM_WORLD\n"
        "    dist.init_process_group('nccl', rank=comm.rank, world_size=comm.size)\n"
        "    dist.all_reduce(found := torch.ones(1))\n"
        "    assert comm.allreduce(1) == found[0] == 4\n"
    )
    assert performed(f"{file}:program").report is None


def test_a_world_of_another_size_is_told() -> None:
    with pytest.raises(TargetError, match=r"makes a world of 8 ranks.* -n 8"):
        performed(f"{PROGRAMS / 'torch_faults.py'}:another_size")


SPAWNS = """
import sys
import torch, torch.distributed as dist
import torch.multiprocessing as mp

def worker(rank, size, steps):
    dist.init_process_group("gloo", rank=rank, world_size=size)
    for _ in range(steps):
        dist.all_reduce(torch.ones(1))

if __name__ == "__main__":
    {start}
"""


@pytest.mark.parametrize(
    "start",
    [
        "mp.spawn(worker, args=(3, int(sys.argv[1])), nprocs=3)",
        "ps = [mp.Process(target=worker, args=(r, 3, int(sys.argv[1]))) for r in range(3)]\n"
        "    for p in ps: p.start()\n"
        "    for p in ps: p.join(); assert p.exitcode == 0",
    ],
)
def test_processes_that_a_script_starts_become_ranks(tmp_path: Path, start: str) -> None:
    file = tmp_path / "train.py"
    file.write_text(SPAWNS.replace("{start}", start))
    found = performed(str(file), ranks=3, arguments=("4",))
    assert found.report is None, render(found.report, 100)
    assert found.operations == 3 * 5
    with pytest.raises(TargetError, match=r"-n 3"):
        performed(str(file), ranks=2, arguments=("4",))


def test_torch_is_as_before_afterwards() -> None:
    """And the process's own generator goes on where it was."""
    import torch.distributed as dist

    before = torch.default_generator.get_state()
    replaced = (dist.TCPStore, dist.distributed_c10d._world.__class__, dist.init_process_group)
    performed(f"{PROGRAMS / 'torch_calls.py'}:generators")
    assert torch.equal(torch.default_generator.get_state(), before)
    assert (
        dist.TCPStore,
        dist.distributed_c10d._world.__class__,
        dist.init_process_group,
    ) == replaced
    assert not dist.is_initialized()


def test_torch_is_not_imported_for_other_programs(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("async def program(rank):\n    await rank.barrier()\n")
    script = (
        "import sys\n"
        "from adpkv.__main__ import main\n"
        "sys.argv = ['adpkv', 'check', 'own.py:program', '--schedules', '2']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [n for n in examples.WRONG if n not in examples.WITHOUT_TORCH])
def test_the_examples(name: str) -> None:
    """The wrong program is found in its first schedule, the mended one lasts."""
    kind, odd, line = examples.WRONG[name]
    found = examples.performed(name, "wrong", 20)
    assert found.report is not None
    assert found.schedules == 1
    assert found.report.diagnosis.kind is kind
    assert odd in (None, found.report.diagnosis.odd)
    assert line in render(found.report, None)
    assert examples.performed(name, "mended", 20).report is None
