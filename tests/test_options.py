"""Options by keyword: their names and kinds are those of the functions that take them."""

import numpy as np
import pytest

import semrt
import toy_solvers
from command import fails, run, sparse, written
from semrt.engine.options import check_options, chosen_for
from semrt.errors import InvalidOption
from semrt.tasks import TASKS


def solve(measured, *, denoise: bool = False, iterations: int = 5, rate: float | None = None, n_threads: int = 1):
    return denoise, iterations, rate, n_threads


def other(measured, *, kernel: "str" = "box", sides: "tuple[int, ...]" = (1,), free=None, rate: "float" = 0.5):
    return kernel, sides, free, rate


RIGHT = [
    {"denoise": True},
    {"denoise": np.False_},
    {"iterations": 3},
    {"iterations": np.int64(3)},
    {"rate": 1},
    {"rate": 0.5},
    {"rate": np.float32(0.5)},
    {"kernel": "gauss"},
    {"sides": "whatever, for its annotation is none of the plain ones"},
    {"free": object()},
]
WRONG = [
    ({"denoise": 1}, "option 'denoise': expected true or false, got 1$"),
    ({"denoise": "maybe"}, "option 'denoise': expected true or false, got 'maybe'"),
    ({"iterations": 2.5}, "option 'iterations': expected a whole number, got 2.5"),
    ({"iterations": True}, "option 'iterations': expected a whole number, got True"),
    ({"iterations": None}, "option 'iterations': expected a whole number, got None"),
    ({"rate": "fast"}, "option 'rate': expected a number or none, got 'fast'"),
    ({"rate": None}, "option 'rate': expected a number, got None"),  # one of the two functions takes none
    ({"kernel": 5}, "option 'kernel': expected a word, got 5"),
    ({"kernel": ("a", "b")}, "option 'kernel': expected a word, got"),
    ({"kernal": "box"}, "option 'kernal' is unknown; did you mean 'kernel'"),
    ({"n_threads": 2}, "option 'n_threads' is unknown"),
]


@pytest.mark.parametrize("options", RIGHT)
def test_a_value_of_the_right_kind_passes(options):
    check_options("toy", options, solve, other)


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_a_value_of_another_kind_is_told_in_a_line(options, message):
    with pytest.raises(InvalidOption, match=f"^toy: {message}"):
        check_options("toy", options, solve, other)


def test_each_function_is_given_what_it_names():
    options = {"denoise": True, "kernel": "gauss", "rate": 0.25}
    assert solve(None, **chosen_for(solve, options, n_threads=4)) == (True, 5, 0.25, 4)
    assert other(None, **chosen_for(other, options, n_threads=4)) == ("gauss", (1,), None, 0.25)


def test_the_command_line_refuses_a_value_of_another_kind(tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "heat", f"{toy_solvers.__name__}:Heat")
    scan = written(tmp_path / "s.npz")
    for value, wanted in (
        ("iterations=few", "a whole number"),
        ("iterations=2.5", "a whole number"),
        ("pause=on", "a number"),
    ):
        refused = run("infer", "heat", scan, "-o", tmp_path, "--set", value)
        assert fails(refused, 2, f"heat: option '{value.partition('=')[0]}': expected {wanted}, got ")
    with pytest.raises(InvalidOption, match="kriging: option 'denoise': expected true or false, got 'yes'"):
        semrt.infer("kriging", sparse(), denoise="yes")
