// Rows that the scan displaced, seen by what all columns on a row have in common.
#pragma once

#include "column_normal.hpp"
#include "view.hpp"

#include <vector>

namespace semrt {

// Along one axis.
struct RowShifts {
    std::vector<double> shift;  // of each row [px]; empty where none is significant
    double variance = 0;        // of independent shifts of the rows, as estimated [px^2]
    double kept = 0;            // mean square of what is left in the columns' places [px^2]

    bool any() const { return !shift.empty(); }
};

struct RowShiftsOfBoth {
    RowShifts y, x;

    bool any() const { return y.any() || x.any(); }
};

// By how much each row is displaced, given that every column is free to move as well: the most probable shifts if rows
// shift independently by an unknown variance. Shifts that neighbouring rows share are columns displaced, for all that
// anyone can see.
//
// image: (ny, nx), and the residual of a model of these columns that fits it but for the shifts, and its weights.
// before: what the image has been put right by already; the shifts are in all.
RowShiftsOfBoth find_row_shifts(View2D<float const> image, View2D<float const> residual, View2D<float const> weight,
                                std::vector<Column> const &columns, double width, RowShiftsOfBoth const &before,
                                int n_threads);

// Moves the rows of the recorded image back, to second order, by what the model is displaced there: noise stays what
// it is. image, residual: as above.
void undo_row_shifts(RowShiftsOfBoth const &shifts, View2D<float const> recorded, View2D<float const> image,
                     View2D<float const> residual, View2D<float> straight, int n_threads);

}  // namespace semrt
