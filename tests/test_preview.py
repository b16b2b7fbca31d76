"""What the preview shows is what was measured and inferred, at the right size and length."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictures import a_caption, where
from semrt.data import Micrograph, SparseScan
from semrt.errors import InvalidShape
from semrt.report import canvas, display
from semrt.report.preview import infill_preview
from semrt.report.sheet import MARGIN, Card, Score, draw_scale_bar

lengths = st.integers(1, 700)


def a_scan(shape, coverage=0.2, pixel_size=None, seed=0):
    rng = np.random.default_rng(seed)
    visited = rng.random(shape) < coverage
    visited.flat[0] = True
    truth = rng.random(shape, np.float32)
    return SparseScan(truth, visited, pixel_size=pixel_size), truth


@settings(deadline=None, max_examples=200)
@given(st.floats(1e-2, 1e8))
def test_a_scale_bar_is_the_longest_of_1_2_5_that_fits(field_of_view):
    length, label = display.scale_bar(field_of_view, share=0.25)
    mantissa = length / 10 ** math.floor(math.log10(length) + 1e-9)
    assert any(math.isclose(mantissa, step, rel_tol=1e-6) for step in (1, 2, 5))
    assert field_of_view * 0.25 / 2.5 * (1 - 1e-6) < length <= field_of_view * 0.25 * (1 + 1e-6)
    number, unit = label.split()
    assert math.isclose(float(number) * {"pm": 1e-3, "nm": 1, "µm": 1e3, "mm": 1e6}[unit], length, rel_tol=1e-6)


def test_a_scale_bar_is_drawn_as_long_as_it_says():
    micrograph = Micrograph(np.zeros((256, 400), np.float32), pixel_size=(0.5, 0.5))
    picture = canvas.blank(512, 800, (120, 120, 120))
    draw_scale_bar(picture, micrograph)
    # 400 px x 0.5 nm = 200 nm of field on 800 columns: the longest bar within 28 % is 50 nm, 200 columns.
    ink = (picture == canvas.INK).all(-1)
    assert ink.sum(1).max() == 200


def test_a_field_of_unknown_pixel_size_gets_no_scale_bar():
    picture = canvas.blank(300, 300)
    draw_scale_bar(picture, Micrograph(np.zeros((30, 30), np.float32)))
    assert (picture == canvas.GROUND).all()


@settings(deadline=None, max_examples=100)
@given(lengths, lengths, lengths, lengths)
def test_an_image_is_shown_as_large_as_fits(ny, nx, most_y, most_x):
    shown = display.fit((ny, nx), (most_y, most_x))
    assert 1 <= shown[0] <= most_y
    assert 1 <= shown[1] <= most_x
    if shown[0] >= ny and shown[1] >= nx:
        assert shown[0] % ny == shown[1] % nx == 0
        assert shown[0] // ny == shown[1] // nx


def test_pixels_that_fall_together_are_averaged():
    plane = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(display.resized(plane, (2, 2)), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(display.resized(plane, (8, 8)), np.kron(plane, np.ones((2, 2))))


def test_unvisited_pixels_have_a_colour_that_no_intensity_has():
    scan, _ = a_scan((12, 9))
    shown = display.sampled_points(scan, (0.0, 1.0), scan.shape)
    assert (shown[~scan.visited] == display.UNVISITED).all()
    seen = shown[scan.visited]
    assert (seen[:, 0] == seen[:, 2]).all(), "measured intensities are grey"
    np.testing.assert_allclose(seen[:, 0], 255 * scan.intensity[scan.visited], atol=0.51)


def test_a_sparse_scan_stays_sparse_when_shrunk():
    visited = np.zeros((64, 64), bool)
    visited[::8] = True
    scan = SparseScan(np.ones((64, 64), np.float32), visited)
    shown = display.sampled_points(scan, (0.0, 1.0), (16, 16)).astype(int)
    # A row of bins that a path crosses is a quarter visited: half opaque. The rows between stay unseen.
    halfway = (np.array(display.UNVISITED) + 255) / 2
    np.testing.assert_allclose(shown[::2], np.broadcast_to(halfway, shown[::2].shape), atol=1)
    assert (shown[1::2] == display.UNVISITED).all()


def test_the_spectrum_of_a_fringe_peaks_at_its_frequency():
    x = np.arange(128)
    fringes = np.tile(np.sin(2 * np.pi * x / 8), (128, 1)).astype(np.float32)
    spectrum = display.power_spectrum(fringes)
    peaks = {
        tuple(int(i) for i in np.unravel_index(flat, spectrum.shape)) for flat in np.argsort(spectrum.ravel())[-2:]
    }
    assert peaks == {(64, 64 - 16), (64, 64 + 16)}


def test_the_result_stands_in_the_preview_pixel_for_pixel():
    scan, truth = a_scan((64, 48))
    sheet = infill_preview(scan, Micrograph(truth), a_caption(scan))
    limits = display.contrast(truth)
    for plane in (
        display.sampled_points(scan, limits, (640, 480)),
        display.grey(np.kron(truth, np.ones((10, 10))), limits),
    ):
        assert len(where(sheet, plane)) == 1


def test_an_error_map_that_is_right_looks_like_the_true_error():
    scan, truth = a_scan((40, 40))
    inferred = truth + np.linspace(-0.2, 0.3, 40, dtype=np.float32)
    sheet = infill_preview(scan, Micrograph(inferred, error=np.abs(inferred - truth)), a_caption(scan), truth=truth)
    top = float(np.percentile(np.abs(inferred - truth), 99.5))
    error = display.heat(np.kron(np.abs(inferred - truth), np.ones((12, 12))).astype(np.float32), (0.0, top))
    assert len(where(sheet, error)) == 2


@pytest.mark.parametrize("coverage", [0.05, 0.5, 1.0])
def test_the_banner_divides_measured_from_inferred_as_the_scan_does(coverage):
    visited = np.zeros((40, 50), bool)
    visited.flat[: round(2000 * coverage)] = True
    scan = SparseScan(np.ones((40, 50), np.float32), visited)
    sheet = infill_preview(scan, Micrograph(scan.intensity), a_caption(scan))
    rows = (sheet == canvas.TEAL).all(-1).sum(1)
    assert rows.max() == pytest.approx(coverage * (sheet.shape[1] - 2 * MARGIN), abs=3)


def test_a_warning_is_seen_and_only_then():
    scan, truth = a_scan((32, 32))
    plain, warned = (
        infill_preview(scan, Micrograph(truth), a_caption(scan, warning=w)) for w in ("", "outside the domain")
    )
    assert not (plain == canvas.AMBER).all(-1).any()
    assert (warned == canvas.AMBER).all(-1).any()


def test_a_wide_strip_is_shown_in_one_column():
    scan, truth = a_scan((60, 600))
    sheet = infill_preview(scan, Micrograph(truth, error=truth), a_caption(scan))
    corners = where(sheet, display.sampled_points(scan, display.contrast(truth), (120, 1200)))
    assert [x for _, x in corners] == [MARGIN]
    assert sheet.shape[0] > 3 * 120
    assert sheet.shape[1] == 1200 + 2 * MARGIN


@settings(deadline=None, max_examples=12)
@given(lengths, lengths, st.booleans(), st.booleans(), st.integers(0, 9))
def test_no_shape_of_image_breaks_the_margins(ny, nx, with_truth, spectra, seed):
    scan, truth = a_scan((ny, nx), pixel_size=(0.1, 0.1), seed=seed)
    card = Card([Score("a method with a rather long name, and then some", 31.0, 0.9)], [("Scan", "spiral " * 30)])
    caption = a_caption(scan, source="long " * 80, device="cuda:0 " * 40, seconds=0.5, warning="unlike " * 90)
    sheet = infill_preview(
        scan,
        Micrograph(truth, (0.1, 0.1), error=truth),
        caption,
        truth=truth if with_truth else None,
        card=card,
        spectra=spectra,
    )
    assert sheet.dtype == np.uint8
    for edge in (sheet[: MARGIN // 2], sheet[-MARGIN // 2 :], sheet[:, : MARGIN - 2], sheet[:, 2 - MARGIN :]):
        assert (edge == canvas.GROUND).all()


@pytest.mark.parametrize("size", [13, 16, 28])
def test_a_stroked_letter_fills_the_line_it_is_given(size):
    """OpenCV 4 has no outline font: letters are strokes, averaged down."""
    ink = canvas._stroked("µm", size, 400)
    assert 0.5 < ink.max() <= 1
    assert np.flatnonzero(ink.max(1) > 0.2)[-1] >= size - 2
    np.testing.assert_array_equal(ink, canvas._stroked("um", size, 400))
    assert canvas._stroked("±1 σ × Å…", size, 400).shape == canvas._stroked("+/-1 sigma x A...", size, 400).shape


def test_a_truth_of_another_size_is_refused():
    scan, truth = a_scan((16, 16))
    with pytest.raises(InvalidShape, match=r"truth: expected shape \(16, 16\)"):
        infill_preview(scan, Micrograph(truth), a_caption(scan), truth=truth[:8])
