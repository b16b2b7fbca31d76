"""What `import semrt` costs: nothing that is not used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import semrt

HEAVY = ["cv2", "matplotlib", "numpy", "onnx", "onnxruntime", "scipy", "tifffile", "torch"]


def told_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_semrt_loads_no_package_but_its_own():
    loaded = f"import sys, semrt; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert told_by(loaded) == []


def test_importing_semrt_takes_less_than_twenty_milliseconds():
    code = "import time; t = time.perf_counter(); import semrt; print(time.perf_counter() - t)"
    assert min(float(told_by(code)[0]) for _ in range(5)) < 0.02


def test_opening_the_engine_loads_no_runtime():
    heavy = [name for name in HEAVY if name != "numpy"]
    code = f"import sys, semrt.api, semrt.io; print(*(name for name in {heavy} if name in sys.modules))"
    assert told_by(code) == []


def test_torch_is_imported_where_networks_are_fitted_or_checked_and_nowhere_else():
    """And those modules only when they are asked for, as the test above finds."""
    package = Path(semrt.__file__).parent
    importing = re.compile(r"^(?:    )?(?:import|from) torch\b", re.MULTILINE)  # four spaces: for type checkers alone
    users = {path for path in package.rglob("*.py") if importing.search(path.read_text(encoding="utf-8"))}
    users = {path.relative_to(package).as_posix() for path in users}
    fitted = {path for path in users if path.startswith("deep_image_prior/")}
    assert fitted
    backend = {f"backends/torch_{part}.py" for part in ("graph", "operators", "runners")}
    assert users - fitted == backend | {"tasks/dip.py"}


@pytest.mark.parametrize("name", semrt.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(semrt, name) is not None
    assert name in dir(semrt)


def test_a_name_that_semrt_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'inferr'"):
        semrt.inferr  # noqa: B018


def test_the_version_is_the_one_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert semrt.__version__ == project["project"]["version"]
