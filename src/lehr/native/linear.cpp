// The linear ansatz on a CPU, behind XLA's foreign-function interface: drawing, and a whole estimate of the gradient.
//
// Samples come in tiles. Each tile runs through all spins in drawing order with its rows in cache; tiles and networks
// are spread over XLA's threads. Sums over tiles are made in their order, so results do not depend on the threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace {

using namespace lehr;

// The structure of a problem in drawing order: the parents of each position, and which of them close a pair term.
struct Graph {
  int64_t num_spins;
  const int32_t *sites, *ends, *parents_from, *parents, *pairs_from, *pair_entries, *pair_terms;
};

template <class T> struct Drawing {
  const T *weights, *bias;
  const uint32_t* key;
  int64_t num_samples;
};

template <class T> struct Couplings {
  const T *pairs, *fields;
  T temperature;
};

// Rows of kTile numbers each, one for every position and one more.
template <class T> struct Tile {
  T *spins, *logits, *log_prob, *score, *cost;
};

#define LEHR_ROOM "linear.inc"
#include "levels.inc"

constexpr int kTile = portable::kTile;

// Below this, relative to their unit, differences between the advantages are rounding and are not blown up.
constexpr double kLeastSpread = 1e-5;

// Tiles are dealt into this many groups at most, each with a gradient of its own, so that memory does not grow with the
// number of samples. It must not depend on the threads, for sums are made in the order of the groups.
constexpr int64_t kMostGroups = 16;

// The functions for one instruction set.
template <class T> struct Kernels {
  decltype(&portable::draw_tile<T>) draw;
  decltype(&portable::weigh_tile<T>) weigh;
  decltype(&portable::differentiate_tile<T>) differentiate;
};

template <class T> Kernels<T> kernels() {
#ifdef LEHR_HAS_AVX
  if (level() == 2) return {avx512::draw_tile<T>, avx512::weigh_tile<T>, avx512::differentiate_tile<T>};
  if (level() == 1) return {avx2::draw_tile<T>, avx2::weigh_tile<T>, avx2::differentiate_tile<T>};
#endif
  return {portable::draw_tile<T>, portable::weigh_tile<T>, portable::differentiate_tile<T>};
}

template <class T> size_t tile_bytes(int64_t n) { return 5 * Scratch::bytes_of<T>((n + 1) * kTile); }

template <class T> Tile<T> take_tile(Scratch& scratch, int64_t n) {
  const auto rows = [&] { return scratch.take<T>((n + 1) * kTile); };
  T *spins = rows(), *logits = rows(), *log_prob = rows(), *score = rows(), *cost = rows();
  return {spins, logits, log_prob, score, cost};
}

// Where the data of network `number` start: an argument has the leading axes of the batch, or ones in their place.
template <class Buffer> auto* of_network(Buffer& buffer, size_t own_rank, ffi::Span<const int64_t> batch, int64_t number) {
  const auto shape = buffer.dimensions();
  const size_t leading = shape.size() - own_rank;
  int64_t own = 1, offset = 0;
  for (size_t axis = leading; axis < shape.size(); ++axis) own *= shape[axis];
  int64_t stride = own;
  for (size_t axis = leading; axis-- > 0;) {
    const int64_t index = number % batch[axis];
    number /= batch[axis];
    if (shape[axis] != 1) {
      offset += index * stride;
      stride *= shape[axis];
    }
  }
  return buffer.typed_data() + offset;
}

using Table = ffi::Buffer<ffi::S32>;

struct GraphBuffers {
  Table &sites, &ends, &parents_from, &parents, &pairs_from, &pair_entries, &pair_terms;

  Graph of(ffi::Span<const int64_t> batch, int64_t number) const {
    const auto at = [&](Table& table) { return of_network(table, 1, batch, number); };
    return {sites.dimensions().back(), at(sites), at(ends),       at(parents_from), at(parents),
            at(pairs_from),            at(pair_entries), at(pair_terms)};
  }
};

