# Signatures of the C++ core. Arguments are refused, not converted: semrt.kernels converts.
from numpy import bool_, float32, float64, int32, int64, uint8
from numpy.typing import NDArray

# scan_path

# rasterise

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
