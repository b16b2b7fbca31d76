#include "layer_scene.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace semrt {

namespace {

constexpr index lanes = 8;   // energies that are taken together
constexpr index block = 32;  // [px]: blocks that are worked on at once lie as far apart, which no probe reaches
constexpr float diagonal = 0.70710678F;
constexpr float least_gain = 1e-3F;  // of a move, or rounding would move pixels to and fro

// The sum of one(e) over all places, in lanes that compilers take together.
template <class One>
float sum_over(index stride, One const &one) {
    std::array<float, lanes> sums{};
    for (index e = 0; e < stride; e += lanes) {
        for (index lane = 0; lane < lanes; ++lane) sums[static_cast<std::size_t>(lane)] += one(e + lane);
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

index clamped(index i, index n) {
    return std::clamp<index>(i, 0, n - 1);
}

}  // namespace

LayerScene::LayerScene(LayerPalette const &palette, SeenLayers const &seen, Smoothness const &smoothness,
                       View2D<std::int32_t const> entry)
    : palette_(palette),
      smoothness_(smoothness),
      n_(seen.measured.nz),
      stride_((n_ + lanes - 1) / lanes * lanes),
      width_(seen.taps.nx),
      reach_(width_ / 2),
      ny_(entry.ny + 2 * reach_),
      nx_(entry.nx + 2 * reach_) {
    signals_.assign(energies_at(static_cast<std::size_t>(palette.signals.ny)), 0.0F);
    for (index i = 0; i < palette.signals.ny; ++i) {
        std::copy_n(palette.signals.row(i), n_, signals_.begin() + i * stride_);
    }
    seen_from_.assign(energies_at(static_cast<std::size_t>(width_ * width_)), 0.0F);
    for (index i = 0; i < width_; ++i) {
        for (index j = 0; j < width_; ++j) {
            auto const share = seen_from_.begin() + (i * width_ + j) * stride_;
            for (index e = 0; e < n_; ++e) share[e] = seen.taps(e, 0, i) * seen.taps(e, 1, j);
        }
    }
    auto const pixels = static_cast<std::size_t>(ny_ * nx_);
    entry_.resize(pixels);
    measured_.assign(energies_at(pixels), 0.0F);
    weight_.assign(energies_at(pixels), 0.0F);  // stays 0 beyond the field, where nothing was measured
    for (index y = 0; y < ny_; ++y) {
        for (index x = 0; x < nx_; ++x) {
            entry_[at(y, x)] = entry(clamped(y - reach_, entry.ny), clamped(x - reach_, entry.nx));
        }
    }
    for (index y = 0; y < entry.ny; ++y) {
        for (index x = 0; x < entry.nx; ++x) {
            auto const p = energies_at(at(y + reach_, x + reach_));
            for (index e = 0; e < n_; ++e) {
                float const deviation = seen.deviation(e, y, x);
                measured_[p + static_cast<std::size_t>(e)] = seen.measured(e, y, x);
                weight_[p + static_cast<std::size_t>(e)] = 1 / (deviation * deviation);
            }
        }
    }
    for (index i = 1; i < palette.n_common; ++i) {
        for (index k = 0; k < 2; ++k) {
            auto &stair = stair_[static_cast<std::size_t>(k)];
            float const step = std::abs(palette.thickness(i, k) - palette.thickness(i - 1, k));
            if (step > 0 && (stair <= 0 || step < stair)) stair = step;
        }
    }
    see();
}

void LayerScene::see() {
    expected_.assign(measured_.size(), 0.0F);
    for (index y = 0; y < ny_; ++y) {
        for (index x = 0; x < nx_; ++x) {
            float *const out = expected_.data() + energies_at(at(y, x));
            for (index i = 0; i < width_; ++i) {
                for (index j = 0; j < width_; ++j) {
                    float const *const share = seen_from_.data() + (i * width_ + j) * stride_;
                    float const *const from =
                        signal(entry_[at(clamped(y - i + reach_, ny_), clamped(x - j + reach_, nx_))]);
                    for (index e = 0; e < stride_; ++e) out[e] += share[e] * from[e];
                }
            }
        }
    }
}

float LayerScene::difference(std::int32_t one, std::int32_t other) const {
    float const *const a = palette_.thickness.row(one), *const b = palette_.thickness.row(other);
    return smoothness_.lower_weight * std::min(std::abs(a[0] - b[0]), smoothness_.lower_limit) +
           smoothness_.upper_weight * std::min(std::abs(a[1] - b[1]), smoothness_.upper_limit);
}

float LayerScene::border(Contacts const &contacts, std::int32_t entry) const {
    float cost = 0;
    for (auto const &[other, much] : contacts) cost += much * difference(entry, other);
    return cost;
}

void LayerScene::contacts_of(index y, index x, Contacts &contacts) const {
    contacts.clear();
    for (index yn = std::max<index>(y - 1, 0); yn <= std::min(y + 1, ny_ - 1); ++yn) {
        for (index xn = std::max<index>(x - 1, 0); xn <= std::min(x + 1, nx_ - 1); ++xn) {
            if (yn == y && xn == x) continue;
            contacts.emplace_back(entry_[at(yn, xn)], yn == y || xn == x ? 1.0F : diagonal);
        }
    }
}

// Entries of the 8 neighbours other than the pixel's own, each once.
void LayerScene::candidates_of(index y, index x, std::vector<std::int32_t> &candidates) const {
    candidates.clear();
    auto const own = entry_[at(y, x)];
    for (index yn = std::max<index>(y - 1, 0); yn <= std::min(y + 1, ny_ - 1); ++yn) {
        for (index xn = std::max<index>(x - 1, 0); xn <= std::min(x + 1, nx_ - 1); ++xn) {
            auto const other = entry_[at(yn, xn)];
            if (other == own || std::find(candidates.begin(), candidates.end(), other) != candidates.end()) continue;
            candidates.push_back(other);
        }
    }
}

float LayerScene::change(Slope const &slope, std::int32_t from, std::int32_t to) const {
    float const *const a = signal(from), *const b = signal(to);
    float const *const along = slope.along.data(), *const bent = slope.bent.data();
    return sum_over(stride_, [=](index e) {
        float const step = b[e] - a[e];
        return step * (along[e] + 0.5F * step * bent[e]);
    });
}

void LayerScene::slope_of(index y, index x, Slope &slope) const {
    slope.along.assign(static_cast<std::size_t>(stride_), 0.0F);
    slope.bent.assign(static_cast<std::size_t>(stride_), 0.0F);
    float *const along = slope.along.data(), *const bent = slope.bent.data();
    for (index i = 0; i < width_; ++i) {
        index const yn = y + i - reach_;
        if (yn < 0 || yn >= ny_) continue;
        for (index j = 0; j < width_; ++j) {
            index const xn = x + j - reach_;
            if (xn < 0 || xn >= nx_) continue;
            auto const p = energies_at(at(yn, xn));
            float const *const share = seen_from_.data() + (i * width_ + j) * stride_;
            float const *const weight = weight_.data() + p, *const expected = expected_.data() + p,
                               *const measured = measured_.data() + p;
            for (index e = 0; e < stride_; ++e) {
                float const weighted = share[e] * weight[e];
                along[e] += weighted * (expected[e] - measured[e]);
                bent[e] += weighted * share[e];
            }
        }
    }
}

void LayerScene::update(index y, index x, Slope &slope, index &moved) {
    thread_local std::vector<std::int32_t> candidates;
    thread_local Contacts contacts;
    candidates_of(y, x, candidates);
    if (candidates.empty()) return;
    contacts_of(y, x, contacts);
    slope_of(y, x, slope);
    auto const own = entry_[at(y, x)];
    float const before = border(contacts, own);
    float least = -least_gain;
    auto best = own;
    for (auto const candidate : candidates) {
        float const cost = change(slope, own, candidate) + border(contacts, candidate) - before;
        if (cost < least) {
            least = cost;
            best = candidate;
        }
    }
    if (best == own) return;
    ++moved;
    entry_[at(y, x)] = best;
    float const *const from = signal(own), *const to = signal(best);
    for (index i = 0; i < width_; ++i) {
        index const yn = y + i - reach_;
        if (yn < 0 || yn >= ny_) continue;
        for (index j = 0; j < width_; ++j) {
            index const xn = x + j - reach_;
            if (xn < 0 || xn >= nx_) continue;
            float const *const share = seen_from_.data() + (i * width_ + j) * stride_;
            float *const expected = expected_.data() + energies_at(at(yn, xn));
            for (index e = 0; e < stride_; ++e) expected[e] += share[e] * (to[e] - from[e]);
        }
    }
}

index LayerScene::sweep(int n_threads) {
    index const side = std::max(block, width_);
    index const down = (ny_ + side - 1) / side, across = (nx_ + side - 1) / side;
    std::vector<index> moved(static_cast<std::size_t>(down * across), 0);
    for (index colour = 0; colour < 4; ++colour) {
        index const y0 = colour / 2, x0 = colour % 2;
        index const rows = (down - y0 + 1) / 2, columns = (across - x0 + 1) / 2;
        parallel_for(rows * columns, n_threads, [&](index i) {
            index const by = y0 + 2 * (i / columns), bx = x0 + 2 * (i % columns);
            Slope slope;
            auto &count = moved[static_cast<std::size_t>(by * across + bx)];
            for (index y = by * side; y < std::min((by + 1) * side, ny_); ++y) {
                for (index x = bx * side; x < std::min((bx + 1) * side, nx_); ++x) update(y, x, slope, count);
            }
        });
    }
    return std::accumulate(moved.begin(), moved.end(), index{0});
}

double LayerScene::cost() const {
    double data = 0, borders = 0;
    for (std::size_t i = 0; i < measured_.size(); ++i) {
        auto const off = static_cast<double>(expected_[i] - measured_[i]);
        data += 0.5 * off * off * static_cast<double>(weight_[i]);
    }
    Contacts contacts;
    for (index y = 0; y < ny_; ++y) {
        for (index x = 0; x < nx_; ++x) {
            contacts_of(y, x, contacts);
            borders += 0.5 * static_cast<double>(border(contacts, entry_[at(y, x)]));  // each is seen from both sides
        }
    }
    return data + borders;
}

void LayerScene::doubt_pixels(std::vector<std::array<double, 2>> &doubt, int n_threads) const {
    parallel_for(ny_, n_threads, [&](index y) {
        std::vector<std::int32_t> candidates;
        Contacts contacts;
        Slope slope;
        for (index x = 0; x < nx_; ++x) {
            candidates_of(y, x, candidates);
            if (candidates.empty()) continue;
            contacts_of(y, x, contacts);
            slope_of(y, x, slope);
            auto const own = entry_[at(y, x)];
            float const before = border(contacts, own);
            double total = 1;
            std::array<double, 2> sum{};
            for (auto const candidate : candidates) {
                float const cost = change(slope, own, candidate) + border(contacts, candidate) - before;
                double const odds = std::exp(-std::max(static_cast<double>(cost), 0.0));
                total += odds;
                for (index k = 0; k < 2; ++k) {
                    auto const off = static_cast<double>(palette_.thickness(candidate, k) - palette_.thickness(own, k));
                    sum[static_cast<std::size_t>(k)] += odds * off * off;
                }
            }
            for (std::size_t k = 0; k < 2; ++k) doubt[at(y, x)][k] += sum[k] / total;
        }
    });
}

void LayerScene::write(SharpMaps const &maps, int n_threads) const {
    for (index y = 0; y < maps.entry.ny; ++y) {
        for (index x = 0; x < maps.entry.nx; ++x) {
            auto const pixel = at(y + reach_, x + reach_);
            maps.entry(y, x) = entry_[pixel];
            for (index e = 0; e < n_; ++e) {
                maps.expected(e, y, x) = expected_[energies_at(pixel) + static_cast<std::size_t>(e)];
            }
        }
    }
    if (maps.doubt.size() == 0) return;
    std::vector<std::array<double, 2>> doubt(entry_.size(), {0, 0});
    std::vector<float> alike(entry_.size(), 0.0F);
    doubt_pixels(doubt, n_threads);
    doubt_regions(doubt, alike);
    for (index y = 0; y < maps.entry.ny; ++y) {
        for (index x = 0; x < maps.entry.nx; ++x) {
            auto const pixel = at(y + reach_, x + reach_);
            maps.alike(y, x) = alike[pixel];
            for (index k = 0; k < 2; ++k) {
                maps.doubt(k, y, x) = static_cast<float>(std::sqrt(doubt[pixel][static_cast<std::size_t>(k)]));
            }
        }
    }
}

}  // namespace semrt
