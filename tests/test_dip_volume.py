"""The Deep Image Prior on stacks: slice after slice, each from the weights of the one before, and on after a stop."""

import shutil
from zipfile import ZipFile

import numpy as np
import pytest
import torch

import semrt
from semrt.data import SparseScan, SparseVolume, Volume
from semrt.deep_image_prior import reconstruct
from semrt.deep_image_prior.members import Member
from semrt.errors import Interrupted, OutputNotWritable
from semrt.metrics import rmse
from semrt.simulate.silica import ball_volume

SHAPE = (4, 24, 28)
ITERATIONS = 4
QUICK = {"network": "deep-decoder", "members": 2, "max_iterations": ITERATIONS, "threads": 1}


def truth(shape=SHAPE):
    return ball_volume(shape, rng=np.random.default_rng(0), radius=7.0, slice_thickness=1.0).intensity


def stack(one_mask=False, coverage=0.3, shape=SHAPE, **known):
    visited = np.random.default_rng(1).random(shape[1:] if one_mask else shape) < coverage
    return SparseVolume(truth(shape), visited, **known)


def dip(measured, **options):
    return semrt.infer("dip", measured, **{**QUICK, **options})


def details(result):
    return result.provenance["details"]


def stopping_in_slice(z, after=2):
    """A progress call that ends the inference in a slice."""

    def progress(done, total, what):
        if done >= z * ITERATIONS + after:
            raise Interrupted

    return progress