int64_t size_of(ffi::Span<const int64_t> batch) {
  int64_t size = 1;
  for (const int64_t extent : batch) size *= extent;
  return size;
}

// Spins and logits [n + 1, samples], by position, of one network for each index of the batch; the last row is zero.
template <ffi::DataType kType>
ffi::Error Draw(ffi::ThreadPool pool, ffi::Buffer<ffi::U32> key, ffi::Buffer<kType> weights, ffi::Buffer<kType> bias,
                Table sites, Table ends, Table parents_from, Table parents, Table pairs_from,
                Table pair_entries, Table pair_terms, ffi::ResultBuffer<kType> spins, ffi::ResultBuffer<kType> logits) {
  using T = ffi::NativeType<kType>;
  const GraphBuffers graphs{sites, ends, parents_from, parents, pairs_from, pair_entries, pair_terms};
  const auto shape = spins->dimensions();
  const auto batch = shape.first(shape.size() - 2);
  const int64_t num_samples = shape.back(), n = sites.dimensions().back(), networks = size_of(batch);
  const int64_t tiles = (num_samples + kTile - 1) / kTile;
  const Kernels<T> kernel = kernels<T>();
  spread(pool, networks * tiles, [&](int64_t i) {
    const int64_t r = i / tiles, first = i % tiles * kTile, real = std::min<int64_t>(kTile, num_samples - first);
    const Graph graph = graphs.of(batch, r);
    Scratch own(tile_bytes<T>(n));
    const Tile<T> tile = take_tile<T>(own, n);
    kernel.draw(graph, {of_network(weights, 1, batch, r), of_network(bias, 1, batch, r), of_network(key, 1, batch, r), num_samples}, first,
                tile);
    for (int64_t t = 0; t <= n; ++t) {
      const int64_t to = (r * (n + 1) + t) * num_samples + first;
      std::copy_n(&tile.spins[t * kTile], real, spins->typed_data() + to);
      std::copy_n(&tile.logits[t * kTile], real, logits->typed_data() + to);
    }
  });
  return ffi::Error::Success();
}

template <class T> struct Network {
  T *weights, *bias, *mean, *gradient, *energy, *log_prob, factor;
  double* sums;
  std::vector<Tile<T>> tiles;

  static size_t bytes(int64_t n, int64_t entries, int64_t num_tiles, int64_t num_groups) {
    const auto of = Scratch::bytes_of<T>;
    return of(entries) + 2 * of(n) + of(num_groups * (entries + n)) + 2 * of(num_tiles * kTile) +
           Scratch::bytes_of<double>(num_tiles * n * 2) + num_tiles * tile_bytes<T>(n);
  }
  Network(Scratch& scratch, int64_t n, int64_t entries, int64_t num_tiles, int64_t num_groups)
      : weights(scratch.take<T>(entries)),
        bias(scratch.take<T>(n)),
        mean(scratch.take<T>(n)),
        gradient(scratch.take<T>(num_groups * (entries + n))),
        energy(scratch.take<T>(num_tiles * kTile)),
        log_prob(scratch.take<T>(num_tiles * kTile)),
        sums(scratch.take<double>(num_tiles * n * 2)) {
    for (int64_t k = 0; k < num_tiles; ++k) tiles.push_back(take_tile<T>(scratch, n));
  }
};

