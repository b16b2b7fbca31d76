// From samples of a probe that went anywhere to pixels, and from pixels to what such a probe would record.
//
// Positions are (y, x) [px] with (0, 0) at the centre of the top-left pixel. A sample is inside the field if it rounds
// to one of its pixels; NaN, infinite and huge positions are outside. Samples outside leave no trace, not even with the
// part of their footprint that would lie inside.
#pragma once

#include "position.hpp"
#include "view.hpp"

namespace semrt {

// How a sample is shared out among the pixels around it.
enum class Footprint {
    pixel,     // all to the nearest one
    bilinear,  // to the four nearest, by the area of their overlap with a pixel around the sample
    gaussian,  // by the integral over each pixel of a Gaussian of standard deviation sigma, cut at 4 sigma, sum one
};

// Grids samples: how long each pixel was exposed, and its mean intensity weighted by exposure.
//
// positions: (n).  dwell_time: (n) [µs], finite, not negative.  intensities: (n), finite, or none (n = 0).
// visited, exposure [µs], intensity: (ny, nx), overwritten; intensity is zero where unvisited or without intensities.
// sigma: [px], finite, above zero; read for Footprint::gaussian alone.  Returns the number of samples outside.
// O(n·footprint); sums are in double, in the order of the samples, so the result does not depend on n_threads.
index rasterise(View1D<Position const> positions, View1D<double const> dwell_time, View1D<double const> intensities,
                Footprint footprint, double sigma, View2D<bool> visited, View2D<float> exposure,
                View2D<float> intensity, int n_threads);

// What a probe records at each position: the mean of the image weighted by the footprint, of which the part beyond the
// border is left out.
//
// image: (ny, nx).  recorded: (n), NaN for positions outside the field.
void record(View2D<float const> image, View1D<Position const> positions, Footprint footprint, double sigma,
            View1D<float> recorded, int n_threads);

}  // namespace semrt
