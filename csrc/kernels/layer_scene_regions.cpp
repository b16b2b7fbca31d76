#include "layer_scene.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace semrt {

namespace {

constexpr float diagonal = 0.70710678F;
constexpr float least_gain = 1e-3F;

}  // namespace

std::vector<LayerScene::Region> LayerScene::regions(std::vector<std::int32_t> &of_pixel) const {
    of_pixel.assign(entry_.size(), -1);
    std::vector<Region> found;
    for (index start = 0; start < ny_ * nx_; ++start) {
        if (of_pixel[static_cast<std::size_t>(start)] >= 0) continue;
        auto const number = static_cast<std::int32_t>(found.size());
        auto const entry = entry_[static_cast<std::size_t>(start)];
        Region region{{}, ny_, -1, nx_, -1};
        auto const visit = [&](index p) {
            auto const pixel = static_cast<std::size_t>(p);
            if (of_pixel[pixel] >= 0 || entry_[pixel] != entry) return;
            of_pixel[pixel] = number;
            region.pixels.push_back(p);
        };
        visit(start);
        for (std::size_t i = 0; i < region.pixels.size(); ++i) {
            index const p = region.pixels[i], y = p / nx_, x = p % nx_;
            if (x > 0) visit(p - 1);
            if (x + 1 < nx_) visit(p + 1);
            if (y > 0) visit(p - nx_);
            if (y + 1 < ny_) visit(p + nx_);
            region.y0 = std::min(region.y0, std::max<index>(y - reach_, 0));
            region.y1 = std::max(region.y1, std::min(y + reach_, ny_ - 1));
            region.x0 = std::min(region.x0, std::max<index>(x - reach_, 0));
            region.x1 = std::max(region.x1, std::min(x + reach_, nx_ - 1));
        }
        found.push_back(std::move(region));
    }
    return found;
}

// What is seen of a region: by how much each pixel about it changes with its signal.  shares: (ny, nx, stride), of
// which the rectangle about the region is written.
void LayerScene::add_shares(Region const &region, std::vector<float> &shares) const {
    for (index y = region.y0; y <= region.y1; ++y) {
        auto const row = shares.begin();
        std::fill(row + static_cast<index>(energies_at(at(y, region.x0))),
                  row + static_cast<index>(energies_at(at(y, region.x1) + 1)), 0.0F);
    }
    for (auto const p : region.pixels) {
        index const y = p / nx_, x = p % nx_;
        for (index i = 0; i < width_; ++i) {
            index const yn = y + i - reach_;
            if (yn < 0 || yn >= ny_) continue;
            for (index j = 0; j < width_; ++j) {
                index const xn = x + j - reach_;
                if (xn < 0 || xn >= nx_) continue;
                float *const out = shares.data() + energies_at(at(yn, xn));
                float const *const share = seen_from_.data() + (i * width_ + j) * stride_;
                for (index e = 0; e < stride_; ++e) out[e] += share[e];
            }
        }
    }
}

void LayerScene::slope_of(Region const &region, std::vector<float> const &shares, Slope &slope) const {
    slope.along.assign(static_cast<std::size_t>(stride_), 0.0F);
    slope.bent.assign(static_cast<std::size_t>(stride_), 0.0F);
    float *const along = slope.along.data(), *const bent = slope.bent.data();
    for (index y = region.y0; y <= region.y1; ++y) {
        for (index x = region.x0; x <= region.x1; ++x) {
            auto const p = energies_at(at(y, x));
            float const *const share = shares.data() + p, *const weight = weight_.data() + p;
            float const *const expected = expected_.data() + p, *const measured = measured_.data() + p;
            for (index e = 0; e < stride_; ++e) {
                float const weighted = share[e] * weight[e];
                along[e] += weighted * (expected[e] - measured[e]);
                bent[e] += weighted * share[e];
            }
        }
    }
}

// The entries that a region touches, each once.
LayerScene::Contacts LayerScene::contacts_of(Region const &region, std::vector<std::int32_t> const &of_pixel,
                                             std::int32_t number) const {
    Contacts contacts;
    for (auto const p : region.pixels) {
        index const y = p / nx_, x = p % nx_;
        for (index yn = std::max<index>(y - 1, 0); yn <= std::min(y + 1, ny_ - 1); ++yn) {
            for (index xn = std::max<index>(x - 1, 0); xn <= std::min(x + 1, nx_ - 1); ++xn) {
                if (of_pixel[at(yn, xn)] == number) continue;
                auto const other = entry_[at(yn, xn)];
                float const much = yn == y || xn == x ? 1.0F : diagonal;
                auto const known = std::find_if(contacts.begin(), contacts.end(),
                                                [=](auto const &contact) { return contact.first == other; });
                if (known == contacts.end()) {
                    contacts.emplace_back(other, much);
                } else {
                    known->second += much;
                }
            }
        }
    }
    return contacts;
}

