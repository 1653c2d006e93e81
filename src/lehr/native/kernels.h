// What all kernels share: memory, threads, and the choice of the instruction set.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

// Lanes of two vectors in any order.
#if defined(__clang__) || __GNUC__ >= 12
#define LEHR_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define LEHR_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, IntVec<T>{__VA_ARGS__})
#endif

#if defined(__x86_64__)
#define LEHR_HAS_AVX 1
#endif

namespace lehr {

namespace ffi = xla::ffi;

// 0 portable, 1 AVX2, 2 AVX-512: the widest that this machine has, or a narrower one on request.
inline std::atomic<int> chosen_level{-1};

inline int machine_level() {
#ifdef LEHR_HAS_AVX
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

inline int level() {
  if (chosen_level < 0) chosen_level = machine_level();
  return chosen_level;
}

// Memory that is kept from call to call, since fresh pages cost as much as the arithmetic. A call borrows the smallest
// piece that is large enough, or makes one, in place of the largest where there are many.
class Scratch {
 public:
  explicit Scratch(size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex());
      auto& pieces = kept();  // by size
      auto found = pieces.begin();
      while (found != pieces.end() && found->size() < bytes + kAlign) ++found;
      if (found == pieces.end() && pieces.size() >= kMostKept) pieces.pop_back();
      else if (found != pieces.end()) {
        memory_ = std::move(*found);
        pieces.erase(found);
      }
    }
    if (memory_.empty()) memory_ = std::vector<char>(bytes + kAlign);
    next_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory_.data()) + kAlign - 1) / kAlign * kAlign);
  }
  ~Scratch() {
    const std::lock_guard<std::mutex> lock(mutex());
    auto& pieces = kept();
    if (pieces.size() >= kMostKept) return;
    auto place = pieces.begin();
    while (place != pieces.end() && place->size() < memory_.size()) ++place;
    pieces.insert(place, std::move(memory_));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class T> T* take(size_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += bytes_of<T>(count);
    return piece;
  }
  template <class T> static size_t bytes_of(size_t count) { return (count * sizeof(T) + kAlign - 1) / kAlign * kAlign; }

 private:
  static constexpr size_t kAlign = 64, kMostKept = 8;
  // Never destroyed: XLA's threads may outlive everything else.
  static std::mutex& mutex() {
    static auto& one = *new std::mutex;
    return one;
  }
  static std::vector<std::vector<char>>& kept() {
    static auto& pieces = *[] {
      auto* all = new std::vector<std::vector<char>>;
      all->reserve(kMostKept);
      return all;
    }();
    return pieces;
  }
  std::vector<char> memory_;
  char* next_;
};

// Calls `work(0) ... work(count - 1)` on the threads of the pool and on this one, and returns when all are done. This
// thread never waits for work that nobody has begun, so a pool that is busy delays nothing.
template <class Work> void spread(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable finished;
    std::exception_ptr failed;
    int64_t done = 0;
  };
  const auto shared = std::make_shared<Shared>();
  auto take = [shared, count, &work] {
    int64_t mine = 0;
    for (int64_t i; (i = shared->next++) < count; ++mine) {
      try {
        work(i);
      } catch (...) {  // no memory: for the caller, once nobody is at work any more
        const std::lock_guard<std::mutex> lock(shared->mutex);
        shared->failed = std::current_exception();
      }
    }
    if (mine) {
      const std::lock_guard<std::mutex> lock(shared->mutex);
      if ((shared->done += mine) == count) shared->finished.notify_one();
    }
  };
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(decltype(take)(take));
  take();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->done == count; });
  if (shared->failed) std::rethrow_exception(shared->failed);
}

}  // namespace lehr