// One estimate of the gradient for each index of the batch: samples, their costs, and the scores weighted with what
// each conditional is to blame for. `scalars` are beta, the temperature, and the unit of the advantages.
template <ffi::DataType kType>
ffi::Error Gradient(ffi::ThreadPool pool, ffi::Buffer<ffi::U32> key, ffi::Buffer<kType> weights,
                    ffi::Buffer<kType> bias, ffi::Buffer<kType> scale, ffi::Buffer<kType> pairs,
                    ffi::Buffer<kType> fields, ffi::Buffer<kType> scalars, Table sites, Table ends, Table parents_from,
                    Table parents, Table pairs_from, Table pair_entries, Table pair_terms, bool normalise,
                    ffi::ResultBuffer<kType> lowest, ffi::ResultBuffer<kType> energy,
                    ffi::ResultBuffer<kType> log_prob, ffi::ResultBuffer<kType> weights_gradient,
                    ffi::ResultBuffer<kType> bias_gradient, ffi::ResultBuffer<kType> scale_gradient) {
  using T = ffi::NativeType<kType>;
  const GraphBuffers graphs{sites, ends, parents_from, parents, pairs_from, pair_entries, pair_terms};
  const auto shape = energy->dimensions();
  const auto batch = shape.first(shape.size() - 1);
  const int64_t num_samples = shape.back(), n = sites.dimensions().back(), networks = size_of(batch);
  const int64_t num_tiles = (num_samples + kTile - 1) / kTile, entries = parents.dimensions().back();
  const Kernels<T> kernel = kernels<T>();
  const int64_t num_groups = std::min(num_tiles, kMostGroups);
  Scratch scratch(networks * Network<T>::bytes(n, entries, num_tiles, num_groups));
  std::vector<Network<T>> all;
  for (int64_t r = 0; r < networks; ++r) all.emplace_back(scratch, n, entries, num_tiles, num_groups);

  spread(pool, networks, [&](int64_t r) {
    const Graph graph = graphs.of(batch, r);
    Network<T>& network = all[r];
    const T *w = of_network(weights, 1, batch, r), *b = of_network(bias, 1, batch, r);
    const T *a = of_network(scale, 1, batch, r), *c = of_network(pairs, 1, batch, r);
    const T *h = of_network(fields, 1, batch, r), beta = *of_network(scalars, 1, batch, r);
    std::copy_n(w, entries, network.weights);
    for (int64_t t = 0; t < n; ++t) {
      network.bias[t] = b[t] - 2 * beta * a[t] * h[t];
      for (int64_t p = graph.pairs_from[t]; p < graph.pairs_from[t + 1]; ++p)
        network.weights[graph.pair_entries[p]] -= 2 * beta * a[t] * c[graph.pair_terms[p]];
    }
  });

  spread(pool, networks * num_tiles, [&](int64_t i) {
    const int64_t r = i / num_tiles, k = i % num_tiles, first = k * kTile;
    const Graph graph = graphs.of(batch, r);
    Network<T>& network = all[r];
    kernel.draw(graph, {network.weights, network.bias, of_network(key, 1, batch, r), num_samples}, first,
                network.tiles[k]);
    const int real = static_cast<int>(std::min<int64_t>(kTile, num_samples - first));
    kernel.weigh(graph,
                 {of_network(pairs, 1, batch, r), of_network(fields, 1, batch, r), of_network(scalars, 1, batch, r)[1]},
                 real, network.tiles[k], network.energy + first, network.log_prob + first, network.sums + k * n * 2);
  });

  // Minus the mean of the other samples, and if asked for in units of the root mean square.
  spread(pool, networks, [&](int64_t r) {
    Network<T>& network = all[r];
    const double m = static_cast<double>(num_samples), others = m / std::max(m - 1, 1.0);
    double size = 0;
    for (int64_t t = 0; t < n; ++t) {
      double sum = 0, squares = 0;
      for (int64_t k = 0; k < num_tiles; ++k) {
        sum += network.sums[(k * n + t) * 2];
        squares += network.sums[(k * n + t) * 2 + 1];
      }
      network.mean[t] = static_cast<T>(sum / m);
      size += std::max(0.0, squares - sum * sum / m);
    }
    const double unit = of_network(scalars, 1, batch, r)[2];
    const double rms = others * std::sqrt(size / (m * static_cast<double>(n))) / unit;
    network.factor = static_cast<T>(others / m / unit / (normalise ? std::max(rms, kLeastSpread) : 1.0));
  });

  spread(pool, networks * num_groups, [&](int64_t i) {
    const int64_t r = i / num_groups, group = i % num_groups;
    Network<T>& network = all[r];
    T* out = network.gradient + group * (entries + n);
    std::fill_n(out, entries + n, T(0));
    for (int64_t k = group * num_tiles / num_groups; k < (group + 1) * num_tiles / num_groups; ++k) {
      const int real = static_cast<int>(std::min<int64_t>(kTile, num_samples - k * kTile));
      kernel.differentiate(graphs.of(batch, r), network.mean, network.factor, real, network.tiles[k], out,
                           out + entries);
    }
  });

  spread(pool, networks, [&](int64_t r) {
    const Graph graph = graphs.of(batch, r);
    Network<T>& network = all[r];
    T* total = network.gradient;
    for (int64_t k = 1; k < num_groups; ++k)
      for (int64_t e = 0; e < entries + n; ++e) total[e] += network.gradient[k * (entries + n) + e];
    const T *c = of_network(pairs, 1, batch, r), *h = of_network(fields, 1, batch, r);
    const T beta = *of_network(scalars, 1, batch, r);
    T *w = weights_gradient->typed_data() + r * entries, *b = bias_gradient->typed_data() + r * n;
    T *a = scale_gradient->typed_data() + r * n, *best = lowest->typed_data() + r * n;
    std::copy_n(total, entries, w);
    for (int64_t t = 0; t < n; ++t) {
      T field = h[t] * total[entries + t];
      for (int64_t p = graph.pairs_from[t]; p < graph.pairs_from[t + 1]; ++p)
        field += c[graph.pair_terms[p]] * total[graph.pair_entries[p]];
      b[t] = total[entries + t];
      a[t] = -2 * beta * field;
    }
    const int64_t m = std::min_element(network.energy, network.energy + num_samples) - network.energy;
    const Tile<T>& tile = network.tiles[m / kTile];
    for (int64_t t = 0; t < n; ++t) best[graph.sites[t]] = tile.spins[t * kTile + m % kTile];
    std::copy_n(network.energy, num_samples, energy->typed_data() + r * num_samples);
    std::copy_n(network.log_prob, num_samples, log_prob->typed_data() + r * num_samples);
  });
  return ffi::Error::Success();
}

