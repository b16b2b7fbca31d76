"""The registry: a name means one folder, and a name that means none is answered with the nearest."""

import os

import pytest

from semrt import models
from semrt.errors import ModelNotFound
from tiny_models import write_model


@pytest.fixture
def no_search_path(monkeypatch):
    monkeypatch.delenv("SEMRT_MODELS", raising=False)


@pytest.mark.parametrize("name", sorted(models.shipped()))
def test_every_shipped_model_is_found_by_name_and_verifies(name):
    folder = models.find(name)
    manifest = models.Manifest.read(folder)
    assert manifest.name == name == folder.name
    manifest.verify(folder)


@pytest.mark.usefixtures("no_search_path")
def test_a_path_to_a_folder_or_its_manifest_is_a_model(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "my model").resolve()
    monkeypatch.chdir(tmp_path)
    for path in (folder, str(folder), "my model", "./my model", folder / "semrt.json"):
        assert models.find(path) == folder


def test_names_are_looked_up_in_each_folder_of_the_search_path(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    shared = write_model(first / "shared").resolve()
    write_model(second / "shared")
    only = write_model(second / "only").resolve()
    (second / "no model").mkdir()
    monkeypatch.setenv("SEMRT_MODELS", os.pathsep.join([str(first), "", str(second), str(tmp_path / "gone")]))
    assert models.find("shared") == shared  # the first one counts, as in PATH
    assert models.find("only") == only
    assert set(models.available()) - set(models.shipped()) == {"shared", "only"}


def test_a_name_stands_for_the_registered_model_whatever_lies_in_the_working_directory(tmp_path, monkeypatch):
    registered = write_model(tmp_path / "registered" / "box").resolve()
    here = write_model(tmp_path / "here" / "box").resolve()
    monkeypatch.setenv("SEMRT_MODELS", str(registered.parent))
    monkeypatch.chdir(here.parent)
    assert models.find("box") == registered
    assert models.find("./box") == here


def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path, monkeypatch):
    write_model(tmp_path / "columns-fine")
    monkeypatch.setenv("SEMRT_MODELS", str(tmp_path))
    with pytest.raises(ModelNotFound, match="'column-fine' not found; did you mean 'columns-fine'") as caught:
        models.find("column-fine")
    assert caught.value.exit_code == 4
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.usefixtures("no_search_path")
@pytest.mark.parametrize("name", ["", ".", "nowhere/at all", "a\nb"])
def test_what_is_no_model_is_not_found(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound):
        models.find(name)
