// How noisy counts are, from what a model leaves of them.
#pragma once

#include "column_field.hpp"
#include "view.hpp"

namespace semrt {

// The line variance = gain * model + floor, from differences in the residual between neighbours: anything smooth does
// not count, such as a background not yet known, nor do a few places where the model fails. Where differences over
// `grain` pixels vary much more, noise is blurred, and they count instead.
CountNoise estimate_noise(View2D<float const> image, View2D<float const> residual, index grain);

// Mean square of the residual over its variance, each pixel's cut at 50: 1 where nothing but noise is left.
double misfit(View2D<float const> residual, View2D<float const> weight);

}  // namespace semrt
