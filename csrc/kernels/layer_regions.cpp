#include "layer_regions.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace semrt {

namespace {

constexpr float diagonal = 0.70710678F;

struct Contact {
    std::int32_t region, other;
    float weight;
};

// Between which regions there is how much border, each pair both ways, ordered by region.
std::vector<Contact> contacts_of(std::vector<std::int32_t> const &region, Scale const &scale) {
    index const ny = scale.image.ny, nx = scale.image.nx;
    float const side = scale.side;
    std::vector<Contact> contacts;
    auto const touch = [&](index p, index q, float weight) {
        auto const a = region[static_cast<std::size_t>(p)], b = region[static_cast<std::size_t>(q)];
        if (a == b) return;
        contacts.push_back({a, b, weight});
        contacts.push_back({b, a, weight});
    };
    for (index y = 0; y < ny; ++y) {
        for (index x = 0; x < nx; ++x) {
            index const p = y * nx + x;
            if (x + 1 < nx) touch(p, p + 1, side);
            if (y + 1 < ny) touch(p, p + nx, side);
            if (x + 1 < nx && y + 1 < ny) {
                touch(p, p + nx + 1, diagonal * side);
                touch(p + 1, p + nx, diagonal * side);
            }
        }
    }
    std::stable_sort(contacts.begin(), contacts.end(), [](Contact const &a, Contact const &b) {
        return std::tie(a.region, a.other) < std::tie(b.region, b.other);
    });
    std::size_t last = 0;
    for (std::size_t i = 1; i < contacts.size(); ++i) {
        if (contacts[i].region == contacts[last].region && contacts[i].other == contacts[last].other) {
            contacts[last].weight += contacts[i].weight;
        } else {
            contacts[++last] = contacts[i];
        }
    }
    if (!contacts.empty()) contacts.resize(last + 1);
    return contacts;
}

}  // namespace

Features Region::mean() const {
    Features result;
    for (std::size_t k = 0; k < n_features; ++k) result[k] = static_cast<float>(sum[k] / count);
    return result;
}

Regions connected_regions(Scale const &scale, std::vector<Label> const &labels) {
    index const nx = scale.image.nx, n_pixels = scale.image.ny * nx;
    Regions result{std::vector<std::int32_t>(labels.size(), -1), {}};
    std::vector<index> stack;
    for (index start = 0; start < n_pixels; ++start) {
        if (result.of_pixel[static_cast<std::size_t>(start)] >= 0) continue;
        auto const number = static_cast<std::int32_t>(result.regions.size());
        Region region;
        region.label = labels[static_cast<std::size_t>(start)];
        auto const visit = [&](index p) {
            auto const pixel = static_cast<std::size_t>(p);
            if (result.of_pixel[pixel] >= 0 || !(labels[pixel] == region.label)) return;
            result.of_pixel[pixel] = number;
            stack.push_back(p);
            auto const count = static_cast<double>(scale.count[pixel]);
            region.count += count;
            for (std::size_t k = 0; k < n_features; ++k) {
                region.sum[k] += count * static_cast<double>(scale.image.features[pixel][k]);
            }
        };
        visit(start);
        while (!stack.empty()) {
            index const p = stack.back();
            stack.pop_back();
            if (p % nx > 0) visit(p - 1);
            if (p % nx + 1 < nx) visit(p + 1);
            if (p >= nx) visit(p - nx);
            if (p + nx < n_pixels) visit(p + nx);
        }
        result.regions.push_back(region);
    }
    return result;
}

void settle_regions(LayerTable const &table, LabelSearch const &search, Scale const &scale,
                    Smoothness const &smoothness, std::vector<Label> &labels) {
    auto found = connected_regions(scale, labels);
    auto &regions = found.regions;
    auto const contacts = contacts_of(found.of_pixel, scale);
    std::vector<std::size_t> first(regions.size() + 1, 0);
    for (auto const &contact : contacts) ++first[static_cast<std::size_t>(contact.region) + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<std::size_t> order(regions.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return regions[a].count < regions[b].count; });
    std::vector<AdjacentLabel> neighbours;
    for (auto const r : order) {
        auto &one = regions[r];
        neighbours.clear();
        for (auto i = first[r]; i < first[r + 1]; ++i) {
            neighbours.push_back({regions[static_cast<std::size_t>(contacts[i].other)].label, contacts[i].weight});
        }
        auto const mean = one.mean();
        auto const likeliest = search.nearest(mean);
        View1D<AdjacentLabel const> const around{neighbours.data(), static_cast<index>(neighbours.size())};
        one.label = best_label(table, smoothness, {mean, static_cast<float>(one.count), likeliest, one.label, around});
    }
    for (std::size_t p = 0; p < labels.size(); ++p) {
        labels[p] = regions[static_cast<std::size_t>(found.of_pixel[p])].label;
    }
}

}  // namespace semrt
