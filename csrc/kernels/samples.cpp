#include "samples.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace semrt {

namespace {

constexpr float samples_per_bucket = 2.0F;

float bucket_side(std::size_t n_samples, index ny, index nx) {
    auto const area = static_cast<float>(ny) * static_cast<float>(nx);
    return std::max(1.0F,
                    std::sqrt(samples_per_bucket * area / static_cast<float>(std::max<std::size_t>(1, n_samples))));
}

bool nearer(Neighbour const &a, Neighbour const &b) {
    return a.distance2 != b.distance2 ? a.distance2 < b.distance2 : a.sample < b.sample;
}

}  // namespace

SampleGrid::SampleGrid(std::vector<Sample> samples, index ny, index nx)
    : samples_(std::move(samples)), side_(bucket_side(samples_.size(), ny, nx)) {
    n_by_ = static_cast<index>(static_cast<float>(ny) / side_) + 1;
    n_bx_ = static_cast<index>(static_cast<float>(nx) / side_) + 1;
    auto const bucket = [&](Sample const &s) {
        auto const by = static_cast<index>(static_cast<float>(s.y) / side_);
        auto const bx = static_cast<index>(static_cast<float>(s.x) / side_);
        return static_cast<std::size_t>(by * n_bx_ + bx);
    };
    first_.assign(static_cast<std::size_t>(n_by_ * n_bx_ + 1), 0);
    for (auto const &s : samples_) ++first_[bucket(s) + 1];
    for (std::size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
    order_.resize(samples_.size());
    auto next = first_;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
        auto const place = next[bucket(samples_[i])]++;
        order_[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(i);
    }
}

void SampleGrid::collect(index by, index bx, float y, float x, std::vector<Neighbour> &found) const {
    auto const b = static_cast<std::size_t>(by * n_bx_ + bx);
    for (auto o = first_[b]; o < first_[b + 1]; ++o) {
        auto const i = order_[static_cast<std::size_t>(o)];
        auto const &s = samples_[static_cast<std::size_t>(i)];
        float const dy = static_cast<float>(s.y) - y;
        float const dx = static_cast<float>(s.x) - x;
        found.push_back({i, dy * dy + dx * dx});
    }
}

void SampleGrid::nearest(float y, float x, index k, std::vector<Neighbour> &found) const {
    found.clear();
    auto const wanted = static_cast<std::size_t>(std::min<index>(k, static_cast<index>(samples_.size())));
    if (wanted == 0) return;
    auto const clamp_bucket = [](float v, index n) {
        return std::clamp<index>(static_cast<index>(std::floor(v)), 0, n - 1);
    };
    index const by = clamp_bucket(y / side_, n_by_);
    index const bx = clamp_bucket(x / side_, n_bx_);
    index const last_ring = std::max({by, n_by_ - 1 - by, bx, n_bx_ - 1 - bx});
    for (index ring = 0; ring <= last_ring; ++ring) {
        index const y0 = by - ring, y1 = by + ring, x0 = bx - ring, x1 = bx + ring;
        for (index cy = std::max<index>(0, y0); cy <= std::min(n_by_ - 1, y1); ++cy) {
            bool const whole_row = cy == y0 || cy == y1;
            for (index cx = x0; cx <= x1; cx += (whole_row || ring == 0) ? 1 : 2 * ring) {
                if (cx >= 0 && cx < n_bx_) collect(cy, cx, y, x, found);
            }
        }
        if (found.size() < wanted) continue;
        // Whatever lies outside the rings seen so far is at least this far away.
        float const unseen = std::min({y - static_cast<float>(y0) * side_, static_cast<float>(y1 + 1) * side_ - y,
                                       x - static_cast<float>(x0) * side_, static_cast<float>(x1 + 1) * side_ - x});
        std::nth_element(found.begin(), found.begin() + static_cast<index>(wanted) - 1, found.end(), nearer);
        if (unseen > 0 && found[wanted - 1].distance2 <= unseen * unseen) break;
    }
    std::partial_sort(found.begin(), found.begin() + static_cast<index>(wanted), found.end(), nearer);
    found.resize(wanted);
}

std::vector<Sample> visited_samples(View2D<bool const> visited) {
    std::vector<Sample> samples;
    for (index y = 0; y < visited.ny; ++y) {
        for (index x = 0; x < visited.nx; ++x) {
            if (visited(y, x)) samples.push_back({static_cast<std::int32_t>(y), static_cast<std::int32_t>(x)});
        }
    }
    return samples;
}

std::vector<Sample> thinned(std::vector<Sample> const &samples, index ny, index nx, float cell) {
    auto const n_cy = static_cast<index>(static_cast<float>(ny) / cell) + 1;
    auto const n_cx = static_cast<index>(static_cast<float>(nx) / cell) + 1;
    std::vector<std::int32_t> best(static_cast<std::size_t>(n_cy * n_cx), -1);
    std::vector<float> best_distance2(best.size(), std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < samples.size(); ++i) {
        auto const cy = static_cast<index>(static_cast<float>(samples[i].y) / cell);
        auto const cx = static_cast<index>(static_cast<float>(samples[i].x) / cell);
        float const dy = static_cast<float>(samples[i].y) - (static_cast<float>(cy) + 0.5F) * cell;
        float const dx = static_cast<float>(samples[i].x) - (static_cast<float>(cx) + 0.5F) * cell;
        auto const c = static_cast<std::size_t>(cy * n_cx + cx);
        if (dy * dy + dx * dx < best_distance2[c]) {
            best_distance2[c] = dy * dy + dx * dx;
            best[c] = static_cast<std::int32_t>(i);
        }
    }
    std::vector<Sample> chosen;
    for (auto const i : best) {
        if (i >= 0) chosen.push_back(samples[static_cast<std::size_t>(i)]);
    }
    return chosen;
}

}  // namespace semrt
