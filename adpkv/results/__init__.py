"""What a run came to, as typed values: `Result`, and how one is made of a run or its folder."""

from adpkv.results.loading import load_run
from adpkv.results.result import Result, of_simulation

__all__ = ["Result", "load_run", "of_simulation"]
