#include "layer_field.hpp"

#include "layer_local.hpp"
#include "layer_regions.hpp"
#include "layer_search.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace semrt {

namespace {

constexpr index least_side = 8;     // [px] of the coarsest image
constexpr int rounds = 4;           // of sweeps and regions, at each scale
constexpr int sweeps = 2;           // over pixels in each round
constexpr double demand = 16;       // in chi², of a region that leaves the grid
constexpr float least_move = 0.2F;  // [nm], by which it leaves it: thicknesses are often round
constexpr double most_alike = 100;  // pixels of a region that are trusted to tell of the same thickness

Scale halved(Scale const &fine) {
    auto const &from = fine.image;
    Scale coarse{{(from.ny + 1) / 2, (from.nx + 1) / 2, {}, {}}, {}, 2 * fine.side};
    auto const pixels = static_cast<std::size_t>(coarse.image.ny * coarse.image.nx);
    coarse.image.features.assign(pixels, Features{});
    coarse.count.assign(pixels, 0);
    for (index y = 0; y < from.ny; ++y) {
        for (index x = 0; x < from.nx; ++x) {
            auto const source = static_cast<std::size_t>(y * from.nx + x);
            auto const target = static_cast<std::size_t>(y / 2 * coarse.image.nx + x / 2);
            coarse.count[target] += fine.count[source];
            for (std::size_t k = 0; k < n_features; ++k) {
                coarse.image.features[target][k] += fine.count[source] * from.features[source][k];
            }
        }
    }
    for (std::size_t p = 0; p < pixels; ++p) {
        for (auto &feature : coarse.image.features[p]) feature /= coarse.count[p];
    }
    return coarse;
}

// One scale on its way to the least cost.
class Field {
  public:
    Field(LayerTable const &table, LabelSearch const &search, Scale const &scale, Smoothness const &smoothness,
          int n_threads)
        : table_(table), scale_(scale), smoothness_(smoothness), ny_(scale.image.ny), nx_(scale.image.nx) {
        likeliest_.resize(static_cast<std::size_t>(ny_ * nx_));
        parallel_for(ny_, n_threads, [&](index y) {
            for (index x = 0; x < nx_; ++x) {
                likeliest_[at(y, x)] = search.nearest(scale.image.features[at(y, x)]);
            }
        });
    }

    void start_at_likeliest() {
        labels_.clear();
        for (auto const &one : likeliest_) labels_.push_back(one.label);
    }

    void start_at(std::vector<Label> const &coarse) {
        labels_.resize(static_cast<std::size_t>(ny_ * nx_));
        index const width = (nx_ + 1) / 2;
        for (index y = 0; y < ny_; ++y) {
            for (index x = 0; x < nx_; ++x) {
                labels_[at(y, x)] = coarse[static_cast<std::size_t>(y / 2 * width + x / 2)];
            }
        }
    }

    void sweep(int n_threads) {
        for (index colour = 0; colour < 4; ++colour) {
            index const y0 = colour / 2, x0 = colour % 2;
            parallel_for((ny_ - y0 + 1) / 2, n_threads, [&](index row) {
                for (index x = x0; x < nx_; x += 2) update(y0 + 2 * row, x);
            });
        }
    }

    void settle_regions(LabelSearch const &search) {
        semrt::settle_regions(table_, search, scale_, smoothness_, labels_);
    }

    std::vector<Label> take() { return std::move(labels_); }

  private:
    std::size_t at(index y, index x) const { return static_cast<std::size_t>(y * nx_ + x); }

    index neighbours_of(index y, index x, std::array<AdjacentLabel, 8> &neighbours) const {
        constexpr float diagonal = 0.70710678F;
        index n = 0;
        for (index yn = std::max<index>(y - 1, 0); yn <= std::min(y + 1, ny_ - 1); ++yn) {
            for (index xn = std::max<index>(x - 1, 0); xn <= std::min(x + 1, nx_ - 1); ++xn) {
                if (yn == y && xn == x) continue;
                float const weight = scale_.side * (yn == y || xn == x ? 1.0F : diagonal);
                neighbours[static_cast<std::size_t>(n++)] = {labels_[at(yn, xn)], weight};
            }
        }
        return n;
    }

