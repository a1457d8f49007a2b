"""The control groups (cgroups) that a process is in: where the limits of its container stand.

A limit may stand anywhere on the way up, and the smallest counts. Version 1 has a tree for each
controller; in a container its own group may be mounted as the root, whatever its path says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["CGROUPS", "CGROUP_OF_SELF", "groups_above"]

CGROUPS: Final = Path("/sys/fs/cgroup")
CGROUP_OF_SELF: Final = Path("/proc/self/cgroup")


def groups_above(
    controller: str, cgroups: Path = CGROUPS, of_self: Path = CGROUP_OF_SELF
) -> list[Path]:
    """The folders of the groups that this process is in, from its own up to the root; first those
    of version 1 or 2 as the system lists them. Some may not exist."""
    try:
        lines = of_self.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = cgroups / controllers if controllers else cgroups
        own = root / path.lstrip("/")
        for place in [own, *own.parents]:
            found.append(place)
            if place == root:
                break
    return found
