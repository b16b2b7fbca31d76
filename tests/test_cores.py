"""Threads follow what a process may use: a container's quota of processor time, in both ways that Linux tells it."""

import os

import cv2
import pytest

from semrt.backends import cores
from semrt.kernels import _threads, cpu_quota, opencv_threads, thread_count


def system(folder, groups, **files):
    """A made-up /proc and /sys.  files: path below /sys/fs/cgroup, in which __ stands for /, and what it says."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups)
    for path, text in files.items():
        file = folder / "sys/fs/cgroup" / path.replace("__", "/").replace("cpu_", "cpu.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("said", "quota"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", None), ("rubbish", None)],
)
def test_the_quota_of_a_container_is_read(tmp_path, said, quota):
    assert cpu_quota(system(tmp_path, "0::/\n", cpu_max=said)) == quota


def test_the_tightest_of_the_groups_above_counts(tmp_path):
    # The inner group may have four cores, the one around it three, and all of them together are not limited.
    files = {"pod__inner__cpu_max": "400000 100000", "pod__cpu_max": "300000 100000", "cpu_max": "max 100000"}
    assert cpu_quota(system(tmp_path, "0::/pod/inner\n", **files)) == 3


def test_a_group_that_only_the_host_can_see_is_passed_over(tmp_path):
    assert cpu_quota(system(tmp_path, "0::/docker/0123abcd\n", cpu_max="250000 100000")) == 3


def test_the_older_kind_of_groups_is_read_too(tmp_path):
    groups = "4:memory:/box\n3:cpuset:/\n2:cpuacct,cpu:/box\n0::/\n"
    files = {"cpu__box__cpu_cfs_quota_us": "120000\n", "cpu__box__cpu_cfs_period_us": "60000\n"}
    unlimited = {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}
    assert cpu_quota(system(tmp_path, groups, **files, **unlimited)) == 2


def test_without_groups_nothing_is_limited(tmp_path):
    assert cpu_quota(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="asks for the cores of this process")
def test_threads_are_as_few_as_the_quota_but_never_more_than_the_cores(monkeypatch):
    there = len(os.sched_getaffinity(0))
    for quota, wanted in ((1, 1), (there + 5, there), (None, there)):
        monkeypatch.setattr(_threads, "cpu_quota", lambda quota=quota: quota)
        assert thread_count() == wanted
        assert thread_count(7) == 7
        monkeypatch.setattr(cores, "cpu_quota", lambda quota=quota: quota)
        assert cores.physical_cores(cores.Path("/nowhere")) == wanted


def test_opencv_has_its_own_number_of_threads_again_in_whatever_order_its_borrowers_end():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        first, second = opencv_threads(1), opencv_threads(3)
        first.__enter__()
        assert cv2.getNumThreads() == 1
        second.__enter__()
        assert cv2.getNumThreads() == 3
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert cv2.getNumThreads() == 2
        with pytest.raises(ZeroDivisionError), opencv_threads(1):
            raise ZeroDivisionError
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
