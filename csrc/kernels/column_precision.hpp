// How well columns are known: the inverse of the Fisher matrix, neighbours and background among the unknowns.
#pragma once

#include "column_field.hpp"
#include "column_normal.hpp"

#include <vector>

namespace semrt {

struct Precision {
    double shift_y, shift_x, height;  // variances of these unknowns [counts^2]
};

// equations: of each column, over its own window.  prior: see solve().
//
// Unknown beside a column's own: its background, and place and height of up to six neighbours within 4.5 widths. What
// two columns share is taken from the weights at nine places between them. Infinite where undetermined.
std::vector<Precision> precisions(ColumnField const &field, std::vector<Column> const &columns,
                                  std::vector<NormalEquations> const &equations, Unknowns const &prior,
                                  ColumnProfile const &profile, int n_threads);

// Variance of apparent shifts, and heights, of columns where there is none, over what white noise would give them; at
// least 1. What the model does not describe shows here: background at the grain of columns, correlated noise.
struct Excess {
    double shift, height;
};

// test_width: of the narrower column that sees shifts and heights (see solve_tested); 0 for none.
Excess excess_between(ColumnField const &field, std::vector<Column> const &places, Unknowns const &prior,
                      ColumnProfile const &profile, double test_width, int n_threads);

}  // namespace semrt
