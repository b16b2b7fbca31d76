"""Many slices: worked on slab by slab within bounded memory, interrupted and resumed, and always the same."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
from onnx import helper

import semrt
from semrt import engine, io
from semrt.backends import open_session
from semrt.data import Micrograph, OnDisk, TiltSeries, Tomogram
from semrt.engine import slabs
from semrt.engine.slabs import slabs_of
from semrt.errors import InvalidValue, ModelUnsuitable
from semrt.tasks import find_task, wedge
from semrt.tasks.wedge_input import INPUT_CHANNELS, NEIGHBOURS, OUTPUT_CHANNELS
from tiny_models import graph, write_model
from wedge_samples import ANGLES, back_projected, off, series, truth

pytestmark = pytest.mark.filterwarnings("ignore:the result leaves", "ignore:tilts over")
DOMAIN = {"span_deg": [95.0, 155.0], "step_deg": [0.9, 5.1]}


@pytest.fixture
def few(monkeypatch):
    """Slabs of three slices."""
    monkeypatch.setattr(slabs, "AT_ONCE", 3)


def write_network(folder, *, kernel=3, neighbour=0, right=0, **changes):
    """A network that gives the mean of kernel × kernel pixels of total variation, or of a slice or pixel beside."""
    weights = np.zeros((1, len(INPUT_CHANNELS), kernel, kernel), np.float32)
    seen = weights[0, INPUT_CHANNELS.index(f"tv {neighbour:+d}")]
    if right:
        seen[kernel // 2, kernel // 2 + right] = 1
    else:
        seen[:] = 1 / kernel**2
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4)
    described = {
        "name": "wedge",
        "task": "wedge-network",
        "input_channels": INPUT_CHANNELS,
        "output_channels": OUTPUT_CHANNELS,
        "domain": DOMAIN,
    }
    return write_model(folder, graph([node], {"w": weights}, len(INPUT_CHANNELS)), **described | changes)


@pytest.fixture
def session(tmp_path):
    with open_session(write_network(tmp_path / "wedge"), "cpu") as session:
        yield session


# --- slabs


@pytest.mark.parametrize(
    ("n", "bytes_each", "expected"),
    [
        (1, 1, [(0, 1)]),
        (32, 1, [(0, 32)]),
        (33, 1, [(0, 16), (16, 33)]),
        (5, 2**29, [(0, 1), (1, 3), (3, 5)]),  # two fit into the budget
        (3, 2**40, [(0, 1), (1, 2), (2, 3)]),  # one is the least
    ],
)
def test_slabs_are_even_and_within_the_budget(n, bytes_each, expected):
    assert slabs_of(n, bytes_each) == expected


@pytest.mark.parametrize("solver", ["wbp", "sirt", "tv"])
@pytest.mark.parametrize("kind", ["series", "tomogram"])
def test_slabs_make_the_same_tomogram_as_all_slices_at_once(solver, kind, few):
    of = series(ny=7, pixel_size=(0.7, 0.5), metadata={"detector": "HAADF"})
    of = back_projected(of) if kind == "tomogram" else of
    found = semrt.infer("wedge", of, solver=solver, threads=1)
    whole = find_task(f"wedge-{solver}").solve(of, n_threads=1)
    np.testing.assert_array_equal(found.density, whole.density)
    np.testing.assert_array_equal(found.inferred, whole.inferred)
    assert (found.voxel_size, found.tilt_range, found.notes) == (whole.voxel_size, whole.tilt_range, whole.notes)
    told = found.provenance["details"]
    assert told["slabs"] == 3
    for name, value in whole.provenance.items():
        assert told[name] == (pytest.approx(value) if isinstance(value, float) else value), name


def test_slices_that_say_different_things_share_their_noise_and_scale(session, few):
    of = series(ny=7)
    stronger = of.intensity * np.array([1, 1, 4, 1, 1, 1, 9], np.float32)[:, None]
    of = dataclasses.replace(of, intensity=stronger)
    slabbed = engine.infer(of, session, threads=1)
    task = find_task("wedge-network")
    planes = task.prepare(of, n_threads=1)
    assert planes.shape == (14, len(INPUT_CHANNELS), 32, 32)  # upright, then turned
    np.testing.assert_array_equal(planes[7:], planes[:7, :, ::-1, ::-1])
    assert len(task.prepare(of, n_threads=1, turned=False)) == 7
    shared = task.shared(of, n_threads=1)
    assert set(shared) == {"noise", "scale", "vacuum"}
    for y in (0, 3, 6):
        begin, end = max(0, y - NEIGHBOURS), min(7, y + 1 + NEIGHBOURS)
        part = task.prepare(of.slab(slice(begin, end)), **shared, n_threads=1)
        np.testing.assert_allclose(part[y - begin], planes[y], atol=1e-6)
    assert slabbed.provenance["details"]["slabs"] == 3


def test_a_network_sees_the_slices_beside_a_slab(tmp_path, monkeypatch):
    of = series(ny=7)
    with open_session(write_network(tmp_path / "m", kernel=1, neighbour=1), "cpu") as session:
        whole = engine.infer(of, session, threads=1)
        monkeypatch.setattr(slabs, "AT_ONCE", 2)
        slabbed = engine.infer(of, session, threads=1)
    np.testing.assert_allclose(slabbed.density, whole.density, atol=1e-6)
    # Each slice is that of the next one; few iterations towards the measurement do not hide it.
    flat = semrt.infer("wedge", of, solver="tv").density
    for y in (1, 3, 5):  # the last slices of slabs, among others
        assert off(slabbed.density[:, y], flat[:, y + 1]) < off(slabbed.density[:, y], flat[:, y - 1])


def test_what_a_network_says_of_a_turned_slice_counts_as_much(tmp_path, monkeypatch):
    monkeypatch.setattr(wedge, "consistent", lambda density, *_, **__: density)
    of = series(ny=2)
    flat = semrt.infer("wedge", of, solver="tv").density
    with open_session(write_network(tmp_path / "m", right=1), "cpu") as session:
        both, upright = (engine.infer(of, session, turned=turned).density for turned in (True, False))
    # Turned by 180 degrees, what lies to the right lay to the left.
    np.testing.assert_allclose(upright[:, :, :-1], flat[:, :, 1:], atol=1e-5)
    np.testing.assert_allclose(both[:, :, 1:-1], 0.5 * (flat[:, :, 2:] + flat[:, :, :-2]), atol=1e-5)


@pytest.mark.parametrize(("tile", "batch"), [(16, 1), (16, 4), (32, 8)])
def test_neither_tile_nor_batch_nor_slab_changes_what_a_network_says(session, tile, batch, monkeypatch):
    of = series(ny=5)
    whole = engine.infer(of, session, tile=64)
    monkeypatch.setattr(slabs, "AT_ONCE", 2)
    cut = engine.infer(of, session, tile=tile, batch=batch)
    np.testing.assert_allclose(cut.density, whole.density, atol=1e-5)
    np.testing.assert_allclose(cut.inferred, whole.inferred, atol=1e-5)
    assert whole.provenance["tiling"]["tiles"] == 2 * 5  # upright and turned
    assert cut.provenance["tiling"]["tiles"] == {16: 9, 32: 1}[tile] * 2 * (3 + 4 + 2)  # 2 slices, and one to each side


def test_a_network_gives_a_tomogram_that_says_what_made_it(session):
    found = engine.infer(series(pixel_size=0.5), session)
    assert isinstance(found, Tomogram)
    assert (found.shape, found.voxel_size, found.tilt_range) == ((32, 3, 32), (0.5, 0.5, 0.5), (-60, 60))
    assert off(found.density, truth()) < 0.2
    made = found.provenance
    assert made["model"]["task"] == "wedge-network"
    assert made["options"] == {}
    assert set(made["seconds"]) == {"network", "prepare", "run"}
    assert made["details"]["noise"] > 0


def test_tilts_unlike_those_of_the_training_go_to_total_variation(session, few):
    of = series(ny=4, angles=np.arange(-40.0, 41, 4))
    with pytest.warns(UserWarning, match="trained on tilts over 95 to 155 degrees, not 80; wedge-tv runs instead"):
        found = engine.infer(of, session, threads=1)
    assert found.provenance["model"]["name"] == "wedge-tv"
    assert found.provenance["fallback"]["instead_of"]["name"] == "wedge"
    flat = find_task("wedge-tv").solve(of, n_threads=1)
    np.testing.assert_array_equal(found.density, flat.density)
    with pytest.raises(ModelUnsuitable, match=r"trained on tilts every 0\.9 to 5\.1 degrees, not 6"):
        engine.infer(series(angles=np.arange(-60.0, 61, 6)), session, fallback="none")


def test_what_is_no_measurement_of_slices_is_refused():
    with pytest.raises(InvalidValue, match="expected a TiltSeries or a Tomogram, got a Micrograph"):
        semrt.infer("wedge", Micrograph(truth()[:, 0]))


# --- interrupted and resumed


class Stop(Exception):
    pass


def stop_after(slices):
    def watch(done, total, what):
        if done >= slices:
            raise Stop

    return watch


def interrupted(of, folder, slices=4, **options):
    with pytest.raises(Stop):
        semrt.infer("wedge", of, checkpoint=folder, threads=1, progress=stop_after(slices), **options)


def test_what_was_interrupted_goes_on_after_the_last_finished_slab(tmp_path, few):
    of = series(ny=8)
    whole = semrt.infer("wedge", of, threads=1)
    interrupted(of, tmp_path / "a.partial", 5)  # slabs of 2, 3 and 3 slices: within the second, or at its end
    assert len(json.loads((tmp_path / "a.partial" / "ledger.json").read_text())["slabs"]) in (1, 2)
    told = []
    found = semrt.infer("wedge", of, checkpoint=tmp_path / "a.partial", threads=1, progress=lambda *s: told.append(s))
    np.testing.assert_array_equal(found.density, whole.density)
    np.testing.assert_array_equal(found.inferred, whole.inferred)
    assert found.provenance["details"]["resumed_at_slice"] == min(done for done, _, _ in told) > 0
    assert told[-1] == (8, 8, "slice")
    assert found.provenance["details"]["unexplained"] == pytest.approx(whole.provenance["details"]["unexplained"])


def test_a_network_goes_on_too_and_tells_all_its_tiles(session, tmp_path, few):
    of = series(ny=8)
    whole = engine.infer(of, session, threads=1)
    with pytest.raises(Stop):
        engine.infer(of, session, threads=1, checkpoint=tmp_path / "c", progress=stop_after(5))
    found = engine.infer(of, session, threads=1, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(found.density, whole.density)
    assert found.provenance["tiling"] == whole.provenance["tiling"]
    assert found.provenance["details"]["resumed_at_slice"] in (2, 5)


def test_a_finished_checkpoint_gives_the_same_again(tmp_path, few):
    of = series(ny=8)
    first = semrt.infer("wedge", of, checkpoint=tmp_path / "c", threads=1)
    again = semrt.infer("wedge", of, checkpoint=tmp_path / "c", threads=1)
    np.testing.assert_array_equal(again.density, first.density)
    assert again.provenance["details"]["resumed_at_slice"] == 5  # the last slab alone was worked on again


@pytest.mark.parametrize("change", ["measurement", "angles", "option", "solver"])
def test_what_was_left_by_another_run_is_not_taken(tmp_path, change, few):
    of, options = series(ny=8), {"solver": "tv", "iterations": 10}
    interrupted(of, tmp_path / "c", 6, **options)
    if change == "measurement":
        changed = of.intensity.copy()
        changed[3, 0, 5] += 1
        of = dataclasses.replace(of, intensity=changed)
    elif change == "angles":
        of = dataclasses.replace(of, angles=ANGLES + 0.1)
    elif change == "option":
        options["iterations"] = 11
    else:
        options["solver"] = "sirt"
    found = semrt.infer("wedge", of, checkpoint=tmp_path / "c", threads=1, **options)
    assert "resumed_at_slice" not in found.provenance["details"]
    np.testing.assert_array_equal(found.density, semrt.infer("wedge", of, threads=1, **options).density)


@pytest.mark.parametrize("damage", ["ledger", "array", "gone"])
def test_a_damaged_checkpoint_is_begun_anew(tmp_path, damage, few):
    of = series(ny=8)
    interrupted(of, tmp_path / "c", 6)
    if damage == "ledger":
        (tmp_path / "c" / "ledger.json").write_text("{")
    elif damage == "array":
        (tmp_path / "c" / "density.npy").write_bytes((tmp_path / "c" / "density.npy").read_bytes()[:-1000])
    else:
        (tmp_path / "c" / "inferred.npy").unlink()
    found = semrt.infer("wedge", of, checkpoint=tmp_path / "c", threads=1)
    assert "resumed_at_slice" not in found.provenance["details"]
    np.testing.assert_array_equal(found.density, semrt.infer("wedge", of, threads=1).density)


def test_a_volume_of_one_slab_leaves_nothing_behind(tmp_path):
    semrt.infer("wedge", series(), checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_memory_is_the_same_whatever_the_number_of_slices(tmp_path, monkeypatch):
    side, peaks = 32, []
    monkeypatch.setattr(slabs, "AT_ONCE", 8)
    for n_slices in (64, 192):
        path = tmp_path / f"{n_slices}.raw"
        pixels = np.memmap(path, np.int16, "w+", shape=(len(ANGLES), n_slices, side))
        pixels[:, ::7, 10:20] = 30
        pixels.flush()
        mapped = np.memmap(path, np.int16, "r", shape=pixels.shape)
        of = OnDisk(mapped, 1, lambda part: TiltSeries(part, ANGLES))
        tracemalloc.start()
        found = semrt.infer("wedge", of, solver="sirt", iterations=2, checkpoint=tmp_path / f"{n_slices}")
        io.write(tmp_path / f"{n_slices}.mrc", found)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.shape == (side, n_slices, side)
        assert found.density[:, 7].max() > 1
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 4 * side * side * 192  # less than the volume, beside which lies what of it was inferred
