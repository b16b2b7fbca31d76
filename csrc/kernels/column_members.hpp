// The columns of a fit, from the places that somebody named to what is known of them at the start.
#pragma once

#include "column_field.hpp"
#include "view.hpp"

#include <cstdint>
#include <vector>

namespace semrt {

struct Member {
    Column column;
    double start_y, start_x;  // [px]
    double leash;             // how far from there it may go [px]
    std::int64_t source;      // the line of the positions it comes from; -1: found in the residual
    bool reported;            // false: stands for light that comes from outside the field
    bool held = false;        // at the end of its leash
    bool stirred = false;     // by a column newly added nearby
};

// Those of the positions, (n, 2) as (y, x), that lie in the field, in the order of their places. Of some less than
// min_distance apart the first in the positions remains.
std::vector<Member> members_at(View2D<double const> positions, index ny, index nx, double min_distance);

// The columns in the order of their places, which sweeps need.
void sort_by_place(std::vector<Member> &members);

// Median distance of the members from their nearest neighbours [px], at most that of a sparse lattice.
double spacing_of(std::vector<Member> const &members, index ny, index nx);

// How wide columns are, from where their mean falls to half its height above the lowest value around [px].
double first_width(View2D<float const> image, std::vector<Member> const &members, double spacing);

// The level between columns, or where there are none, about a place: of the values within reach, a fifth are lower.
double dark_level(View2D<float const> image, double y, double x, double reach);

// Sets heights to what the image shows above the background, and leashes by the width and the nearest neighbours.
void set_heights(ColumnField const &field, std::vector<Member> &members);
void set_leashes(std::vector<Member> &members, index ny, index nx, double spacing, double width);

// Places on a grid of that step [px] with no member within `clear`.
std::vector<Plane> gaps(std::vector<Member> const &members, index ny, index nx, double step, double clear);

std::vector<Column> columns_of(std::vector<Member> const &members);

// Distance of a place from the border of the field [px], negative outside.
double inside_by(View2D<float const> image, double y, double x);

}  // namespace semrt
