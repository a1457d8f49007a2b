"""The run folder of a real job: it is of one run at a time, and may be lost without ending it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tests.cli.forked import adpkv
from tests.real_ranks.test_mpi_launch import LONG, ROOT, RUN, finished, until_served


def test_a_folder_is_of_one_run_at_a_time_and_may_be_lost(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = jobs.start([*RUN, *LONG, "--out", str(out)])
    until_served(out, job)

    # Meanwhile a second one is refused, in either world, and changes nothing.
    before = {path.name for path in out.iterdir()}
    call = ("configs/four-ranks.yaml", "--out", str(out))
    refused = adpkv(ROOT, "simulate", *call)
    real = finished(jobs, [*RUN, *call])
    for code, err in [(refused.returncode, refused.stderr), (real.code, real.err)]:
        assert code == 2
        assert err.count("another run is writing into this folder") == 1
    assert before <= {path.name for path in out.iterdir()}

    # Nor does it end when its folder is removed; it says so when it is asked to stop.
    shutil.rmtree(out)
    os.kill(job.pid, signal.SIGTERM)
    found = jobs.finish(job, 60)
    assert found.code == 74, found.err
    assert "summary.json: No such file or directory" in " ".join(found.out.split())
    assert "the run itself ended with 143, interrupted" in " ".join(found.out.split())
    assert "Traceback" not in found.err
    assert not out.exists()
