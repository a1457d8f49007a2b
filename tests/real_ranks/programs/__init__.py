"""Programs that tests start as ranks of real jobs."""

import gc

# As in `adpkv run`: nothing that is imported is garbage. A job begins to collect as it runs.
gc.disable()
