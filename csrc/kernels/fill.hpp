// Filling a sparse scan from its samples: nearest sample, natural neighbours, Gaussian smoothing.
#pragma once

#include "view.hpp"

#include <cstdint>

namespace semrt {

struct Pixel {
    std::int32_t y, x;
};

// The nearest visited pixel of every pixel; of equally near ones the leftmost, then the topmost.
//
// visited, nearest: (ny, nx).  Exact; O(ny·nx).  Throws std::invalid_argument if no pixel was visited.
// Meijster, Roerdink & Hesselink 2000, doi:10.1007/0-306-47025-X_36.
void nearest_sample(View2D<bool const> visited, View2D<Pixel> nearest, int n_threads);

// Euclidean distance [px] from the centre of every pixel to that of its nearest visited one.
//
// visited, distance: (ny, nx).  Exact up to the rounding to float; O(ny·nx).
// Throws std::invalid_argument if no pixel was visited.
void distance_to_sample(View2D<bool const> visited, View2D<float> distance, int n_threads);

// Discrete Sibson interpolation: the mean of what arrives when every unvisited pixel p, at distance d(p) from its
// nearest sample, spreads that sample's value over the disk of radius d(p) around itself, rim included.
//
// intensity, visited, filled: (ny, nx).  Visited pixels keep their intensity; the others stay inside the samples'
// range. O(ny·nx·d) with d the mean distance, and at most 128: from d = 128 on, blocks of pixels spread as one (see
// sources()). Sums are integers, so the result does not depend on n_threads.  Throws std::invalid_argument if no pixel
// was visited. Park, Linsen, Kreylos, Owens & Hamann 2006, doi:10.1109/TVCG.2006.27.
void natural_neighbour(View2D<float const> intensity, View2D<bool const> visited, View2D<float> filled, int n_threads);

// Gaussian smoothing in place: separable, kernel cut at 4 sigma, edges reflected (d c b a | a b c d | d c b a).
//
// image: (ny, nx).  sigma: [px], above zero.  O(ny·nx·sigma).
void smooth_gaussian(View2D<float> image, double sigma, int n_threads);

}  // namespace semrt
