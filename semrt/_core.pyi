# Signatures of the C++ core. Arguments are refused, not converted: semrt.kernels converts.
from numpy import bool_, float32, float64, int32, int64, uint8
from numpy.typing import NDArray

# scan_path

# rasterise

# fill

# kriging

# blend
