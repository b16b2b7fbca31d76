"""What the preview of atomic columns shows stands where the columns are, and says how many and how far apart."""

import numpy as np
import pytest

from semrt.data import AtomColumns, Micrograph
from semrt.errors import InvalidShape
from semrt.report import canvas
from semrt.report.columns_preview import columns_preview, headline_of
from semrt.report.sheet import MARGIN, Caption


def lattice(shape, spacing, pixel_size=None, **changes):
    """Columns of a square lattice, half a spacing from the border."""
    y, x = (
        axis.ravel() for axis in np.meshgrid(*(np.arange(spacing / 2, n - 1, spacing) for n in shape), indexing="ij")
    )
    given = {
        "sigma_y": np.full(len(y), 0.03),
        "sigma_x": np.full(len(y), 0.04),
        "intensity": np.full(len(y), 50.0),
        "background": np.zeros(len(y)),
        "score": np.ones(len(y)),
        "shape": shape,
        "pixel_size": pixel_size,
    }
    return AtomColumns(y, x, **(given | changes))


def drawn(found, **more):
    caption = Caption("a.tif", "columns 1", None, told=headline_of(found))
    grey = np.full(found.shape, 0.5, np.float32)
    grey[0, :2] = 0, 1  # the contrast of a flat image is arbitrary
    return columns_preview(Micrograph(grey, found.pixel_size), found, caption, **more)


def teal(picture):
    return np.argwhere((np.abs(picture.astype(int) - canvas.TEAL) < 3).all(-1))


def test_the_headline_says_how_many_how_far_apart_and_how_well_known():
    # (0.03² + 0.04²) / 2 = 0.0354²; 12 px of 0.02 nm are 240 pm.
    assert headline_of(lattice((60, 60), 12)) == (
        "25 columns, nearest neighbours 12 px apart, positions to 0.035 px (median σ)"
    )
    assert headline_of(lattice((60, 60), 12, (0.02, 0.02))) == (
        "25 columns, nearest neighbours 240 pm apart, positions to 0.71 pm (median σ)"
    )
    assert headline_of(lattice((10, 10), 20)) == "0 columns"
    unknown = lattice((60, 60), 12, sigma_y=np.full(25, np.nan), sigma_x=np.full(25, np.nan))
    assert headline_of(unknown) == "25 columns, nearest neighbours 12 px apart"


def test_a_mark_stands_on_its_column():
    y, x = np.array([10.0, 40.0]), np.array([20.0, 33.0])
    one = {name: np.full(2, 0.1) for name in ("sigma_y", "sigma_x", "intensity", "background")}
    found = AtomColumns(y, x, **one, score=np.ones(2), shape=(64, 64))
    sheet = drawn(found)
    # 64 px are enlarged eight times: the second panel begins 512 px and a gutter after the first.
    top = MARGIN + 132 + 34
    panel = sheet[top : top + 512, MARGIN + 512 + 24 :][:, :512]
    marks = teal(panel)
    for at_y, at_x in zip(8 * (y + 0.5) - 0.5, 8 * (x + 0.5) - 0.5, strict=True):
        near = marks[np.hypot(*(marks - (at_y, at_x)).T) < 20]
        assert len(near) > 20
        np.testing.assert_allclose((near.min(0) + near.max(0)) / 2, (at_y, at_x), atol=1)
    assert len(teal(sheet[top : top + 512, MARGIN : MARGIN + 512])) == 0, "the image itself stays as it is"


def test_columns_too_dense_to_be_told_apart_are_shown_in_part():
    sparse, dense = (drawn(lattice(shape, 8)) for shape in ((256, 256), (2048, 2048)))
    assert sparse.shape[1] == dense.shape[1]
    top = MARGIN + 132 + 34
    marks = [len(teal(sheet[top : top + 512, MARGIN + 512 + 24 :][:, :512])) for sheet in (sparse, dense)]
    assert 0 < marks[1] < 512 * 512 / 10, "dots, not a carpet"


def test_map_denoised_image_and_spectra_make_the_sheet_longer():
    images = {name: np.random.default_rng(0).random((60, 60)) for name in ("column_map", "denoised")}
    plain, more, spectra = (
        drawn(found, **options)
        for found, options in (
            (lattice((60, 60), 12), {}),
            (lattice((60, 60), 12, **images), {}),
            (lattice((60, 60), 12, **images), {"spectra": True}),
        )
    )
    assert plain.shape[0] < more.shape[0] < spectra.shape[0]
    assert plain.shape[1] == more.shape[1] == spectra.shape[1]


@pytest.mark.parametrize("shape", [(60, 60), (17, 300), (300, 17)])
@pytest.mark.parametrize("spacing", [12, 1000])
def test_any_shape_and_any_number_of_columns_is_drawn(shape, spacing):
    sheet = drawn(lattice(shape, spacing, (0.02, 0.03)))
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3


def test_columns_of_another_image_are_refused():
    with pytest.raises(InvalidShape, match=r"columns: expected shape \(9, 9\)"):
        columns_preview(Micrograph(np.ones((9, 9))), lattice((60, 60), 12), Caption("a", "b", None))
