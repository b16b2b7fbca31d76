// The least-squares problem of one column: how the residual in its window depends on its place, its height and a plane.
#pragma once

#include "column_profile.hpp"
#include "view.hpp"

#include <array>
#include <vector>

namespace semrt {

struct Column {
    double y, x, height;  // [px, px, counts]
};

// The unknowns, all in counts: shifts times height over width, the height, and a plane about the column that is
// b0 + b_y (y - column.y) / width + b_x (x - column.x) / width.
enum Unknown : std::size_t { shift_y, shift_x, height, plane, slope_y, slope_x, n_unknowns };

using Unknowns = std::array<double, n_unknowns>;

// Sums over pixels of weight times two functions, and of weight times one of them times the residual.
template <std::size_t n>
struct Sums {
    std::array<double, n * n> matrix;  // symmetric, all of it
    std::array<double, n> right;

    double &at(std::size_t i, std::size_t j) { return matrix[i * n + j]; }
    double at(std::size_t i, std::size_t j) const { return matrix[i * n + j]; }
};

// The functions are the derivatives of the image by the unknowns.
using NormalEquations = Sums<n_unknowns>;

// After those, derivatives by shift_y, shift_x and height of a narrower column.
using TestedEquations = Sums<n_unknowns + 3>;

// Solves with prior[i] added to the diagonal, by Cholesky's method. False where rounding leaves it undetermined.
bool solve(NormalEquations const &equations, Unknowns const &prior, Unknowns &solution);

// The diagonal of the inverse of the matrix with prior added; infinite where that is undetermined.
Unknowns variances(NormalEquations const &equations, Unknowns const &prior);

// Solves instead for the shifts and the height that a narrower column sees, which are true as well and suffer less from
// what has the grain of columns but is none. Writes the variances, too, if noise is white.
bool solve_tested(TestedEquations const &equations, Unknowns const &prior, Unknowns &solution, Unknowns &variance);

// Sums over windows; holds its memory from column to column.
class WindowSums {
  public:
    static constexpr index lanes = 8;  // so many pixels are taken at a time

    // residual, weight: (ny, nx); values up to `lanes` beyond the end of either are read, though they do not count.
    // half_width: of the window [px].
    NormalEquations assemble(View2D<float const> residual, View2D<float const> weight, Column const &column,
                             ColumnProfile const &profile, double half_width);
    TestedEquations assemble_tested(View2D<float const> residual, View2D<float const> weight, Column const &column,
                                    ColumnProfile const &profile, double test_width, double half_width);

  private:
    struct Part {
        double sigma, share;
    };
    template <std::size_t n_parts, std::size_t n, class Terms>
    Sums<n> sum(View2D<float const> residual, View2D<float const> weight, Column const &column,
                std::array<Part, n_parts> const &parts, Terms const &terms, double half_width);
    template <std::size_t n_parts>
    static void tabulate(Span span, double centre, std::array<Part, n_parts> const &parts, bool with_share,
                         float *values, index stride);

    std::vector<float> of_y_, of_x_, products_of_y_, products_of_x_, sums_;
};

}  // namespace semrt
