// Atomic columns located to a part of a pixel on the counts themselves, with their standard deviations.
//
// All columns have one shape and each its own height, on a background that varies smoothly; each pixel counts by what
// the model says of its noise. Columns are improved one after the other on what all others leave, until they rest.
// Van Aert et al. 2005, doi:10.1016/j.ultramic.2005.03.002; De Backer et al. 2016, doi:10.1016/j.ultramic.2016.08.018.
#pragma once

#include "column_field.hpp"
#include "view.hpp"

#include <cstdint>
#include <vector>

namespace semrt {

struct ColumnFitOptions {
    double width;       // [px]; 0: estimated
    double tail;        // share of the height in the wide part; negative: estimated
    double gain;        // variance of a count over what is expected of it; negative: the noise is estimated
    double read_noise;  // standard deviation of a count without signal; only with a gain
    double offset;      // expected count without signal; only with a gain
    bool straighten;    // undo displacements of whole rows where they show
    bool find_missing;  // look in the residual for columns that the positions lack
    double threshold;   // height of such a column over its standard deviation
};

struct FittedColumn {
    double y, x, sigma_y, sigma_x;                  // [px]
    double intensity, intensity_sigma, background;  // [counts]: height of the peak, and what lies under it
    double chi2;                                    // mean square of the residual over its variance, within two widths
    std::int64_t source;  // the line of the positions it comes from; -1: found in the residual
    bool converged;
};

struct ColumnFit {
    std::vector<FittedColumn> columns;  // in the order of their places
    ColumnProfile profile;
    CountNoise noise;
    double row_jitter_y, row_jitter_x;  // standard deviations [px]
};

// positions: (n, 2) as (y, x) [px]; those outside the field, and all but the first of some that coincide, are left out.
//
// image: (ny, nx), finite.  The same for any number of threads.  About 40 µs a column. Memory: two images, and while
// rows are put right four.
ColumnFit fit_columns(View2D<float const> image, View2D<double const> positions, ColumnFitOptions const &options,
                      int n_threads);

}  // namespace semrt
