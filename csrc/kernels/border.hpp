// What stands beyond the border of a field.
#pragma once

#include "view.hpp"

#include <algorithm>

namespace semrt {

enum class Border {
    reflect,  // d c b a | a b c d | d c b a, mirrored again and again where needed
    edge,     // a a a a | a b c d | d d d d
};

// The pixel of a line of n that stands at i, which may lie outside.
inline index inside(index i, index n, Border border) {
    if (border == Border::edge) return std::clamp<index>(i, 0, n - 1);
    index const period = 2 * n;
    index const phase = ((i % period) + period) % period;
    return phase < n ? phase : period - 1 - phase;
}

}  // namespace semrt
