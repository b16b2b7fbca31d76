// Where the probe really is while the scan generator asks it to be elsewhere.
#pragma once

#include "position.hpp"
#include "view.hpp"

namespace semrt {

// A scan coil with its amplifier: a pure delay, then one pole, the same on both axes.
struct Coil {
    double time_constant;  // [µs], 0 for none
    double delay;          // [µs]
    double slew_limit;     // [px/µs] on each axis, above zero, infinite for none
};

// The mean position of the probe over each sample's dwell time.
//
// Sample i is asked for wait[i], beam elsewhere or blanked, then dwell_time[i] [µs]; before the first one the probe
// rests at it.  nominal, dwell_time, wait, mean: (n).  Exact for steps of the demand, also in the slew limit.  O(n).
void coil_lag(View1D<Position const> nominal, View1D<double const> dwell_time, View1D<double const> wait, Coil coil,
              View1D<Position> mean);

}  // namespace semrt
