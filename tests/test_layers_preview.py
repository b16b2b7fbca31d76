"""What the preview of layers shows: images, thickness to its scale, a cut through the right row, a view of the right
height, and in a line what was found."""

from dataclasses import replace

import numpy as np
import pytest

from layer_samples import ENERGIES, a_map, images, thickness
from pictures import where
from semrt.data import LayerMap
from semrt.errors import InvalidShape
from semrt.report import display
from semrt.report.canvas import TEAL
from semrt.report.layers_preview import headline_of, layers_preview
from semrt.report.layers_relief import LOWER, SUBSTRATE, UPPER, relief, top_of
from semrt.report.layers_section import cross_section, nice_steps, row_shown, volume_text
from semrt.report.layers_summary import summary_of
from semrt.report.sheet import CELL_AT_LEAST, GUTTER, MARGIN, Caption, Panel, lay_out

SHAPE = (24, 32)


def drawn(found=None, measured=None, warning="", **more):
    found = a_map(SHAPE) if found is None else found
    measured = images(found.shape) if measured is None else measured
    caption = Caption("a.tif", "layers 1", None, "cpu", 0.2, warning, headline_of(found))
    return layers_preview(measured, found, caption, **more)


def like(picture, colour, within=3):
    """Where the picture has a colour, (y, x)."""
    return np.argwhere((np.abs(picture.astype(int) - colour) <= within).all(-1))


# --- figures


def test_the_summary_is_of_what_is_covered():
    layers = thickness((10, 30))  # 10 nm of gold on 10 columns, 100 nm of aluminium on 5 rows
    layers[0, 0, 20] = 0.9  # too thin to be a layer
    sigma = np.full(layers.shape, 0.5, np.float32)
    sigma[1, 5:, :15] = np.nan
    found = LayerMap(layers, sigma, residual=(0.03, 0.04), energies=(5, 10), pixel_size=(2, 3))
    told = summary_of(found)
    assert told["layers"]["gold"] == {
        "covered_share": pytest.approx(1 / 3),
        "median_nm": 10,
        "max_nm": 10,
        "volume_nm3": pytest.approx((100 * 10 + 0.9) * 6),
        "mean_sigma_nm": 0.5,
    }
    assert told["layers"]["aluminium"]["mean_sigma_nm"] == 0.5
    rms = np.sqrt((0.03**2 + 0.04**2) / 2)
    assert told["misfit"] == {
        "rms_relative": pytest.approx(rms),
        "noise": 0.02,
        "chi": pytest.approx(rms / 0.02),
        "worst_keV": 10,
    }
    noisier = replace(found, provenance={"details": {"noise": 0.05}})
    assert summary_of(noisier)["misfit"]["chi"] == pytest.approx(rms / 0.05)


def test_the_summary_of_nothing_says_none():
    told = summary_of(LayerMap(np.zeros((2, 4, 5))))
    nothing = {"covered_share": 0, "median_nm": None, "max_nm": 0, "volume_nm3": None, "mean_sigma_nm": None}
    assert told == {"layers": {"gold": nothing, "aluminium": nothing}, "misfit": None}


def test_the_headline_says_what_was_found():
    assert headline_of(a_map((24, 30))) == (
        "gold on 33 %, median 10 nm, at most 10; aluminium on 50 %, median 100 nm, at most 100; images explained to 2 %"
    )
    assert headline_of(LayerMap(np.zeros((2, 4, 5)), names=("tin", "iron"))) == "no tin; no iron"


# --- panels


def test_thickness_is_drawn_to_its_scale_with_the_row_of_the_cut_marked():
    sheet = drawn()
    # 24 × 32 px are enlarged twelve times; gold of 10 nm is the end of the scale, and the darkest is none.
    gold = display.tinted(display.resized(thickness()[0], (288, 384)), (0.0, 10.0), LOWER)
    aluminium = display.tinted(display.resized(thickness()[1], (288, 384)), (0.0, 100.0), UPPER)
    ((y, x),) = where(sheet, gold[:, 14:-14])  # the marks are at the sides
    assert where(sheet, aluminium[:, 14:-14]) == [(y, x + 384 + GUTTER)]
    marks = like(sheet[y : y + 288, x - 14 : x + 370], TEAL, 0)
    # Row 12 is the first of those with as much of both as any.
    assert np.unique(marks[:, 0]).tolist() == [round(12.5 * 12) - 1, round(12.5 * 12)]
    assert np.unique(marks[:, 1]).tolist() == [*range(14), *range(370, 384)]


