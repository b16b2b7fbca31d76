"""Which files a command reads, and what it calls those it writes."""

import pytest

from semrt import io
from semrt.errors import InputNotFound, InvalidOption, UnreadableFile


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["s10.tif", "s2.TIF", "S1.tif", "notes.txt", ".hidden.tif", "run.semrt.json", "below/s3.png", "old.tif"]
    for name in [*names, "old.semrt.json", "old_error.tif", "old_preview.png", "µ [1].tif", "below/deep/s4.mrc"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(paths):
    return [path.as_posix() for path in paths]


def test_a_folder_stands_for_its_images_in_natural_order_without_what_semrt_wrote(folder):
    assert names(io.expand_inputs(["."])) == ["S1.tif", "s2.TIF", "s10.tif", "µ [1].tif"]
    assert names(io.expand_inputs(["below"], recursive=True)) == ["below/deep/s4.mrc", "below/s3.png"]


def test_patterns_are_expanded_for_shells_that_do_not(folder):
    assert names(io.expand_inputs(["s*.tif", "b*/*.png"])) == ["s10.tif", "below/s3.png"]
    assert names(io.expand_inputs(["**/*.mrc"])) == ["below/deep/s4.mrc"]
    assert names(io.expand_inputs(["s*"])) == ["s2.TIF", "s10.tif"]
    assert names(io.expand_inputs(["n*.txt"])) == ["notes.txt"]  # to be refused by read, which lists the known formats


def test_brackets_in_a_name_are_taken_literally_where_such_a_file_exists(folder):
    assert names(io.expand_inputs(["µ [1].tif"])) == ["µ [1].tif"]
    (folder / "set [a]").mkdir()
    (folder / "set [a]" / "x.npy").touch()
    assert names(io.expand_inputs(["set [a]/*.npy"])) == ["set [a]/x.npy"]
    assert names(io.expand_inputs(["s[12].[tT][iI][fF]"])) == ["s2.TIF"]


def test_each_input_comes_once_and_in_the_order_given(folder):
    given_ = ["s10.tif", "s2.TIF", str(folder / "s10.tif"), "."]
    assert names(io.expand_inputs(given_)) == ["s10.tif", "s2.TIF", "S1.tif", "µ [1].tif"]


@pytest.mark.parametrize("nothing", ["missing.tif", "*.npz", "missing/*.tif", "empty"])
def test_an_input_that_stands_for_nothing_is_an_error(nothing, folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputNotFound, match=nothing.replace("*", r"\*")):
        io.expand_inputs(["s10.tif", nothing])


@pytest.mark.parametrize(
    ("source", "suffix", "expected"),
    [
        ("in/a.tif", None, "out/a_infill.tif"),
        ("in/a.MRC", None, "out/a_infill.mrc"),
        ("in/a.ome.tif", None, "out/a_infill.tif"),
        ("in/a.b.npz", None, "out/a.b_infill.npz"),
        ("in/a.png", None, "out/a_infill.tif"),  # a PNG would round what was measured
        ("in/a.csv", None, "out/a_infill.tif"),
        ("in/a.tif", ".png", "out/a_infill.png"),
    ],
)
def test_an_output_is_named_after_its_input_and_the_model(source, suffix, expected):
    assert io.output_path(source, "infill", "out", suffix).as_posix() == expected


def test_a_single_input_may_name_its_output_file(tmp_path):
    assert io.output_path("a.tif", "infill", "b.npz").as_posix() == "b.npz"
    (tmp_path / "folder.tif").mkdir()
    assert io.output_path("a.tif", "infill", tmp_path / "folder.tif") == tmp_path / "folder.tif" / "a_infill.tif"
    with pytest.raises(InvalidOption, match="2 inputs"):
        io.output_paths(["a.tif", "b.tif"], "infill", "c.tif")


def test_an_output_is_never_an_input(tmp_path):
    source = tmp_path / "a.tif"
    source.touch()
    (tmp_path / "link.tif").symlink_to(source)
    for out in (source, tmp_path / "." / "a.tif", tmp_path / "link.tif"):
        with pytest.raises(InvalidOption, match="is the input"):
            io.output_path(source, "infill", out)
    with pytest.raises(InvalidOption, match="one of the inputs"):
        io.output_paths([source, tmp_path / "a_infill.tif"], "infill", tmp_path)


def test_two_inputs_of_one_stem_are_refused_by_name():
    with pytest.raises(InvalidOption, match=r"x/a\.tif and y/A\.png"):
        io.output_paths(["x/a.tif", "y/A.png"], "infill", "out")
    batch = io.output_paths(["x/a.tif", "x/b.tif"], "infill", "out")
    assert names(batch.values()) == ["out/a_infill.tif", "out/b_infill.tif"]


@pytest.mark.parametrize("suffix", [".jpg", ".csv"])
def test_an_output_format_that_holds_no_image_is_refused_with_those_that_do(suffix):
    with pytest.raises(InvalidOption, match=rf"'\{suffix}' is unknown;.*\.tif"):
        io.output_path("a.tif", "infill", "out", suffix)


@pytest.mark.parametrize("name", ["out.jpg", "out.H5", "out.zip"])
def test_an_output_whose_name_is_that_of_a_file_of_another_format_is_no_folder_unless_it_is_there(tmp_path, name):
    with pytest.raises(InvalidOption, match=rf"'\{name[3:]}' is unknown;.*\.tif"):
        io.output_path("a.tif", "infill", tmp_path / name)
    with pytest.raises(InvalidOption, match=rf"'\{name[3:]}' is unknown; choose from: \.csv"):
        io.output_paths(["a.tif", "b.tif"], "columns", tmp_path / name, formats=(".csv",))
    (tmp_path / name).mkdir()
    assert io.output_path("a.tif", "infill", tmp_path / name) == tmp_path / name / "a_infill.tif"
    assert io.output_path("a.tif", "infill", "series 2.5").as_posix() == "series 2.5/a_infill.tif"


def test_an_output_file_of_another_format_than_asked_is_refused():
    with pytest.raises(InvalidOption, match=r"b\.npz: is not of the format \.png"):
        io.output_path("a.tif", "infill", "b.npz", ".png")


def test_a_name_that_no_file_system_allows_is_an_unreadable_input():
    with pytest.raises(UnreadableFile, match="too long"):
        io.expand_inputs(["a" * 300 + ".tif"])
