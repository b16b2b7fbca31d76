// The order in which to visit positions, so that the probe need not jump.
#pragma once

#include "position.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

// Starts at the first position and goes on to the nearest not yet visited; of equally near ones to the earliest.
//
// positions: (n), finite.  Returns a permutation of 0 ... n - 1.  O(n) for evenly spread positions.
std::vector<index> nearest_order(View1D<Position const> positions);

}  // namespace semrt