index LayerScene::settle_regions() {
    std::vector<std::int32_t> of_pixel;
    auto const found = regions(of_pixel);
    std::vector<std::size_t> order(found.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return found[a].pixels.size() < found[b].pixels.size(); });
    std::vector<float> shares(expected_.size());
    Slope slope;
    index moved = 0;
    for (auto const r : order) {
        auto const &region = found[r];
        if (region.pixels.size() < 2) continue;  // as a pixel it has been asked
        auto const own = entry_[static_cast<std::size_t>(region.pixels.front())];
        add_shares(region, shares);
        slope_of(region, shares, slope);
        auto const contacts = contacts_of(region, of_pixel, static_cast<std::int32_t>(r));
        float const before = border(contacts, own);
        float least = -least_gain;
        auto best = own;
        auto const consider = [&](std::int32_t entry) {
            float cost = change(slope, own, entry) - before;
            if (cost >= least) return;
            cost += border(contacts, entry);
            if (cost < least) {
                least = cost;
                best = entry;
            }
        };
        for (index entry = 0; entry < palette_.n_common; ++entry) consider(static_cast<std::int32_t>(entry));
        for (auto const &contact : contacts) consider(contact.first);
        if (best == own) continue;
        ++moved;
        for (auto const p : region.pixels) entry_[static_cast<std::size_t>(p)] = best;
        float const *const from = signal(own), *const to = signal(best);
        for (index y = region.y0; y <= region.y1; ++y) {
            for (index x = region.x0; x <= region.x1; ++x) {
                auto const p = energies_at(at(y, x));
                for (index e = 0; e < stride_; ++e) {
                    auto const place = p + static_cast<std::size_t>(e);
                    expected_[place] += shares[place] * (to[e] - from[e]);
                }
            }
        }
    }
    return moved;
}

// The variance within a stair of the grid, for each layer, where much of a border is to the next stair: what looks so
// is a slope.
std::array<double, 2> LayerScene::stairs_about(Contacts const &contacts, std::int32_t own) const {
    constexpr float much_of_it = 0.2F, hardly_more = 1.01F;
    std::array<double, 2> variance{};
    float border = 0;
    std::array<float, 2> stairs{};
    for (auto const &[other, much] : contacts) {
        border += much;
        for (index k = 0; k < 2; ++k) {
            float const step = std::abs(palette_.thickness(other, k) - palette_.thickness(own, k));
            if (step > 0 && step <= hardly_more * stair_[static_cast<std::size_t>(k)]) {
                stairs[static_cast<std::size_t>(k)] += much;
            }
        }
    }
    for (std::size_t k = 0; k < 2; ++k) {
        auto const stair = static_cast<double>(stair_[k]);
        if (stairs[k] > much_of_it * border) variance[k] = stair * stair / 12;
    }
    return variance;
}

void LayerScene::doubt_regions(std::vector<std::array<double, 2>> &doubt, std::vector<float> &alike) const {
    std::vector<std::int32_t> of_pixel;
    auto const found = regions(of_pixel);
    std::vector<float> shares(expected_.size());
    Slope slope;
    for (std::size_t r = 0; r < found.size(); ++r) {
        auto const &region = found[r];
        auto const own = entry_[static_cast<std::size_t>(region.pixels.front())];
        add_shares(region, shares);
        slope_of(region, shares, slope);
        auto const contacts = contacts_of(region, of_pixel, static_cast<std::int32_t>(r));
        float const before = border(contacts, own);
        double total = 1;
        std::array<double, 2> sum{};
        for (index i = 0; i < palette_.n_common; ++i) {
            auto const entry = static_cast<std::int32_t>(i);
            if (entry == own) continue;
            float const cost = change(slope, own, entry) - before;
            constexpr float hopeless = 15;
            if (cost >= hopeless) continue;
            double const odds = std::exp(-std::max(static_cast<double>(cost + border(contacts, entry)), 0.0));
            total += odds;
            for (index k = 0; k < 2; ++k) {
                auto const off = static_cast<double>(palette_.thickness(entry, k) - palette_.thickness(own, k));
                sum[static_cast<std::size_t>(k)] += odds * off * off;
            }
        }
        auto const stairs = stairs_about(contacts, own);
        for (std::size_t k = 0; k < 2; ++k) sum[k] += total * stairs[k];
        for (auto const p : region.pixels) {
            auto const pixel = static_cast<std::size_t>(p);
            alike[pixel] = static_cast<float>(region.pixels.size());
            for (std::size_t k = 0; k < 2; ++k) doubt[pixel][k] += sum[k] / total;
        }
    }
}

}  // namespace semrt
