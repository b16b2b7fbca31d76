#include "layer_likelihood.hpp"

#include "layer_local.hpp"
#include "layer_search.hpp"
#include "parallel.hpp"

#include <algorithm>

namespace semrt {

namespace {

constexpr float almost_half = 0.499F;

// The likeliest thicknesses about the nearest label, or about the one beyond where that is left at its bound: what lies
// in the middle of two lower labels may be nearest to one and yet closer to what is between those of the other.
Refined likeliest(LayerTable const &table, LabelSearch const &search, Features const &features) {
    auto const label = search.nearest(features).label;
    auto const best = refine(table, label, features);
    auto const first = table.first_present();
    float const at = table.lower(label.lower);
    index next = -1;
    if (label.lower >= first && label.lower + 1 < table.n_lower()) {
        float const step = table.lower(label.lower + 1) - at;
        if (best.lower - at > almost_half * step) next = label.lower + 1;
    }
    if (label.lower > first) {
        float const step = at - table.lower(label.lower - 1);
        if (at - best.lower > almost_half * step) next = label.lower - 1;
    }
    if (next < 0) return best;
    auto const other = refine(table, search.nearest_with(next, features).label, features);
    return other.squared_distance < best.squared_distance ? other : best;
}

}  // namespace

float mean_square(LayerTable const &table, float squared_distance, float outside) {
    return (squared_distance + outside) / static_cast<float>(std::max<index>(table.n_energies() - 2, 1));
}

void likeliest_layers(LayerTable const &table, View3D<float const> stack, DetectorResponse const &response,
                      LayerMaps const &maps, int n_threads) {
    auto const image = table.project(stack, response, n_threads);
    LabelSearch const search(table);
    parallel_for(stack.ny, n_threads, [&](index y) {
        for (index x = 0; x < stack.nx; ++x) {
            auto const pixel = static_cast<std::size_t>(y * stack.nx + x);
            auto const refined = likeliest(table, search, image.features[pixel]);
            maps.thickness(0, y, x) = refined.lower;
            maps.thickness(1, y, x) = refined.upper;
            maps.sigma(0, y, x) = refined.lower_sigma;
            maps.sigma(1, y, x) = refined.upper_sigma;
            maps.cost(y, x) = mean_square(table, refined.squared_distance, image.outside[pixel]);
        }
    });
}

}  // namespace semrt
