import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import scan_path as twin
from semrt.data import Micrograph
from semrt.errors import EmptyScan, InvalidOption, InvalidShape, InvalidValue
from semrt.kernels import coil_lag, nearest_order, serpentine_order
from semrt.scan import ORDERS, ScanPath, generate


def path_of(positions, shape, **known):
    n = len(positions)
    known = {"dwell_time": np.ones(n), "blank": np.zeros(n, bool), **known}
    return ScanPath(np.asarray(positions, float), shape, **known)


def row(x):
    """Positions along one row."""
    return np.column_stack([np.zeros(len(x)), x])


# ----------------------------------------------------------------------------------------------------------- lag


def test_without_lag_the_probe_is_where_it_is_asked_to_be():
    asked = generate("random", (30, 30), 0.2).positions
    np.testing.assert_array_equal(coil_lag(asked, 1.0), asked)
    np.testing.assert_array_equal(coil_lag(asked, 1.0, slew_limit=math.inf), asked)


def test_a_ramp_is_followed_at_speed_times_time_constant():
    asked = row(np.arange(200) * 0.5)  # 0.5 px every 2 µs
    behind = asked - coil_lag(asked, 2.0, time_constant=7.0)
    assert behind[-1, 1] == pytest.approx(0.25 * 7, rel=1e-6)
    assert behind[-1, 0] == 0


def test_a_step_decays_exponentially_and_its_mean_over_a_dwell_time_is_the_integral():
    asked = row(np.array([0.0, 10, 10, 10]))
    true = coil_lag(asked, 3.0, time_constant=2.0)
    left = 10 * np.exp(-3 * np.arange(3) / 2)  # at the beginning of each dwell time after the step
    expected = 10 - left * (2 / 3) * (1 - math.exp(-3 / 2))
    np.testing.assert_allclose(true[:, 1], [0, *expected], rtol=1e-12)


def test_a_delay_of_whole_dwell_times_records_what_was_asked_then():
    asked = generate("random", (30, 30), 0.1).positions
    np.testing.assert_allclose(coil_lag(asked, 1.0, delay=2.0)[2:], asked[:-2], atol=1e-9)
    half = coil_lag(asked, 1.0, delay=0.5)
    np.testing.assert_allclose(half[1:], (asked[1:] + asked[:-1]) / 2, atol=1e-9)


def test_a_slew_limit_makes_a_jump_a_ramp():
    true = coil_lag(row(np.array([0.0, 10, 10, 10])), 2.0, slew_limit=2.5)
    np.testing.assert_allclose(true[:, 1], [0, 2.5, 7.5, 10])


def test_waiting_lets_the_probe_settle():
    asked = row(np.array([0.0, 10]))
    at_once, waited = (coil_lag(asked, 1.0, [0, wait], time_constant=3.0)[1, 1] for wait in (0, 9))
    assert 10 - waited == pytest.approx((10 - at_once) * math.exp(-9 / 3))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.floats(-20, 20), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.5])),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0.0, 0.4, 3.0]),
    st.sampled_from([0.0, 0.5, 2.5]),
    st.sampled_from([math.inf, 8.0, 1.5]),
)
def test_lag_is_that_of_small_steps_of_time(samples, time_constant, delay, slew_limit):
    asked, dwell_time, wait = (np.array(values) for values in zip(*samples, strict=True))
    limits = {"time_constant": time_constant, "delay": delay, "slew_limit": slew_limit}
    true = coil_lag(np.column_stack([asked, -asked]), dwell_time, wait, **limits)
    expected = twin.coil_lag(asked, dwell_time, wait, **limits, dt=1 / 1024)
    np.testing.assert_allclose(true[:, 0], expected, atol=0.06)  # 40 px in steps of 1/1024 µs
    np.testing.assert_array_equal(true[:, 1], -true[:, 0])


