#include "hough.hpp"

#include "disk_cells.hpp"
#include "nearest.hpp"
#include "parallel.hpp"
#include "spatial_hash.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <tuple>

namespace semrt {

namespace {

constexpr double pi = 3.14159265358979323846;

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// ------------------------------------------------------------------------------------------------------- voting

// How far uphill an edge looks for its centre, and which edges do.
struct Rays {
    float r_min, r_max;
    index reach;           // [px], beyond any vote
    index most_steps;      // of any ray
    float least_gradient;  // [1/px]

    // An edge that climbs over the whole radius has a gradient of 1 / r; half of it is taken for ripple.
    Rays(double shortest, double longest)
        : r_min(static_cast<float>(shortest)),
          r_max(static_cast<float>(longest)),
          reach(static_cast<index>(longest) + 3),
          most_steps(static_cast<index>(std::ceil(longest - shortest))),
          least_gradient(std::min(0.1F, 0.5F / static_cast<float>(longest))) {}
};

// Votes for each pixel, with a margin around the field so that no ray has to look where the field ends.
class Votes {
  public:
    Votes(index ny, index nx, index margin)
        : margin_(margin), width_(nx + 2 * margin), votes_(at((ny + 2 * margin) * (nx + 2 * margin)), 0.0F) {}

    float *row(index y) { return votes_.data() + (y + margin_) * width_ + margin_; }
    float const *row(index y) const { return votes_.data() + (y + margin_) * width_ + margin_; }
    index width() const { return width_; }

  private:
    index margin_, width_;
    std::vector<float> votes_;
};

struct GradientRow {
    std::vector<float> y, x, squared;
    explicit GradientRow(index nx) : y(at(nx)), x(at(nx)), squared(at(nx)) {}
};

// The gradient [1/px] along row y by Scharr's weights, whose direction errs least; the border is repeated outwards.
void find_gradient(View2D<float const> map, index y, GradientRow &gradient) {
    float const *const above = map.row(std::max<index>(y - 1, 0));
    float const *const here = map.row(y);
    float const *const below = map.row(std::min(y + 1, map.ny - 1));
    float *const gy = gradient.y.data(), *const gx = gradient.x.data(), *const squared = gradient.squared.data();
    auto const find = [=](index x, index left, index right) {
        constexpr float corner = 3.0F / 32, middle = 10.0F / 32;
        float const falling = below[right] - above[left], rising = above[right] - below[left];
        gy[x] = corner * (falling - rising) + middle * (below[x] - above[x]);
        gx[x] = corner * (falling + rising) + middle * (here[right] - here[left]);
        squared[x] = gy[x] * gy[x] + gx[x] * gx[x];
    };
    index const last = map.nx - 1;
    find(0, 0, std::min<index>(1, last));
    for (index x = 1; x < last; ++x) find(x, x - 1, x + 1);
    if (last > 0) find(last, last - 1, last);
}

// Some of the edges of one row, side by side so that their rays are computed several at a time.
//
// A ray goes in whole pixels along its steeper axis: there a bilinear splat falls on two pixels, not on four.
class EdgeBatch {
  public:
    static constexpr index size = 64;

    // edges: `size` places along the row, of which the first n count.
    EdgeBatch(std::int32_t const *edges, index n, GradientRow const &gradient, Rays const &rays) : n_(at(n)) {
        std::array<float, length> gy, gx;
        for (std::size_t k = 0; k < length; ++k) {
            x_[k] = edges[k];
            gy[k] = gradient.y[at(x_[k])];
            gx[k] = gradient.x[at(x_[k])];
        }
        for (std::size_t k = 0; k < length; ++k) {
            constexpr float nothing = 1e-20F;  // keeps what lies beyond n from dividing by zero
            float const steepness_y = std::abs(gy[k]), steepness_x = std::abs(gx[k]);
            bool const steep = steepness_y > steepness_x;
            float const along = steep ? gy[k] : gx[k], across = steep ? gx[k] : gy[k];
            weight_[k] = std::sqrt(gy[k] * gy[k] + gx[k] * gx[k]) + nothing;
            float const cosine = std::abs(along) / weight_[k];
            slope_[k] = across / (std::abs(along) + nothing);
            sign_[k] = std::copysign(1.0F, along);
            steep_[k] = steep ? -1 : 0;
            first_[k] = static_cast<float>(static_cast<std::int32_t>(rays.r_min * cosine + 1));
            last_[k] = rays.r_max * cosine;
        }
    }

