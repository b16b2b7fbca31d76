// Columns that nobody has named: maxima of the residual seen through the profile.
#pragma once

#include "view.hpp"

#include <vector>

namespace semrt {

struct Sighting {
    double y, x;          // [px]; may lie outside the field
    double height;        // of the column that explains the residual best there [counts]
    double significance;  // height over its standard deviation if noise is what the weights say
};

// Where a column of this width, on an even background, explains the residual: all places where its height is `least`
// standard deviations or more and none nearby has more, in the order of rows; and likewise where it is as much below
// zero, since what is no column makes as much of one as of the other.
//
// margin: how far outside the field to look as well [px].
std::vector<Sighting> search_residual(View2D<float const> residual, View2D<float const> weight, double width,
                                      double margin, double least, int n_threads);

// The same for places outside the field, and for those inside less than a width from its border.
std::vector<Sighting> search_border(View2D<float const> residual, View2D<float const> weight, double width,
                                    double margin, double least, int n_threads);

}  // namespace semrt
