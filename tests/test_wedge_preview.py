"""What the preview of a tomogram shows: sections before and after, what was inferred, and the wedge on the spectra."""

import dataclasses

import numpy as np
import pytest

import semrt
from pictures import where
from semrt.data import OnDisk, TiltSeries, Tomogram
from semrt.errors import InvalidShape
from semrt.physics.tilt import TiltGeometry
from semrt.physics.tilt_solvers import wbp
from semrt.report import display, wedge_preview
from semrt.report.canvas import AMBER, TEAL
from semrt.report.sheet import MARGIN, Caption
from semrt.report.wedge_preview import headline_of
from semrt.report.wedge_summary import summary_of
from wedge_samples import ANGLES, series, truth

SIDE = 33  # odd, so that the middle of the volume is the middle of a voxel


def measured(ny=5, **known):
    return series(ny=ny, side=SIDE, **known)


def restored(of=None, **changes):
    """The true density, as a result."""
    of = measured() if of is None else of
    density = truth(of.n_slices, SIDE)
    inferred = np.zeros_like(density)
    inferred[4, :, 6], inferred[20, :, 9] = 0.5, -0.5
    told = {"details": {"tilts": 31, "noise": 0.5, "unexplained": 0.36, "seen": 36.0, "fitted": True}}
    return dataclasses.replace(Tomogram(density, of.tilt_range, inferred=inferred, provenance=told), **changes)


def drawn(of=None, found=None, **more):
    of = measured() if of is None else of
    found = restored(of) if found is None else found
    caption = Caption("a.mrc", "wedge 1", None, "cpu", 0.2, "", headline_of(found))
    return wedge_preview.wedge_preview(of, found, caption, **more)


def shown(plane):
    """A section as the sheet has it."""
    size = display.fit(plane.shape, wedge_preview.PANEL_AT_MOST)
    return display.grey(display.resized(np.ascontiguousarray(plane, np.float32), size), display.contrast(plane))


def near(picture, colour, within=40):
    return (np.abs(picture.astype(int) - colour) <= within).all(-1)


# --- figures


def test_the_inferred_share_is_of_the_contrast():
    density = np.zeros((2, 1, 4), np.float32)
    density[0] = 2  # a mean of 1, from which all voxels deviate by 1: a contrast of 8
    inferred = np.zeros_like(density)
    inferred[0, 0, :2] = 1
    found = Tomogram(density, (-60, 60), inferred=inferred)
    assert summary_of(found)["tomogram"]["inferred_share"] == pytest.approx(2 / 8)
    assert summary_of(Tomogram(density))["tomogram"]["inferred_share"] is None
    flat = Tomogram(np.ones((2, 2, 2)), inferred=np.zeros((2, 2, 2)))
    assert summary_of(flat)["tomogram"]["inferred_share"] == 0


def test_the_misfit_is_told_in_the_noise_and_in_the_projections():
    misfit = summary_of(restored())["misfit"]
    assert misfit == {"chi2": pytest.approx(0.36 / 0.25), "rms_relative": pytest.approx(0.1), "noise": 0.5}
    assert summary_of(Tomogram(truth()))["misfit"] == {"chi2": None, "rms_relative": None, "noise": None}


def test_the_headline_says_what_was_measured_and_how_far_to_trust_it():
    said = headline_of(restored())
    assert said.startswith("31 tilts from −60 to +60°; projections explained to 1.2 times their noise; ")
    assert said.endswith(" % of the contrast lies where no tilt measured")
    of_volume = restored().provenance["details"] | {"projected_from": "a volume"}
    assert "explained to 10 %" in headline_of(restored(provenance={"details": of_volume}))
    assert headline_of(Tomogram(truth())) == ""


# --- sections


def test_sections_before_and_after_stand_side_by_side():
    sheet = drawn()
    before = wbp(measured().intensity, TiltGeometry(ANGLES, (SIDE, SIDE)))
    tops = []
    for volume in (before, truth(5, SIDE)):
        corners = [where(sheet, shown(plane)) for plane in (volume[:, 2], volume[16], volume[:, :, 16].T)]
        assert all(corners), "a section is missing"
        tops.append([corner[0] for corner in corners])
    (xz, xy, yz), after = tops
    assert [y for y, _ in (xz, xy, yz)] == [y for y, _ in after]
    assert xz[0] < xy[0] < yz[0]
    assert {x for _, x in (xz, xy, yz)} == {MARGIN}
    assert len({x for _, x in after}) == 1
    assert after[0][1] > MARGIN + wedge_preview.PANEL_AT_MOST[1] * 0.9


def test_a_tomogram_that_was_given_is_shown_as_it_is():
    rng = np.random.default_rng(0)
    given = Tomogram(rng.normal(size=(SIDE, 5, SIDE)).astype(np.float32), (-60, 60))
    sheet = drawn(given, restored())
    for plane in (given.density[:, 2], given.density[16], given.density[:, :, 16].T):
        assert where(sheet, shown(plane))


