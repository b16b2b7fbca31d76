#include "coil_lag.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace semrt {

namespace {

// One axis of the probe on its way to a demand that stands still.
class Axis {
  public:
    Axis(Coil const &coil, double at) : coil_(coil), at_(at) {}

    // Moves towards the demand for a time; returns the integral of the position over that time.
    double move(double demand, double time) {
        double integral = 0;
        double const linear = coil_.slew_limit * coil_.time_constant;  // nearer than this, the pole is the slower
        double const error = at_ - demand;
        if (std::abs(error) > linear && std::isfinite(coil_.slew_limit)) {
            double const slewing = std::min(time, (std::abs(error) - linear) / coil_.slew_limit);
            double const end = at_ - std::copysign(coil_.slew_limit * slewing, error);
            integral += 0.5 * (at_ + end) * slewing;
            at_ = end;
            time -= slewing;
        }
        if (coil_.time_constant > 0) {
            double const left = at_ - demand, decayed = -std::expm1(-time / coil_.time_constant);
            integral += demand * time + left * coil_.time_constant * decayed;
            at_ = demand + left * (1 - decayed);
        } else if (time > 0 || !std::isfinite(coil_.slew_limit)) {
            integral += demand * time;
            at_ = demand;
        }
        return integral;
    }

    double at() const { return at_; }

  private:
    Coil coil_;
    double at_;
};

}  // namespace

void coil_lag(View1D<Position const> nominal, View1D<double const> dwell_time, View1D<double const> wait, Coil coil,
              View1D<Position> mean) {
    if (nominal.n == 0) return;
    Axis y(coil, nominal[0].y), x(coil, nominal[0].x);
    double now = 0, asked_until = wait[0] + dwell_time[0];  // asked_until: when the generator asks for the next sample
    index asked = 0;                                        // the sample whose demand has come through the delay
    auto const advance = [&](double end) {
        Position integral{0, 0};
        while (now < end) {
            bool const last = asked + 1 == nominal.n;
            double const until = last ? end : std::min(end, asked_until + coil.delay);
            if (until > now) {
                integral.y += y.move(nominal[asked].y, until - now);
                integral.x += x.move(nominal[asked].x, until - now);
                now = until;
            }
            if (!last && now >= asked_until + coil.delay) {
                ++asked;
                asked_until += wait[asked] + dwell_time[asked];
            }
        }
        return integral;
    };
    double start = 0;
    for (index i = 0; i < nominal.n; ++i) {
        advance(start + wait[i]);
        Position const integral = advance(start + wait[i] + dwell_time[i]);
        start += wait[i] + dwell_time[i];
        if (dwell_time[i] > 0)
            mean[i] = {integral.y / dwell_time[i], integral.x / dwell_time[i]};
        else
            mean[i] = {y.at(), x.at()};
    }
}

}  // namespace semrt
