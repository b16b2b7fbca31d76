"""Whether wrong numbers are noticed: graphs in half precision with faults planted in them."""

import hashlib

import numpy as np
import pytest

from semrt import backends
from semrt.backends import Device, open_session
from semrt.backends.gate import LIMITS, judge
from semrt.backends.onnxruntime import open_onnxruntime
from semrt.errors import DeviceUnavailable, InvalidValue, ModelDamaged
from semrt.models import REFERENCE, Manifest, Reference
from tiny_models import box_graph, manifest_for


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
    assert abs(verdict.lost) < 0.1


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
        with open_session(name, "cpu", precision=precision) as session:
            verdict = judge(session, reference)
            assert verdict.passed, verdict.why
            assert verdict.relative_rms < (1e-5 if precision == "fp32" else 2e-3)
