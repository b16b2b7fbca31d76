"""Benchmarks whose figures the README quotes still run, of those that need no other packages than tests do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("engine.py", ("--quick", "--part", "overhead"), "gaps for cross-validation"),
        ("kernels.py", ("--quick", "--part", "distance"), "distance_to_sample"),
        ("infill.py", ("--quick", "--count", "1", "--side", "96"), "90 % intervals"),
        ("infill_realism.py", ("--count", "1", "--side", "96"), "infill + noise"),
        (
            "devices.py",
            ("--quick", "--model", "infill", "--device", "cpu", "--side", "64", "--batch", "2"),
            "and 16 of them in one call",
        ),
        ("endurance.py", ("--help",), "memory"),
        ("live.py", ("--help",), "--coverage"),
        ("scan_plan.py", ("--help",), "--dose"),
    ],
)
def test_a_small_run_prints_its_table(name, options, told):
    search = os.pathsep.join([str(BENCHMARKS), *filter(None, sys.path)])
    command = [sys.executable, str(BENCHMARKS / name), *options]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert told in done.stdout