def test_samples_without_dwell_time_are_where_the_probe_passes():
    true = coil_lag(row(np.array([0.0, 8, 8])), [1.0, 0.0, 1.0], [0, 2.0, 0], time_constant=2.0)
    assert true[1, 1] == pytest.approx(8 * (1 - math.exp(-1)))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"time_constant": -1.0}, InvalidOption),
        ({"delay": math.nan}, InvalidOption),
        ({"slew_limit": 0.0}, InvalidOption),
        ({"dwell_time": [1.0]}, InvalidShape),
        ({"dwell_time": -1.0}, InvalidValue),
        ({"wait": [1.0, math.inf]}, InvalidValue),
        ({"nominal": [1.0, 2.0]}, InvalidShape),
        ({"nominal": [[1.0, math.nan], [0, 0]]}, InvalidValue),
    ],
)
def test_lag_that_cannot_be_is_refused(arguments, error):
    with pytest.raises(error):
        coil_lag(**({"nominal": [[0.0, 0], [1, 1]], "dwell_time": 1.0} | arguments))


def test_lag_moves_the_probe_as_measured_on_common_patterns():
    # 512 × 512 px at 1 µs with a time constant of 4 µs: a ramp of 1 px/µs lags by 4 px.
    lag = {
        name: generate(name, (512, 512)).with_coil_lag(time_constant=4.0).statistics()["displacement_p95_px"]
        for name in ("hilbert", "snake", "random")
    }
    assert lag["hilbert"] == pytest.approx(2, abs=0.5)
    assert lag["snake"] == pytest.approx(4, abs=0.1)
    assert lag["random"] == pytest.approx(300, abs=10)


# --------------------------------------------------------------------------------------------------------- order


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([(30, 30), (1, 40), (40, 1), (3, 3), (1, 1)]))
def test_the_nearest_order_is_that_of_asking_all(n, seed, shape):
    positions = np.random.default_rng(seed).integers(0, shape, (n, 2)).astype(float)  # with ties and repeats
    np.testing.assert_array_equal(nearest_order(positions), twin.nearest_order(positions))


@pytest.mark.parametrize("order", sorted(ORDERS))
@pytest.mark.parametrize("shape", [(200, 300), (1, 50), (50, 1), (1, 1)])
def test_every_order_visits_each_sample_once_on_a_short_way(order, shape):
    path = generate("random", shape, 0.05, seed=2)
    ordered = path.reordered(order)
    assert sorted(map(tuple, ordered.positions)) == sorted(map(tuple, path.positions))
    np.testing.assert_array_equal(ordered.visited, path.visited)
    n, area = len(path.positions), shape[0] * shape[1]
    if n > 100:  # the shortest way through many random points is 0.71 √(n·area), in bands 0.92
        assert ordered.statistics()["path_length_px"] < 1.05 * math.sqrt(n * area)
    assert ordered.statistics()["path_length_px"] <= path.statistics()["path_length_px"]


def test_each_sample_keeps_its_dwell_time_and_its_blanking_when_reordered():
    path = path_of([[0, 0], [0, 9], [0, 1]], (1, 10), dwell_time=[1, 2, 3], blank=[False, True, False])
    ordered = path.with_coil_lag(time_constant=1).reordered("nearest")
    np.testing.assert_array_equal(ordered.positions[:, 1], [0, 1, 9])
    np.testing.assert_array_equal(ordered.dwell_time, [1, 3, 2])
    np.testing.assert_array_equal(ordered.blank, [False, False, True])
    assert ordered.nominal is None
    assert ordered.parameters["order"] == "nearest"


def test_orders_refuse_what_has_none():
    with pytest.raises(InvalidOption, match="order"):
        generate("random", (9, 9), 0.5).reordered("shortest")
    for order in (nearest_order, serpentine_order):
        with pytest.raises(InvalidShape):
            order([1.0, 2.0])
        with pytest.raises(InvalidValue):
            order([[1.0, math.inf]])
        assert order(np.empty((0, 2))).shape == (0,)


# ------------------------------------------------------------------------------------------------------ sampling