def test_images_at_the_lowest_middle_and_highest_energy_are_shown():
    measured = images()
    sheet = drawn(measured=measured)
    corners = []
    for k in (0, 15, 30):  # 5, 20 and 35 keV
        image = measured.intensity[k]
        picture = display.grey(display.resized(image, (288, 384)), display.contrast(image))
        corners += where(sheet, picture[:100])
    assert [x for _, x in corners] == [MARGIN + k * (384 + GUTTER) for k in range(3)]
    assert len({y for y, _ in corners}) == 1


def test_the_cut_goes_through_the_thickest_gold_or_through_aluminium_without_any():
    layers = np.zeros((2, 20, 30), np.float32)
    layers[0, 4, 3], layers[0, 11, 5], layers[1, 7] = 9, 12, 150
    assert row_shown(LayerMap(layers)) == 11
    layers[0, 2, 8] = 12
    layers[1, 2, 8] = 1  # of two as thick, that with more of both
    assert row_shown(LayerMap(layers)) == 2
    layers[0] = 0
    assert row_shown(LayerMap(layers)) == 7
    assert row_shown(LayerMap(np.zeros((2, 20, 30)))) == 0


def test_the_cut_draws_heights_in_proportion_and_aluminium_on_gold():
    found = a_map(SHAPE, pixel_size=(1, 5))
    picture, higher = cross_section(found, 20, (300, 800))
    gold, aluminium, substrate = (like(picture[40:], colour) for colour in (LOWER, UPPER, SUBSTRATE))
    floor, below = substrate[:, 0].min(), gold[:, 0].max()
    assert below == floor - 1, "gold lies on the substrate"
    left = aluminium[aluminium[:, 1] == 80][:, 0]
    right = aluminium[aluminium[:, 1] == 700][:, 0]
    thick = {name: len(np.unique(rows)) for name, rows in (("left", left), ("right", right))}
    on_gold = gold[gold[:, 1] == 80][:, 0]
    # 110 nm are as high as there is room: 10 nm of gold are a tenth of the aluminium's 100 nm.
    assert len(on_gold) == pytest.approx(thick["right"] / 10, abs=1)
    assert thick["left"] == pytest.approx(thick["right"], abs=1)
    assert left.max() < on_gold.min()
    assert right.max() == floor - 1
    assert (gold[:, 1] < 58 + 724 * 10 / 32 + 1).all(), "gold is on the left third alone"
    # 160 nm lie along 724 px.
    assert higher == pytest.approx((thick["right"] / 100) / (724 / 160), rel=0.02)
    assert cross_section(a_map(SHAPE), 20, (300, 800))[1] is None


def test_the_view_shows_a_layer_as_high_as_its_bar_says():
    views = {}
    for height in (0, 50, 100):
        layers = np.zeros((2, 64, 64), np.float32)
        layers[1, 20:40, 20:40] = height
        layers[1, 58:62, 58:62] = 200  # the highest of all, which sets the scale
        views[height], px_per_nm = relief(layers, (300, 500))
    top = {
        height: np.argwhere((np.abs(views[height].astype(int) - views[0]) > 20).any(-1))[:, 0].min()
        for height in (50, 100)
    }
    assert top[50] - top[100] == pytest.approx(50 * px_per_nm, abs=1.5)
    assert 10 < 50 * px_per_nm < 30


def test_nearer_columns_hide_what_lies_behind_them():
    layers = np.zeros((2, 64, 64), np.float32)
    layers[0, 10:20, 10:20] = 20  # gold behind ...
    seen = len(like(relief(layers, (300, 500))[0], LOWER, 20))
    layers[1, 22:60, 22:60] = 200  # ... a wall of aluminium
    hidden, px_per_nm = relief(layers, (300, 500))
    layers[1] = 0
    assert seen > 300
    assert len(like(hidden, LOWER, 20)) < seen / 2
    assert px_per_nm < 1