def test_what_was_inferred_is_amber_where_it_is_more_and_teal_where_it_is_less():
    found = restored()
    picture = wedge_preview._more_or_less(found.inferred[:, 2], (-0.5, 0.5))
    assert tuple(picture[4, 6]) == AMBER
    assert tuple(picture[20, 9]) == TEAL
    assert tuple(picture[0, 0]) == display.UNVISITED
    size = display.fit((SIDE, SIDE), wedge_preview.PANEL_AT_MOST)
    large = np.repeat(np.repeat(picture, size[0] // SIDE, 0), size[1] // SIDE, 1)
    assert where(drawn(found=found), large)


@pytest.mark.parametrize("tilt_range", [(-60, 60), (-50, 68)])
def test_lines_on_the_spectra_are_the_edges_of_what_was_measured(tilt_range):
    picture = np.zeros((330, 330, 3), np.uint8)
    for angle in tilt_range:
        wedge_preview._line(picture, (SIDE, SIDE), angle)
    y, x = np.nonzero(near(picture, TEAL)) - np.array([[165], [165]])  # 16.5 px of 10 from the corner
    directions = np.degrees(np.arctan2(y, x))
    folded = (directions + 90) % 180 - 90  # a line goes both ways
    assert np.hypot(y, x).min() > 10  # the middle stays free
    off = np.abs(folded[:, None] - np.array(tilt_range)).min(1)
    assert off.max() < 4  # a pixel beside the line at 14 px from the middle
    for angle in tilt_range:
        assert np.count_nonzero(np.abs(folded - angle) < 4) > 100


def test_the_spectrum_of_a_back_projection_is_empty_between_the_lines():
    of = series(ny=1, side=96, angles=np.arange(-50.0, 69, 2))  # lopsided: which side is which shows
    section = wbp(of.intensity, TiltGeometry(of.angles, (96, 96)))[:, 0]
    power = 10.0 ** display.power_spectrum(section)
    picture = np.zeros((96, 96, 3), np.uint8)
    y, x = np.mgrid[:96, :96] - 48
    angle = (np.degrees(np.arctan2(y, x)) + 90) % 180 - 90
    far = (np.hypot(y, x) > 10) & (np.hypot(y, x) < 40)
    measured_there = far & (angle > -45) & (angle < 63)
    missing = far & ((angle < -55) | (angle > 73))
    assert power[missing].mean() < 0.02 * power[measured_there].mean()
    for edge in (-50, 68):
        wedge_preview._line(picture, (96, 96), edge)
    drawn_at = near(picture, TEAL) & far
    assert (np.abs(angle[drawn_at] + 50) < 6).any()
    assert (np.abs(angle[drawn_at] - 68) < 6).any()


# --- the sheet


def test_a_single_slice_has_one_section_and_spectra_of_the_others_are_asked_for():
    single = drawn(measured(ny=1))
    assert single.shape[0] < drawn().shape[0] < drawn(spectra=True).shape[0]
    assert drawn(measured(ny=1), spectra=True).shape == single.shape


def test_voxels_that_are_longer_along_the_tilt_axis_are_drawn_to_scale():
    cubes = drawn(found=restored(voxel_size=(0.5, 0.5, 0.5)))
    long = drawn(found=restored(voxel_size=(0.5, 1.5, 0.5)))
    scale = wedge_preview.PANEL_AT_MOST[0] // SIDE
    assert long.shape[0] - cubes.shape[0] == 2 * 2 * 5 * scale  # two sections, two more lengths of five voxels


def test_a_known_voxel_has_a_scale_bar():
    bar = np.array((236, 238, 242))
    plain, calibrated = (drawn(found=restored(voxel_size=size)) for size in (None, (0.5, 0.5, 0.5)))
    assert near(calibrated, bar, 3).sum() > near(plain, bar, 3).sum() + 300


def test_what_lies_in_a_file_is_drawn_as_what_lies_in_memory(monkeypatch):
    monkeypatch.setattr(wedge_preview, "AT_ONCE", 2)
    of = measured()
    on_disk = OnDisk(of.intensity.astype(np.float64), 1, lambda part: TiltSeries(part, of.angles))
    np.testing.assert_array_equal(drawn(on_disk, restored(of)), drawn(of))


def test_nothing_at_all_is_drawn_too():
    empty = TiltSeries(np.zeros((31, 2, 24), np.float32), ANGLES)
    sheet = drawn(empty, semrt.infer("wedge", empty))
    assert sheet.ndim == 3


def test_a_tomogram_of_another_specimen_is_refused():
    for of in (measured(ny=4), series(ny=5, side=32)):
        with pytest.raises(
            InvalidShape, match="tomogram: expected shape the slices and the width of what was measured"
        ):
            drawn(of, restored())
