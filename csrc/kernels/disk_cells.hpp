// Disks in a map, each centred in its own part of the plane.
#pragma once

#include "hough.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

// Moves every circle to the centroid of its cell: the part of the plane that is nearer to it than to any other circle,
// and within r_max [px].
//
// circles: near the centres of disks; in the order of their places, for speed. Their radius is set, their score kept.
// Cells that neighbours cut are those of circles not yet known well, and get a second round.
std::vector<Circle> centred_in_cells(View2D<float const> map, std::vector<Circle> circles, double r_max, int n_threads);

}  // namespace semrt
