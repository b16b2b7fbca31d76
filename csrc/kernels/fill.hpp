// Filling a sparse scan from its samples: nearest sample, natural neighbours, Gaussian smoothing.
#pragma once

#include "view.hpp"

namespace semrt {

// Euclidean distance [px] from the centre of every pixel to that of its nearest visited one.
//
// visited, distance: (ny, nx).  Exact up to the rounding to float; O(ny·nx).
// Throws std::invalid_argument if no pixel was visited.
// Meijster, Roerdink & Hesselink 2000, doi:10.1007/0-306-47025-X_36.
void distance_to_sample(View2D<bool const> visited, View2D<float> distance, int n_threads);

// Discrete Sibson interpolation: the mean of what arrives when every unvisited pixel p, at distance d(p) from its
// nearest sample, spreads that sample's value over the disk of radius d(p) around itself, rim included.
//
// intensity, visited, filled: (ny, nx).  Visited pixels keep their intensity; the others stay in the samples' range.
// Of equally near samples the leftmost (then topmost) and the rightmost (then lowest) count half each: no shift.
// Throws std::invalid_argument if no pixel was visited.  O(ny·nx·d) with d the mean distance, at most 128: from 128 px
// on whole blocks of pixels spread as one.  Sums are of integers, so the result does not depend on n_threads.
//
// Park, Linsen, Kreylos, Owens & Hamann 2006, doi:10.1109/TVCG.2006.27.
void natural_neighbour(View2D<float const> intensity, View2D<bool const> visited, View2D<float> filled, int n_threads);

// Gaussian smoothing in place: separable, kernel cut at 4 sigma, edges reflected (d c b a | a b c d | d c b a).
//
// image: (ny, nx).  sigma: [px], above zero.  O(ny·nx·sigma).
void smooth_gaussian(View2D<float> image, double sigma, int n_threads);

}  // namespace semrt
