"""The manifest: one truth, kept whole on its way through a file, and refused when it is not the truth."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semrt.errors import InvalidOption, InvalidValue, ModelDamaged, ModelUnsuitable
from semrt.models import Manifest
from semrt.models.manifest import sha256_of
from tiny_models import box_graph, manifest_for, write_model

ONNX = box_graph()
FULL = {
    "domain": {"coverage": [0.01, 0.1], "largest_gap": 40.0, "patterns": ["spiral", "random"]},
    "variants": {
        "fp16": {"onnx": "box.fp16.onnx", "sha256": "0" * 64, "relative_rms": 2e-4, "dtypes": {"float16": 1.0}}
    },
    "training": {"seed": 7, "steps": 10_000},
    "figures": {"psnr": {"spiral": 31.5}},
    "normalisation": "mean 0, spread 1 over the visited pixels",
    "licence": "Apache-2.0",
    "batch": (1, 4),
}


def altered(folder, **changes):
    """Write changed entries into the manifest's file; an entry of None is left out."""
    path = folder / "semrt.json"
    entries = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}), encoding="utf-8")
    return folder


def test_a_manifest_comes_back_from_its_file_as_it_was_written(tmp_path):
    manifest = manifest_for(ONNX, **FULL)
    assert manifest.write(tmp_path / "µ model") == tmp_path / "µ model" / "semrt.json"
    assert Manifest.read(tmp_path / "µ model") == manifest
    assert [path.name for path in (tmp_path / "µ model").iterdir()] == ["semrt.json"]  # no partial file left


@settings(deadline=None, max_examples=30)
@given(
    name=st.text(min_size=1).filter(str.strip),
    multiple=st.integers(1, 64),
    tiles=st.integers(1, 16),
    channels=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8, unique=True),
    note=st.text(),
)
def test_any_manifest_comes_back_whatever_its_names(tmp_path_factory, name, multiple, tiles, channels, note):
    folder = tmp_path_factory.mktemp("model")
    manifest = manifest_for(
        ONNX, name=name, multiple=multiple, tile=tiles * multiple, halo=0, input_channels=tuple(channels), licence=note
    )
    manifest.write(folder)
    assert Manifest.read(folder) == manifest


def test_a_manifest_replaces_the_one_before_it(tmp_path):
    manifest_for(ONNX, version="1").write(tmp_path)
    manifest_for(ONNX, version="2").write(tmp_path)
    assert Manifest.read(tmp_path).version == "2"


def test_figures_that_json_cannot_hold_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InvalidValue, match="JSON can hold"):
        manifest_for(ONNX, figures={"psnr": float("nan")}).write(tmp_path)
    with pytest.raises(InvalidValue, match="JSON can hold"):
        manifest_for(ONNX, figures={"psnr": np.float32(31)}).write(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tile": "32"}, "tile"),
        ({"tile": True}, "tile"),
        ({"tile": 30}, "tile: expected a multiple of 4"),
        ({"halo": -1}, "halo"),
        ({"halo": 15}, "halo: expected at most 14 for tiles of 32"),
        ({"multiple": 0}, "multiple"),
        ({"batch": [2, 4]}, "batch"),
        ({"batch": [1, 4, 2]}, "batch"),
        ({"batch": 1}, "batch"),
        ({"name": " "}, "name"),
        ({"input_channels": []}, "input_channels"),
        ({"input_channels": "intensity"}, "input_channels"),
        ({"input_channels": ["a", "a"]}, "input_channels"),
        ({"sha256": "abc"}, "sha256"),
        ({"licence": 3}, "licence"),
        ({"domain": [1]}, "domain"),
        ({"domain": {"coverage": [0.2, 0.1]}}, "domain.coverage"),
        ({"domain": {"coverage": 0.1}}, "domain.coverage"),
        ({"domain": {"coverage": ["0", "1"]}}, "domain.coverage"),
        ({"domain": {"largest_gap": 0}}, "domain.largest_gap"),
        ({"domain": {"patterns": "spiral"}}, "domain.patterns"),
        ({"variants": {"fp16": {"onnx": "a.onnx"}}}, "variants.fp16.sha256"),
        ({"variants": {"fp16": "a.onnx"}}, "variants.fp16"),
        ({"variants": {"fp16": {"onnx": "../a.onnx", "sha256": "0" * 64}}}, "variants.fp16.onnx"),
    ],
)
def test_a_wrong_entry_is_named_in_one_line(tmp_path, changes, named):
    folder = altered(write_model(tmp_path), **changes)
    with pytest.raises(ModelDamaged, match=named) as caught:
        Manifest.read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../box.onnx",
        "/etc/passwd",
        "a/b.onnx",
        "..\\box.onnx",
        "C:\\box.onnx",
        "C:box.onnx",
        "box.onnx:s",
        "..",
        ".",
        "",
        "a\0",
    ],
)
def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path, name):
    folder = altered(write_model(tmp_path), onnx=name)
    with pytest.raises(ModelDamaged, match="onnx: expected the name of a file beside it"):
        Manifest.read(folder)


