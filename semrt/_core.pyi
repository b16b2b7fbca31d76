# Signatures of the C++ core. Arguments are refused, not converted: semrt.kernels converts.
from collections.abc import Callable
from typing import Any

from numpy import bool_, float32, float64, int32, int64
from numpy.typing import NDArray

# scan_path
def raster(shape: tuple[int, int], coverage: float, snake: bool) -> NDArray[float64]: ...
def interleaved(shape: tuple[int, int], coverage: float, skip: int) -> NDArray[float64]: ...
def line_hop(shape: tuple[int, int], coverage: float, run: int, seed: int) -> NDArray[float64]: ...
def random_walk(shape: tuple[int, int], coverage: float, amplitude: float, seed: int) -> NDArray[float64]: ...
def spiral(
    shape: tuple[int, int],
    coverage: float,
    kind: str,
    centre: tuple[float, float],
    angle: float,
    angle_step: float,
    keep_outside: bool,
) -> NDArray[float64]: ...
def lissajous(shape: tuple[int, int], coverage: float, ratio: float, phase: float) -> NDArray[float64]: ...
def hilbert(shape: tuple[int, int], coverage: float) -> NDArray[float64]: ...
def jittered_grid(shape: tuple[int, int], coverage: float, jitter: float, seed: int) -> NDArray[float64]: ...
def random_pixels(shape: tuple[int, int], coverage: float, seed: int) -> NDArray[float64]: ...
def ede_spiral(shape: tuple[int, int], nominal: float) -> NDArray[float64]: ...
def ede_nominal(shape: tuple[int, int], coverage: float) -> float: ...
def coil_lag(
    nominal: NDArray[float64],
    dwell_time: NDArray[float64],
    wait: NDArray[float64],
    time_constant: float,
    delay: float,
    slew_limit: float,
) -> NDArray[float64]: ...
def nearest_order(positions: NDArray[float64]) -> NDArray[int64]: ...

# rasterise
def rasterise(
    positions: NDArray[float64],
    shape: tuple[int, int],
    dwell_time: NDArray[float64],
    intensities: NDArray[float64] | None,
    split: bool,
    sigma: float,
    n_threads: int,
) -> tuple[NDArray[bool_], NDArray[float32], NDArray[float32], int]: ...
def record(
    image: NDArray[float32], positions: NDArray[float64], split: bool, sigma: float, n_threads: int
) -> NDArray[float32]: ...

# fill
def natural_neighbour(
    intensity: NDArray[float32], visited: NDArray[bool_], smooth: float, n_threads: int
) -> NDArray[float32]: ...
def distance_to_sample(visited: NDArray[bool_], n_threads: int) -> NDArray[float32]: ...

# kriging
def fit_variogram(
    intensity: NDArray[float32], visited: NDArray[bool_], seed: int
) -> tuple[float, float, float, float]: ...
def krige(
    intensity: NDArray[float32],
    visited: NDArray[bool_],
    exposure: NDArray[float32] | None,
    wanted: NDArray[bool_] | None,
    variogram: tuple[float, float, float, float],
    n_threads: int,
) -> tuple[NDArray[float32], NDArray[float32]]: ...

# columns
def find_circles(
    probability: NDArray[float32], r_min: float, r_max: float, min_distance: float, threshold: float, n_threads: int
) -> NDArray[float64]: ...
def refine_columns(
    image: NDArray[float32],
    positions: NDArray[float64],
    width: float,
    tail: float,
    gain: float,
    read_noise: float,
    offset: float,
    straighten: bool,
    find_missing: bool,
    threshold: float,
    n_threads: int,
) -> dict[str, Any]: ...

# layers
def likeliest_layers(
    intensity: NDArray[float32],
    signals: NDArray[float64],
    lower: NDArray[float64],
    upper: NDArray[float64],
    noise: float,
    gain: list[float],
    offset: float,
    n_threads: int,
) -> tuple[NDArray[float32], NDArray[float32], NDArray[float32]]: ...
def smooth_layers(
    intensity: NDArray[float32],
    signals: NDArray[float64],
    lower: NDArray[float64],
    upper: NDArray[float64],
    noise: float,
    gain: list[float],
    offset: float,
    weight: tuple[float, float],
    limit: tuple[float, float],
    n_threads: int,
) -> tuple[NDArray[float32], NDArray[float32], NDArray[float32]]: ...
def sharpen_layers(
    entry: NDArray[int32],
    signals: NDArray[float32],
    thickness: NDArray[float32],
    n_common: int,
    intensity: NDArray[float32],
    deviation: NDArray[float32],
    taps: NDArray[float32],
    weight: tuple[float, float],
    limit: tuple[float, float],
    rounds: int,
    doubted: bool,
    n_threads: int,
) -> tuple[NDArray[int32], NDArray[float32], NDArray[float32], NDArray[float32], float]: ...
def tikhonov_layers(
    intensity: NDArray[float32],
    signals: NDArray[float64],
    lower: NDArray[float64],
    upper: NDArray[float64],
    noise: float,
    gain: list[float],
    offset: float,
    alpha: float,
    n_threads: int,
) -> tuple[NDArray[float32], NDArray[float32], NDArray[float32]]: ...

# tilt
def tilt_project(
    volume: NDArray[float32], angles: NDArray[float64], n_detector: int, axis_offset: float, n_threads: int
) -> NDArray[float32]: ...
def tilt_back_project(
    series: NDArray[float32], angles: NDArray[float64], shape: tuple[int, int], axis_offset: float, n_threads: int
) -> NDArray[float32]: ...
def tilt_sirt(
    series: NDArray[float32],
    angles: NDArray[float64],
    volume: NDArray[float32],
    axis_offset: float,
    iterations: int,
    relaxation: float,
    nonnegative: bool,
    progress: Callable[[int, int], object] | None,
    n_threads: int,
) -> None: ...
def tilt_tv(
    series: NDArray[float32],
    angles: NDArray[float64],
    volume: NDArray[float32],
    axis_offset: float,
    iterations: int,
    weight: float,
    nonnegative: bool,
    progress: Callable[[int, int], object] | None,
    n_threads: int,
) -> None: ...

# blend
def cut_tile(
    field: NDArray[float32], origin: tuple[int, int, int], reflect: bool, tile: NDArray[float32], n_threads: int
) -> None: ...
def add_tile(
    tile: NDArray[float32],
    window_z: NDArray[float32],
    window_y: NDArray[float32],
    window_x: NDArray[float32],
    origin: tuple[int, int, int],
    canvas: NDArray[float32],
    n_threads: int,
) -> None: ...
