"""The house rules, checked by the tools that keep them: style, types, layers, formatting."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = sorted(str(path) for path in (ROOT / "csrc").rglob("*.[ch]pp"))
CHECKS = {
    "ruff finds nothing": ["-m", "ruff", "check", "."],
    "ruff would format nothing": ["-m", "ruff", "format", "--check", "."],
    "the runtime is typed strictly": ["-m", "mypy"],
}


@pytest.mark.parametrize("arguments", CHECKS.values(), ids=CHECKS.keys())
def test_the_code_keeps_the_house_rules(arguments):
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_clang_format_would_format_nothing():
    command = [shutil.which("clang-format"), "--dry-run", "--Werror", *CPP]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_layer_knows_only_those_below_it():
    command = [shutil.which("lint-imports"), "--no-cache"]  # a process of its own: it reconfigures logging
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_kernels_give_a_type_the_same_name():
    """Two of one name are one to the linker, whatever they hold; those of an unnamed namespace are a file's own."""
    homes = {}
    for path in sorted((ROOT / "csrc" / "kernels").iterdir()):
        named = True
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("namespace {"):
                named = False
            elif line == "}  // namespace":
                named = True
            elif named and (found := re.match(r"(?:struct|class) (\w+)[^;]*\{", line)):
                homes.setdefault(found[1], []).append(path.name)
    assert len(homes) > 30
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
