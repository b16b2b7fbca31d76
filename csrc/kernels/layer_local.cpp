#include "layer_local.hpp"

#include <algorithm>
#include <cmath>

namespace semrt {

namespace {

// Slope and curvature of the parabola through three neighbours; at a border the slope of two.
struct Stencil {
    index before, after;
    float slope_before, slope_at, slope_after, curvature_before, curvature_at, curvature_after, min, max;
};

template <class Thickness>
Stencil stencil(index i, index first, index n, Thickness const &thickness) {
    Stencil s{std::max(i - 1, first), std::min(i + 1, n - 1), 0, 0, 0, 0, 0, 0, 0, 0};
    float const h0 = thickness(i) - thickness(s.before), h1 = thickness(s.after) - thickness(i);
    s.min = -0.5F * h0;
    s.max = 0.5F * h1;
    if (h0 > 0 && h1 > 0) {
        float const h = h0 + h1;
        s.slope_before = -h1 / (h0 * h), s.slope_after = h0 / (h1 * h), s.slope_at = (h1 - h0) / (h0 * h1);
        s.curvature_before = 2 / (h0 * h), s.curvature_after = 2 / (h1 * h), s.curvature_at = -2 / (h0 * h1);
    } else if (h1 > 0) {
        s.slope_at = -1 / h1, s.slope_after = 1 / h1;
    } else if (h0 > 0) {
        s.slope_at = 1 / h0, s.slope_before = -1 / h0;
    }
    return s;
}

void apply(Stencil const &s, Features const &before, Features const &at, Features const &after, Features &slope,
           Features &curvature) {
    for (std::size_t k = 0; k < n_features; ++k) {
        slope[k] = s.slope_before * before[k] + s.slope_at * at[k] + s.slope_after * after[k];
        curvature[k] = s.curvature_before * before[k] + s.curvature_at * at[k] + s.curvature_after * after[k];
    }
}

float dot(Features const &a, Features const &b) {
    float sum = 0;
    for (std::size_t k = 0; k < n_features; ++k) sum += a[k] * b[k];
    return sum;
}

}  // namespace

Features LocalModel::operator()(float lower_step, float upper_step) const {
    Features result;
    for (std::size_t k = 0; k < n_features; ++k) {
        result[k] = at[k] + lower_step * (lower_slope[k] + 0.5F * lower_step * lower_curvature[k]) +
                    upper_step * (upper_slope[k] + 0.5F * upper_step * upper_curvature[k]);
    }
    return result;
}

LocalModel local_model(LayerTable const &table, Label label) {
    LocalModel model{};
    model.at = table.at(label);
    auto const upper = stencil(label.upper, 0, table.n_upper(), [&](index j) { return table.upper(j); });
    apply(upper, table.at({label.lower, upper.before}), model.at, table.at({label.lower, upper.after}),
          model.upper_slope, model.upper_curvature);
    model.upper_min = upper.min, model.upper_max = upper.max;
    index const first = table.first_present(), present = std::max(label.lower, first);
    auto const lower = stencil(present, first, table.n_lower(), [&](index i) { return table.lower(i); });
    apply(lower, table.at({lower.before, label.upper}), table.at({present, label.upper}),
          table.at({lower.after, label.upper}), model.lower_slope, model.lower_curvature);
    if (label.lower >= first) model.lower_min = lower.min, model.lower_max = lower.max;
    return model;
}

Refined refine(LayerTable const &table, Label label, Features const &features) {
    auto const model = local_model(table, label);
    float lower_step = 0, upper_step = 0, ll = 0, lu = 0, uu = 0;
    constexpr int iterations = 3;
    Features residual{};
    for (int i = 0; i <= iterations; ++i) {
        auto const expected = model(lower_step, upper_step);
        Features along_lower, along_upper;
        for (std::size_t k = 0; k < n_features; ++k) {
            residual[k] = features[k] - expected[k];
            along_lower[k] = model.lower_slope[k] + lower_step * model.lower_curvature[k];
            along_upper[k] = model.upper_slope[k] + upper_step * model.upper_curvature[k];
        }
        ll = dot(along_lower, along_lower), lu = dot(along_lower, along_upper), uu = dot(along_upper, along_upper);
        if (i == iterations) break;
        float const right_lower = dot(along_lower, residual), right_upper = dot(along_upper, residual);
        // What meets its bound stays there, and the other goes on alone.
        float const determinant = ll * uu - lu * lu;
        float next = lower_step;
        if (model.lower_min < model.lower_max && determinant > 1e-6F * ll * uu) {
            next += (uu * right_lower - lu * right_upper) / determinant;
        }
        next = std::clamp(next, model.lower_min, model.lower_max);
        float const moved = next - lower_step;
        lower_step = next;
        if (uu > 0) {
            upper_step = std::clamp(upper_step + (right_upper - lu * moved) / uu, model.upper_min, model.upper_max);
        }
    }
    // No more is unknown than the labels leave open.
    constexpr float of_uniform = 0.288675F;
    float const lower_range = of_uniform * (table.lower(table.n_lower() - 1) - table.lower(0));
    float const upper_range = of_uniform * (table.upper(table.n_upper() - 1) - table.upper(0));
    float const lower_prior = lower_range > 0 ? 1 / (lower_range * lower_range) : 1e30F;
    float const upper_prior = upper_range > 0 ? 1 / (upper_range * upper_range) : 1e30F;
    float const a = ll + lower_prior, b = uu + upper_prior;
    float const determinant = std::max(a * b - lu * lu, lower_prior * upper_prior);
    return {table.lower(label.lower) + lower_step, table.upper(label.upper) + upper_step, std::sqrt(b / determinant),
            std::sqrt(a / determinant), dot(residual, residual)};
}

}  // namespace semrt
