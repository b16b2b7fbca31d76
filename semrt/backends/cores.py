"""How many cores there are for a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from semrt.kernels import cpu_quota

__all__ = ["physical_cores"]

_CPUS = Path("/sys/devices/system/cpu")


def physical_cores(cpus: Path = _CPUS) -> int | None:
    """Physical cores that this process may run on, as far as its quota reaches; None where the system does not tell.

    Two threads on one core share its arithmetic units: more threads than cores made convolutions slower, not faster.
    """
    if sys.platform != "linux":
        return None
    cores = len({_core(cpus / f"cpu{logical}" / "topology", logical) for logical in os.sched_getaffinity(0)})
    return min(cores, cpu_quota() or cores)


def _core(topology: Path, logical: int) -> tuple[str, str]:
    try:
        return (topology / "physical_package_id").read_text(), (topology / "core_id").read_text()
    except OSError:  # containers may hide it: count each logical one
        return "", str(logical)
