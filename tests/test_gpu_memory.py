"""The memory of a card that a network may take: as people write it, as the runtime is told, and refused elsewhere."""

import click
import pytest

import semrt
from command import fails, run, sparse, written
from semrt import backends, engine, io
from semrt.backends import Device, open_session
from semrt.backends.onnxruntime import open_onnxruntime
from semrt.cli._values import memory
from semrt.errors import InvalidOption
from test_backends import no_cuda
from tiny_models import write_model
from toy_tasks import box_model, micrograph, register

TOLD = []


def open_card(folder, manifest, device, **settings):
    """Stands for a card, and notes which memory it may take."""
    TOLD.append(settings.pop("gpu_memory"))
    session = open_onnxruntime(folder, manifest, Device("cpu"), **settings)
    session.device = str(device)
    return session


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setitem(backends.BACKENDS, "cuda", f"{__name__}:open_card")
    TOLD.clear()
    return TOLD


@pytest.mark.parametrize(
    ("typed", "n_bytes"),
    [
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        ("4096MB", 4096 * 10**6),
        ("1.5GB", 1_500_000_000),
        (".5GiB", 2**29),
        ("512MiB", 512 * 2**20),
    ],
)
def test_memory_is_read_as_people_write_it(typed, n_bytes):
    assert memory(typed) == n_bytes


@pytest.mark.parametrize("typed", ["4", "4G", "4KB", "-1GB", "0GiB", "GiB", "", "1e9"])
def test_what_is_no_memory_is_refused_with_an_example(typed):
    with pytest.raises(click.BadParameter, match="expected memory with its unit, such as 4GiB or 4096MB"):
        memory(typed)


def test_a_card_is_told_and_auto_too(tmp_path, card):
    box = write_model(tmp_path)
    for device in ("cuda", "cuda:1", "auto"):
        open_session(box, device, gpu_memory=3 << 30).close()
    open_session(box, "cuda").close()
    assert card == [3 << 30] * 3 + [None]


def test_every_way_to_a_session_tells_it(tmp_path, card, monkeypatch):
    register(monkeypatch)
    folder, measured = box_model(tmp_path / "box"), micrograph()
    semrt.infer(folder, measured, device="cuda", gpu_memory=1 << 30)
    semrt.infer(folder, measured, device="cuda", gpu_memory=1 << 30)  # still open
    semrt.infer(folder, measured, device="cuda", gpu_memory=2 << 30)
    with engine.open_model(folder, "cuda", gpu_memory=3 << 30):
        pass
    assert card == [1 << 30, 2 << 30, 3 << 30]


def test_the_command_line_tells_it(tmp_path, card):
    image = tmp_path / "images" / "image.tif"
    io.write(image, micrograph(64, 64))
    limit = ("--device", "cuda", "--gpu-mem", "3GiB", "--threads", 1)
    assert run("infer", "columns", image, "-o", tmp_path, *limit).exit_code == 0
    watched = run(
        "watch", image.parent, "--model", "columns", "-o", tmp_path / "out", "--once", "--settle", "1ms", *limit
    )
    assert watched.exit_code == 0, watched.output
    assert run("bench", "columns", "--size", 64, "--runs", 10, "--at-most", 0, *limit).exit_code == 0
    assert card == [3 << 30] * 3
    refused = run("infer", "columns", image, "-o", tmp_path, "--device", "cuda", "--gpu-mem", "lots")
    assert fails(refused, 2, "'lots': expected memory with its unit")


@pytest.mark.parametrize("device", ["cpu", "torch:cpu", "tensorrt"])
def test_a_device_that_knows_no_limit_refuses_one(tmp_path, device):
    with pytest.raises(InvalidOption, match=f"gpu memory: device {device} knows no limit of it; leave it out"):
        open_session(write_model(tmp_path), device, gpu_memory=1 << 30)


def test_less_than_a_byte_is_refused(tmp_path):
    with pytest.raises(InvalidOption, match="gpu memory: expected 1 byte or more, got 0"):
        open_session(write_model(tmp_path), gpu_memory=0)


def test_a_solver_refuses_it(tmp_path):
    refused = run("infer", "kriging", written(tmp_path / "s.npz"), "--gpu-mem", "1GiB")
    assert fails(refused, 2, "gpu memory: kriging is no network, and knows no limit of it")
    with pytest.raises(InvalidOption, match="kriging is no network"):
        semrt.infer("kriging", sparse(), gpu_memory=1 << 30)


def test_auto_takes_no_engine_which_would_know_no_limit(tmp_path, monkeypatch):
    box = write_model(tmp_path)
    monkeypatch.setattr(backends.tensorrt, "has_engine", lambda *_: True)
    monkeypatch.setitem(backends.BACKENDS, "tensorrt", "no.such:module")  # which would end in an ImportError
    with open_session(box, gpu_memory=1 << 30) as session:
        assert session.device in ("cuda:0", "cpu")


@no_cuda
def test_a_card_that_is_not_there_is_told_in_one_line_as_ever(tmp_path):
    image = tmp_path / "image.tif"
    io.write(image, micrograph(64, 64))
    refused = run("infer", "columns", image, "-o", tmp_path, "--device", "cuda", "--gpu-mem", "4GiB")
    assert fails(refused, 5, "device 'cuda:0' cannot be used", "--device cpu")
