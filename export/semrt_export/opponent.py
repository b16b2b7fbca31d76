"""Who judges what a network makes, and learns to: the published discriminators with all that they learn by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from semrt_export.networks.multiscale_discriminators import MultiscaleDiscriminators, multiscale_crops

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Opponent"]


class Opponent(MultiscaleDiscriminators):
    """Says 1 of true images and 0 of made ones, as least squares ask for, of crops at three scales.

    width: times the published.  crop [px]: side to which crops are reduced.  rate, momentum: of its own Adam.
    loss: of its last step: 1.5 where it cannot tell and says ½ of everything, 0 where it always can.
    Mao et al. 2017, arXiv:1611.04076.
    """

    def __init__(self, *, width: float, crop: int, rate: float, momentum: float = 0.9) -> None:
        super().__init__(width=width)
        self.crop = crop
        self.loss = float("nan")
        self.optimiser = torch.optim.Adam(self.parameters(), rate, betas=(momentum, 0.999))
        self._crops: tuple[list[Tensor], list[Tensor]] | None = None  # true and made, to learn from

    def judge(self, true: Tensor, made: Tensor, rng: np.random.Generator) -> Tensor:
        """(n,): the sum over scales of (D - 1)² of what was made, for the network to make small.

        true, made: (n, 1, h, w); of the same crops of them the opponent learns, in `learn`.
        """
        crops = multiscale_crops(torch.cat((true, made), dim=1), self.crop, rng)
        of_true, of_made = [crop[:, :1] for crop in crops], [crop[:, 1:] for crop in crops]
        self._crops = [crop.detach() for crop in of_true], [crop.detach() for crop in of_made]
        self.requires_grad_(False)  # it takes its own step, in `learn`
        return (self(of_made) - 1).square().sum(0)

    def learn(self) -> None:
        """Take the step, against what the network was just judged by; none where it was not."""
        if self._crops is None:
            return
        true, made = self._crops
        self._crops = None
        self.requires_grad_(True)
        loss = (self(true) - 1).square().mean(1).sum() + self(made).square().mean(1).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.loss = loss.item()

    def get_extra_state(self) -> dict[str, Any]:
        """Its optimiser, for the checkpoint."""
        return self.optimiser.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.optimiser.load_state_dict(state)