    void update(index y, index x) {
        auto const pixel = at(y, x);
        std::array<AdjacentLabel, 8> neighbours;
        auto const n = neighbours_of(y, x, neighbours);
        labels_[pixel] = best_label(table_, smoothness_,
                                    {scale_.image.features[pixel],
                                     scale_.count[pixel],
                                     likeliest_[pixel],
                                     labels_[pixel],
                                     {neighbours.data(), n}});
    }

    LayerTable const &table_;
    Scale const &scale_;
    Smoothness const &smoothness_;
    index ny_, nx_;
    std::vector<Nearness> likeliest_;
    std::vector<Label> labels_;
};

std::vector<Label> settled(LayerTable const &table, LabelSearch const &search, std::vector<Scale> const &scales,
                           Smoothness const &smoothness, int n_threads) {
    std::vector<Label> labels;
    for (auto scale = scales.rbegin(); scale != scales.rend(); ++scale) {
        Field field(table, search, *scale, smoothness, n_threads);
        if (labels.empty()) {
            field.start_at_likeliest();
        } else {
            field.start_at(labels);
        }
        for (int i = 0; i < rounds; ++i) {
            for (int k = 0; k < sweeps; ++k) field.sweep(n_threads);
            field.settle_regions(search);
        }
        field.sweep(n_threads);
        labels = field.take();
    }
    return labels;
}

// Moves regions off the grid where their signals demand it, and writes what is known of them.
void write(LayerTable const &table, Scale const &scale, std::vector<Label> const &labels, LayerMaps const &maps,
           int n_threads) {
    auto const found = connected_regions(scale, labels);
    std::vector<Refined> refined(found.regions.size());
    parallel_for(static_cast<index>(refined.size()), n_threads, [&](index r) {
        auto const &region = found.regions[static_cast<std::size_t>(r)];
        auto &one = refined[static_cast<std::size_t>(r)];
        auto const mean = region.mean();
        one = refine(table, region.label, mean);
        auto const gained = squared_distance(mean, table.at(region.label)) - one.squared_distance;
        float const lower = table.lower(region.label.lower), upper = table.upper(region.label.upper);
        bool const demanded = std::min(region.count, most_alike) * static_cast<double>(gained) > demand;
        if (!demanded || std::abs(one.lower - lower) < least_move) one.lower = lower;
        if (!demanded || std::abs(one.upper - upper) < least_move) one.upper = upper;
        auto const alike = static_cast<float>(std::sqrt(std::min(region.count, most_alike)));
        one.lower_sigma /= alike;
        one.upper_sigma /= alike;
    });
    parallel_for(scale.image.ny, n_threads, [&](index y) {
        for (index x = 0; x < scale.image.nx; ++x) {
            auto const pixel = static_cast<std::size_t>(y * scale.image.nx + x);
            auto const &one = refined[static_cast<std::size_t>(found.of_pixel[pixel])];
            auto const label = labels[pixel];
            auto const expected =
                local_model(table, label)(one.lower - table.lower(label.lower), one.upper - table.upper(label.upper));
            maps.thickness(0, y, x) = one.lower;
            maps.thickness(1, y, x) = one.upper;
            maps.sigma(0, y, x) = one.lower_sigma;
            maps.sigma(1, y, x) = one.upper_sigma;
            maps.cost(y, x) =
                mean_square(table, squared_distance(scale.image.features[pixel], expected), scale.image.outside[pixel]);
        }
    });
}

}  // namespace

void smooth_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response,
                   Smoothness const &smoothness, LayerMaps const &maps, int n_threads) {
    LabelSearch const search(table);
    std::vector<Scale> scales;
    scales.push_back({table.project(stack, response, n_threads), {}, 1});
    scales.back().count.assign(scales.back().image.features.size(), 1.0F);
    while (std::min(scales.back().image.ny, scales.back().image.nx) >= 2 * least_side) {
        scales.push_back(halved(scales.back()));
    }
    write(table, scales.front(), settled(table, search, scales, smoothness, n_threads), maps, n_threads);
}

}  // namespace semrt
