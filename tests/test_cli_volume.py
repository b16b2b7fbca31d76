"""semrt infer on stacks of sparse slices, with a model that takes them."""

import json

import cv2
import numpy as np
import pytest

from command import fails, run
from semrt import io
from semrt.data import Micrograph, SparseScan, SparseVolume, Volume
from semrt.tasks import TASKS
from volume_samples import SHAPE, THICKNESS, a_mask, counts, sparse, whole


class Levels:
    """A solver: every pixel of a slice is the mean of what was measured in it."""

    accepts = (SparseScan, SparseVolume)

    def solve(self, measured, *, n_threads=None):
        if isinstance(measured, SparseScan):
            return level(measured)
        return Volume.from_slices([level(scan) for scan in measured.slices], measured.slice_thickness)


def level(scan):
    mean = np.full(scan.shape, scan.intensity[scan.visited].mean())
    return Micrograph(mean, scan.pixel_size, np.full(scan.shape, 2), scan.metadata)


@pytest.fixture(autouse=True)
def _levels(monkeypatch):
    monkeypatch.setitem(TASKS, "levels", f"{__name__}:Levels")


def infer(source, out, *more):
    return run("infer", "levels", source, "-o", out, *more)


@pytest.fixture
def scanned(tmp_path):
    io.write(tmp_path / "stack.tif", sparse(pixel_size=2, slice_thickness=THICKNESS, metadata={"detector": "BSE"}))
    return tmp_path / "stack.tif"


def test_a_stack_becomes_a_volume_with_its_error_map_and_voxels(scanned, tmp_path):
    done = infer(scanned, tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    result = io.read(tmp_path / "out" / "stack_levels.tif")
    assert isinstance(result, Volume)
    means = [scan.intensity[scan.visited].mean() for scan in sparse().slices]
    np.testing.assert_allclose(result.intensity, np.broadcast_to(np.reshape(means, (5, 1, 1)), SHAPE), rtol=1e-6)
    assert (result.pixel_size, result.slice_thickness) == ((2, 2), THICKNESS)
    assert result.metadata["detector"] == "BSE"
    assert result.provenance["model"]["name"] == "levels"
    error = io.read(tmp_path / "out" / "stack_levels_error.tif")
    assert (error.shape, error.slice_thickness, error.intensity.max()) == (SHAPE, THICKNESS, 2)


def test_the_record_describes_the_stack(scanned, tmp_path):
    told = json.loads(infer(scanned, tmp_path, "--json").stdout)
    (entry,) = told["results"]
    of_slices = a_mask().mean((1, 2))
    assert entry["scan"] == {
        "shape": list(SHAPE),
        "coverage": pytest.approx(a_mask().mean()),
        "coverage_of_slices": {"min": pytest.approx(of_slices.min()), "max": pytest.approx(of_slices.max())},
        "pixel_size_nm": [2, 2],
        "slice_thickness_nm": THICKNESS,
    }
    beside = json.loads((tmp_path / "stack_levels.semrt.json").read_text(encoding="utf-8"))
    assert beside["scan"] == entry["scan"]


def test_one_mask_serves_all_slices(tmp_path):
    io.write(tmp_path / "stack.mrc", whole(pixel_size=2))
    io.write(tmp_path / "mask.npy", Micrograph(a_mask(SHAPE[1:])))
    done = infer(tmp_path / "stack.mrc", tmp_path / "out.npz", "--mask", tmp_path / "mask.npy")
    assert done.exit_code == 0, done.stderr
    means = counts()[:, a_mask(SHAPE[1:])].mean(1)
    np.testing.assert_allclose(io.read(tmp_path / "out.npz").intensity[:, 3, 4], means, rtol=1e-6)
    assert fails(
        infer(tmp_path / "stack.mrc", tmp_path / "no.npz", "--mask", tmp_path / "out.npz", "--unvisited", 0),
        2,
        "give one of them",
    )


def test_a_preview_of_the_stack_is_drawn_beside_it(scanned, tmp_path):
    assert infer(scanned, tmp_path / "plain", "--preview").exit_code == 0
    assert infer(scanned, tmp_path / "spectra", "--spectra").exit_code == 0
    plain, spectra = (cv2.imread(str(tmp_path / name / "stack_levels_preview.png")) for name in ("plain", "spectra"))
    assert plain.shape[0] > 3 * SHAPE[1] * 20  # three slices below each other, each enlarged as far as 512 px allow
    assert spectra.shape[0] > plain.shape[0]


def test_a_stack_in_which_all_was_visited_asks_where_the_probe_went(tmp_path):
    io.write(tmp_path / "whole.npy", whole())
    failed = infer(tmp_path / "whole.npy", tmp_path / "out")
    assert fails(
        failed, 3, "whole.npy: expected a sparse scan, got a stack in which every pixel was visited; say where"
    )
    assert not (tmp_path / "out").exists()


def test_a_format_of_single_images_is_refused_before_the_work(scanned, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(Levels, "solve", lambda *_, **__: begun.append("the work"))
    assert fails(infer(scanned, tmp_path / "out", "--format", "png"), 3, "a .png holds one image, not a stack; write")
    assert begun == []
    assert not (tmp_path / "out").exists()


def test_scans_and_stacks_go_together_where_the_model_takes_both(scanned, tmp_path):
    io.write(tmp_path / "one.tif", sparse().slices[0])
    assert run("infer", "levels", scanned, tmp_path / "one.tif", "-o", tmp_path / "out").exit_code == 0
    assert io.read(tmp_path / "out" / "one_levels.tif").shape == SHAPE[1:]
    partly = run("infer", "kriging", scanned, tmp_path / "one.tif", "-o", tmp_path / "out")
    assert partly.exit_code == 1
    assert partly.stdout == f"{tmp_path / 'out' / 'one_kriging.tif'}\n"
    assert "a stack of 5 slices; kriging takes single scans; semrt infer dip reconstructs stacks" in partly.stderr
