"""Whether wrong numbers are noticed: graphs in half precision with faults planted in them."""

import hashlib

import numpy as np
import pytest
from onnx import helper

from semrt import backends, engine
from semrt.backends import Device, open_session
from semrt.backends.gate import LIMITS, decibels_lost, judge
from semrt.backends.onnxruntime import open_onnxruntime
from semrt.errors import DeviceUnavailable, InvalidValue, ModelDamaged
from semrt.models import REFERENCE, Manifest, Reference
from semrt.tasks import find_task, measure_of
from semrt.tasks.column_finder import found_disks
from tiny_models import box_graph, graph, manifest_for


def tensors(*, target=True):
    rng = np.random.default_rng(0)
    channels = rng.standard_normal((2, 1, 16, 16)).astype(np.float16).astype(np.float32)
    padded = np.pad(channels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean = sum(padded[..., i : i + 16, j : j + 16] for i in range(3) for j in range(3)) / 9
    truth = mean + 0.1 * rng.standard_normal(mean.shape)
    return Reference(channels, mean.astype(np.float32), truth.astype(np.float32) if target else None)


def model(folder, variant, reference=None):
    """A model whose graph is the mean of 3 x 3 px, and whose fp16 variant is `variant`."""
    folder.mkdir(exist_ok=True)
    graph, changes = box_graph(), {}
    files = {"box.onnx": graph, "box.fp16.onnx": variant}
    if reference is not None:
        files[REFERENCE] = reference.to_bytes()
        changes["reference"] = {"file": REFERENCE, "sha256": hashlib.sha256(files[REFERENCE]).hexdigest()}
    half = {"onnx": "box.fp16.onnx", "sha256": hashlib.sha256(variant).hexdigest()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest_for(graph, variants={"fp16": half}, **changes).write(folder)
    return folder


def test_what_computes_the_same_passes_and_says_how_near_it_is(tmp_path):
    with open_session(model(tmp_path, box_graph(gain=1.001), tensors()), "cpu", precision="fp16") as session:
        # A thousandth too large everywhere: so is the root mean square of the difference.
        assert "compared with the reference: relative RMS 0.001, at most 0.01" in session.reason
        verdict = judge(session, tensors())
    assert verdict.passed
    assert verdict.relative_rms == pytest.approx(1e-3, rel=1e-2)
    assert verdict.limit == LIMITS["fp16"]
    assert abs(verdict.lost.amount) < 0.1


def test_a_graph_that_gives_other_numbers_is_refused_with_the_figures(tmp_path):
    folder = model(tmp_path, box_graph(gain=1.02), tensors())
    with pytest.raises(DeviceUnavailable, match=r"relative RMS 0\.02, at most 0\.01.*--precision fp32"):
        open_session(folder, "cpu", precision="fp16")
    with open_session(folder, "cpu") as session:  # the graph itself still serves
        assert session.reason == "cpu, as asked"


def test_numbers_near_enough_that_make_a_worse_image_are_refused(tmp_path):
    # The reference misses the truth by a thousandth, and half a per cent of difference is five times that.
    near = tensors()
    fine = Reference(near.channels, near.estimate, near.estimate * np.float32(1.001))
    folder = model(tmp_path, box_graph(gain=0.995), fine)
    with pytest.raises(DeviceUnavailable, match=r"error against the truth \+1\d dB"):
        open_session(folder, "cpu", precision="fp16")


def test_numbers_that_are_none_are_refused(tmp_path):
    folder = model(tmp_path, box_graph(gain=np.inf), tensors())
    with pytest.raises(DeviceUnavailable, match="NaN or infinity"):
        open_session(folder, "cpu", precision="fp16")


def test_the_truth_may_be_that_of_the_first_channels_alone():
    known = tensors()
    sigma = np.full_like(known.estimate, 0.3)
    both = Reference(known.channels, np.concatenate((known.estimate, sigma), axis=1), known.target)
    wrong = both.estimate.copy()
    wrong[:, 1] *= 2  # which the truth says nothing of
    assert decibels_lost(wrong, both).amount == 0
    error = np.square(known.estimate - known.target).mean()
    wrong[:, :1] = known.target + np.float32(2 * np.sqrt(error))
    assert decibels_lost(wrong, both).amount == pytest.approx(20 * np.log10(2), abs=1e-4)  # twice the error: 6.02 dB
    assert not decibels_lost(wrong, both).passed


# columns: what counts is which of them are found


def disk_map(faint):
    """Forty sharp disks and five faint ones, 16 px apart: (144, 80)."""
    y, x = np.mgrid[:144, :80]
    found = np.zeros((144, 80), np.float32)
    for number in range(45):
        row, column = divmod(number, 5)
        level = faint if number % 9 == 0 else 1.0
        apart = np.hypot(y - 8 - 16 * row, x - 8 - 16 * column)
        found += np.float32(level) * np.clip(4.5 - apart, 0, 1).astype(np.float32)
    return found.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def column_tensors():
    below, above = 0.1, 0.9
    for _ in range(12):  # how sharp a disk must be to be found
        level = (below + above) / 2
        below, above = (below, level) if len(found_disks(disk_map(level))) == 45 else (level, above)
    probability = disk_map(1.003 * above)
    clean = np.random.default_rng(0).standard_normal(probability.shape).astype(np.float16).astype(np.float32)
    channels = np.stack((probability, clean))[np.newaxis]
    return Reference(channels, channels.copy())


def column_model(folder, reference, variant_gains):
    """A network that hands its two channels on, and a variant that multiplies them by other numbers."""
    folder.mkdir(exist_ok=True)

    def passing(gains):
        node = helper.make_node("Conv", ["x", "w"], ["y"])
        return graph([node], {"w": np.diag(gains).astype(np.float32)[..., np.newaxis, np.newaxis]}, 2, 2)

    files = {"box.onnx": passing((1, 1)), "box.fp16.onnx": passing(variant_gains), REFERENCE: reference.to_bytes()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest_for(
        files["box.onnx"],
        task="columns",
        input_channels=("intensity", "contrast"),
        output_channels=("columns", "clean"),
        variants={"fp16": {"onnx": "box.fp16.onnx", "sha256": sha256["box.fp16.onnx"]}},
        reference={"file": REFERENCE, "sha256": sha256[REFERENCE]},
    ).write(folder)
    return folder


def test_a_map_a_little_too_low_everywhere_is_refused_for_the_columns_that_it_loses(tmp_path, column_tensors):
    assert len(found_disks(column_tensors.channels[0, 0])) == 45
    folder = column_model(tmp_path, column_tensors, (0.994, 1))
    with backends.open_session(folder, "cpu", precision="fp16") as session:  # the numbers alone pass
        verdict = judge(session, column_tensors, measure_of(find_task("columns")))
    assert verdict.relative_rms < 0.006 < verdict.limit
    # Five of 45 are gone: F1 = 2 * 40 / (40 + 45), which lacks 1/17.
    assert verdict.lost.amount == pytest.approx(1 / 17)
    assert not verdict.passed
    with pytest.raises(DeviceUnavailable, match=r"F1 of the reference's 45 columns lower by 0\.059, at most 0\.002"):
        engine.open_session(folder, "cpu", precision="fp16")


def test_a_map_with_all_its_columns_is_refused_for_numbers_that_are_wrong_elsewhere(tmp_path, column_tensors):
    folder = column_model(tmp_path, column_tensors, (1, 1.05))
    with pytest.raises(DeviceUnavailable, match=r"relative RMS 0\.0\d+, at most 0\.01; F1 .* lower by 0, at most"):
        engine.open_session(folder, "cpu", precision="fp16")


def test_a_map_near_enough_with_all_its_columns_passes(tmp_path, column_tensors):
    folder = column_model(tmp_path, column_tensors, (1.002, 0.998))
    with engine.open_session(folder, "cpu", precision="fp16") as session:
        assert "F1 of the reference's 45 columns lower by 0, at most 0.002" in session.reason


def test_columns_that_moved_or_that_are_not_there_count_against_a_map(column_tensors):
    lost = measure_of(find_task("columns"))
    moved = np.roll(column_tensors.estimate, 2, axis=-1)
    assert lost(moved, column_tensors).amount > 0.9
    half = Reference(column_tensors.channels, column_tensors.estimate * np.float32(0.2))
    assert lost(column_tensors.estimate, half).amount == 1  # ghosts alone
    assert lost(half.estimate, half).amount == 0  # none wanted, none found


def open_wrong(folder, manifest, device, **settings):
    """Stands for an accelerator whose numbers are two per cent too large."""
    session = open_onnxruntime(folder, manifest, Device("cpu"), **{**settings, "precision": "fp16"})
    session.device, session.precision = str(device), "fp32"
    return session


def test_auto_goes_on_to_what_passes_and_says_why(tmp_path, monkeypatch):
    folder = model(tmp_path, box_graph(gain=1.02), tensors())
    monkeypatch.setitem(backends.BACKENDS, "cuda", f"{__name__}:open_wrong")
    with open_session(folder) as session:
        assert session.device == "cpu"
        assert "'cuda:0' cannot be used: box in fp32 gives other numbers than it should" in session.reason
    with pytest.raises(DeviceUnavailable, match=r"at most 0\.0001.*--device cpu"):
        open_session(folder, "cuda")


def test_a_model_without_test_tensors_says_that_it_was_not_compared(tmp_path):
    with open_session(model(tmp_path, box_graph(gain=3)), "cpu", precision="fp16") as session:
        assert "not compared" in session.reason
    assert Reference.read(tmp_path, Manifest.read(tmp_path)) is None


def test_tensors_come_back_as_they_were(tmp_path):
    for target in (True, False):
        kept = tensors(target=target)
        folder = model(tmp_path, box_graph(), kept)
        again = Reference.read(folder, Manifest.read(folder))
        assert np.array_equal(again.channels, kept.channels)
        assert np.array_equal(again.estimate, kept.estimate)
        assert (again.target is not None) == target
        Manifest.read(folder).verify(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"])
def test_damaged_tensors_are_told_of(tmp_path, content):
    folder = model(tmp_path, box_graph(), tensors())
    (folder / REFERENCE).write_bytes(content)
    manifest = Manifest.read(folder)
    for check in (lambda: Reference.read(folder, manifest), lambda: manifest.verify(folder)):
        with pytest.raises(ModelDamaged, match=r"reference\.npz.*sha256"):
            check()
    (folder / REFERENCE).unlink()
    with pytest.raises(ModelDamaged, match=r"reference\.npz"):
        Reference.read(folder, manifest)


def test_tensors_of_another_kind_are_told_of_though_their_hash_is_right(tmp_path):
    folder = model(tmp_path, box_graph(), tensors())
    content = b"PK\x03\x04 no archive"
    (folder / REFERENCE).write_bytes(content)
    told = {"file": REFERENCE, "sha256": hashlib.sha256(content).hexdigest()}
    with pytest.raises(ModelDamaged, match=r"reference\.npz"):
        Reference.read(folder, manifest_for(box_graph(), reference=told))


def test_a_manifest_must_say_where_the_tensors_are():
    with pytest.raises(InvalidValue, match=r"reference\.sha256"):
        manifest_for(box_graph(), reference={"file": REFERENCE})
    with pytest.raises(InvalidValue, match=r"reference\.file"):
        manifest_for(box_graph(), reference={"file": "../elsewhere", "sha256": "0" * 64})


@pytest.mark.parametrize("name", ["infill", "columns", "wedge"])
def test_every_shipped_variant_passes(name):
    from semrt.models import find

    manifest = Manifest.read(find(name))
    reference = Reference.read(find(name), manifest)
    for precision in ("fp32", *manifest.variants):
        with engine.open_session(name, "cpu", precision=precision) as session:
            verdict = judge(session, reference, measure_of(find_task(manifest.task)))
            assert verdict.passed, verdict.why
            assert verdict.relative_rms < {"fp32": 1e-5, "fp16": 2e-3, "int8": LIMITS["int8"]}[precision]
