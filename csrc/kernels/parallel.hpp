// One way to use several cores: independent chunks, so that no result depends on the number of threads.
#pragma once

#include "view.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace semrt {

// Calls work(i) once for each i in [0, n), on n_threads threads, in any order.
//
// work(i) must write only what belongs to i. The first exception stops the rest and is thrown again here.
template <class Work>
void parallel_for(index n, int n_threads, Work const &work) {
    auto const n_workers = static_cast<index>(std::max(1, n_threads));
    if (n_workers == 1 || n <= 1) {
        for (index i = 0; i < n; ++i) work(i);
        return;
    }
    std::atomic<index> next{0};
    std::exception_ptr failure;
    std::mutex failure_guard;
    auto const run = [&] {
        try {
            for (index i = next++; i < n; i = next++) work(i);
        } catch (...) {
            std::lock_guard<std::mutex> const lock(failure_guard);
            if (!failure) failure = std::current_exception();
            next = n;
        }
    };
    std::vector<std::thread> workers;
    for (index t = 1; t < std::min(n_workers, n); ++t) workers.emplace_back(run);
    run();
    for (auto &worker : workers) worker.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace semrt
