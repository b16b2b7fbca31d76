"""semrt bench: a camera that waits for nobody, models side by side, and the picture of it."""

import json

import numpy as np
import pytest

from command import fails, run
from semrt import io
from semrt.backends.spans import add_spans
from semrt.data import Micrograph, SparseScan
from semrt.errors import EmptyScan, InvalidOption
from semrt.report.camera import film
from semrt.report.latency_plot import latency_plot
from semrt.report.timing import Latency
from semrt.tasks import TASKS
from standin_toolchain import Standin, box_model, build, install
from toy_tasks import Deviation


class Clock:
    """A clock that only work and sleep move on."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


def filmed(durations, **settings):
    clock, work = Clock(), iter(durations)
    return film(lambda: clock.pass_by(next(work)), clock=clock, sleep=clock.pass_by, frames=len(durations), **settings)


def test_a_camera_slower_than_the_work_loses_nothing():
    told = filmed([0.5] * 8, period=1.0)
    assert (told.frames, told.dropped, told.late) == (8, 0, 0)
    np.testing.assert_allclose(told.latency.seconds, 0.5)


def test_a_stall_makes_the_frames_behind_it_late_as_well():
    # Frames are due at 0, 1, 2, ...; the second takes 2.5 s, until 3.5; those of 2 and 3 s wait in the buffer.
    told = filmed([0.5, 2.5, 0.25, 0.25, 0.25, 0.25], period=1.0)
    assert told.dropped == 0
    np.testing.assert_allclose(told.latency.seconds, [0.5, 2.5, 3.75 - 2, 4.0 - 3, 4.25 - 4, 5.25 - 5])
    assert told.late == 2  # the frame due at 3 s was done when the next one came


def test_what_finds_the_buffer_full_is_dropped():
    # Work takes three periods; two frames wait, and of each further three that come one finds room.
    clock = Clock()
    told = film(lambda: clock.pass_by(3.0), clock=clock, sleep=clock.pass_by, frames=12, period=1.0, buffer=2)
    assert told.frames == 12
    assert told.dropped + len(told.latency.seconds) == 12
    # Begun at 0, 3, 6, 9 and, of the last two that waited, 12 and 15: six.
    assert told.dropped == 6
    assert told.late == 6
    one = film(lambda: clock.pass_by(3.0), clock=clock, sleep=clock.pass_by, frames=12, period=1.0, buffer=1)
    assert one.dropped == 7


@pytest.mark.parametrize("wrong", [{"period": 0.0}, {"period": float("nan")}, {"period": 1.0, "buffer": 0}])
def test_a_camera_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidOption):
        film(lambda: None, frames=3, **wrong)


QUICK = ("--runs", "10", "--at-most", "0", "--threads", "1")


def test_each_stop_from_file_to_file_has_a_line_of_its_own():
    lines = run("bench", "kriging", "--size", "48", *QUICK).stdout.splitlines()
    wanted = ["kriging", "load", "first", "latency", "run", "throughput", "file", "read", "write", "throughput"]
    assert [line.split()[0] for line in lines] == wanted
    told = json.loads(run("bench", "kriging", "--size", "48", *QUICK, "--json").stdout)
    assert set(told["stops"]) == {"run"}  # it has no network, so nothing is told of one
    assert "build_ms" not in told
    files = told["files"]
    assert set(files["stops"]) == {"read", "write"}
    for summary in files["stops"].values():
        assert summary["runs"] == files["latency"]["runs"] == 10
        assert 0 < summary["p50_ms"] < files["latency"]["max_ms"]
    assert files["throughput"]["images"] == 10
    flow = files["throughput"]
    assert flow["images_per_second"] == pytest.approx(flow["images"] / flow["seconds"])


def test_a_scan_goes_through_files_with_its_dwell_times(monkeypatch):
    seen = []
    reads = io.read

    def read(path, **reading):
        seen.append(reads(path, **reading))
        return seen[-1]

    monkeypatch.setattr(io, "read", read)
    assert run("bench", "kriging", "--size", "48", *QUICK).exit_code == 0
    assert all(scan.dwell_time is not None for scan in seen)


def test_a_scan_of_all_pixels_goes_through_files_too():
    told = run("bench", "kriging", "--size", "32", "--coverage", "1", *QUICK, "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["files"]["throughput"]["images"] == 10


def test_what_fails_from_file_to_file_keeps_its_exit_code(monkeypatch):
    def read(path, **reading):
        raise EmptyScan(str(path))

    monkeypatch.setattr(io, "read", read)
    assert fails(run("bench", "kriging", "--size", "48", *QUICK), 3, "expected at least one visited pixel")


class Averaging(Deviation):
    """A network task of scans."""

    accepts = SparseScan

    def prepare(self, measured, *, n_threads=None):
        return np.where(measured.visited, measured.intensity, 0)[np.newaxis]

    def finish(self, predicted, prepared, measured, *, n_threads=None):
        return Micrograph(predicted[0], measured.pixel_size)

    def outside_domain(self, measured, domain):
        return None


@pytest.fixture
def box(tmp_path, monkeypatch, engine_cache):
    """A model of the mean of 3 x 3 px, and a folder for its engine."""
    monkeypatch.setitem(TASKS, "averaging", f"{__name__}:Averaging")
    return box_model(tmp_path / "box", task="averaging")


def test_on_the_processor_the_network_computes_and_nothing_else(box):
    arguments = ("bench", str(box), "--size", "64", *QUICK, "--device", "cpu")
    told = json.loads(run(*arguments, "--json").stdout)
    assert told["stops"]["compute"] == told["stops"]["network"]
    assert not {"h2d", "d2h"} & set(told["stops"])
    words = [line.split()[0] for line in run(*arguments).stdout.splitlines()]
    assert words[4:8] == ["prepare", "run", "compute", "finish"]


class Timed(Standin):
    """Engines that keep time, and take 1 ms to fetch a batch, 8 ms to compute and 3 ms to send what they computed."""

    def open(self, plan, graph):
        opened = super().open(plan, graph)
        untimed = opened.run

        def timed(tiles, spans=None):
            if spans is not None:
                add_spans(spans, (0.001, 0.008, 0.003))
            return untimed(tiles)

        opened.run = timed
        return opened


@pytest.mark.parametrize("keeps_time", [True, False])
def test_what_a_card_tells_of_its_time_is_told_and_what_it_does_not_is_not_made_up(box, monkeypatch, keeps_time):
    install(monkeypatch, Timed() if keeps_time else Standin())
    build(box)
    arguments = ("bench", str(box), "--size", "16", *QUICK, "--device", "tensorrt")
    stops = json.loads(run(*arguments, "--json").stdout)["stops"]
    lines = run(*arguments).stdout.splitlines()
    assert lines[2].startswith("build")
    if keeps_time:  # an image of one tile is one batch
        spent = {name: stops[name]["p50_ms"] for name in ("h2d", "compute", "d2h")}
        assert spent == pytest.approx({"h2d": 1.0, "compute": 8.0, "d2h": 3.0})
        assert [line.split()[0] for line in lines[8:11]] == ["h2d", "compute", "d2h"]
    else:
        assert not {"h2d", "compute", "d2h"} & set(stops)
        assert lines[8].strip() == "h2d, compute, d2h: not measured, as its runtime keeps no time of the device"


def test_bench_counts_what_a_camera_loses():
    arguments = ("bench", "kriging", "--size", "48", "--runs", "12", "--frame-period", "0.1ms")
    told = json.loads(run(*arguments, "--json").stdout)["camera"]
    assert told["frames"] == 12
    assert told["dropped"] + told["runs"] == 12
    assert told["late"] == told["runs"]  # no inference takes a tenth of a millisecond
    line = run(*arguments).stdout.splitlines()[-1]
    assert line.startswith("camera")
    assert "dropped of 12" in line


def test_more_time_than_a_number_can_count_frames_in_is_as_good_as_no_limit():
    arguments = ("bench", "kriging", "--size", "32", "--runs", "10", "--at-most", "1e308", "--frame-period", "1ms")
    told = run(*arguments, "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["camera"]["frames"] == 10


def test_bench_compares_in_turns_and_draws_it(tmp_path):
    import cv2

    plot = tmp_path / "turns.png"
    arguments = ("bench", "kriging", "--size", "64", "--runs", "30", "--compare", "column-peaks", "--plot", str(plot))
    refused = run(*arguments)
    assert refused.exit_code == 3  # one takes scans, the other images
    assert not plot.exists()
    arguments = ("bench", "kriging", "--size", "64", "--runs", "30", "--compare", "threads=1", "--plot", str(plot))
    told = json.loads(run(*arguments, "--json").stdout)["contenders"]
    assert list(told) == ["kriging", "kriging threads=1"]
    assert told["kriging"]["ratio"] == 1
    assert len(told["kriging threads=1"]["ratios"]) == 3
    assert told["kriging threads=1"]["latency"]["runs"] == 30
    picture = cv2.imread(str(plot))
    assert picture.shape[1] == 960
    assert "kriging threads=1" in run(*arguments).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--compare", "color=3"), "--compare: name 'color'"),
        (("--compare", "threads=two"), "threads: expected a number, got 'two'"),
        (("--compare", "kriging"), "names the same twice"),
        (("--compare", "threads=1", "--frame-period", "1s"), "--frame-period is of one model"),
        (("--frame-period", "0s"), "a time above zero"),
        (("--frame-period", "soon"), "such as 2s or 100ms"),
        (("--plot", "latency.jpg"), "ends in .png"),
        (("--seed", "-1"), "'--seed': -1 is not in the range"),
        (("--at-most", "nan"), "'--at-most': expected a finite number, got nan"),
        (("--at-most", "inf", "--frame-period", "1s"), "'--at-most': expected a finite number, got inf"),
    ],
)
def test_bench_refuses_what_it_cannot_measure(arguments, said):
    result = run("bench", "kriging", "--size", "48", "--runs", "10", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_the_plot_shows_where_the_runs_lie():
    rng = np.random.default_rng(0)
    fast, slow = Latency(0.010 + 0.0005 * rng.random(200)), Latency(0.030 + 0.0005 * rng.random(200))
    picture = latency_plot("two", {"fast": fast, "slow": slow})
    bars = (picture == (74, 201, 182)).all(-1)
    rows = [bars[64 : 64 + 150], bars[214 : 214 + 150]]
    fast_at, slow_at = (np.flatnonzero(part.any(0)).mean() for part in rows)
    # Both begin at the same zero: three times as long lies three times as far from the left.
    assert (slow_at - 24) / (fast_at - 24) == pytest.approx(3, rel=0.06)


def test_bench_counts_the_voxels_of_a_tomogram():
    told = json.loads(run("bench", "wedge-sirt", "--size", "48", "--runs", "10", "--at-most", "0", "--json").stdout)
    flow = told["throughput"]
    n, ny, ns = told["input"]["shape"]
    assert n > 10  # tilts
    assert flow["megapixels_per_second"] == pytest.approx(flow["images_per_second"] * ns * ny * ns / 1e6)
