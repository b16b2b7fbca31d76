// Circular Hough transform of a map of probabilities: edges vote uphill for the centres of the disks they bound.
//
// One accumulator takes the votes for all radii; no edge is thinned and no value cut to 8 bits, since either loses weak
// disks and parts of a pixel. Duda & Hart 1972, doi:10.1145/361237.361242; votes along the gradient: Kimme, Ballard &
// Sklansky 1975, doi:10.1145/360666.360677.
#pragma once

#include "view.hpp"

#include <vector>

namespace semrt {

struct Circle {
    double y, x;    // [px], the centroid of the part of the map that is nearer to this circle than to any other
    double radius;  // [px], of a disk as large as that part
    double score;   // votes over those that a sharp disk of this radius and a step of 1 gets: about 0 to 1
};

struct CircleSearch {
    double r_min, r_max;  // [px]
    double min_distance;  // between the pixels that get most votes [px]
    double threshold;     // circles of a lower score are left out
};

// The circles in a map, best first.
//
// map: (ny, nx), finite, 0 outside the disks and 1 inside; disks cut by the border count if their centres are inside.
// Time: ten passes over the map, and 2 (r_max - r_min) additions for each pixel on an edge. Memory: one more image,
// whatever the radii.
std::vector<Circle> find_circles(View2D<float const> map, CircleSearch const &search, int n_threads);

}  // namespace semrt