# --- the whole sheet


@pytest.mark.parametrize("shape", [(64, 48), (128, 128), (90, 307), (307, 90), (1, 40), (2, 2)])
def test_any_field_gives_a_sheet_without_a_hole(shape):
    found = LayerMap(thickness(shape), residual=np.full(31, 0.02), energies=ENERGIES, pixel_size=5)
    sheet = drawn(found)
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert 700 < sheet.shape[1] < 1400
    bands = sheet[:, MARGIN:-MARGIN].std(axis=(1, 2))
    empty = np.diff(np.flatnonzero(np.concatenate([[1], bands > 0.5, [1]])))
    assert empty.max() < 110, "no band of the sheet is empty"


def test_what_is_not_known_is_not_drawn():
    known = a_map(SHAPE)
    whole = drawn(known)
    without_sigma = drawn(replace(known, sigma=None))
    bare = drawn(LayerMap(thickness()))
    assert without_sigma.shape[0] == whole.shape[0], "the table stays in its row"
    assert bare.shape[0] < whole.shape[0]
    unknown = replace(known, sigma=np.full((2, *SHAPE), np.nan, np.float32))
    assert drawn(unknown).shape == whole.shape


def test_notes_and_spectra_make_the_sheet_longer():
    plain, noted, spectra = drawn(), drawn(warning="no network for 30 energies"), drawn(spectra=True)
    assert noted.shape[0] == plain.shape[0] + 44
    assert spectra.shape[0] > plain.shape[0] + 288


def test_a_field_of_nothing_is_drawn():
    nothing = LayerMap(np.zeros((2, *SHAPE)), np.zeros((2, *SHAPE)), residual=np.zeros(31), energies=ENERGIES)
    assert drawn(nothing).shape[1] == drawn().shape[1]


def test_layers_of_another_field_are_refused():
    with pytest.raises(InvalidShape, match=r"layers: expected shape \(24, 32\), as the images have, got \(20, 32\)"):
        drawn(a_map((20, 32)), images(SHAPE))


# --- helpers


def test_a_panel_may_span_columns_of_the_sheet():
    narrow, wide = np.full((40, 400, 3), 90, np.uint8), np.full((50, 2 * 400 + GUTTER, 3), 120, np.uint8)
    sheet = lay_out([[Panel("a", narrow), Panel("b", narrow)], [Panel("c", wide, span=2)]], Caption("s", "m", None))
    assert sheet.shape[1] == 2 * MARGIN + 2 * 400 + GUTTER
    assert [x for _, x in where(sheet, wide)] == [MARGIN]
    small = np.full((9, 7, 3), 9, np.uint8)
    assert lay_out([[Panel("a", small, span=3)]], Caption("s", "m", None)).shape[1] > 3 * CELL_AT_LEAST


def test_steps_of_an_axis_are_round():
    assert nice_steps(165) == [0, 50, 100, 150]
    assert nice_steps(2.3, most=5) == [0, 0.5, 1, 1.5, 2]
    assert nice_steps(10, most=2) == [0, 5, 10]
    for top in (0.013, 7.0, 9.99, 123.0, 4e5):
        steps = nice_steps(top)
        assert 2 <= len(steps) <= 5
        assert steps[-1] <= top


def test_volumes_are_written_short():
    assert volume_text(350) == "350 nm³"
    assert volume_text(12.5e6) == "0.0125 µm³"
    assert volume_text(3.2e9) == "3.2 µm³"


def test_a_pixel_that_goes_beyond_all_others_does_not_end_the_scale():
    layer = np.full((64, 64), 10, np.float32)
    layer[3, 3] = 900
    assert top_of(layer) == 10
    layer[:] = 0
    layer[3, 3] = 5
    assert top_of(layer) == 5, "but where there is nothing else, it does"
    assert top_of(np.zeros((4, 4), np.float32)) == 0