// The arguments that make a `Graph`, after those of a kernel's own.
template <class Binding> auto with_graph(Binding&& binding) {
  return std::move(binding)
      .template Arg<Table>()
      .template Arg<Table>()
      .template Arg<Table>()
      .template Arg<Table>()
      .template Arg<Table>()
      .template Arg<Table>()
      .template Arg<Table>();
}

template <ffi::DataType kType> auto bind_draw() {
  using Real = ffi::Buffer<kType>;
  auto own = ffi::Ffi::Bind()
                 .Ctx<ffi::ThreadPool>()
                 .Arg<ffi::Buffer<ffi::U32>>()
                 .template Arg<Real>()
                 .template Arg<Real>();
  return with_graph(std::move(own)).template Ret<Real>().template Ret<Real>();
}

template <ffi::DataType kType> auto bind_gradient() {
  using Real = ffi::Buffer<kType>;
  auto own = ffi::Ffi::Bind()
                 .Ctx<ffi::ThreadPool>()
                 .Arg<ffi::Buffer<ffi::U32>>()
                 .template Arg<Real>()
                 .template Arg<Real>()
                 .template Arg<Real>()
                 .template Arg<Real>()
                 .template Arg<Real>()
                 .template Arg<Real>();
  return with_graph(std::move(own))
      .template Attr<bool>("normalise")
      .template Ret<Real>()
      .template Ret<Real>()
      .template Ret<Real>()
      .template Ret<Real>()
      .template Ret<Real>()
      .template Ret<Real>();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_linear_draw_f32, Draw<ffi::F32>, bind_draw<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_linear_draw_f64, Draw<ffi::F64>, bind_draw<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_linear_gradient_f32, Gradient<ffi::F32>, bind_gradient<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_linear_gradient_f64, Gradient<ffi::F64>, bind_gradient<ffi::F64>());