    // votes: at the first pixel of this row.
    void vote(float *votes, index width, Rays const &rays) const {
        auto const reach = static_cast<std::int32_t>(rays.reach);
        std::array<std::int32_t, length> dy, dx;
        std::array<float, length> near, far;
        for (index s = 0; s < rays.most_steps; ++s) {
            for (std::size_t k = 0; k < length; ++k) {
                float const step = first_[k] + static_cast<float>(s);
                float const offset = slope_[k] * step + static_cast<float>(reach);  // positive: to cut is to round down
                auto const whole = static_cast<std::int32_t>(offset);
                float const weight = weight_[k] * static_cast<float>(static_cast<std::int32_t>(step <= last_[k]));
                far[k] = weight * (offset - static_cast<float>(whole));
                near[k] = weight - far[k];
                auto const along = static_cast<std::int32_t>(step * sign_[k]), across = whole - reach;
                dy[k] = (along & steep_[k]) | (across & ~steep_[k]);
                dx[k] = x_[k] + ((across & steep_[k]) | (along & ~steep_[k]));
            }
            for (std::size_t k = 0; k < n_; ++k) {
                float *const pixel = votes + dy[k] * width + dx[k];
                pixel[0] += near[k];
                pixel[steep_[k] != 0 ? 1 : width] += far[k];
            }
        }
    }