def ramp(shape):
    y, x = np.indices(shape)
    return Micrograph((3 * y + 2 * x + 1).astype(np.float32), pixel_size=(0.2, 0.1), metadata={"detector": "HAADF"})


@pytest.mark.parametrize("pattern", ["raster", "random", "hilbert"])
def test_samples_at_pixel_centres_are_the_pixels(pattern):
    micrograph = ramp((20, 30))
    scan = generate(pattern, (20, 30), 1.0).sample(micrograph)
    np.testing.assert_array_equal(scan.intensity, micrograph.intensity)
    assert scan.visited.all()
    assert scan.pixel_size == micrograph.pixel_size
    assert scan.metadata == {"detector": "HAADF", "scan_pattern": pattern, "scan_seed": 0}


def test_between_pixels_a_ramp_is_sampled_exactly():
    micrograph = ramp((20, 30))
    scan = path_of([[4.25, 7.4], [12.0, 3.0]], (20, 30)).sample(micrograph)
    assert scan.intensity[4, 7] == pytest.approx(3 * 4.25 + 2 * 7.4 + 1, rel=1e-6)
    assert np.count_nonzero(scan.visited) == 2


def test_a_wide_probe_averages_what_it_covers():
    spot = np.zeros((21, 21), np.float32)
    spot[10, 10] = 1
    scan = generate("raster", (21, 21)).sample(Micrograph(spot), probe_sigma=1.5)
    assert scan.intensity.sum() == pytest.approx(1, rel=1e-3)
    width = math.sqrt((scan.intensity.sum(axis=0) * (np.arange(21) - 10.0) ** 2).sum())
    assert width == pytest.approx(math.sqrt(1.5**2 + 1 / 12), rel=0.01)  # the probe, and the pixel


def test_a_blanked_beam_records_nothing_and_lag_shifts_what_an_instrument_believes():
    micrograph = ramp((1, 60))
    path = generate("raster", (1, 60), dwell_time=2.0).with_coil_lag(time_constant=6.0)
    believed = path.sample(micrograph, believed="nominal")
    np.testing.assert_allclose((micrograph.intensity - believed.intensity)[0, 40:], 2 * 3.0, atol=0.01)
    known = path.sample(micrograph)
    assert abs(known.intensity - micrograph.intensity)[known.visited].max() < 1  # half a pixel of a ramp of 2 / px
    blank = np.arange(60) % 2 == 0
    halved = path_of(generate("raster", (1, 60)).positions, (1, 60), blank=blank)
    np.testing.assert_array_equal(halved.sample(micrograph).visited[0], ~blank)
    np.testing.assert_array_equal(halved.visited[0], ~blank)


def test_samples_that_leave_the_field_are_left_out():
    path = path_of([[0, 0], [0, 3], [5, 0]], (2, 3))
    assert np.count_nonzero(path.sample(ramp((2, 3))).visited) == 1
    assert path.coverage == pytest.approx(1 / 6)
    with pytest.raises(EmptyScan):
        path_of([[5, 0]], (2, 3)).sample(ramp((2, 3)))


def test_what_cannot_be_sampled_is_refused():
    path = generate("raster", (4, 5))
    with pytest.raises(InvalidShape, match="micrograph"):
        path.sample(ramp((5, 4)))
    with pytest.raises(InvalidOption, match="believed"):
        path.sample(ramp((4, 5)), believed="hoped")
    with pytest.raises(InvalidValue, match="intensities"):
        path.sample(Micrograph(np.full((4, 5), np.nan)))


