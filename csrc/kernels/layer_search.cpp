#include "layer_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace semrt {

LabelSearch::LabelSearch(LayerTable const &table) : n_upper_(table.n_upper()) {
    constexpr auto block = static_cast<index>(lanes);
    for (index lower = 0; lower < table.n_lower(); ++lower) {
        for (index first = 0; first < n_upper_; first += block) {
            LaneFeatures points{};
            Features centre{};
            for (std::size_t lane = 0; lane < lanes; ++lane) {
                auto const &label = table.at({lower, std::min(first + static_cast<index>(lane), n_upper_ - 1)});
                for (std::size_t k = 0; k < n_features; ++k) {
                    points[k][lane] = label[k];
                    centre[k] += label[k] / static_cast<float>(lanes);
                }
            }
            auto const number = blocks_.size();
            if (number % lanes == 0) centres_.emplace_back();
            for (std::size_t k = 0; k < n_features; ++k) centres_.back()[k][number % lanes] = centre[k];
            Lanes squared;
            distances(centre, points, squared);
            radius_.push_back(std::sqrt(*std::max_element(squared.begin(), squared.end())));
            blocks_.push_back({lower, first});
            labels_.push_back(points);
        }
    }
}

void LabelSearch::distances(Features const &features, LaneFeatures const &points, Lanes &squared) {
    squared.fill(0);
    for (std::size_t k = 0; k < n_features; ++k) {
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            float const difference = features[k] - points[k][lane];
            squared[lane] += difference * difference;
        }
    }
}

void LabelSearch::look_at(std::size_t number, Features const &features, Nearness &best) const {
    Lanes squared;
    distances(features, labels_[number], squared);
    auto const lane = std::min_element(squared.begin(), squared.end()) - squared.begin();
    auto const [lower, first] = blocks_[number];
    Label const label{lower, std::min<index>(first + lane, n_upper_ - 1)};
    float const distance = squared[static_cast<std::size_t>(lane)];
    bool const is_first = std::pair(label.lower, label.upper) < std::pair(best.label.lower, best.label.upper);
    if (distance < best.squared_distance || (distance == best.squared_distance && is_first)) best = {label, distance};
}

Nearness LabelSearch::nearest(Features const &features) const {
    constexpr float slack = 1.0001F;  // rounding must not leave the nearest out
    Nearness best{{0, 0}, std::numeric_limits<float>::infinity()};
    thread_local std::vector<Lanes> to_centres;
    to_centres.resize(centres_.size());
    std::size_t closest = 0;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t group = 0; group < centres_.size(); ++group) {
        auto &squared = to_centres[group];
        distances(features, centres_[group], squared);
        for (std::size_t lane = 0; lane < lanes && group * lanes + lane < blocks_.size(); ++lane) {
            if (squared[lane] < least) least = squared[lane], closest = group * lanes + lane;
        }
    }
    look_at(closest, features, best);
    for (std::size_t number = 0; number < blocks_.size(); ++number) {
        float const reach = (std::sqrt(best.squared_distance) + radius_[number]) * slack;
        if (number != closest && to_centres[number / lanes][number % lanes] <= reach * reach) {
            look_at(number, features, best);
        }
    }
    return best;
}

Nearness LabelSearch::nearest_with(index lower, Features const &features) const {
    Nearness best{{lower, 0}, std::numeric_limits<float>::infinity()};
    auto const of_each = (n_upper_ + static_cast<index>(lanes) - 1) / static_cast<index>(lanes);
    for (index k = 0; k < of_each; ++k) look_at(static_cast<std::size_t>(lower * of_each + k), features, best);
    return best;
}

}  // namespace semrt
