"""The semrt command as the tests call it, and sparse scans for it to work on."""

import sys

import numpy as np
from click.testing import CliRunner

from semrt import io
from semrt.cli import main
from semrt.data import SparseScan

SEMRT = [sys.executable, "-W", "error", "-m", "semrt.cli"]


def run(*arguments, **options):
    """The result of the command: exit_code, stdout, stderr."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


def fails(result, code, *words):
    """The command failed with this code and one line on stderr that says these words; nothing on stdout."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("semrt: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
    return True


def waves(shape=(40, 48)):
    """A smooth image, so that few samples say much of it; (ny, nx) float32 in [0, 1]."""
    y, x = np.indices(shape)
    return (0.5 + 0.25 * np.sin(y / 5) + 0.25 * np.cos(x / 7)).astype(np.float32)


def sparse(shape=(40, 48), coverage=0.2, seed=0, pixel_size=None):
    """A scan of the waves at random pixels."""
    visited = np.random.default_rng(seed).random(shape) < coverage
    return SparseScan(waves(shape), visited, pixel_size=pixel_size)


def written(path, scan=None, **more):
    """A file of a sparse scan.  more: keywords of io.write."""
    io.write(path, sparse() if scan is None else scan, **more)
    return path
