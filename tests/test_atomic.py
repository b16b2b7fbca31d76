import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from semrt import io
from semrt.data import Micrograph
from semrt.errors import InvalidValue, OutputExists, OutputNotWritable
from semrt.io import replacing, write_json


def test_the_output_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new folder µ" / "deeper" / "a.tif"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tif"
        assert temporary.name.startswith(".")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, MemoryError, SystemExit])
@pytest.mark.parametrize("before", [None, b"earlier"])
def test_a_failure_leaves_everything_as_it_was(failure, before, tmp_path):
    path = tmp_path / "a.tif"
    if before is not None:
        path.write_bytes(before)

    def fail_halfway():
        with replacing(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        fail_halfway()
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([] if before is None else [before])


def test_an_existing_output_is_refused_before_the_work(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"earlier")
    worked = False
    with pytest.raises(OutputExists, match=r"to replace it, or choose another output with -o$"), replacing(path):
        worked = True
    assert not worked
    assert path.read_bytes() == b"earlier"


def test_an_output_that_appeared_during_the_work_is_not_replaced(tmp_path):
    path = tmp_path / "a.tif"
    somebody_else = b"somebody else's"

    def be_overtaken():
        with replacing(path) as temporary:
            temporary.write_bytes(b"mine")
            path.write_bytes(somebody_else)

    with pytest.raises(OutputExists):
        be_overtaken()
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [somebody_else]


def test_an_output_is_replaced_when_asked(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    write_json(path, 2, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_not_replaced_by_a_file(overwrite, tmp_path):
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(OutputNotWritable, match="folder"):
        io.write(tmp_path / "a.tif", Micrograph(np.zeros((2, 2))), overwrite=overwrite)


def test_a_file_where_a_folder_is_wanted_is_named(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputNotWritable, match=r"out.a\.tif: cannot be written .*; choose another output") as refused:
        io.write(tmp_path / "out" / "a.tif", Micrograph(np.zeros((2, 2))))
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write to")
def test_a_folder_that_takes_no_files_is_not_writable():
    with pytest.raises(OutputNotWritable), replacing("/proc/self/a.tif"):
        pytest.fail("the work began all the same")


def test_a_folder_is_found_to_be_writable_or_not_without_a_trace(tmp_path):
    with pytest.raises(OutputNotWritable, match="results: cannot be written"):
        io.check_writable(tmp_path / ("a" * 300) / "results")
    io.check_writable(tmp_path / "not yet" / "there")
    io.check_writable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_longer_than_the_file_system_allows_is_an_output_error_and_one_as_long_as_it_allows_is_not(tmp_path):
    with pytest.raises(OutputNotWritable):
        write_json(tmp_path / ("a" * 300 + ".json"), 1)
    write_json(tmp_path / ("a" * 250 + ".json"), 1)


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by setrlimit")
@pytest.mark.parametrize("suffix", [".tif", ".mrc", ".npy", ".npz", ".png"])
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(suffix, tmp_path):
    program = """
import resource, signal, sys
import numpy as np
from semrt import io
from semrt.data import Micrograph
from semrt.errors import OutputNotWritable
image = Micrograph(np.random.default_rng(0).random((256, 256)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    io.write(sys.argv[1], image)
except OutputNotWritable as why:
    print(why)
"""
    target = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(target)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith(f"{target}: cannot be written (")
    assert "File too large" in done.stdout or "is the disk full?" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_json_is_sorted_utf8_and_holds_what_numpy_and_pathlib_hold(tmp_path):
    content = {
        "µ": np.float32(0.5),
        "b": np.arange(3, dtype=np.uint16),
        "a": (np.int64(7), np.bool_(True), None),
        "path": Path("x.tif"),
        "worst": [float("nan"), np.float64("inf")],
        3: {"nested": np.array([[np.nan, 1.0]])},
    }
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_bytes().decode("utf-8")
    assert json.loads(text) == {
        "µ": 0.5,
        "b": [0, 1, 2],
        "a": [7, True, None],
        "path": "x.tif",
        "worst": [None, None],
        "3": {"nested": [[None, 1.0]]},
    }
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "µ" in text
    assert text.endswith("}\n")


def test_what_json_has_no_word_for_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InvalidValue, match="complex"):
        write_json(tmp_path / "a.json", {"z": 1j})
    assert list(tmp_path.iterdir()) == []
