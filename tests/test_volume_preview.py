"""The preview of a stack shows three of its slices and a section, in their true proportions and on one scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictures import a_caption, where
from semrt.data import SparseVolume, Volume
from semrt.errors import InvalidShape
from semrt.report import canvas, display
from semrt.report.sheet import MARGIN
from semrt.report.volume_preview import volume_preview


def a_stack(shape=(7, 40, 48), pixel_size=None, slice_thickness=None, seed=0):
    """What was measured, and an inference that is right, with an error of each voxel."""
    rng = np.random.default_rng(seed)
    visited = rng.random(shape) < 0.2
    visited[:, shape[1] // 2, 0] = True
    truth, error = rng.random(shape, np.float32), rng.random(shape, np.float32)
    known = {"pixel_size": pixel_size, "slice_thickness": slice_thickness}
    return SparseVolume(truth, visited, **known), Volume(truth, **known, error=error)


def limits_of(volume):
    """Contrast that the slices 0, 3 and 6 and the section at y=20 of a stack of (7, 40, 48) share."""
    shown = [*volume[[0, 3, 6]], volume[:, 20]]
    return display.contrast(np.concatenate(shown))


def top_of(error, slices=(0, 3, 6), y=20):
    """Error at the top of the scale: the least below which lie 99.5 % of every plane that is shown."""
    return max(float(np.percentile(plane, 99.5)) for plane in (*error[list(slices)], error[:, y]))


def enlarged(plane, ny, nx):
    return np.kron(plane, np.ones((ny, nx), np.float32))


def test_first_middle_and_last_slice_stand_in_the_preview_pixel_for_pixel_on_one_scale():
    measured, inferred = a_stack()
    sheet = volume_preview(measured, inferred, a_caption(measured))
    limits, top = limits_of(inferred.intensity), top_of(inferred.error)
    rows = []
    for z in (0, 3, 6):  # 40 x 48 px are shown ten times as large
        ((row, _),) = where(sheet, display.grey(enlarged(inferred.intensity[z], 10, 10), limits))
        assert [y for y, _ in where(sheet, display.sampled_points(measured.slices[z], limits, (400, 480)))] == [row]
        assert [y for y, _ in where(sheet, display.heat(enlarged(inferred.error[z], 10, 10), (0.0, top)))] == [row]
        rows.append(row)
    assert rows == sorted(rows)
    assert not where(sheet, display.grey(enlarged(inferred.intensity[1], 10, 10), limits))


def test_the_section_runs_through_the_middle_and_unknown_slices_are_one_pixel_apart():
    measured, inferred = a_stack()
    sheet = volume_preview(measured, inferred, a_caption(measured))
    limits = limits_of(inferred.intensity)
    assert len(where(sheet, display.grey(enlarged(inferred.intensity[:, 20], 10, 10), limits))) == 1
    error = display.heat(enlarged(inferred.error[:, 20], 10, 10), (0.0, top_of(inferred.error)))
    assert len(where(sheet, error)) == 1


@pytest.mark.parametrize(("thickness", "pixels"), [(2, 10), (6, 30), (1, 5)])
def test_a_slice_is_drawn_as_thick_as_it_is(thickness, pixels):
    measured, inferred = a_stack(pixel_size=2, slice_thickness=thickness)
    sheet = volume_preview(measured, inferred, a_caption(measured))
    section = display.heat(enlarged(inferred.error[:, 20], pixels, 10), (0.0, top_of(inferred.error)))
    assert len(where(sheet, section)) == 1  # the error, as the other has a scale bar


def test_a_section_higher_than_the_slices_is_shrunk_in_proportion():
    measured, inferred = a_stack(pixel_size=2, slice_thickness=24)
    sheet = volume_preview(measured, inferred, a_caption(measured))
    # 7 slices of 12 px each, enlarged by ten, are 840 px high and 480 wide; 400 px are left, so 400 / 840 of both.
    size = (400, round(480 * 400 / 840))
    section = display.heat(display.resized(inferred.error[:, 20].copy(), size), (0.0, top_of(inferred.error)))
    assert len(where(sheet, section)) == 1


def test_where_nothing_was_measured_in_the_middle_the_nearest_row_is_cut():
    measured, inferred = a_stack()
    visited = np.zeros((40, 48), bool)
    visited[[3, 23]] = True
    measured = SparseVolume(inferred.intensity, visited)
    sheet = volume_preview(measured, inferred, a_caption(measured))
    section = display.heat(enlarged(inferred.error[:, 23], 10, 10), (0.0, top_of(inferred.error, y=23)))
    assert len(where(sheet, section)) == 1


def test_scale_bars_are_drawn_only_where_the_lengths_are_known():
    def bars(**known):
        measured, inferred = a_stack(**known)
        sheet = volume_preview(measured, Volume(inferred.intensity, **known), a_caption(measured))
        # 48 px x 2 nm = 96 nm of field on 480 columns: the longest bar within 28 % is 20 nm, 100 columns, 5 rows high.
        inked = (sheet == canvas.INK).all(-1).astype(int)
        return np.count_nonzero(inked.sum(1) == 100) / 5

    assert bars() == 0
    assert bars(slice_thickness=8) == 0
    assert bars(pixel_size=2) == 3  # of the slices
    assert bars(pixel_size=2, slice_thickness=8) == 4


@pytest.mark.parametrize(("nz", "shown"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2])])
def test_no_slice_is_shown_twice(nz, shown):
    measured, inferred = a_stack((nz, 40, 48))
    sheet = volume_preview(measured, inferred, a_caption(measured))
    top = top_of(inferred.error, shown)
    for z in shown:
        assert len(where(sheet, display.heat(enlarged(inferred.error[z], 10, 10), (0.0, top)))) == 1


def test_spectra_of_the_middle_slice_are_added_on_request():
    measured, inferred = a_stack()
    plain, more = (volume_preview(measured, inferred, a_caption(measured), spectra=flag) for flag in (False, True))
    assert more.shape[0] > plain.shape[0] + 400
    power = display.power_spectrum(inferred.intensity[3])
    low, high = (float(edge) for edge in np.percentile(power, (20, 99.95)))
    assert len(where(more, display.heat(enlarged(power, 10, 10), (low, high)))) == 1


def test_a_stack_of_wide_slices_is_shown_in_one_column():
    measured, inferred = a_stack((3, 20, 300))
    sheet = volume_preview(measured, inferred, a_caption(measured))
    assert sheet.shape[1] == 4 * 300 + 2 * MARGIN


@settings(deadline=None, max_examples=12)
@given(st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300)), st.floats(1e-2, 1e3), st.booleans())
def test_no_shape_of_stack_breaks_the_margins(shape, thickness, spectra):
    measured, inferred = a_stack(shape, 1.0, thickness)
    caption = a_caption(measured, source="long " * 80, seconds=0.5, warning="unlike " * 90)
    sheet = volume_preview(measured, inferred, caption, spectra=spectra)
    assert sheet.dtype == np.uint8
    for edge in (sheet[: MARGIN // 2], sheet[-MARGIN // 2 :], sheet[:, : MARGIN - 2], sheet[:, 2 - MARGIN :]):
        assert (edge == canvas.GROUND).all()


def test_a_result_of_another_size_is_refused():
    measured, inferred = a_stack()
    with pytest.raises(InvalidShape, match=r"inferred: expected shape \(7, 40, 48\), as the stack has"):
        volume_preview(measured, Volume(inferred.intensity[1:]), a_caption(measured))
