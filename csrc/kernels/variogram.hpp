// How unlike two pixels are at a distance r: gamma(r) = nugget + sill (1 - exp(-(r / range)^exponent)).
//
// Matheron 1963, doi:10.2113/gsecongeo.58.8.1246; weights of the fit: Cressie 1985, doi:10.1007/BF01032109.
#pragma once

#include "view.hpp"

#include <cstdint>

namespace semrt {

struct Variogram {
    double nugget;    // variance of the noise of one sample
    double sill;      // variance of the image beyond its correlation length
    double range;     // [px]
    double exponent;  // 1 exponential (edges) .. < 2 Gaussian (smooth)

    // Covariance of the noise-free image at distance r [px].
    double covariance(double r) const;
};

// Fits the model to pairs of visited pixels: all near pairs up to a limit, and random ones at all lags.
//
// intensity, visited: (ny, nx).  seed: of the random pairs.  About 20 ms, whatever the size of the image.
// An image without any variation gives nugget = sill = 0; samples that cannot be paired, their variance as sill.
Variogram fit_variogram(View2D<float const> intensity, View2D<bool const> visited, std::uint64_t seed);

}  // namespace semrt
