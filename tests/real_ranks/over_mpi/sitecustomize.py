"""For every process that tests start with `--collectives mpi`: none can have shared memory for its
collectives, so `topology.collectives: auto` is MPI in each real job.

Python imports it as it starts, before anything of adpkv: this folder is first in PYTHONPATH then.
"""

from __future__ import annotations

from adpkv.worlds.mpi.exchange import segment

segment.obstacle = lambda folder: "these tests run over MPI"
