"""What a scan is told to have that training never saw."""

import numpy as np
import pytest

import semrt
from semrt import scan
from semrt.data import SparseScan
from semrt.simulate import micrographs
from semrt.tasks.familiarity import TRAITS, strangeness, traits_of
from semrt.tasks.infill import INPUT_CHANNELS, Infill


def scanned(noise=0.02, *, seed=0, side=128):
    rng = np.random.default_rng(seed)
    image = micrographs.draw(rng, (side, side), "dead-leaves")
    image += noise * rng.standard_normal(image.shape, np.float32)
    return SparseScan(image, scan.generate("random", image.shape, 1 / 12).visited)


def traits(sparse):
    return traits_of(dict(zip(INPUT_CHANNELS, Infill().prepare(sparse), strict=True)))


def test_noise_is_told_in_parts_of_the_contrast():
    few, many = traits(scanned(0.02)), traits(scanned(0.2))
    spread = np.std(scanned(0.2).intensity[scanned(0.2).visited])
    assert many["noise"] == pytest.approx(0.2 / spread, rel=0.35)
    assert few["noise"] < 0.5 * many["noise"]


def test_a_scan_whose_noise_changes_from_place_to_place_misfits_more():
    even = scanned(0.0)
    rng = np.random.default_rng(1)
    jumps = np.where(np.arange(128) < 12, 4.0, 0.0)[None] * rng.standard_normal(even.shape)
    assert traits(SparseScan(even.intensity + jumps, even.visited))["extremes"] > traits(even)["extremes"]


def test_every_trait_out_of_range_gives_a_line_with_what_was_found_and_what_was_known():
    found = traits(scanned())
    assert set(found) == set(TRAITS)
    assert strangeness(found, {name: (value, value) for name, value in found.items()}) == []
    assert strangeness(found, {}) == []  # a model that tells nothing
    for name in TRAITS:
        (line,) = strangeness(found, {name: (found[name] * 2 + 1, found[name] * 2 + 2)})
        assert line.startswith("unlike the training: ")
        assert f"{found[name] * 2 + 1:.2g} to {found[name] * 2 + 2:.2g}" in line


def test_an_ordinary_scan_is_not_strange_and_one_with_spikes_is():
    ordinary = semrt.infer("infill", scanned(0.03, seed=5))
    assert ordinary.provenance["details"]["notes"] == []
    rng = np.random.default_rng(0)
    sparse = scanned()
    spikes = np.where(rng.random(sparse.shape) < 0.01, 1000.0, 0.0)
    with pytest.warns(UserWarning, match="unlike the training: brightest or darkest"):
        found = semrt.infer("infill", SparseScan(sparse.intensity + spikes, sparse.visited))
    assert "brightest or darkest samples 1" in found.provenance["details"]["notes"][0]
