#include "layer_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace semrt {

namespace {

class Choice {
  public:
    Choice(LayerTable const &table, Smoothness const &smoothness, Node const &node)
        : table_(table), smoothness_(smoothness), node_(node), best_(node.label) {}

    Label best() const { return best_; }

    // Everything with a lower layer of this label, as long as it can still be best.
    void consider_all(index lower) {
        lower_cost_ = 0;
        for (auto const &one : node_.neighbours) {
            lower_cost_ +=
                smoothness_.lower_weight * one.weight *
                std::min(std::abs(table_.lower(lower) - table_.lower(one.label.lower)), smoothness_.lower_limit);
        }
        if (lower_cost_ >= least_) return;
        bool better = consider({lower, node_.label.upper});
        better |= consider({lower, node_.likeliest.label.upper});
        index last = -1;
        for (auto const &one : node_.neighbours) {
            if (one.label.upper != last) better |= consider({lower, one.label.upper});
            last = one.label.upper;
        }
        if (!better) return;
        constexpr index longest = 8;
        for (index step = longest; step > 0; step /= 2) {
            for (bool moved = true; moved;) {
                moved = best_.upper + step < table_.n_upper() && consider({lower, best_.upper + step});
                moved |= best_.upper >= step && consider({lower, best_.upper - step});
            }
        }
    }

  private:
    bool consider(Label label) {
        float cost = lower_cost_;
        float const thickness = table_.upper(label.upper);
        for (auto const &one : node_.neighbours) {
            cost += smoothness_.upper_weight * one.weight *
                    std::min(std::abs(thickness - table_.upper(one.label.upper)), smoothness_.upper_limit);
        }
        if (cost >= least_) return false;
        cost += 0.5F * node_.count *
                (squared_distance(node_.features, table_.at(label)) - node_.likeliest.squared_distance);
        if (cost >= least_) return false;
        least_ = cost;
        best_ = label;
        return true;
    }

    LayerTable const &table_;
    Smoothness const &smoothness_;
    Node const &node_;
    Label best_;
    float least_ = std::numeric_limits<float>::infinity();
    float lower_cost_ = 0;
};

}  // namespace

Label best_label(LayerTable const &table, Smoothness const &smoothness, Node const &node) {
    thread_local std::vector<index> seen;
    seen.clear();
    Choice choice(table, smoothness, node);
    auto const propose = [&](index lower) {
        if (lower < 0 || lower >= table.n_lower() || std::find(seen.begin(), seen.end(), lower) != seen.end()) return;
        seen.push_back(lower);
        choice.consider_all(lower);
    };
    auto const own = node.label.lower;
    propose(own);
    for (auto const &one : node.neighbours) propose(one.label.lower);
    propose(node.likeliest.label.lower);
    propose(own - 1);
    propose(own + 1);
    return choice.best();
}

}  // namespace semrt
