"""Synthetic backscatter images of two thin layers at many beam energies, with the true thickness of each.

To add a kind of structure, write its line in KINDS.
"""

from semrt.simulate.layers.library import KINDS, SPLITS, LayerSample, draw, split_seed
from semrt.simulate.layers.perlin import perlin_noise, perlin_thickness
from semrt.simulate.layers.recording import Exposure, Recording, draw_recording, expose, signal_of
from semrt.simulate.layers.strips import strips_thickness
from semrt.simulate.layers.varied import varied_thickness

__all__ = [
    "KINDS",
    "SPLITS",
    "Exposure",
    "LayerSample",
    "Recording",
    "draw",
    "draw_recording",
    "expose",
    "perlin_noise",
    "perlin_thickness",
    "signal_of",
    "split_seed",
    "strips_thickness",
    "varied_thickness",
]
