// Random numbers that are the same on every platform (the standard library's distributions are not).
#pragma once

#include <cstdint>

namespace semrt {

// xoshiro256++, seeded by splitmix64; the streams of a seed are independent of each other.
//
// Blackman & Vigna 2021, doi:10.1145/3460772; Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195.
class Random {
  public:
    explicit Random(std::uint64_t seed, std::uint64_t stream = 0) {
        std::uint64_t x = seed ^ (stream * 0xD1342543DE82EF95ULL);
        for (auto &word : state_) {
            x += 0x9E3779B97F4A7C15ULL;
            std::uint64_t z = x;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
            word = z ^ (z >> 31);
        }
    }

    std::uint64_t next() {
        auto const result = rotated(state_[0] + state_[3], 23) + state_[0];
        auto const shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotated(state_[3], 45);
        return result;
    }

    // Uniform in [0, n), n above zero; draws that would favour some numbers are drawn again.
    //
    // Lemire 2019, doi:10.1145/3230636.
    std::uint32_t below(std::uint32_t n) {
        std::uint32_t const unfair = (0U - n) % n;  // 2^32 modulo n
        for (;;) {
            std::uint64_t const product = (next() >> 32) * n;
            if (static_cast<std::uint32_t>(product) >= unfair) return static_cast<std::uint32_t>(product >> 32);
        }
    }

  private:
    static std::uint64_t rotated(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

    std::uint64_t state_[4];
};

}  // namespace semrt
