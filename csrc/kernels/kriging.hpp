// Local ordinary kriging: the best linear unbiased estimate of an image from scattered noisy samples of it.
//
// Each block of pixels shares one system of equations: the samples nearest to it, and some of a set thinned to the size
// of the gaps, so that every arm of a path counts (the nearest alone can all lie on one arm, with nothing said of the
// other side). Matheron 1963, doi:10.2113/gsecongeo.58.8.1246; Cressie, Statistics for Spatial Data, 1993, ch. 3.
#pragma once

#include "variogram.hpp"
#include "view.hpp"

namespace semrt {

// Estimates the noise-free image and the variance of that estimate.
//
// intensity, visited: (ny, nx).  exposure: (ny, nx), each sample's noise variance is nugget / exposure; or empty (0,
// 0): 1. wanted: (ny, nx), only blocks with a wanted pixel are computed, others are left alone; or empty: all.
// estimate, variance: (ny, nx), written.  variance follows the local spread of the samples about the model, so that it
// is larger at edges than in even regions. Cost per block of b x b pixels with k = 40 neighbours: k^3 / 6 + b^2 k^2 / 2
// multiplications.
void krige(View2D<float const> intensity, View2D<bool const> visited, View2D<float const> exposure,
           View2D<bool const> wanted, Variogram const &variogram, View2D<float> estimate, View2D<float> variance,
           int n_threads);

}  // namespace semrt
