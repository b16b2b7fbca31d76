"""The folder of engines: what comes back is what was written, or nothing; nobody else's folder is used."""

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from semrt.backends import engine_cache
from semrt.backends.engine_cache import Busy, EngineCache, default_folder, key_of
from semrt.backends.tensorrt_toolchain import Graph, Recipe, profiles_of
from semrt.errors import CacheUnusable
from standin_toolchain import Standin
from tiny_models import box_graph, manifest_for

KEY, OTHER = "a" * 64, "b" * 64
posix = pytest.mark.skipif(sys.platform == "win32", reason="access lists there, no modes")


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines µ")


def put(cache, content=b"engine" * 1000, key=KEY, **meta):
    with cache.lock(key):
        return cache.store(key, content, {"model": "box"} | meta)


def files(cache):
    return sorted(path.name.removeprefix(KEY) for path in cache.folder.iterdir())


def test_what_was_stored_comes_back(cache):
    path = put(cache, when="today")
    kept = cache.load(KEY)
    assert (kept.content, kept.meta) == (b"engine" * 1000, {"model": "box", "when": "today"})
    assert path.read_bytes() == kept.content
    assert cache.load(OTHER) is None


def test_an_empty_cache_is_no_fault_and_makes_no_folder(cache):
    assert cache.load(KEY) is None
    assert cache.entries() == []
    assert cache.clear() == (0, 0)
    assert not cache.folder.exists()


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def sidecar(cache, change):
    told = json.loads((cache.folder / f"{KEY}.json").read_text())
    change(told)
    (cache.folder / f"{KEY}.json").write_text(json.dumps(told))


DAMAGE = {
    "a bit of the engine": lambda cache: flip(cache.path(KEY), 3000),
    "the end of the engine": lambda cache: os.truncate(cache.path(KEY), 5999),
    "all of the engine": lambda cache: os.truncate(cache.path(KEY), 0),
    "the engine's file": lambda cache: cache.path(KEY).unlink(),
    "half of the sidecar": lambda cache: os.truncate(cache.folder / f"{KEY}.json", 100),
    "all of the sidecar": lambda cache: os.truncate(cache.folder / f"{KEY}.json", 0),
    "the sidecar's file": lambda cache: (cache.folder / f"{KEY}.json").unlink(),
    "a sidecar that is no object": lambda cache: (cache.folder / f"{KEY}.json").write_text("[1, 2]"),
    "a sidecar without end": lambda cache: (cache.folder / f"{KEY}.json").write_text("[" * 100_000),
    "a sidecar that is no text": lambda cache: (cache.folder / f"{KEY}.json").write_bytes(b"\xff\xfe\x00"),
    "the hash": lambda cache: sidecar(cache, lambda told: told.update(sha256="0" * 64)),
    "the key, as of a renamed engine": lambda cache: sidecar(cache, lambda told: told.update(key=OTHER)),
    "the schema": lambda cache: sidecar(cache, lambda told: told.update(schema=engine_cache.SCHEMA + 1)),
    "what it says": lambda cache: sidecar(cache, lambda told: told.pop("meta")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_damaged_counts_as_not_there_and_is_removed(cache, damage):
    put(cache)
    damage(cache)
    assert cache.load(KEY) is None
    assert files(cache) == [".lock"]
    put(cache, b"again")
    assert cache.load(KEY).content == b"again"


def test_an_engine_that_is_just_being_written_is_not_taken_for_damage(cache):
    put(cache)
    (cache.folder / f"{KEY}.json").unlink()  # what a store does first
    with cache.lock(KEY):
        assert cache.load(KEY) is None
        assert cache.path(KEY).exists()


def test_a_store_that_fails_leaves_nothing_of_the_old_and_nothing_of_the_new(cache, monkeypatch):
    put(cache)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine_cache.os, "fsync", full)
    with pytest.raises(CacheUnusable, match=r"No space left on device.*SEMRT_CACHE"):
        put(cache, b"new")
    assert files(cache) == [".lock"]
    assert cache.load(KEY) is None


RACER = """
import sys
from pathlib import Path
from semrt.backends.engine_cache import EngineCache
cache, mine, key = EngineCache(Path(sys.argv[1])), sys.argv[2].encode() * 50_000, "a" * 64
for _ in range(60):
    with cache.lock(key, lambda: None):
        cache.store(key, mine, {"by": sys.argv[2]})
    kept = cache.load(key)  # None while the other writes
    if kept is not None and kept.content != kept.meta["by"].encode() * 50_000:
        sys.exit("bytes of one with the sidecar of the other")
print("done")
"""


def test_two_processes_at_once_never_mix_what_they_write(cache):
    command = [sys.executable, "-c", RACER, str(cache.folder)]
    racers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    assert [racer.communicate(timeout=60)[0] for racer in racers] == ["done\n"] * 2
    kept = cache.load(KEY)
    assert kept.content == kept.meta["by"].encode() * 50_000
    assert files(cache) == [".engine", ".json", ".lock"]


HOLDER = """
import sys, time
from pathlib import Path
from semrt.backends.engine_cache import EngineCache
with EngineCache(Path(sys.argv[1])).lock("a" * 64):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(cache):
    """Another process that holds the key."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(cache.folder)], stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout.readline() == "held\n"
        yield held
        held.kill()


def test_a_key_that_another_process_holds_is_waited_for_until_that_one_dies(cache, holder):
    with pytest.raises(Busy), cache.lock(KEY):
        pass
    with cache.lock(OTHER):  # others are free
        pass
    waits = []

    def waiting():
        waits.append(1)
        if len(waits) == 3:
            holder.kill()

    started = time.monotonic()
    with cache.lock(KEY, waiting):
        assert len(waits) >= 3
    assert time.monotonic() - started < 30


def test_who_waits_may_give_up(cache, holder):
    def give_up():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), cache.lock(KEY, give_up):
        pass


