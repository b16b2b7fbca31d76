"""Pools of samples: filled by several, resumable, and read while they are filled."""

import numpy as np
import pytest

from semrt.errors import SemrtError, UnreadableFile
from semrt_export.data.pool import SamplePool, filling
from semrt_export.data.sparse_scans import SparseScanMaker
from toy_recipe import blurred_noise


def test_an_interrupted_pool_makes_only_what_is_missing(tmp_path):
    pool, made = SamplePool(tmp_path, 5), []

    def make(index):
        made.append(index)
        return blurred_noise(index)

    assert list(pool.fill(make, 3)) == [0, 1, 2]
    assert list(pool.fill(make, 5)) == [3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_two_makers_share_the_work(tmp_path):
    pool = SamplePool(tmp_path, 9)
    assert list(pool.fill(blurred_noise, 5, first=0, stride=2)) == [0, 2, 4]
    assert list(pool.fill(blurred_noise, 5, first=1, stride=2)) == [1, 3]


def test_new_samples_replace_the_oldest_and_those_are_not_made_again(tmp_path):
    pool = SamplePool(tmp_path, 3)
    list(pool.fill(blurred_noise, 5))
    assert pool.indices() == [2, 3, 4]
    assert list(pool.fill(blurred_noise, 5)) == []


def test_samples_come_back_as_they_were_made_to_half_precision(tmp_path):
    pool = SamplePool(tmp_path, 1)
    list(pool.fill(blurred_noise, 1))
    for kept, made in zip(pool.read(0), blurred_noise(0), strict=True):
        np.testing.assert_allclose(kept, made, rtol=1e-3, atol=1e-6)


def test_a_sample_replaced_since_the_folder_was_listed_is_passed_over(tmp_path):
    pool = SamplePool(tmp_path, 4)
    list(pool.fill(blurred_noise, 2))
    pool.path(0).unlink()
    drawn = pool.draw(np.random.default_rng(0), 3, [0, 1])
    assert all(np.array_equal(sample.target, pool.read(1).target) for sample in drawn)


def test_an_empty_pool_says_how_to_fill_it(tmp_path):
    with pytest.raises(SemrtError, match="--make-pool"):
        SamplePool(tmp_path, 4).draw(np.random.default_rng(0), 1, [])


def test_a_truncated_sample_is_named(tmp_path):
    pool = SamplePool(tmp_path, 1)
    list(pool.fill(blurred_noise, 1))
    pool.path(0).write_bytes(pool.path(0).read_bytes()[:200])
    with pytest.raises(UnreadableFile, match="sample-0000000"):
        pool.read(0)


@pytest.mark.slow
def test_processes_fill_a_pool_while_the_trainer_waits_for_the_first_samples(tmp_path):
    pool = SamplePool(tmp_path, 100)
    with filling(pool, blurred_noise, count=6, workers=2, at_least=6) as working:
        assert pool.indices() == list(range(6))
        while working():
            pass


@pytest.mark.slow
def test_a_maker_that_fails_stops_the_training(tmp_path):
    fails = SparseScanMaker(images=(tmp_path / "nowhere.png",), real_share=1.0)
    with (
        pytest.raises(SemrtError, match="exit code 1"),
        filling(SamplePool(tmp_path / "pool", 9), fails, count=4, workers=1, at_least=1),
    ):
        pass
