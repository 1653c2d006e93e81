// Adam behind XLA's foreign-function interface: parameters and moments are read once and changed where they lie.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace {

using namespace lehr;

// The numbers of one update, in the order in which Python sends them.
template <class T> struct Rates {
  T rate, clip, keep_first, keep_second, correct_first, correct_second, least;
};

#define LEHR_ROOM "adam.inc"
#include "levels.inc"

// Numbers that one thread takes at a time.
constexpr int64_t kPortion = 1 << 14;

template <class T> decltype(&portable::adam_run<T>) kernel() {
#ifdef LEHR_HAS_AVX
  if (level() == 2) return avx512::adam_run<T>;
  if (level() == 1) return avx2::adam_run<T>;
#endif
  return portable::adam_run<T>;
}

// The parameters of one leaf of one network.
template <class T> struct Piece {
  int64_t begin, count;  // among all numbers
  const Rates<T>* rates;
  const T* gradient;
  T *params, *first, *second;
};

// Arguments: rates [..., 7]; then the leaves, each [..., numbers], as parameters, first and second moments, which are
// also the results, and gradients.
template <ffi::DataType kType>
ffi::Error Adam(ffi::ThreadPool pool, ffi::Buffer<kType> rates, ffi::RemainingArgs arguments,
                ffi::RemainingRets results) {
  using T = ffi::NativeType<kType>;
  static_assert(sizeof(Rates<T>) == 7 * sizeof(T));
  const int64_t networks = static_cast<int64_t>(rates.element_count()) / 7, leaves = results.size() / 3;
  std::vector<Piece<T>> pieces;
  pieces.reserve(networks * leaves);
  int64_t total = 0;
  for (int64_t leaf = 0; leaf < leaves; ++leaf) {
    const auto gradient = arguments.template get<ffi::Buffer<kType>>(3 * leaves + leaf);
    T* changed[3];
    for (int64_t part = 0; part < 3; ++part) {
      const auto before = arguments.template get<ffi::Buffer<kType>>(part * leaves + leaf);
      auto after = results.template get<ffi::Buffer<kType>>(part * leaves + leaf);
      if (!gradient || !before || !after) return ffi::Error::InvalidArgument("Adam takes one type of numbers");
      changed[part] = (*after)->typed_data();
      if (before->typed_data() != changed[part]) return ffi::Error::Internal("Adam works in place");
    }
    const int64_t count = static_cast<int64_t>(gradient->element_count()) / networks;
    for (int64_t r = 0; r < networks; ++r, total += count)
      pieces.push_back({total, count, reinterpret_cast<const Rates<T>*>(rates.typed_data()) + r,
                        gradient->typed_data() + r * count, changed[0] + r * count, changed[1] + r * count,
                        changed[2] + r * count});
  }

  const auto run = kernel<T>();
  spread(pool, (total + kPortion - 1) / kPortion, [&](int64_t portion) {
    const int64_t begin = portion * kPortion, end = std::min(total, begin + kPortion);
    auto piece = std::upper_bound(pieces.begin(), pieces.end(), begin,
                                  [](int64_t at, const Piece<T>& p) { return at < p.begin + p.count; });
    for (; piece != pieces.end() && piece->begin < end; ++piece) {
      const int64_t from = std::max(begin - piece->begin, int64_t{0}), to = std::min(end - piece->begin, piece->count);
      run(*piece->rates, to - from, piece->gradient + from, piece->params + from, piece->first + from,
          piece->second + from);
    }
  });
  return ffi::Error::Success();
}

template <ffi::DataType kType> auto bind() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<kType>>().RemainingArgs().RemainingRets();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_adam_f32, Adam<ffi::F32>, bind<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_adam_f64, Adam<ffi::F64>, bind<ffi::F64>());
