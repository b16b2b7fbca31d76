// Where a probe is.
#pragma once

namespace semrt {

// In pixels, (0, 0) at the centre of the top-left one.
struct Position {
    double y, x;
};

}  // namespace semrt
