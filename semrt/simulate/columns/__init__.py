"""Synthetic ADF-STEM images of atomic columns with exact truth: positions, intensities, and how well they can be known.

To add a structure, write its entry in STRUCTURES; a thickness profile, its line in PROFILES; a background, its line in
BACKGROUNDS.
"""

from semrt.simulate.columns.background import BACKGROUNDS
from semrt.simulate.columns.bound import position_bound
from semrt.simulate.columns.cases import Case, cases
from semrt.simulate.columns.column_image import ColumnImage
from semrt.simulate.columns.crystals import Columns, grow
from semrt.simulate.columns.imaging import Imaging, record
from semrt.simulate.columns.library import draw, draw_imaging, draw_specimen
from semrt.simulate.columns.probe import Canvas, Probe
from semrt.simulate.columns.specimens import NEAREST_ALLOWED, Specimen, assemble
from semrt.simulate.columns.structures import ATOMIC_NUMBER, STRUCTURES, Lattice, Site
from semrt.simulate.columns.thickness import PROFILES

__all__ = [
    "ATOMIC_NUMBER",
    "BACKGROUNDS",
    "NEAREST_ALLOWED",
    "PROFILES",
    "STRUCTURES",
    "Canvas",
    "Case",
    "ColumnImage",
    "Columns",
    "Imaging",
    "Lattice",
    "Probe",
    "Site",
    "Specimen",
    "assemble",
    "cases",
    "draw",
    "draw_imaging",
    "draw_specimen",
    "grow",
    "position_bound",
    "record",
]