def test_clearing_leaves_what_another_process_builds(cache, holder):
    put(cache, key=OTHER)
    (cache.folder / f".{KEY}.engine.0123").write_bytes(b"half")
    assert cache.clear() == (1, 1)
    assert files(cache) == [f".{KEY}.engine.0123", ".lock"]


def test_clearing_removes_all_that_is_semrts_and_nothing_else(cache):
    put(cache)
    put(cache, key=OTHER)
    (cache.folder / f".{KEY}.engine.0123").write_bytes(b"what an interruption left")
    (cache.folder / "notes.txt").write_text("mine")
    assert cache.clear() == (2, 0)
    assert files(cache) == ["notes.txt"]


def test_what_is_kept_is_listed_by_its_sidecars(cache):
    put(cache, b"12345", version="1")
    put(cache, b"1", key=OTHER)
    (cache.folder / "notes.json").write_text("{}")
    (cache.folder / ("c" * 64 + ".json")).write_text("{}")
    assert [(entry.key, entry.size, entry.meta) for entry in cache.entries()] == [
        (KEY, 5, {"model": "box", "version": "1"}),
        (OTHER, 1, {"model": "box"}),
    ]


@posix
def test_the_folder_is_the_users_alone(cache, monkeypatch):
    before = os.umask(0)
    try:
        put(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("mode", [0o777, 0o702, 0o770, 0o1777])
def test_a_folder_into_which_others_may_write_is_refused(cache, mode):
    put(cache)
    cache.folder.chmod(mode)
    for use in (lambda: cache.load(KEY), cache.entries, cache.clear, lambda: put(cache)):
        with pytest.raises(CacheUnusable, match="other users may write into it; run: chmod 700") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 5
    cache.folder.chmod(0o755)  # others may look
    assert cache.load(KEY) is not None


@posix
def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    put(cache)
    owner = cache.folder.stat().st_uid
    monkeypatch.setattr(engine_cache.os, "geteuid", lambda: owner + 1)
    with pytest.raises(CacheUnusable, match=f"belongs to another user, number {owner}"):
        cache.load(KEY)


def test_a_file_where_the_folder_should_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "engines"):
        with pytest.raises(CacheUnusable, match="engines cannot be kept here"):
            put(EngineCache(folder))


def test_the_folder_is_the_one_asked_for_or_the_systems(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMRT_CACHE", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here" / "engines"
    monkeypatch.delenv("SEMRT_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for system, variable, under in (
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("darwin", None, "Library/Caches"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ):
        monkeypatch.setattr(engine_cache.sys, "platform", system)
        if variable:
            monkeypatch.delenv(variable, raising=False)
        assert default_folder() == tmp_path / under / "semrt" / "engines"
        if variable:
            monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
            assert default_folder() == tmp_path / "elsewhere" / "semrt" / "engines"


def recipe(onnx=None):
    onnx = box_graph() if onnx is None else onnx
    graph = Graph(Path("box.onnx"), onnx, "x", "y", (1, 1))
    return Recipe.of(graph, manifest_for(onnx), "fp32", Standin())


CHANGES = {
    "onnx": recipe(box_graph(gain=1.0001)).onnx,
    "profiles": profiles_of(manifest_for(box_graph(), tile=64)),
    "precision": "fp16",
    "flags": ("strongly typed",),
    "tensorrt": "11.4.0.107",
    "capability": "8.9",
    "gpu": "Another",
    "system": "Windows AMD64",
}


def test_every_ingredient_changes_the_key():
    assert set(CHANGES) == set(Recipe.__dataclass_fields__)
    keys = {recipe().key, *(replace(recipe(), **{name: value}).key for name, value in CHANGES.items())}
    assert len(keys) == 1 + len(CHANGES)
    assert recipe().key == recipe().key


def test_timings_are_those_of_a_card_and_a_version_whatever_the_graph():
    same = {"onnx", "profiles", "precision", "flags"}
    for name, value in CHANGES.items():
        changed = replace(recipe(), **{name: value}).timings_key
        assert (changed == recipe().timings_key) == (name in same)


def test_a_key_is_a_hash_of_what_goes_into_it_and_of_how_semrt_builds(monkeypatch):
    key = key_of({"b": 1, "a": (1, 2)})
    assert key == key_of({"a": [1, 2], "b": 1})
    assert engine_cache._KEY.fullmatch(key)
    monkeypatch.setattr(engine_cache, "SCHEMA", 2)
    assert key_of({"b": 1, "a": (1, 2)}) != key