@pytest.mark.parametrize(
    ("known", "error"),
    [
        ({"positions": [[0.0, 0, 0]]}, InvalidShape),
        ({"positions": np.empty((0, 2))}, InvalidShape),
        ({"positions": [[math.nan, 0]]}, InvalidValue),
        ({"dwell_time": [1.0, 2.0]}, InvalidShape),
        ({"dwell_time": [-1.0]}, InvalidValue),
        ({"blank": [True, False]}, InvalidShape),
        ({"nominal": [[1.0, 2], [3, 4]]}, InvalidShape),
        ({"shape": (0, 3)}, InvalidShape),
        ({"settle_time": -1.0}, InvalidValue),
        ({"flyback_time": math.inf}, InvalidValue),
        ({"pixel_size": (0.0, 1.0)}, InvalidValue),
        ({"rotation": math.nan}, InvalidValue),
    ],
)
def test_a_path_that_cannot_be_is_refused(known, error):
    with pytest.raises(error):
        ScanPath(**({"positions": [[0.0, 0]], "shape": (2, 3), "dwell_time": [1.0], "blank": [False]} | known))


# ---------------------------------------------------------------------------------------------------- statistics


def test_time_counts_flyback_and_settling():
    path = path_of(
        [[0, 0], [0, 1], [0, 9], [1, 0], [1, 1], [1, 5]], (2, 10), dwell_time=[2.0] * 6, flyback_time=30, settle_time=4
    )
    np.testing.assert_array_equal(path.wait, [0, 0, 30, 30, 0, 4])
    statistics = path.statistics()
    assert statistics["total_time_us"] == 6 * 2 + 2 * 30 + 4
    assert statistics["exposure_time_us"] == 12


def test_speeds_are_steps_over_the_time_from_middle_to_middle():
    path = path_of([[0, 0], [0, 3], [4, 3], [4, 3]], (9, 9), dwell_time=[1.0, 2, 4, 4])
    statistics = path.statistics()
    assert statistics["largest_step_px"] == 4
    assert statistics["path_length_px"] == 7
    assert statistics["largest_velocity_px_per_us"] == pytest.approx(3 / 1.5)
    # From 2 px/µs along x to 4/3 along y in (1.5 + 3) / 2 µs.
    assert statistics["largest_acceleration_px_per_us2"] == pytest.approx(math.hypot(2, 4 / 3) / 2.25)


def test_one_sample_has_no_speed_and_a_jump_in_no_time_an_infinite_one():
    alone = path_of([[1, 1]], (3, 3)).statistics()
    assert alone["largest_velocity_px_per_us"] == alone["largest_acceleration_px_per_us2"] == 0
    jumps = path_of([[0, 0], [0, 2], [0, 1], [0, 1]], (3, 3), dwell_time=[0.0] * 4).statistics()
    assert jumps["largest_velocity_px_per_us"] == jumps["largest_acceleration_px_per_us2"] == math.inf


def test_the_dose_counts_the_electrons_of_the_current():
    path = path_of(
        generate("raster", (10, 20), 0.5).positions, (10, 20), dwell_time=[3.0] * 100, pixel_size=(0.1, 0.05)
    )
    dose = path.statistics(probe_current=50.0)
    electrons = 50e-12 * 300e-6 / 1.602176634e-19
    assert dose["electrons"] == pytest.approx(electrons)
    assert dose["electrons_per_visited_pixel"] == pytest.approx(electrons / 100)
    assert dose["fluence_e_per_A2"] == pytest.approx(electrons / (10 * 1 * 20 * 0.5))  # pixels of 1 Å × 0.5 Å
    assert dose["visited_fluence_e_per_A2"] == pytest.approx(2 * dose["fluence_e_per_A2"])
    assert "fluence_e_per_A2" not in generate("raster", (3, 3)).statistics(probe_current=1.0)
    with pytest.raises(InvalidOption, match="probe_current"):
        path.statistics(probe_current=-1.0)


def test_a_lagging_scan_warns_and_a_settled_one_does_not():
    path = generate("random", (64, 64), 0.1)
    assert path.displacement_warning() is None
    warning = path.with_coil_lag(time_constant=4.0).displacement_warning()
    assert "\n" not in warning
    assert "px from where they were asked for" in warning
    assert path.with_coil_lag(time_constant=0.001).displacement_warning() is None
