"""Voxels as channels of an image, because a session gives images and no volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["VoxelsAsChannels"]


class VoxelsAsChannels(nn.Module):
    """A network that gives (n, classes, heights, h, w), with classes and heights along one axis.

    Output (n, classes · heights, h, w): all heights of the first class, then those of the next.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.in_channels = network.in_channels
        self.voxels = network

    @property
    def multiple(self) -> int:
        """What height and width must be a multiple of [px]."""
        return self.voxels.multiple

    def receptive_field_radius(self) -> int:
        """How far from an output pixel an input pixel can still matter [px], rounded up to `multiple`."""
        return self.voxels.receptive_field_radius()

    def forward(self, images: Tensor) -> Tensor:
        """(n, energies, h, w) -> (n, classes · heights, h, w)."""
        return self.voxels(images).flatten(1, 2)
