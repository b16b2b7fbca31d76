"""Stacks of slices carry what was measured, where, and how large a voxel is; or say in one line what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.errors import EmptyScan, InvalidShape, InvalidValue

SHAPE = (4, 5, 6)


def counts(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def a_mask(shape=SHAPE, seed=1):
    visited = np.random.default_rng(seed).random(shape) < 0.3
    visited[..., 0, 0] = True
    return visited


def test_a_sparse_volume_is_zero_where_the_probe_did_not_go():
    volume = SparseVolume(counts(), a_mask(), pixel_size=2, slice_thickness=5, metadata={"detector": "BSE"})
    assert volume.shape == SHAPE
    assert volume.intensity.dtype == np.float32
    np.testing.assert_array_equal(volume.intensity, np.where(a_mask(), counts(), 0))
    assert (volume.pixel_size, volume.slice_thickness) == ((2, 2), 5)


def test_a_mask_of_one_slice_holds_for_every_slice_and_takes_the_memory_of_one():
    volume = SparseVolume(counts(), a_mask(SHAPE[1:]))
    np.testing.assert_array_equal(volume.visited, np.stack([a_mask(SHAPE[1:])] * 4))
    assert volume.visited.strides[0] == 0
    assert volume.coverage == pytest.approx(a_mask(SHAPE[1:]).mean())


def test_coverage_is_told_of_the_stack_and_of_each_slice():
    visited = np.zeros((3, 2, 5), bool)
    visited.reshape(3, 10)[0, :1] = visited.reshape(3, 10)[1, :4] = visited.reshape(3, 10)[2, :10] = True
    volume = SparseVolume(counts((3, 2, 5)), visited)
    assert volume.coverage == 0.5  # 15 of 30
    np.testing.assert_allclose(volume.coverage_of_slices, [0.1, 0.4, 1.0])


def test_the_slices_of_a_sparse_volume_are_scans_that_share_its_memory():
    volume = SparseVolume(counts(), a_mask(), pixel_size=(3, 2), slice_thickness=5, metadata={"detector": "BSE"})
    assert len(volume.slices) == 4
    for z, scan in enumerate(volume.slices):
        assert isinstance(scan, SparseScan)
        np.testing.assert_array_equal(scan.intensity, volume.intensity[z])
        np.testing.assert_array_equal(scan.visited, a_mask()[z])
        assert np.shares_memory(scan.intensity, volume.intensity)
        assert np.shares_memory(scan.visited, volume.visited)
        assert (scan.pixel_size, scan.metadata) == ((3, 2), {"detector": "BSE"})


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 99), st.sampled_from([np.nan, -7.0]))
def test_what_holds_the_unvisited_value_becomes_a_gap(shape, seed, unvisited):
    visited = a_mask(shape, seed)
    volume = Volume(np.where(visited, counts(shape), unvisited), 2, 5, metadata={"a": 1})
    sparse = SparseVolume.from_volume(volume, unvisited)
    np.testing.assert_array_equal(sparse.visited, visited)
    np.testing.assert_array_equal(sparse.intensity, np.where(visited, counts(shape), 0))
    assert (sparse.pixel_size, sparse.slice_thickness, sparse.metadata) == ((2, 2), 5, {"a": 1})


def test_a_slice_that_the_probe_never_visited_is_named():
    visited = a_mask()
    visited[2] = False
    with pytest.raises(EmptyScan, match=r"slice z=2: expected at least one visited pixel"):
        SparseVolume(counts(), visited)
    with pytest.raises(EmptyScan, match=r"slice z=0"):
        SparseVolume(counts(), np.zeros(SHAPE[1:]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_visited_pixel_that_holds_no_number_is_told_with_its_slice(bad):
    intensity = counts()
    intensity[3, 0, 0] = bad
    with pytest.raises(InvalidValue, match=r"intensity of slice z=3: expected finite values"):
        SparseVolume(intensity, a_mask())
    unvisited = a_mask()
    unvisited[3, 0, 0], unvisited[3, 1, 1] = False, True
    assert SparseVolume(intensity, unvisited).intensity[3, 0, 0] == 0


@pytest.mark.parametrize("shape", [(4, 5, 5), (3, 5, 6), (5, 5), (6,), (1, 5, 6)])
def test_a_mask_that_fits_neither_stack_nor_slice_is_refused_with_both(shape):
    with pytest.raises(InvalidShape, match=r"visited: expected shape \(4, 5, 6\).*or \(5, 6\) for every slice, got"):
        SparseVolume(counts(), np.ones(shape))


@pytest.mark.parametrize("shape", [(5, 6), (2, 4, 5, 6), (0, 5, 6), (4, 0, 6), ()])
def test_what_is_no_stack_is_refused(shape):
    for kind in (lambda: Volume(np.ones(shape)), lambda: SparseVolume(np.ones(shape), np.ones(shape))):
        with pytest.raises(InvalidShape, match=r"intensity: expected shape \(nz, ny, nx\) with at least one pixel"):
            kind()


@pytest.mark.parametrize("lengths", [{"pixel_size": 0}, {"pixel_size": (1, np.nan)}, {"slice_thickness": -1}])
def test_a_length_is_above_zero_or_unknown(lengths):
    (name,) = lengths
    for kind in (Volume(counts()), SparseVolume(counts(), a_mask())):
        with pytest.raises(InvalidValue, match=rf"{name}: expected .*above zero \[nm\]"):
            replace(kind, **lengths)
        assert (kind.pixel_size, kind.slice_thickness) == (None, None)


def test_complex_numbers_are_no_intensities():
    with pytest.raises(InvalidValue, match="real numbers"):
        Volume(np.zeros(SHAPE, complex))


def test_an_error_map_has_the_shape_of_its_volume():
    with pytest.raises(InvalidShape, match=r"error: expected shape \(4, 5, 6\)"):
        Volume(counts(), error=np.ones(SHAPE[1:]))


def test_a_volume_is_its_slices_and_they_are_the_volume():
    volume = Volume(counts(), (3, 2), 5, error=counts(seed=2), metadata={"detector": "BSE"}, provenance={"model": "m"})
    assert all(np.shares_memory(micrograph.intensity, volume.intensity) for micrograph in volume.slices)
    again = Volume.from_slices(volume.slices, slice_thickness=5)
    np.testing.assert_array_equal(again.intensity, volume.intensity)
    np.testing.assert_array_equal(again.error, volume.error)
    for name in ("pixel_size", "slice_thickness", "metadata", "provenance"):
        assert getattr(again, name) == getattr(volume, name)
    some_without = [replace(volume.slices[0], error=None), *volume.slices[1:]]
    assert Volume.from_slices(some_without).error is None


def test_slices_that_do_not_fit_on_each_other_are_refused_by_number():
    first = Micrograph(counts()[0], 2)
    with pytest.raises(InvalidShape, match=r"slice z=1: expected shape \(5, 6\), as the first has, got \(5, 5\)"):
        Volume.from_slices([first, Micrograph(counts()[0][:, :5], 2)])
    with pytest.raises(InvalidValue, match=r"slice z=2: expected pixel size \(2.0, 2.0\) \[nm\], got \(3.0, 3.0\)"):
        Volume.from_slices([first, first, replace(first, pixel_size=3)])
    with pytest.raises(InvalidShape, match="slices"):
        Volume.from_slices([])


def test_a_scan_copies_its_intensities_only_where_a_gap_holds_something():
    clean = np.where(a_mask(), counts(), 0).astype(np.float32)[0]
    assert np.shares_memory(SparseScan(clean, a_mask()[0]).intensity, clean)
    dirty = counts()[0]
    before = dirty.copy()
    np.testing.assert_array_equal(SparseScan(dirty, a_mask()[0]).intensity, clean)
    np.testing.assert_array_equal(dirty, before)


@pytest.mark.parametrize("given", [0, (2, -1), (1, 2, 3), "abc", (np.nan, 1)])
def test_a_pixel_size_that_is_none_is_refused(given):
    with pytest.raises(InvalidValue, match="pixel_size: expected \\(dy, dx\\) above zero"):
        SparseVolume(counts(), a_mask(), pixel_size=given)
