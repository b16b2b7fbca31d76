"""Synthetic tilt series of materials, with the true density of each.

A volume is (z, y, x): the tilt axis is y, and the beam at 0° runs along z. At tilt θ, what lies at (z, x) is seen at
s = x cos θ + z sin θ, all from the middle (n - 1) / 2. A series is (tilt, y, s), in density × path in px.
To add a kind of phantom, write its line in KINDS.
"""

from semrt.simulate.tomograms.cases import CONDITIONS, Case, Condition, cases
from semrt.simulate.tomograms.grid import Grid
from semrt.simulate.tomograms.library import KINDS, SPLITS, TomogramSample, draw, phantom, split_seed
from semrt.simulate.tomograms.recording import Exposure, Recording, draw_angles, draw_recording, record

__all__ = [
    "CONDITIONS",
    "KINDS",
    "SPLITS",
    "Case",
    "Condition",
    "Exposure",
    "Grid",
    "Recording",
    "TomogramSample",
    "cases",
    "draw",
    "draw_angles",
    "draw_recording",
    "phantom",
    "record",
    "split_seed",
]
