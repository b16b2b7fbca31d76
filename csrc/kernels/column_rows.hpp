// Rows that the scan displaced, seen by what all columns on a row have in common.
#pragma once

#include "column_normal.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

struct RowShifts {
    std::vector<double> y, x;  // of each row [px], shrunk by their own noise; empty where none is significant
    double variance_y = 0, variance_x = 0;  // of the rows' shifts beyond that noise [px^2]

    bool any() const { return !y.empty(); }
};

// By how much each row shows the columns displaced. Shifts that neighbouring rows share are columns displaced, for all
// that anyone can see.
//
// image: (ny, nx), and the residual of a model that fits it but for the shifts, and its weights.
RowShifts find_row_shifts(View2D<float const> image, View2D<float const> residual, View2D<float const> weight,
                          int n_threads);

// Moves the rows back, to first order: by the slope of the model, so that noise stays what it is.
void undo_row_shifts(RowShifts const &shifts, View2D<float const> image, View2D<float const> residual,
                     View2D<float> straight, int n_threads);

// What is left in the columns' places of rows that all shift independently, by a variance of 1, once `rounds` of
// finding and undoing are done: the mean square of the columns' shifts. Tried out on random shifts.
struct KeptShare {
    double y, x;
};
KeptShare kept_share(std::vector<Column> const &columns, double width, index ny, int rounds);

}  // namespace semrt
