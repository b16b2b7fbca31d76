"""What a user may choose, and what was measured to be best."""

from __future__ import annotations

from dataclasses import dataclass

from semrt.errors import InvalidOption

__all__ = ["NETWORK_NAMES", "Settings"]

NETWORK_NAMES = ("conv-decoder", "deep-decoder", "hour-glass", "skip")
"""Known without torch, which networks.py needs."""


@dataclass(frozen=True)
class Settings:
    """How the networks are fitted to a scan.

    network: one of NETWORK_NAMES.  members: how many are fitted from different random numbers, and averaged.
    max_iterations: of each member.  max_seconds: of a scan, or of a slice; None for no limit.
    learning_rate: of Adam.
    prior: weight of the classical estimate where nothing was measured, relative to a sample's.
    held_out: fraction of the samples that each member does not see.
    patience: iterations without gain after which fitting ends.
    blend: whether the classical estimate draws the networks and is mixed with theirs; without, only samples count.

    Raises InvalidOption.
    """

    network: str = "conv-decoder"
    members: int = 3
    max_iterations: int = 400
    max_seconds: float | None = None
    seed: int = 0
    learning_rate: float = 0.01
    prior: float = 0.05
    held_out: float = 0.1
    patience: int = 100
    blend: bool = True

    def __post_init__(self) -> None:
        if self.network not in NETWORK_NAMES:
            raise InvalidOption.unknown("dip: network", self.network, NETWORK_NAMES)
        for name in ("members", "max_iterations"):
            if getattr(self, name) < 1:
                raise InvalidOption(f"dip: {name}: expected 1 or more, got {getattr(self, name)}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InvalidOption(f"dip: max_seconds: expected more than 0, got {self.max_seconds}")
        if not 0 <= self.seed < 2**63:
            raise InvalidOption(f"dip: seed: expected 0 to 2^63 - 1, got {self.seed}")