def test_a_misspelt_key_is_refused_with_the_right_one(tmp_path):
    with pytest.raises(ModelDamaged, match="key 'tiel' is unknown; did you mean 'tile'"):
        Manifest.read(altered(write_model(tmp_path), tiel=64))


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(ModelDamaged, match="none for halo"):
        Manifest.read(altered(write_model(tmp_path), halo=None))


def test_a_manifest_of_a_newer_semrt_asks_for_an_upgrade(tmp_path):
    with pytest.raises(ModelUnsuitable, match="schema 2 needs a newer semrt"):
        Manifest.read(altered(write_model(tmp_path), schema=2, unheard_of="entry"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "1"}', '{"schema": 1, "tile": NaN}', "\ud800"])
def test_what_is_no_manifest_is_a_damaged_model(tmp_path, text):
    (tmp_path / "semrt.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ModelDamaged, match=r"semrt\.json"):
        Manifest.read(tmp_path)


def test_a_folder_without_a_manifest_is_a_damaged_model(tmp_path):
    with pytest.raises(ModelDamaged, match="No such file"):
        Manifest.read(tmp_path / "nowhere")


def test_a_whole_model_verifies(tmp_path):
    onnx = box_graph()
    half = {"onnx": "half.onnx", "sha256": hashlib.sha256(b"half").hexdigest()}
    folder = write_model(tmp_path, onnx, variants={"fp16": half})
    (folder / "half.onnx").write_bytes(b"half")
    manifest = Manifest.read(folder)
    manifest.verify(folder)
    assert manifest.load(folder) == onnx
    assert manifest.load(folder, "fp16") == b"half"


@pytest.mark.parametrize("file", ["box.onnx", "half.onnx"])
def test_verify_names_the_file_that_changed_by_one_bit(tmp_path, file):
    folder = write_model(
        tmp_path, variants={"fp16": {"onnx": "half.onnx", "sha256": hashlib.sha256(b"half").hexdigest()}}
    )
    (folder / "half.onnx").write_bytes(b"half")
    path = folder / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelDamaged, match=file):
        Manifest.read(folder).verify(folder)


def test_verify_and_load_name_the_file_that_is_gone(tmp_path):
    folder = write_model(tmp_path)
    (folder / "box.onnx").unlink()
    manifest = Manifest.read(folder)
    for check in (manifest.verify, manifest.load):
        with pytest.raises(ModelDamaged, match=r"box\.onnx: the model is damaged \(No such file"):
            check(folder)


def test_a_precision_that_the_model_lacks_is_refused_with_those_it_has(tmp_path):
    folder = write_model(tmp_path)
    with pytest.raises(InvalidOption, match=r"precision 'fp16' is unknown; .*choose from: fp32"):
        Manifest.read(folder).load(folder, "fp16")


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "big"
    content = np.random.default_rng(0).bytes(3_000_001)
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_manifest_cannot_be_changed_after_it_was_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest_for(ONNX).tile = 7
