// The nearest sample of every pixel, exactly and in time proportional to the number of pixels.
#pragma once

#include "parallel.hpp"
#include "view.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace semrt {

constexpr index columns_at_once = 64;  // a cache line or more of each row
constexpr index rows_at_once = 16;
constexpr index none = -1;

inline index chunks(index n, index size) {
    return (n + size - 1) / size;
}

inline index square(index a) {
    return a * a;
}

struct Pixel {
    index y, x;
};

// The nearest samples of a pixel: of equally near ones the leftmost, then topmost, and the rightmost, then lowest.
struct Nearest {
    Pixel first, last;
    index squared_distance;
};

// The row of the nearest sample in the same column, the upper of two equally near ones; none where there is no sample.
inline void nearest_in_column(View2D<bool const> visited, View2D<std::int32_t> row, index x0, index x1) {
    std::vector<index> latest(static_cast<std::size_t>(x1 - x0), none);
    for (index y = 0; y < visited.ny; ++y) {
        for (index x = x0; x < x1; ++x) {
            auto &above = latest[static_cast<std::size_t>(x - x0)];
            above = visited(y, x) ? y : above;
            row(y, x) = static_cast<std::int32_t>(above);
        }
    }
    std::fill(latest.begin(), latest.end(), none);
    for (index y = visited.ny - 1; y >= 0; --y) {
        for (index x = x0; x < x1; ++x) {
            auto &below = latest[static_cast<std::size_t>(x - x0)];
            below = visited(y, x) ? y : below;
            index const above = row(y, x);
            bool const below_is_nearer = below != none && (above == none || below - y < y - above);
            row(y, x) = static_cast<std::int32_t>(below_is_nearer ? below : above);
        }
    }
}

// A column whose nearest sample is the nearest of the whole row from `start` on.
struct Reign {
    index column, start, height;  // height: squared distance from the row to the column's sample

    index squared_distance(index x) const { return square(x - column) + height; }
};

enum class Ties { to_the_left, to_the_right };

// The column of each pixel's nearest sample: the lower envelope of the columns' squared distances to row y.
//
// row_of: the row of each column's nearest sample.  reigns: scratch.
inline void nearest_in_row(View1D<std::int32_t const> row_of, index y, Ties ties, std::vector<Reign> &reigns,
                           std::vector<index> &column) {
    bool const to_the_right = ties == Ties::to_the_right;
    reigns.clear();
    for (index x = 0; x < row_of.n; ++x) {
        if (row_of[x] == none) continue;
        Reign candidate{x, 0, square(row_of[x] - y)};
        auto const beaten_at_its_start = [&](Reign const &r) {
            index const own = r.squared_distance(r.start), other = candidate.squared_distance(r.start);
            return own > other || (to_the_right && own == other);
        };
        while (!reigns.empty() && beaten_at_its_start(reigns.back())) reigns.pop_back();
        if (!reigns.empty()) {  // the last reign is at least as near at its start, so its lead is not negative
            Reign const &left = reigns.back();
            index const lead = square(x) - square(left.column) + candidate.height - left.height;
            index const loss = 2 * (x - left.column);  // of the lead, with each pixel to the right
            candidate.start = to_the_right ? (lead + loss - 1) / loss : lead / loss + 1;
        }
        if (candidate.start < row_of.n) reigns.push_back(candidate);
    }
    index end = row_of.n;
    for (auto r = reigns.rbegin(); r != reigns.rend(); ++r) {
        std::fill(column.begin() + r->start, column.begin() + end, r->column);
        end = r->start;
    }
}

// Calls use(y, x, nearest) for every pixel, rows in parallel.
// Meijster, Roerdink & Hesselink 2000, doi:10.1007/0-306-47025-X_36.
template <class Use>
void for_each_nearest(View2D<bool const> visited, int n_threads, Use const &use) {
    if (std::none_of(visited.data, visited.data + visited.size(), [](bool v) { return v; })) {
        throw std::invalid_argument("visited: expected at least one visited pixel, got none");
    }
    std::vector<std::int32_t> storage(static_cast<std::size_t>(visited.size()));
    View2D<std::int32_t> const row_of{storage.data(), visited.ny, visited.nx};
    parallel_for(chunks(visited.nx, columns_at_once), n_threads, [&](index chunk) {
        index const x0 = chunk * columns_at_once;
        nearest_in_column(visited, row_of, x0, std::min(x0 + columns_at_once, visited.nx));
    });
    parallel_for(chunks(visited.ny, rows_at_once), n_threads, [&](index chunk) {
        std::vector<Reign> reigns;
        std::vector<index> first(static_cast<std::size_t>(visited.nx)), last(first);
        index const y0 = chunk * rows_at_once;
        for (index y = y0; y < std::min(y0 + rows_at_once, visited.ny); ++y) {
            View1D<std::int32_t const> const rows{row_of.row(y), visited.nx};
            nearest_in_row(rows, y, Ties::to_the_left, reigns, first);
            nearest_in_row(rows, y, Ties::to_the_right, reigns, last);
            for (index x = 0; x < visited.nx; ++x) {
                index const left = first[static_cast<std::size_t>(x)], right = last[static_cast<std::size_t>(x)];
                index const upper = rows[right], mirrored = 2 * y - upper;
                bool const ties_below = mirrored > y && mirrored < visited.ny && visited(mirrored, right);
                use(y, x,
                    Nearest{{rows[left], left},
                            {ties_below ? mirrored : upper, right},
                            square(x - left) + square(rows[left] - y)});
            }
        }
    });
}

}  // namespace semrt