  private:
    static constexpr auto length = static_cast<std::size_t>(size);
    std::size_t n_;
    std::array<std::int32_t, length> x_, steep_;  // steep: all bits set where a ray goes rather along y
    std::array<float, length> slope_, sign_, first_, last_, weight_;
};

// Every edge votes. Sums are in one order for any number of threads: bands of rows, the even ones before the odd ones,
// and two bands of the same parity are too far apart to vote for the same pixel.
void cast_votes(View2D<float const> map, Rays const &rays, Votes &votes, int n_threads) {
    index const height = std::max<index>(2 * rays.reach, 32);
    for (index parity = 0; parity < 2; ++parity) {
        parallel_for((chunks(map.ny, height) + 1 - parity) / 2, n_threads, [&](index i) {
            GradientRow gradient(map.nx);
            std::vector<std::int32_t> edges(at(map.nx + EdgeBatch::size));
            index const y0 = (2 * i + parity) * height;
            for (index y = y0; y < std::min(y0 + height, map.ny); ++y) {
                find_gradient(map, y, gradient);
                std::int32_t *last = edges.data();
                for (index x = 0; x < map.nx; ++x) {
                    *last = static_cast<std::int32_t>(x);
                    last += gradient.squared[at(x)] >= rays.least_gradient * rays.least_gradient ? 1 : 0;
                }
                std::fill_n(last, EdgeBatch::size, 0);
                for (auto const *first = edges.data(); first < last; first += EdgeBatch::size) {
                    index const n = std::min<index>(EdgeBatch::size, last - first);
                    EdgeBatch(first, n, gradient, rays).vote(votes.row(y), votes.width(), rays);
                }
            }
        });
    }
}

// ------------------------------------------------------------------------------------------------------- maxima

struct Candidate {
    float votes;
    std::int32_t y, x;
};

// Votes in 3 x 3 pixels: rays to one centre miss each other by so much.
void gather_votes(Votes const &votes, index y, index nx, float *gathered) {
    float const *const above = votes.row(y - 1), *const here = votes.row(y), *const below = votes.row(y + 1);
    for (index x = 0; x < nx; ++x) {
        gathered[x] = ((above[x - 1] + above[x + 1]) + (below[x - 1] + below[x + 1])) +
                      ((above[x] + below[x]) + (here[x - 1] + here[x + 1])) + here[x];
    }
}

// Pixels with more votes than those after them, and no fewer than those before: of equal neighbours one remains.
std::vector<Candidate> maxima(Votes const &votes, index ny, index nx, float least, int n_threads) {
    constexpr index height = 64;
    std::vector<std::vector<Candidate>> found(at(chunks(ny, height)));
    parallel_for(chunks(ny, height), n_threads, [&](index band) {
        constexpr float nowhere = -1;  // beyond the border
        std::array<std::vector<float>, 3> rows;
        for (auto &row : rows) row.assign(at(nx + 2), nowhere);
        auto const gathered = [&](index y) { return rows[at((y + 3) % 3)].data() + 1; };
        auto const gather = [&](index y) {
            if (y >= 0 && y < ny)
                gather_votes(votes, y, nx, gathered(y));
            else
                std::fill_n(gathered(y), nx, nowhere);
        };
        index const y0 = band * height, y1 = std::min(y0 + height, ny);
        gather(y0 - 1);
        gather(y0);
        for (index y = y0; y < y1; ++y) {
            gather(y + 1);
            float const *const above = gathered(y - 1), *const here = gathered(y), *const below = gathered(y + 1);
            for (index x = 0; x < nx; ++x) {
                float const own = here[x];
                if (own < least || own < here[x - 1] || own <= here[x + 1]) continue;
                if (own < std::max({above[x - 1], above[x], above[x + 1]})) continue;
                if (own <= std::max({below[x - 1], below[x], below[x + 1]})) continue;
                found[at(band)].push_back({own, static_cast<std::int32_t>(y), static_cast<std::int32_t>(x)});
            }
        }
    });
    std::vector<Candidate> all;
    for (auto const &some : found) all.insert(all.end(), some.begin(), some.end());
    return all;
}

// The candidates without those near a better one.
std::vector<Circle> apart(std::vector<Candidate> &candidates, index ny, index nx, double min_distance) {
    std::sort(candidates.begin(), candidates.end(), [](Candidate const &a, Candidate const &b) {
        return std::tie(b.votes, a.y, a.x) < std::tie(a.votes, b.y, b.x);
    });
    SpatialHash taken(ny, nx, min_distance);
    std::vector<Circle> kept;
    for (auto const &candidate : candidates) {
        double const y = candidate.y, x = candidate.x;
        if (taken.any_near(y, x, min_distance)) continue;
        taken.add(y, x);
        kept.push_back({y, x, 0, static_cast<double>(candidate.votes)});
    }
    // From here on in the order of their places, which keeps the map's rows in the cache.
    std::sort(kept.begin(), kept.end(),
              [](Circle const &a, Circle const &b) { return std::tie(a.y, a.x) < std::tie(b.y, b.x); });
    return kept;
}

}  // namespace

std::vector<Circle> find_circles(View2D<float const> map, CircleSearch const &search, int n_threads) {
    // A ray needs a pixel on either side of the radius to be seen at all, and none beyond the field.
    double const diagonal = std::hypot(static_cast<double>(map.ny), static_cast<double>(map.nx));
    double const middle = std::min(0.5 * (search.r_min + search.r_max), diagonal);
    Rays const rays(std::max(0.0, std::min(search.r_min, middle - 1)),
                    std::max(std::min(search.r_max, diagonal), middle + 1));
    Votes votes(map.ny, map.nx, rays.reach);
    cast_votes(map, rays, votes, n_threads);
    constexpr double votes_per_radius =
        4 * pi;  // of a sharp disk: its edge, 2 pi r, on two of the three pixels gathered
    auto const least = static_cast<float>(search.threshold * votes_per_radius * search.r_min);
    auto candidates = maxima(votes, map.ny, map.nx, std::max(least, 1e-6F), n_threads);
    auto circles = centred_in_cells(map, apart(candidates, map.ny, map.nx, search.min_distance),
                                    static_cast<double>(rays.r_max) + 1, n_threads);
    for (auto &circle : circles) {
        circle.score /= votes_per_radius * std::clamp(circle.radius, search.r_min, search.r_max);
    }
    std::sort(circles.begin(), circles.end(), [](Circle const &a, Circle const &b) {
        return std::tie(b.score, a.y, a.x) < std::tie(a.score, b.y, b.x);
    });
    SpatialHash taken(map.ny, map.nx, search.min_distance);
    std::vector<Circle> kept;
    for (auto const &circle : circles) {
        // Two maxima of one disk end in the same place.
        if (circle.score < search.threshold || taken.any_near(circle.y, circle.x, 0.5 * search.min_distance)) continue;
        taken.add(circle.y, circle.x);
        kept.push_back(circle);
    }
    return kept;
}

}  // namespace semrt