@pytest.fixture(scope="module")
def uninterrupted():
    return dip(stack())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A result that was interrupted in slice 2, and the folder of its checkpoint."""
    folder = tmp_path_factory.mktemp("stopped")
    return dip(stack(), checkpoint=folder, progress=stopping_in_slice(2)), folder


@pytest.fixture
def checkpoint(stopped, tmp_path):
    """A copy of that folder, to go on from."""
    return shutil.copytree(stopped[1], tmp_path / "copy")


def same(one, other):
    np.testing.assert_array_equal(one.intensity, other.intensity)
    np.testing.assert_array_equal(one.error, other.error)
    return True


@pytest.mark.parametrize("one_mask", [True, False])
def test_a_stack_becomes_a_volume_of_which_the_measured_stays(one_mask):
    measured = stack(one_mask, pixel_size=(2, 3), slice_thickness=5, metadata={"detector": "BSE"})
    result = dip(measured)
    assert isinstance(result, Volume)
    assert (result.pixel_size, result.slice_thickness) == ((2, 3), 5)
    assert result.metadata["detector"] == "BSE"
    assert result.error.shape == result.shape == SHAPE
    np.testing.assert_array_equal(result.intensity[measured.visited], truth()[measured.visited])
    assert np.isfinite(result.intensity).all()
    mean = [np.where(scan.visited, scan.intensity, scan.intensity[scan.visited].mean()) for scan in measured.slices]
    assert rmse(result.intensity[2], truth()[2]) < 0.7 * rmse(mean[2], truth()[2])
    made = details(result)
    assert [of_slice["stopped"] for of_slice in made["slices"]] == ["iterations"] * 4
    assert "stopped" not in made
    assert made["resumed_at_slice"] is None


def test_a_stack_repeats_to_the_bit(uninterrupted):
    assert same(dip(stack()), uninterrupted)
    one, other = (dip(stack(), seed=seed, blend=False) for seed in (0, 1))
    assert all((other.intensity[z] != one.intensity[z]).any() for z in range(4))


def test_each_slice_begins_with_the_weights_of_the_one_before(monkeypatch):
    begun = []
    begin = Member.begin

    def watched(member, target):
        begun.append((member, {name: weight.detach().clone() for name, weight in member.network.named_parameters()}))
        begin(member, target)

    monkeypatch.setattr(Member, "begin", watched)
    dip(stack(shape=(2, 24, 28)))
    (first, new), _, (again, learnt), _ = begun
    assert again is first
    assert any((learnt[name] != new[name]).any() for name in new)
    assert len({id(member) for member, _ in begun}) == 2


def test_learning_from_the_slice_before_gains_on_a_start_from_nothing():
    alike = np.broadcast_to(truth()[1], (3, 24, 28))
    visited = np.random.default_rng(2).random(alike.shape) < 0.3
    carried = dip(SparseVolume(alike, visited), max_iterations=20)
    alone = dip(SparseScan(alike[2], visited[2]), max_iterations=20)
    last_loss = details(carried)["slices"][2]["loss"][0]
    assert last_loss[0] == details(alone)["loss"][0][0] == 10
    assert last_loss[1] < 0.8 * details(alone)["loss"][0][1]


def test_progress_goes_through_all_slices():
    told = []
    dip(stack(), progress=lambda *said: told.append(said))
    assert [done for done, _, _ in told] == list(range(1, 4 * ITERATIONS + 1))
    assert {total for _, total, _ in told} == {4 * ITERATIONS}
    assert told[ITERATIONS][2] == "iteration (slice 2 of 4)"
    dip(stack(), max_iterations=20, progress=lambda *said: told.append(said))
    assert told[-1][2].startswith("iteration (slice 4 of 4), loss ")


def test_an_interrupted_volume_says_what_no_network_saw(stopped):
    result, _ = stopped
    assert result.provenance["interrupted"] is True
    made = details(result)
    assert (made["stopped"], made["interrupted_at_slice"]) == ("interrupted", 2)
    reasons = [of_slice["stopped"] for of_slice in made["slices"]]
    assert reasons == ["iterations", "iterations", "interrupted", "not begun"]
    last = semrt.infer("wiener", stack().slices[3], threads=1)
    np.testing.assert_array_equal(result.intensity[3], last.intensity)
    np.testing.assert_array_equal(result.error[3], last.error)


def test_what_was_interrupted_goes_on_to_the_same_volume_to_the_bit(stopped, checkpoint, uninterrupted):
    assert sorted(path.name for path in checkpoint.iterdir()) == ["networks.pt", "slice-00000.npz", "slice-00001.npz"]
    told = []
    resumed = dip(stack(), checkpoint=checkpoint, progress=lambda *said: told.append(said))
    assert told[0][0] == 2 * ITERATIONS + 1
    assert same(resumed, uninterrupted)
    assert details(resumed)["resumed_at_slice"] == 2
    assert details(resumed)["slices"] == details(uninterrupted)["slices"]
    assert "interrupted" not in resumed.provenance
    np.testing.assert_array_equal(stopped[0].intensity[:2], uninterrupted.intensity[:2])
    assert (stopped[0].intensity[3] != uninterrupted.intensity[3]).any()


def test_a_volume_may_be_interrupted_again_and_again(tmp_path, uninterrupted):
    for z in (0, 1, 1, 3):
        assert details(dip(stack(), checkpoint=tmp_path, progress=stopping_in_slice(z)))["interrupted_at_slice"] == z
    assert same(dip(stack(), checkpoint=tmp_path), uninterrupted)
    told = []
    assert same(dip(stack(), checkpoint=tmp_path, progress=lambda *said: told.append(said)), uninterrupted)
    assert told == []  # all was there


def test_a_real_ctrl_c_in_a_stack_is_taken_as_one(tmp_path, uninterrupted):
    def progress(done, total, what):
        if done == ITERATIONS + 3:
            raise KeyboardInterrupt

    assert details(dip(stack(), checkpoint=tmp_path, progress=progress))["interrupted_at_slice"] == 1
    assert same(dip(stack(), checkpoint=tmp_path), uninterrupted)


def begun_anew(checkpoint, measured=None, **options):
    """The result, after a check that nothing of the checkpoint was used and all is kept of what is new."""
    told = []
    measured = stack() if measured is None else measured
    result = dip(measured, checkpoint=checkpoint, progress=lambda *said: told.append(said), **options)
    assert told[0][0] == 1
    assert details(result)["resumed_at_slice"] is None
    told.clear()
    dip(measured, checkpoint=checkpoint, progress=lambda *said: told.append(said), **options)
    assert told == []
    return result


@pytest.mark.parametrize("other", [{"seed": 1}, {"network": "conv-decoder", "members": 1}, {"denoise": True}])
def test_a_checkpoint_of_other_options_is_left_alone(checkpoint, other):
    assert same(begun_anew(checkpoint, **other), dip(stack(), **other))


def test_a_checkpoint_of_another_measurement_is_left_alone(checkpoint):
    changed = stack()
    z, y, x = np.argwhere(changed.visited)[0]
    changed.intensity[z, y, x] += 1
    assert same(begun_anew(checkpoint, changed), dip(changed))
    elsewhere = SparseVolume(truth(), stack().visited[::-1])
    assert same(begun_anew(checkpoint, elsewhere), dip(elsewhere))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    """Change one byte of an array in the archive."""
    with ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda held: held.file_size)
        stored = archive.read(largest.filename)
    held = path.read_bytes()
    at = held.index(stored[-64:]) + 32
    path.write_bytes(held[:at] + bytes([held[at] ^ 255]) + held[at + 1 :])


def emptied(path):
    path.write_bytes(b"")


def something_else(path):
    path.write_text("not what it was", encoding="utf-8")


def lost(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut_off, flipped, emptied, something_else, lost])
@pytest.mark.parametrize("name", ["networks.pt", "slice-00001.npz"])
def test_a_damaged_checkpoint_is_left_alone(checkpoint, uninterrupted, name, damage):
    damage(checkpoint / name)
    assert same(begun_anew(checkpoint), uninterrupted)


def test_a_checkpoint_of_something_else_is_left_alone(checkpoint, uninterrupted):
    state = torch.load(checkpoint / "networks.pt", weights_only=True)
    for other in ([1, 2], {"key": state["key"]}, {**state, "members": [[{}]]}, {**state, "slices": 9}):
        torch.save(other, checkpoint / "networks.pt")
        result = dip(stack(), checkpoint=checkpoint)
        assert details(result)["resumed_at_slice"] is None
    assert same(result, uninterrupted)


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputNotWritable, match="file"):
        dip(stack(), checkpoint=tmp_path / "file" / "folder")


@pytest.mark.parametrize("z", [0, 1, 3])
def test_a_slice_without_gaps_stays_and_hands_on_the_weights(z, tmp_path):
    visited = stack().visited.copy()
    visited[z] = True
    measured = SparseVolume(truth(), visited)
    at_once = dip(measured)
    np.testing.assert_array_equal(at_once.intensity[z], truth()[z])
    assert details(at_once)["slices"][z]["stopped"] == "nothing was left to infer"
    dip(measured, checkpoint=tmp_path, progress=stopping_in_slice(2))
    resumed = dip(measured, checkpoint=tmp_path)
    assert details(resumed)["resumed_at_slice"] == 2
    assert same(resumed, at_once)


def test_an_almost_empty_slice_is_noted():
    visited = stack().visited.copy()
    visited = np.repeat(np.repeat(visited, 2, 1), 2, 2)
    visited[2] = False
    visited[2, 5, 5] = True
    whole = np.repeat(np.repeat(truth(), 2, 1), 2, 2)
    with pytest.warns(UserWarning, match=r"almost empty: 1 of 2688 pixels of a slice were visited"):
        result = dip(SparseVolume(whole, visited))
    assert [of_slice["stopped"] for of_slice in details(result)["slices"]].count("too few samples") == 1
    assert np.isfinite(result.intensity).all()


def test_time_is_a_budget_for_each_slice():
    made = details(dip(stack(shape=(2, 24, 28)), max_iterations=10**6, max_seconds=0.1))
    assert [of_slice["stopped"] for of_slice in made["slices"]] == ["seconds"] * 2


def test_the_common_intensity_scale_of_a_stack_is_kept():
    gained = SparseVolume(1024 * truth(), stack().visited)
    result = dip(gained, blend=False)
    np.testing.assert_array_equal(result.intensity, 1024 * dip(stack(), blend=False).intensity)


def test_a_stack_of_large_slices_goes_on_piece_by_piece(monkeypatch, tmp_path):
    monkeypatch.setattr(reconstruct, "PIECE", 24)
    monkeypatch.setattr(reconstruct, "OVERLAP", 3)
    measured = stack(shape=(2, 20, 40))
    at_once = dip(measured)
    assert len(list(reconstruct._windows((20, 40)))) == 2
    stopped = dip(measured, checkpoint=tmp_path, progress=stopping_in_slice(2, after=6))  # pieces count as well
    assert details(stopped)["interrupted_at_slice"] == 1
    assert same(dip(measured, checkpoint=tmp_path), at_once)
