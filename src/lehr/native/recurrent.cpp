// Recurrent networks on a CPU, behind XLA's foreign-function interface: the pass that draws or evaluates spins, its
// gradient (of a weighted sum, or sample by sample), and the ratios of flipped spins.
//
// Samples come in tiles, which run through all sites one after the other and are spread over XLA's threads; so are the
// parts of the gradient. How samples and sites are parted does not depend on the threads, and sums over the parts are
// made in order, so results do not either.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels.h"

namespace {

using namespace lehr;

constexpr int kRows = 16;  // samples of a tile at most

enum class Activation { kElu, kRelu, kSigmoid, kSoftplus, kTanh };

enum class Kind { kVanilla, kTensorised, kGru };

// A layer is made of affine maps: one, or those of the reset gates, the update gate, the candidate and the merged state
// (a gated recurrent unit). A piece is a block of rows of such a map's kernel, for one of the states that the layer
// reads, as it is or gated, or (-1) for the layer's inputs. With a channel of at least 0, what the block takes in is
// multiplied by that input of the site.
struct Piece {
  int64_t map, row, depth, state, channel;
  bool gated;
  int64_t column;  // of the block in the transposed kernel
};

struct Cell {
  Kind kind;
  Activation activation;
  int64_t depth, hidden, num_states, num_spins, num_features, num_kinds, num_maps;
  bool shared;
  int64_t width;  // of a state, padded to whole vectors
  std::vector<std::vector<Piece>> pieces;
  std::vector<int64_t> rows, columns;  // of the kernel and of the transposed kernel of each layer's maps

  bool gated() const { return kind == Kind::kGru; }
  int64_t update() const { return num_states; }
  int64_t candidate() const { return gated() ? num_states + 1 : 0; }
  int64_t merged() const { return num_states + 2; }
  int64_t num_inputs() const { return 2 * num_spins + num_features; }
  bool is_feature(int64_t channel) const { return channel >= 2 * num_spins; }
  // Of what a piece takes in; for inputs that of the layer below, where there is one.
  int64_t slot(const Piece& piece, const int32_t* reads, int64_t t, int64_t l) const {
    return piece.state < 0 ? t * depth + l : reads[l * num_states + piece.state];
  }
};

// The parameters of one site with padded rows. The bias and the transposed kernel may be null. The head tells up from
// down.
template <class T> struct Map {
  const T *kernel, *bias, *transposed;
};
template <class T> struct Maps {
  std::vector<Map<T>> maps;
  const T *head, *coupling;
  T head_bias;
  int64_t num_maps;

  const Map<T>& of(int64_t layer, int64_t map) const { return maps[layer * num_maps + map]; }
};

// Products of one kind that the sites hear (lehr.ansatz.hearing).
template <class T> struct Heard {
  int64_t places, most, features;
  const int32_t *numbers, *others;
  const bool* closing;
  const T *evidence, *effective;
};

// A tile on its way forwards. States are its own from a slot on, and before it those of another pass.
template <class T> struct Tile {
  int count;
  T *own, *spins, *inputs, *fields, *sums, *gated, *scaled;
  const T* before;
  int64_t own_stride, before_stride, first_own;

  T* sum(int64_t map, int m, int64_t width) const { return sums + (map * kRows + m) * width; }
  T* gated_state(int64_t p, int m, int64_t width) const { return gated + (p * kRows + m) * width; }
  T* own_state(int64_t slot, int m, int64_t hidden) const { return own + slot * own_stride + m * hidden; }
  const T* state(int64_t slot, int m, int64_t hidden) const {
    return slot < first_own ? before + slot * before_stride + m * hidden : own_state(slot, m, hidden);
  }
};

// A tile on its way back: the derivatives in states (bars) and in what the maps of the layers give (deltas). A bar is
// cleared when its state's deltas are known, and its place is taken by that of another state, `ring` slots before; only
// what the zero state of slot 0 would get has a place of its own, which nobody reads.
template <class T> struct Retreat {
  Tile<T> tile;
  const T* blame;
  T *bars, *gated_bars, *deltas, *gated;
  int64_t stride;  // of deltas and gated states
  int64_t ring;    // a power of two

  T* bar(int64_t slot, int m, int64_t width) const {
    return bars + ((slot == 0 ? ring : slot & (ring - 1)) * kRows + m) * width;
  }
  T* gated_bar(int64_t p, int m, int64_t width) const { return gated_bars + (p * kRows + m) * width; }
  T* delta(int64_t map, int m, int64_t width) const { return deltas + map * stride + m * width; }
  T* kept(int64_t state, int m, int64_t width) const { return gated + state * stride + m * width; }
};

template <class T> struct Kernels {
  int64_t lanes;
  void (*listen)(const Cell&, const Heard<T>*, const int32_t*, int64_t, const Tile<T>&);
  void (*advance)(const Cell&, const Maps<T>&, const int32_t*, int64_t, const Tile<T>&, T*);
  void (*decide)(bool, const T*, const T*, T*, T*, T*);
  void (*retreat)(const Cell&, const Maps<T>&, const int32_t*, int64_t, const Retreat<T>&);
  void (*outer)(T*, int64_t, const T* const*, const T* const*, int, int64_t);
};

#define LEHR_ROOM "recurrent.inc"
#include "levels.inc"

template <class T> const Kernels<T>& kernels() {
#ifdef LEHR_HAS_AVX
  if (level() == 2) return avx512::kKernels<T>;
  if (level() == 1) return avx2::kKernels<T>;
#endif
  return portable::kKernels<T>;
}

// Tiles of at most kRows samples, in pairs for two threads, of even size where that can be.
struct Tiles {
  int64_t num_samples, count;

