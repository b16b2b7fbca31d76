import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import blend as twin
from semrt import _core
from semrt.errors import InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import add_tile, cut_tile, tile_window


@st.composite
def tiles_in_fields(draw):
    """A field of two or three axes, and origin and shape of a tile that may lie partly or wholly outside."""
    n_axes = draw(st.sampled_from([2, 3]))
    field = tuple(draw(st.integers(1, 7)) for _ in range(n_axes))
    tile = tuple(draw(st.integers(1, 6)) for _ in range(n_axes))
    origin = tuple(draw(st.integers(-9, 9)) for _ in range(n_axes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_channels = draw(st.integers(1, 3))
    values = rng.normal(size=(n_channels, *field)), rng.normal(size=(n_channels, *tile))
    return *(array.astype(np.float32) for array in values), origin, rng


@settings(deadline=None, max_examples=60)
@given(tiles_in_fields(), st.sampled_from(["reflect", "edge"]))
def test_a_tile_is_cut_with_what_stands_beyond_the_border(case, border):
    field, tile, origin, _ = case
    cut_tile(field, origin, tile, border=border)
    np.testing.assert_array_equal(tile, twin.cut_tile(field, origin, tile.shape[1:], border))


@settings(deadline=None, max_examples=60)
@given(tiles_in_fields())
def test_a_tile_is_added_where_it_lies_and_nowhere_else(case):
    canvas, tile, origin, rng = case
    window = [rng.integers(0, 3, n).astype(np.float32) / 2 for n in tile.shape[1:]]
    expected = twin.add_tile(tile, window, origin, canvas)
    add_tile(tile, window, origin, canvas)
    np.testing.assert_allclose(canvas, expected, rtol=1e-6, atol=1e-6)


def test_cutting_and_adding_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(1)
    field = rng.random((3, 400, 500), dtype=np.float32)
    window = [rng.random(300, dtype=np.float32), rng.random(350, dtype=np.float32)]
    results = []
    for n_threads in (1, 2, 7):
        tile = np.empty((3, 300, 350), np.float32)
        cut_tile(field, (150, 200), tile, n_threads=n_threads)
        canvas = np.ones_like(field)
        add_tile(tile, window, (70, -20), canvas, n_threads=n_threads)
        results.append((tile, canvas))
    for tile, canvas in results[1:]:
        np.testing.assert_array_equal(tile, results[0][0])
        np.testing.assert_array_equal(canvas, results[0][1])


def test_pixels_of_no_weight_are_not_read():
    tile = np.full((1, 4, 5), np.nan, np.float32)
    tile[0, 1:3, 2] = 7
    canvas = np.zeros((1, 4, 5), np.float32)
    add_tile(tile, [np.array([0, 1, 1, 0]), np.array([0, 0, 1, 0, 0])], (0, 0), canvas)
    expected = np.zeros_like(canvas)
    expected[0, 1:3, 2] = 7
    np.testing.assert_array_equal(canvas, expected)


def test_a_tile_that_ends_with_the_field_has_full_weight_there():
    np.testing.assert_array_equal(tile_window(5, 2), np.ones(5))


def test_tiles_that_share_no_more_than_their_halos_are_cut_hard():
    np.testing.assert_array_equal(tile_window(8, 1, before=2, after=4), [0, 1, 1, 1, 1, 0.85546875, 0.14453125, 0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 300))
def test_the_ramps_of_neighbours_are_exactly_complementary_and_monotonic(halo, exact):
    shared = 2 * halo + exact
    size = 2 * shared + 1
    falling = tile_window(size, halo, after=shared)[size - shared :]
    rising = tile_window(size, halo, before=shared)[:shared]
    np.testing.assert_array_equal(rising + falling, np.ones(shared, np.float32))
    assert (np.diff(rising) >= 0).all()
    assert np.count_nonzero(rising % 1) <= 32
    assert not rising[:halo].any()
    assert not falling[shared - halo :].any()


def test_ramps_that_meet_or_halos_that_are_too_wide_are_refused():
    with pytest.raises(InvalidOption, match="at least 8, twice the halo"):
        tile_window(32, 4, before=7)
    with pytest.raises(InvalidOption, match="expected 40 at most"):
        tile_window(32, 4, before=24, after=24)
    with pytest.raises(InvalidOption, match="at most"):
        tile_window(32, 4, after=33)


def test_what_is_written_must_fit_as_it_is_because_a_copy_would_be_lost():
    field = np.zeros((2, 6, 7), np.float32)
    ones = [np.ones(6), np.ones(7)]
    for unfit in (np.zeros((2, 6, 7)), np.zeros((2, 7, 6), np.float32).transpose(0, 2, 1)):
        with pytest.raises(InvalidValue, match="contiguous, writeable float32"):
            cut_tile(field, (0, 0), unfit)
        with pytest.raises(InvalidValue, match="contiguous, writeable float32"):
            add_tile(field, ones, (0, 0), unfit)
    fixed = field.copy()
    fixed.flags.writeable = False
    with pytest.raises(InvalidValue, match="writeable"):
        cut_tile(field, (0, 0), fixed)


def test_shapes_that_do_not_belong_together_are_refused():
    field = np.zeros((2, 6, 7), np.float32)
    with pytest.raises(InvalidShape, match="tile: expected shape 2 channels"):
        cut_tile(field, (0, 0), np.zeros((1, 6, 7), np.float32))
    with pytest.raises(InvalidShape, match="origin"):
        cut_tile(field, (0, 0, 0), field.copy())
    with pytest.raises(InvalidShape, match="window"):
        add_tile(field, [np.ones(6), np.ones(6)], (0, 0), field.copy())
    with pytest.raises(InvalidShape, match="field: expected shape"):
        cut_tile(field[0], (0, 0), field.copy())
    with pytest.raises(InvalidOption, match="did you mean 'reflect'"):
        cut_tile(field, (0, 0), field.copy(), border="reflct")


def test_the_core_itself_refuses_shapes_that_do_not_belong_together():
    field = np.zeros((2, 6, 7), np.float32)
    one, six, seven = (np.ones(n, np.float32) for n in (1, 6, 7))
    with pytest.raises(ValueError, match="same shape"):
        _core.cut_tile(field, (0, 0, 0), True, np.zeros((3, 6, 7), np.float32), 1)
    with pytest.raises(ValueError, match="at least one pixel"):
        _core.cut_tile(np.zeros((2, 0, 7), np.float32), (0, 0, 0), True, field, 1)
    with pytest.raises(ValueError, match="same shape"):
        _core.add_tile(field, one, seven, six, (0, 0, 0), field.copy(), 1)
    with pytest.raises(ValueError, match="expected shape"):
        _core.add_tile(field[0], one, six, seven, (0, 0, 0), field.copy(), 1)
