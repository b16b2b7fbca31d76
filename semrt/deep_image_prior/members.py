"""One network that is fitted to one scan, and the mean of what it lately said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from semrt.deep_image_prior.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Member", "Target"]

MEMORY = 0.98
"""Of the mean over the last outputs, for each iteration; a single output swings by 2 dB and more."""
FLOOR = 0.02
"""Standard deviation of the classical estimate, in spreads of the samples, at which it counts half: the networks are
drawn to it beside the samples alone, where it is sure, and left free in the gaps."""


@dataclass(frozen=True, eq=False)
class Target:
    """What a network is drawn to; all (1, 1, ny, nx) float32, in spreads of the samples.

    samples, of_samples: what was measured, and its weight, which sums to one.
    prior, of_prior: the classical estimate and its weight.
    """

    samples: Tensor
    of_samples: Tensor
    prior: Tensor
    of_prior: Tensor

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        weight: NDArray[np.float32],
        estimate: NDArray[np.float32],
        error: NDArray[np.float32],
        strength: float,
    ) -> Target:
        """Weigh samples by their weight, (ny, nx) and zero where none is seen, and the estimate by its error.

        strength: weight of an estimate without error, relative to a sample's.
        """
        floor = np.float32(FLOOR**2)
        total = weight.sum(dtype=np.float64)
        seen = np.count_nonzero(weight)
        trust = np.where(weight > 0, 0, strength * floor / (error**2 + floor) / seen).astype(np.float32)
        planes = values, (weight / total).astype(np.float32), estimate, trust
        return cls(*(torch.from_numpy(np.ascontiguousarray(plane))[None, None] for plane in planes))

    def loss(self, output: Tensor) -> Tensor:
        """Mean square error at the samples, and what the estimate adds."""
        at_samples = (self.of_samples * (output - self.samples) ** 2).sum()
        return at_samples + (self.of_prior * (output - self.prior) ** 2).sum()

    def to(self, device: torch.device) -> Target:
        """The same on another device."""
        return Target(*(part.to(device) for part in (self.samples, self.of_samples, self.prior, self.of_prior)))


class Member:
    """A network, its random input, its optimiser, and the running mean and variance of its output."""

    def __init__(
        self, network: str, shape: Sequence[int], gap: float, *, rate: float, seed: int, device: torch.device
    ) -> None:
        self.made = {"network": network, "shape": list(shape), "gap": float(gap), "seed": seed}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = NETWORKS[network](shape, gap)
        self.input = self.network.random_input(torch.Generator().manual_seed(seed)).to(device)
        self.network.to(device)
        self.device = device
        self._graph: torch.cuda.CUDAGraph | None = None
        on_card = device.type == "cuda"
        if on_card:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.input = self.input.contiguous(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate, capturable=on_card)
        self._memory = torch.zeros((), device=device)
        self._mean = torch.zeros(1, 1, *shape, device=device)
        self._square = torch.zeros(1, 1, *shape, device=device)
        self._loss = torch.zeros((), device=device)
        self.iterations = 0

    def begin(self, target: Target) -> None:
        """Be drawn to another target from the weights that are there.

        The optimiser keeps its moments: with a fresh one the first steps are so large that they forget the last slice.
        """
        self.target = target.to(self.device)
        self.iterations = 0
        self._graph = None

    def iterate(self) -> None:
        """Make one step of the optimiser, and take the output into the mean."""
        # The mean forgets quickly at first, when the image is still forming.
        self._memory.fill_(min(MEMORY, self.iterations / (self.iterations + 10)))
        if self.device.type == "cuda" and self.iterations >= WARM_UP:
            self._replay()
        else:
            self._step()
        self.iterations += 1

    @property
    def loss(self) -> float:
        """Of the last iteration."""
        return float(self._loss)

    @property
    def estimate(self) -> NDArray[np.float32]:
        """Mean of the last outputs, (ny, nx)."""
        return self._mean[0, 0].cpu().numpy().copy()

    @property
    def variance(self) -> NDArray[np.float32]:
        """Variance of the last outputs, (ny, nx)."""
        return (self._square - self._mean**2).clamp_min_(0)[0, 0].cpu().numpy()

    def state(self) -> dict[str, Any]:
        """What a later run needs to go on."""
        return {
            "made": self.made,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any], device: torch.device) -> Member:
        """Take up the state of an earlier run."""
        member = cls(**state["made"], rate=0.0, device=device)
        member.network.load_state_dict(state["network"])
        member.optimiser.load_state_dict(state["optimiser"])
        return member

    def _step(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = self.network(self.input)
        output = output.float()
        loss = self.target.loss(output)
        self.optimiser.zero_grad(set_to_none=self._graph is None)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        with torch.no_grad():
            self._loss.copy_(loss)
            self._mean.lerp_(output, 1 - self._memory)
            self._square.lerp_(output**2, 1 - self._memory)

    def _replay(self) -> None:
        """The same step as a graph: the small kernels of a small network cost more to launch than to run."""
        if self._graph is None:
            self.optimiser.zero_grad(set_to_none=True)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step()
        self._graph.replay()  # capturing records the step and does not make it


WARM_UP = 3
"""Steps before a graph is captured, so that the libraries have chosen their kernels."""
