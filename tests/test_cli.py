"""The semrt command as people type it: its parts, its help, its errors and its exit codes."""

import json
import os
import subprocess
import sys

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrt
from command import SEMRT, fails, run
from semrt.cli import COMMANDS, _values
from semrt.cli._failures import tell
from semrt.cli._values import coverage_text, length_text, pixel_size, settings_of
from semrt.errors import InvalidOption

PYTHON = [sys.executable, "-W", "error"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_with_a_summary_and_has_help(name):
    listed = {line.split()[0]: line.split()[1:] for line in run("--help").stdout.splitlines() if line.startswith("  ")}
    assert len(listed[name]) > 1
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: semrt {name}")


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout == f"semrt {semrt.__version__}\n"


def test_an_unknown_command_is_refused_and_the_nearest_proposed():
    assert fails(run("infre"), 2, "'infre'", "did you mean 'infer'?")


def test_an_unknown_option_is_refused():
    assert fails(run("infer", "kriging", "x.tif", "--colour"), 2, "--colour")


def test_a_missing_argument_is_a_usage_error():
    assert fails(run("infer"), 2, "MODEL")


def test_no_command_shows_the_help():
    result = run()
    assert "Commands:" in result.output


def test_the_traceback_is_shown_only_when_asked():
    arguments = ("info", "nowhere.tif")
    assert fails(run(*arguments), 3, "nowhere.tif")
    debugged = run(*arguments, env={"SEMRT_DEBUG": "1"})
    assert "Traceback" in debugged.stderr
    assert debugged.exit_code == 3


def test_help_loads_neither_numpy_nor_anything_heavier():
    code = "import sys; from semrt.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    loaded = subprocess.run([*PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    assert not {"numpy", "cv2", "onnxruntime", "torch", "rich", "tifffile", "matplotlib"} & set(loaded.split())


def an_installed_command(folder, body, target="added:hello"):
    """Lay out a distribution that adds the command `hello`, as pip would."""
    (folder / "added.py").write_text(body)
    metadata = folder / "added-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[semrt.commands]\nhello = {target}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}


def test_an_installed_distribution_adds_its_command(tmp_path):
    body = "import click\n@click.command(short_help='Greets.')\ndef hello():\n    click.echo('hello')\n"
    environment = an_installed_command(tmp_path, body)
    listed = subprocess.run([*SEMRT, "--help"], capture_output=True, text=True, env=environment, check=True).stdout
    assert "Greets." in listed
    greeted = subprocess.run([*SEMRT, "hello"], capture_output=True, text=True, env=environment, check=True).stdout
    assert greeted == "hello\n"


def test_an_added_command_is_not_imported_for_another(tmp_path):
    environment = an_installed_command(tmp_path, "raise RuntimeError('imported')\n")
    result = subprocess.run([*SEMRT, "models", "list"], capture_output=True, text=True, env=environment, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_added_command_without_its_packages_says_what_to_install(tmp_path):
    environment = an_installed_command(tmp_path, "import no_such_package\n")
    listed = subprocess.run([*SEMRT, "--help"], capture_output=True, text=True, env=environment, check=True).stdout
    assert "semrt[export]" in listed
    result = subprocess.run([*SEMRT, "hello", "--x"], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 5
    assert result.stderr.startswith("semrt: semrt hello needs no_such_package")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 6, "out of memory on the host"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 5, 'pip install "semrt[export]"'),
        (ModuleNotFoundError("No module named 'onnx.helper'", name="onnx.helper"), 5, "needs onnx"),
        (ValueError("two\nlines"), 1, "unexpected ValueError: two lines; set SEMRT_DEBUG=1"),
        (InvalidOption("tile: too small"), 2, "tile: too small"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_failure_is_one_line_with_its_exit_code(capsys, error, code, words):
    assert tell(error) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert words in told.err


@pytest.mark.parametrize("typed", ["0.02", "-1nm", "0nm", "nm", "much"])
def test_a_pixel_size_without_a_unit_or_not_above_zero_is_refused(typed):
    with pytest.raises(click.BadParameter, match="a length with its unit"):
        pixel_size(typed)


@pytest.mark.parametrize(("typed", "shape"), [("512x256", (512, 256)), ("512", (512, 512)), ("5 × 7", (5, 7))])
def test_a_shape_is_rows_by_columns(typed, shape):
    assert _values.shape(typed) == shape


@pytest.mark.parametrize("typed", ["0x5", "5x0", "x", "-5", "5x5x5", "1e3", ""])
def test_a_shape_without_pixels_is_refused(typed):
    with pytest.raises(click.BadParameter):
        _values.shape(typed)


@pytest.mark.parametrize(("typed", "share"), [("1/20", 0.05), ("0.05", 0.05), ("5%", 0.05), ("1", 1.0), ("5e-2", 0.05)])
def test_a_coverage_is_a_fraction_however_it_is_written(typed, share):
    assert _values.coverage(typed) == share


@pytest.mark.parametrize("typed", ["0", "1.1", "-1/20", "1/0", "101%", "nan", "inf", "many", ""])
def test_a_coverage_outside_0_to_1_is_refused(typed):
    with pytest.raises(click.BadParameter):
        _values.coverage(typed)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("true", True),
        ("off", False),
        ("12", 12),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("linear", "linear"),
        ("1, 2.5", (1, 2.5)),
    ],
)
def test_a_setting_has_the_kind_that_it_looks_like(typed, value):
    got = settings_of([f"name = {typed}"])
    assert got == {"name": value}
    assert type(got["name"]) is type(value)


@pytest.mark.parametrize("pair", ["name", "name=", "=3", "="])
def test_a_setting_without_name_or_value_is_refused(pair):
    with pytest.raises(InvalidOption, match="expected NAME=VALUE"):
        settings_of([pair])


@settings(deadline=None, max_examples=100)
@given(st.floats(1e-3, 1e6))
def test_a_length_that_is_printed_is_read_back(nanometres):
    assert pixel_size(length_text(nanometres)) == pytest.approx((nanometres,) * 2, rel=1e-3)


def test_a_coverage_is_printed_both_ways():
    assert coverage_text(0.05) == "5.00 % (1/20.0)"


def test_models_list_names_the_method_that_needs_no_network():
    listed = json.loads(run("models", "list", "--json").stdout)
    assert listed["kriging"]["summary"].startswith("no network")


def test_a_model_that_is_unknown_is_refused_and_the_nearest_proposed():
    assert fails(run("models", "show", "krigin"), 4, "'krigin'")