  explicit Tiles(int64_t samples) : num_samples(samples), count(samples < 4 ? 1 : 2 * ((samples + 29) / 30)) {}
  int64_t first(int64_t i) const { return i == count ? num_samples : num_samples * i / count / 2 * 2; }
  int size(int64_t i) const { return static_cast<int>(first(i + 1) - first(i)); }
};

using Table = ffi::Buffer<ffi::S32>;
template <ffi::DataType kType> using Real = ffi::Buffer<kType>;

// Asks for rows that will be read or written soon: the machine does not foresee the step from site to site.
template <class T> inline void expect(const T* rows, int64_t count) {
  for (int64_t k = 0; k < count; k += 64 / sizeof(T)) __builtin_prefetch(rows + k);
}
template <class T> inline void expect_to_write(T* rows, int64_t count) {
  for (int64_t k = 0; k < count; k += 64 / sizeof(T)) __builtin_prefetch(rows + k, 1);
}

struct Attributes {
  int64_t kind, activation, depth, hidden;
  ffi::Span<const int64_t> features;
  bool shared;
};

// The trained arrays, as JAX flattens them: the coupling where there is a hearing, the head's bias and kernel, and those
// of each layer. With shared=false all have a leading axis of sites.
template <ffi::DataType kType> struct Network {
  using T = ffi::NativeType<kType>;
  Cell cell;
  std::vector<Heard<T>> heard;
  std::vector<const T*> leaves;
  std::vector<int64_t> sizes;  // of the leaves, of one site
  const int32_t *state_slots, *spin_slots;
  int64_t num_sites;

  Network(const Attributes& of, Table& states, Table& spins, ffi::RemainingArgs& rest)
      : state_slots(states.typed_data()), spin_slots(spins.typed_data()), num_sites(states.dimensions()[0]) {
    cell.kind = static_cast<Kind>(of.kind);
    cell.activation = static_cast<Activation>(of.activation);
    cell.depth = of.depth;
    cell.hidden = of.hidden;
    cell.num_states = states.dimensions()[1] / of.depth;
    cell.num_spins = spins.dimensions()[1];
    cell.num_maps = cell.gated() ? cell.num_states + 3 : 1;
    cell.num_kinds = static_cast<int64_t>(of.features.size());
    cell.num_features = 0;
    cell.shared = of.shared;
    const int64_t lanes = kernels<T>().lanes;
    cell.width = (cell.hidden + lanes - 1) / lanes * lanes;
    size_t next = 0;
    for (const int64_t features : of.features) {
      auto numbers = *rest.get<Table>(next), others = *rest.get<Table>(next + 1);
      auto closing = *rest.get<ffi::Buffer<ffi::PRED>>(next + 2);
      auto evidence = *rest.get<Real<kType>>(next + 3), effective = *rest.get<Real<kType>>(next + 4);
      heard.push_back({numbers.dimensions()[1], others.dimensions()[2], features, numbers.typed_data(),
                       others.typed_data(), closing.typed_data(), evidence.typed_data(), effective.typed_data()});
      cell.num_features += features * numbers.dimensions()[1];
      next += 5;
    }
    for (; next < rest.size(); ++next) {
      auto leaf = *rest.get<Real<kType>>(next);
      leaves.push_back(leaf.typed_data());
      sizes.push_back(static_cast<int64_t>(leaf.element_count()) / (cell.shared ? 1 : num_sites));
    }
    for (int64_t l = 0; l < cell.depth; ++l) add_layer(l == 0 ? cell.num_inputs() : cell.hidden);
  }

  // A power of two, of slots: no state is read further from where it was written.
  int64_t ring() const {
    int64_t reach = 1, size = 1;
    for (int64_t t = 0; t < num_sites; ++t)
      for (int64_t i = 0; i < cell.depth * cell.num_states; ++i)
        if (reads(t)[i] > 0) reach = std::max(reach, 1 + t * cell.depth + i / cell.num_states - reads(t)[i]);
    while (size < reach) size *= 2;
    return size;
  }
  const int32_t* reads(int64_t t) const { return state_slots + t * cell.depth * cell.num_states; }
  const int32_t* sees(int64_t t) const { return spin_slots + t * cell.num_spins; }
  size_t head() const { return cell.num_kinds ? 1 : 0; }  // its bias; its kernel follows
  const T* leaf(size_t i, int64_t t) const { return leaves[i] + (cell.shared ? 0 : t * sizes[i]); }

  // Where a map is in the leaves: its kernel, from a column on in rows of a length, and its bias (-1: none).
  struct Place {
    size_t kernel;
    int64_t bias, column, length;
  };
  std::vector<Place> places;  // of each layer's maps; a map without rows has none

  // Numbers that `pack` needs.
  size_t packed(bool transposed) const {
    size_t size = cell.width;
    for (size_t map = 0; map < cell.rows.size(); ++map)
      size += (cell.rows[map] + 1) * cell.width + (transposed ? cell.hidden * cell.columns[map] : 0);
    return size;
  }

  // The parameters of a site in `memory`, or where they are if no row has to be padded.
  Maps<T> pack(int64_t t, bool transposed, T* memory) const {
    const auto take = [&](int64_t count) {
      T* piece = memory;
      memory += count;
      std::fill(piece, memory, T(0));
      return piece;
    };
    const auto pad = [&](const T* from, int64_t rows, int64_t length) {
      if (cell.width == cell.hidden && length == cell.hidden) return from;
      T* to = take(rows * cell.width);
      for (int64_t k = 0; k < rows; ++k) std::copy_n(from + k * length, cell.hidden, to + k * cell.width);
      return static_cast<const T*>(to);
    };
    const T *biases = leaf(head(), t), *kernel = leaf(head() + 1, t);
    T* difference = take(cell.width);
    for (int64_t j = 0; j < cell.hidden; ++j) difference[j] = kernel[2 * j] - kernel[2 * j + 1];
    Maps<T> maps{{}, difference, cell.num_kinds ? leaf(0, t) : nullptr, biases[0] - biases[1], cell.num_maps};
    for (size_t map = 0; map < places.size(); ++map) {
      if (cell.rows[map] == 0) {
        maps.maps.push_back({});
        continue;
      }
      const Place& place = places[map];
      maps.maps.push_back({pad(leaf(place.kernel, t) + place.column, cell.rows[map], place.length), nullptr, nullptr});
      if (place.bias >= 0) maps.maps.back().bias = pad(leaf(place.bias, t) + place.column, 1, cell.hidden);
      if (transposed && cell.columns[map]) maps.maps.back().transposed = turned(map, maps.maps.back().kernel, take);
    }
    return maps;
  }

 private:
  template <class Take> const T* turned(size_t map, const T* kernel, const Take& take) const {
    const int64_t columns = cell.columns[map];
    T* to = take(cell.hidden * columns);
    for (const Piece& piece : cell.pieces[map / cell.num_maps]) {
      if (piece.map != static_cast<int64_t>(map) % cell.num_maps || piece.column < 0) continue;
      for (int64_t k = 0; k < piece.depth; ++k)
        for (int64_t j = 0; j < cell.hidden; ++j)
          to[j * columns + piece.column + k] = kernel[(piece.row + k) * cell.width + j];
    }
    return to;
  }

  // The pieces of the next layer, and where its maps are: behind the leaves of the head and of the layers before.
  void add_layer(int64_t num_inputs) {
    const bool first = cell.pieces.empty();
    const size_t next = head() + 2 + cell.pieces.size() * (!cell.gated() ? 2 : cell.num_states > 1 ? 5 : 4);
    std::vector<Piece> pieces;
    const auto add_map = [&](Place place) {
      places.push_back(place);
      cell.rows.push_back(0);
      cell.columns.push_back(0);
    };
    const auto add = [&](int64_t depth, int64_t state, int64_t channel, bool gated) {
      int64_t &rows = cell.rows.back(), &columns = cell.columns.back();
      const bool returns = state >= 0 || !first;
      const int64_t map = static_cast<int64_t>(cell.rows.size() - 1) % cell.num_maps;
      pieces.push_back({map, rows, depth, state, channel, gated, returns ? columns : -1});
      rows += depth;
      columns += returns ? cell.width : 0;
    };
    const auto add_states = [&](int64_t channel, bool gated) {
      for (int64_t p = 0; p < cell.num_states; ++p) add(cell.hidden, p, channel, gated);
    };
    if (!cell.gated()) {
      add_map({next + 1, static_cast<int64_t>(next), 0, cell.hidden});
      for (int64_t c = 0; cell.kind == Kind::kTensorised && c < num_inputs; ++c) add_states(c, false);
      if (cell.kind == Kind::kVanilla) {
        add_states(-1, false);
        add(num_inputs, -1, -1, false);
      }
    } else {  // the candidate, the gates and the merge, in the order of the alphabet, a bias before each kernel
      for (int64_t gate = 0; gate <= cell.num_states; ++gate) {
        const int64_t length = (cell.num_states + 1) * cell.hidden;
        add_map({next + 3, static_cast<int64_t>(next + 2), gate * cell.hidden, length});
        add_states(-1, false);
        add(num_inputs, -1, -1, false);
      }
      add_map({next + 1, static_cast<int64_t>(next), 0, cell.hidden});
      add_states(-1, true);
      add(num_inputs, -1, -1, false);
      add_map({next + 4, -1, 0, cell.hidden});
      if (cell.num_states > 1) add_states(-1, false);
    }
    cell.pieces.push_back(pieces);
  }
};

// The maps of every site in turn: packed once where they are shared, and otherwise for each site anew.
template <ffi::DataType kType> class Sites {
  using T = ffi::NativeType<kType>;

 public:
  Sites(const Network<kType>& network, const Maps<T>& shared, T* memory)
      : network_(network), maps_(shared), memory_(memory) {}
  const Maps<T>& operator[](int64_t t) {
    if (!network_.cell.shared) maps_ = network_.pack(t, false, memory_);
    return maps_;
  }

 private:
  const Network<kType>& network_;
  Maps<T> maps_;
  T* memory_;
};

template <class T> size_t tile_bytes(const Cell& cell, int64_t num_sites, size_t packed) {
  const auto of = Scratch::bytes_of<T>;
  return of((num_sites + 1) * kRows) + of(cell.num_kinds * kRows) + of(cell.num_maps * kRows * cell.width) +
         of(cell.num_states * kRows * cell.width) + of(kRows * cell.width) + of(packed);
}

// A tile with memory for what no other pass sees.
template <class T> Tile<T> take_tile(Scratch& scratch, const Cell& cell, int64_t num_sites, int count) {
  Tile<T> tile{};
  tile.count = count;
  tile.spins = scratch.take<T>((num_sites + 1) * kRows);
  tile.fields = scratch.take<T>(cell.num_kinds * kRows);
  tile.sums = scratch.take<T>(cell.num_maps * kRows * cell.width);
  tile.gated = scratch.take<T>(cell.num_states * kRows * cell.width);
  tile.scaled = scratch.take<T>(kRows * cell.width);
  std::fill_n(tile.spins, (num_sites + 1) * kRows, T(0));
  return tile;
}

// States [slots, M, d] and spins [N + 1, M] with their slot 0, ln p and its derivative in the logit [N, M], what the
// sites take in [N, M, inputs], and the fields that they hear [N, kinds, M]. `feed` [N, M] holds uniform numbers if the
// spins are drawn, and otherwise the spins.
template <ffi::DataType kType>
ffi::Error Forward(ffi::ThreadPool pool, Real<kType> feed, Table state_slots, Table spin_slots, ffi::RemainingArgs rest,
                   ffi::Result<Real<kType>> states, ffi::Result<Real<kType>> spins, ffi::Result<Real<kType>> log_prob,
                   ffi::Result<Real<kType>> scores, ffi::Result<Real<kType>> inputs, ffi::Result<Real<kType>> fields,
                   int64_t kind, int64_t activation, int64_t depth, int64_t hidden,
                   ffi::Span<const int64_t> features, bool shared, bool draw) {
  using T = ffi::NativeType<kType>;
  const Network<kType> network({kind, activation, depth, hidden, features, shared}, state_slots, spin_slots, rest);
  const Cell& cell = network.cell;
  const Kernels<T>& kernel = kernels<T>();
  const int64_t n = network.num_sites, num_samples = feed.dimensions()[1], kinds = cell.num_kinds;
  const Tiles tiles(num_samples);
  const size_t packed = network.packed(false);
  Scratch common(Scratch::bytes_of<T>(packed));
  const Maps<T> maps = cell.shared ? network.pack(0, false, common.take<T>(packed)) : Maps<T>{};
  std::fill_n(states->typed_data(), num_samples * cell.hidden, T(0));
  std::fill_n(spins->typed_data(), num_samples, T(0));
  spread(pool, tiles.count, [&](int64_t i) {
    const int64_t first = tiles.first(i);
    const int count = tiles.size(i);
    Scratch own(tile_bytes<T>(cell, n, packed));
    Tile<T> tile = take_tile<T>(own, cell, n, count);
    Sites<kType> sites(network, maps, own.take<T>(packed));
    tile.own = states->typed_data() + first * cell.hidden;
    tile.own_stride = num_samples * cell.hidden;
    T given[kRows] = {}, logit[kRows] = {}, log_p[kRows], score[kRows];
    for (int64_t t = 0; t < n; ++t) {
      const int64_t at = t * num_samples + first;
      tile.inputs = inputs->typed_data() + at * cell.num_inputs();
      if (t + 1 < n) expect_to_write(tile.own_state(1 + (t + 1) * cell.depth, 0, cell.hidden), count * cell.hidden);
      kernel.listen(cell, network.heard.data(), network.sees(t), t, tile);
      kernel.advance(cell, sites[t], network.reads(t), t, tile, logit);
      std::copy_n(feed.typed_data() + at, count, given);
      T* spin = tile.spins + (t + 1) * kRows;
      kernel.decide(draw, given, logit, spin, log_p, score);
      std::copy_n(spin, count, spins->typed_data() + at + num_samples);
      std::copy_n(log_p, count, log_prob->typed_data() + at);
      std::copy_n(score, count, scores->typed_data() + at);
      for (int64_t h = 0; h < kinds; ++h)
        std::copy_n(tile.fields + h * kRows, count, fields->typed_data() + (t * kinds + h) * num_samples + first);
    }
  });
  return ffi::Error::Success();
}

// What the passes forwards and backwards have left, which the gradient is made of.
template <class T> struct Passed {
  const T *states, *inputs, *fields, *deltas, *gated, *blame;
  int64_t num_samples;
};

// Pairs of rows whose outer products are added to one matrix, many at a time.
template <class T> struct Gather {
  static constexpr int kMost = 64;
  T* matrix;
  int64_t depth, width;
  const T *from[kMost], *deltas[kMost];
  int count = 0;
  std::vector<T> own;  // rows that are not in memory as they are needed

  void add(const Kernels<T>& kernel, const T* row, const T* delta) {
    from[count] = row;
    deltas[count] = delta;
    if (++count == kMost) flush(kernel);
  }
  // A row to be filled before the next `add`.
  T* fresh() {
    own.resize(kMost * width);
    return own.data() + count * width;
  }
  void flush(const Kernels<T>& kernel) {
    kernel.outer(matrix, width, from, deltas, count, depth);
    count = 0;
  }
};

// The gradient of some sites and samples: sums over them of what each site took in times its deltas.
template <ffi::DataType kType> class Gradient {
  using T = ffi::NativeType<kType>;

 public:
  // Numbers of memory, all leaves with padded rows.
  static size_t size(const Network<kType>& network) {
    size_t size = network.cell.num_kinds + 1 + network.cell.width;
    for (const int64_t rows : network.cell.rows) size += (rows + 1) * network.cell.width;
    return size;
  }

  Gradient(const Network<kType>& network, const Passed<T>& passed, T* memory)
      : network_(network), cell_(network.cell), passed_(passed), memory_(memory) {
    std::fill_n(memory, size(network), T(0));
    T* next = memory + cell_.num_kinds + 1;
    const auto matrix = [&](int64_t depth) {
      gathers_.push_back({next, depth, cell_.width, {}, {}, 0, {}});
      next += depth * cell_.width;
    };
    matrix(1);  // the head
    for (int64_t l = 0; l < cell_.depth; ++l) {
      for (int64_t map = 0; map < cell_.num_maps; ++map) matrix(1);  // the biases
      for (const Piece& piece : cell_.pieces[l]) matrix(piece.depth);
    }
  }

  void add(int64_t first_site, int64_t last_site, int64_t first_sample, int64_t last_sample) {
    const Kernels<T>& kernel = kernels<T>();
    for (int64_t t = first_site; t < last_site; ++t) add_site(kernel, t, first_sample, last_sample);
    for (Gather<T>& gather : gathers_) gather.flush(kernel);
  }

  T* memory() const { return memory_; }

  // Copies the leaves from memory to where site `t` of each leaf is.
  static void write(const Network<kType>& network, const T* memory, const std::vector<T*>& leaves) {
    const Cell& cell = network.cell;
    const size_t head = network.head();
    if (cell.num_kinds) std::copy_n(memory, cell.num_kinds, leaves[0]);
    memory += cell.num_kinds;
    leaves[head][0] = memory[0];
    leaves[head][1] = -memory[0];
    ++memory;
    for (int64_t j = 0; j < cell.hidden; ++j) {
      leaves[head + 1][2 * j] = memory[j];
      leaves[head + 1][2 * j + 1] = -memory[j];
    }
    memory += cell.width;
    for (int64_t l = 0; l < cell.depth; ++l) {
      const auto* places = &network.places[l * cell.num_maps];
      for (int64_t map = 0; map < cell.num_maps; ++map, memory += cell.width)
        if (places[map].bias >= 0 && cell.rows[l * cell.num_maps + map])
          std::copy_n(memory, cell.hidden, leaves[places[map].bias] + places[map].column);
      for (const Piece& piece : cell.pieces[l]) {
        const auto& place = places[piece.map];
        for (int64_t k = 0; k < piece.depth; ++k, memory += cell.width)
          std::copy_n(memory, cell.hidden, leaves[place.kernel] + (piece.row + k) * place.length + place.column);
      }
    }
  }

 private:
  // Rows of all samples, and the first number of one of these rows.
  const T* states(int64_t slot) const { return passed_.states + slot * passed_.num_samples * cell_.hidden; }
  const T* rows(const T* from, int64_t number) const { return from + number * passed_.num_samples * cell_.width; }

  void add_site(const Kernels<T>& kernel, int64_t t, int64_t begin, int64_t end) {
    static constexpr T kOne = 1;
    const int64_t at = t * passed_.num_samples;
    const T *inputs = passed_.inputs + at * cell_.num_inputs(), *blame = passed_.blame + at;
    for (int64_t h = 0; h < cell_.num_kinds; ++h) {
      const T* fields = passed_.fields + (t * cell_.num_kinds + h) * passed_.num_samples;
      for (int64_t m = begin; m < end; ++m) memory_[h] += blame[m] * fields[m];
    }
    for (int64_t m = begin; m < end; ++m) memory_[cell_.num_kinds] += blame[m];
    Gather<T>* gather = gathers_.data();
    const T* top = states((t + 1) * cell_.depth);
    for (int64_t m = begin; m < end; ++m) {
      const T* row = top + m * cell_.hidden;
      expect(row, cell_.hidden);
      if (cell_.width != cell_.hidden) {
        T* fresh = gather->fresh();
        std::fill(std::copy_n(row, cell_.hidden, fresh), fresh + cell_.width, T(0));
        row = fresh;
      }
      gather->add(kernel, blame + m, row);
    }
    ++gather;
    for (int64_t layer = t * cell_.depth, l = 0; l < cell_.depth; ++l, ++layer) {
      for (int64_t map = 0; map < cell_.num_maps; ++map, ++gather) {
        const T* deltas = rows(passed_.deltas, layer * cell_.num_maps + map);
        for (int64_t m = begin; m < end; ++m) {
          expect(deltas + m * cell_.width, cell_.width);
          gather->add(kernel, &kOne, deltas + m * cell_.width);
        }
      }
      for (const Piece& piece : cell_.pieces[l]) add_piece(kernel, *gather++, piece, t, l, inputs, begin, end);
    }
  }

  void add_piece(const Kernels<T>& kernel, Gather<T>& gather, const Piece& piece, int64_t t, int64_t l,
                 const T* inputs, int64_t begin, int64_t end) {
    const int64_t slot = cell_.slot(piece, network_.reads(t), t, l), layer = t * cell_.depth + l;
    if (piece.state >= 0 && slot == 0) return;
    const bool outside = piece.state < 0 && l == 0;
    const int64_t stride = piece.gated ? cell_.width : outside ? cell_.num_inputs() : cell_.hidden;
    const T* from = piece.gated ? rows(passed_.gated, layer * cell_.num_states + piece.state)
                    : outside ? inputs
                              : states(slot);
    const T* deltas = rows(passed_.deltas, layer * cell_.num_maps + piece.map);
    for (int64_t m = begin; m < end; ++m) {
      const T input = piece.channel < 0 ? T(1) : inputs[m * cell_.num_inputs() + piece.channel];
      if (input == T(0)) continue;
      const T* delta = deltas + m * cell_.width;
      if (cell_.is_feature(piece.channel)) {
        T* fresh = gather.fresh();
        for (int64_t j = 0; j < cell_.width; ++j) fresh[j] = input * delta[j];
        delta = fresh;
      }
      gather.add(kernel, from + m * stride, delta);
    }
  }

  const Network<kType>& network_;
  const Cell& cell_;
  const Passed<T> passed_;
  T* memory_;
  std::vector<Gather<T>> gathers_;
};

// Sites are dealt into this many parts at most, each with a gradient of its own; it must not depend on the threads.
constexpr int64_t kMostParts = 16;

// The gradient of sum(weights * ln p), weights [N, M]; with `by_sample` that of every sample by itself, on a leading
// axis of samples (where the parameters are shared).
template <ffi::DataType kType>
ffi::Error Backward(ffi::ThreadPool pool, Real<kType> weights, Real<kType> states, Real<kType> scores,
                    Real<kType> inputs, Real<kType> fields, Table state_slots, Table spin_slots, ffi::RemainingArgs rest,
                    ffi::RemainingRets gradients, int64_t kind, int64_t activation, int64_t depth, int64_t hidden,
                    ffi::Span<const int64_t> features, bool shared, bool by_sample) {
  using T = ffi::NativeType<kType>;
  const Network<kType> network({kind, activation, depth, hidden, features, shared}, state_slots, spin_slots, rest);
  const Cell& cell = network.cell;
  const Kernels<T>& kernel = kernels<T>();
  const int64_t n = network.num_sites, num_samples = weights.dimensions()[1], slots = 1 + n * cell.depth;
  const Tiles tiles(num_samples);
  const int64_t ring = network.ring();
  const size_t packed = network.packed(cell.shared);
  const int64_t parts = !cell.shared || by_sample ? 0 : std::min(n, kMostParts);
  const size_t size = Gradient<kType>::size(network), num_states = n * cell.depth * num_samples * cell.width;
  const size_t num_deltas = cell.num_maps * num_states, num_gated = cell.gated() ? cell.num_states * num_states : 0;
  const auto of = Scratch::bytes_of<T>;
  Scratch common(of(packed) + of(num_deltas) + of(num_gated) + of(n * num_samples) + parts * of(size));
  T *deltas = common.take<T>(num_deltas), *gated = common.take<T>(num_gated);
  T* blame = common.take<T>(n * num_samples);
  const Maps<T> maps = cell.shared ? network.pack(0, true, common.take<T>(packed)) : Maps<T>{};

  spread(pool, tiles.count, [&](int64_t i) {
    const int64_t first = tiles.first(i);
    const int count = tiles.size(i);
    const size_t num_bars = (ring + 1) * kRows * cell.width, num_gated_bars = cell.num_states * kRows * cell.width;
    Scratch own(tile_bytes<T>(cell, 0, packed) + of(num_bars) + of(num_gated_bars));
    Retreat<T> back{};
    back.tile = take_tile<T>(own, cell, 0, count);
    back.tile.before = states.typed_data() + first * cell.hidden;
    back.tile.before_stride = num_samples * cell.hidden;
    back.tile.first_own = slots;  // none
    back.bars = own.take<T>(num_bars);
    back.gated_bars = own.take<T>(num_gated_bars);
    back.stride = num_samples * cell.width;
    back.ring = ring;
    Sites<kType> sites(network, maps, own.take<T>(packed));
    std::fill_n(back.bars, num_bars, T(0));
    std::fill_n(back.tile.scaled, kRows * cell.width, T(0));
    for (int64_t t = n - 1; t >= 0; --t) {
      const int64_t at = t * num_samples + first, layer = t * cell.depth;
      for (int m = 0; m < count; ++m) blame[at + m] = weights.typed_data()[at + m] * scores.typed_data()[at + m];
      back.blame = blame + at;
      back.tile.inputs = const_cast<T*>(inputs.typed_data()) + at * cell.num_inputs();
      back.deltas = deltas + layer * cell.num_maps * back.stride + first * cell.width;
      back.gated = gated + layer * cell.num_states * back.stride + first * cell.width;
      if (t > 0) {
        expect(back.tile.state(layer, 0, cell.hidden), count * cell.hidden);
        expect_to_write(back.deltas - back.stride, count * cell.width);
      }
      kernel.retreat(cell, sites[t], network.reads(t), t, back);
    }
  });

  const Passed<T> passed{
      states.typed_data(), inputs.typed_data(), fields.typed_data(), deltas, gated, blame, num_samples};
  const auto leaves_at = [&](int64_t index) {
    std::vector<T*> leaves;
    for (size_t k = 0; k < network.sizes.size(); ++k)
      leaves.push_back((*gradients.get<Real<kType>>(k))->typed_data() + index * network.sizes[k]);
    return leaves;
  };
  if (parts) {
    std::vector<T*> memory;
    for (int64_t part = 0; part < parts; ++part) memory.push_back(common.take<T>(size));
    spread(pool, parts, [&](int64_t part) {
      Gradient<kType> gradient(network, passed, memory[part]);
      gradient.add(part * n / parts, (part + 1) * n / parts, 0, num_samples);
    });
    for (int64_t part = 1; part < parts; ++part)
      for (size_t k = 0; k < size; ++k) memory[0][k] += memory[part][k];
    Gradient<kType>::write(network, memory[0], leaves_at(0));
  } else {
    spread(pool, by_sample ? num_samples : n, [&](int64_t index) {
      Scratch own(of(size));
      Gradient<kType> gradient(network, passed, own.take<T>(size));
      if (by_sample) gradient.add(0, n, index, index + 1);
      else gradient.add(index, index + 1, 0, num_samples);
      Gradient<kType>::write(network, gradient.memory(), leaves_at(index));
    });
  }
  return ffi::Error::Success();
}

// ln p(s with the spin at a position flipped) - ln p(s) [N, M], from the states and ln p of a pass over the spins
// [N + 1, M]. What depends on the spin of t ends before position `ends[t]`; the states before it are those of the pass.
template <ffi::DataType kType>
ffi::Error Flips(ffi::ThreadPool pool, Real<kType> spins, Real<kType> states, Real<kType> log_prob, Table ends,
                 Table state_slots, Table spin_slots, ffi::RemainingArgs rest, ffi::Result<Real<kType>> ratio,
                 int64_t kind, int64_t activation, int64_t depth, int64_t hidden,
                 ffi::Span<const int64_t> features, bool shared) {
  using T = ffi::NativeType<kType>;
  const Network<kType> network({kind, activation, depth, hidden, features, shared}, state_slots, spin_slots, rest);
  const Cell& cell = network.cell;
  const Kernels<T>& kernel = kernels<T>();
  const int64_t n = network.num_sites, num_samples = log_prob.dimensions()[1], slots = 1 + n * cell.depth;
  const Tiles tiles(num_samples);
  const size_t packed = network.packed(false);
  const auto of = Scratch::bytes_of<T>;
  Scratch common(of(packed));
  const Maps<T> maps = cell.shared ? network.pack(0, false, common.take<T>(packed)) : Maps<T>{};
  // The flips of early spins take longest and come first.
  spread(pool, n * tiles.count, [&](int64_t index) {
    const int64_t flipped = index / tiles.count, i = index % tiles.count, first = tiles.first(i);
    const int count = tiles.size(i);
    const size_t num_states = slots * kRows * cell.hidden, num_inputs = kRows * cell.num_inputs();
    Scratch own(tile_bytes<T>(cell, n, packed) + of(num_states) + of(num_inputs));
    Tile<T> tile = take_tile<T>(own, cell, n, count);
    Sites<kType> sites(network, maps, own.take<T>(packed));
    tile.own = own.take<T>(num_states);
    tile.inputs = own.take<T>(num_inputs);
    tile.own_stride = kRows * cell.hidden;
    tile.before = states.typed_data() + first * cell.hidden;
    tile.before_stride = num_samples * cell.hidden;
    tile.first_own = 1 + flipped * cell.depth;
    for (int64_t t = 0; t <= n; ++t)
      for (int m = 0; m < count; ++m)
        tile.spins[t * kRows + m] = (t == flipped + 1 ? -1 : 1) * spins.typed_data()[t * num_samples + first + m];
    T sum[kRows] = {}, logit[kRows] = {}, unused[kRows], log_p[kRows];
    for (int64_t t = flipped; t < ends.typed_data()[flipped]; ++t) {
      T* spin = tile.spins + (t + 1) * kRows;
      kernel.listen(cell, network.heard.data(), network.sees(t), t, tile);
      kernel.advance(cell, sites[t], network.reads(t), t, tile, logit);
      kernel.decide(false, spin, logit, spin, log_p, unused);
      for (int m = 0; m < count; ++m) sum[m] += log_p[m] - log_prob.typed_data()[t * num_samples + first + m];
    }
    std::copy_n(sum, count, ratio->typed_data() + flipped * num_samples + first);
  });
  return ffi::Error::Success();
}

// What describes the network, after the arguments and results of a kernel's own.
template <class Binding> auto with_network(Binding&& binding) {
  return std::move(binding)
      .template Attr<int64_t>("kind")
      .template Attr<int64_t>("activation")
      .template Attr<int64_t>("depth")
      .template Attr<int64_t>("hidden")
      .template Attr<ffi::Span<const int64_t>>("features")
      .template Attr<bool>("shared");
}

template <ffi::DataType kType> auto bind_forward() {
  using R = Real<kType>;
  auto own = ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().template Arg<R>().template Arg<Table>().template Arg<Table>()
                 .RemainingArgs().template Ret<R>().template Ret<R>().template Ret<R>().template Ret<R>()
                 .template Ret<R>().template Ret<R>();
  return with_network(std::move(own)).template Attr<bool>("draw");
}

template <ffi::DataType kType> auto bind_backward() {
  using R = Real<kType>;
  auto own = ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().template Arg<R>().template Arg<R>().template Arg<R>()
                 .template Arg<R>().template Arg<R>().template Arg<Table>().template Arg<Table>().RemainingArgs()
                 .RemainingRets();
  return with_network(std::move(own)).template Attr<bool>("by_sample");
}

template <ffi::DataType kType> auto bind_flips() {
  using R = Real<kType>;
  return with_network(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().template Arg<R>().template Arg<R>().template Arg<R>()
                          .template Arg<Table>().template Arg<Table>().template Arg<Table>().RemainingArgs()
                          .template Ret<R>());
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_forward_f32, Forward<ffi::F32>, bind_forward<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_forward_f64, Forward<ffi::F64>, bind_forward<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_backward_f32, Backward<ffi::F32>, bind_backward<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_backward_f64, Backward<ffi::F64>, bind_backward<ffi::F64>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_flips_f32, Flips<ffi::F32>, bind_flips<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lehr_recurrent_flips_f64, Flips<ffi::F64>, bind_flips<ffi::F64>());
