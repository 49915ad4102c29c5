// Loops of the tile engine, vectorised by the compiler at each level; included by
// loops_<level>.cpp with LAZYGRAM_LEVEL set.
//
// COST

#include <cstdint>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "tiles/loops.hpp"

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

#include "tiles/arcsine.inl"

// 1 - |rho| below this counts as 0: r and the deviations are rounded in every layer, and a multiple
// of an example, after some layers, has up to this. In double an angle of 9e-8 is lost where
// rounding leaves 5e-8 open anyway; what float would lose is computed again in double.
template <typename T>
constexpr T kParallel = sizeof(T) == 4 ? T(0) : T(4e-15);

template <typename T>
using VectorOfT = typename VectorOf<T>::type;

// Signs and sizes by their bits.
template <typename T>
struct Bits;
template <>
struct Bits<float> {
  typedef std::int32_t Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr std::int32_t sign = INT32_MIN;
};
template <>
struct Bits<double> {
  typedef std::int64_t Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr std::int64_t sign = INT64_MIN;
};

// body(load, store) for every vector of a row of `entries` elements; the last may be a part.
// `vectors` of them, if that is not 0.
template <typename T, int vectors = 0, typename Body>
inline void each_vector(std::int64_t entries, const Body& body) {
  using V = VectorOfT<T>;
  if constexpr (vectors > 0) {
    for (int v = 0; v < vectors; ++v)
      body([v](const T* from) { return load(from + v * kLanes<T>); },
           [v](T* to, V x) { store(to + v * kLanes<T>, x); });
    return;
  }
  std::int64_t e = 0;
  for (; e + kLanes<T> <= entries; e += kLanes<T>)
    body([e](const T* from) { return load(from + e); }, [e](T* to, V v) { store(to + e, v); });
  if (e == entries) return;
  const std::int64_t n = entries - e;
  body([e, n](const T* from) { return load_some(from + e, n); },
       [e, n](T* to, V v) { store_some(to + e, v, n); });
}

// body(plane, left pixel, right pixel)
template <typename Body>
inline void each_plane(const PlaneGrid& grid, const Body& body) {
  std::int64_t plane = 0;
  for (std::int64_t r = 0; r < grid.row_count; ++r) {
    const std::int64_t left = grid.rows[r].left * grid.width;
    const std::int64_t right = grid.rows[r].right * grid.width;
    for (std::int64_t c = 0; c < grid.column_count; ++c, ++plane)
      body(plane, left + grid.columns[c].left, right + grid.columns[c].right);
  }
}

template <typename T, bool one_left>
void products_of(const PlaneGrid& grid, const Features<T>& x, T* K) {
  using V = VectorOfT<T>;
  const V scale = V{} + x.scale;
  each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
    const T* const left = x.values.left + l * x.values.left_step;
    const T* const right = x.values.right + k * x.values.right_step;
    T* const out = K + plane * grid.entries;
    each_vector<T>(grid.entries, [&](const auto& get, const auto& put) {
      V sum{};
      for (std::int64_t c = 0; c < x.channels; ++c) {
        const T* const a = left + c * x.left_channel;
        sum = madd(one_left ? V{} + *a : get(a), get(right + c * x.right_channel), sum);
      }
      put(out, scale * sum);
    });
  });
}

template <typename T>
void products(const PlaneGrid& grid, const Features<T>& x, T* K) {
  if (x.values.one_left) return products_of<T, true>(grid, x, K);
  products_of<T, false>(grid, x, K);
}

// vectors: 1 or 2 are a whole row; 0: rows as they are, vector after vector of each; -1: all rows'
// first vectors, then all their second ones. A loop over planes keeps its constants in registers
// if a plane's part is one piece of code.
template <typename T, int vectors, int tracks, bool one_left, bool watched>
void rectified_tracks(const RectifiedPlan& plan, const PlaneGrid& grid, const Deviations<T>& d,
                      T* K, T* const* theta, int any_tracks, T* closest) {
  using V = VectorOfT<T>;
  using I = typename Bits<T>::Vector;
  const V angle_factor = V{} + static_cast<T>(plan.angle);
  const V constant = V{} + static_cast<T>(plan.constant);
  const V half_pi = V{} + static_cast<T>(1.5707963267948966192), one = V{} + T(1), zero{};
  const I sign = I{} + Bits<T>::sign;
  T* const only = tracks == 1 ? theta[0] : nullptr;
  const std::int64_t entries = vectors > 0 ? vectors * kLanes<T> : grid.entries;
  const std::int64_t left_step = d.root.left_step, right_step = d.root.right_step;
  const auto row = [&](std::int64_t plane, std::int64_t l, std::int64_t m, const auto& each) {
    const T* const left = d.root.left + l * left_step;
    const T* const left_inverse = d.left_inverse + l * left_step;
    const T* const right = d.root.right + m * right_step;
    const T* const right_inverse = d.right_inverse + m * right_step;
    V one_root, one_inverse;
    if constexpr (one_left) {
      one_root = zero + *left;
      one_inverse = zero + *left_inverse;
    }
    T* const k = K + plane * entries;
    each([&](const auto& get, const auto& put) {
      V inverse, root_left;
      if constexpr (one_left) {
        inverse = one_inverse;
        root_left = one_root;
      } else {
        inverse = get(left_inverse);
        root_left = get(left);
      }
      const V rho = get(k) * inverse * get(right_inverse);
      const I negative = (I)rho & sign;
      V rest = one - (V)((I)rho ^ negative);  // 1 - |rho|
      if constexpr (watched) {
        const V before = get(closest);
        put(closest, rest < before ? rest : before);
      }
      rest = rest < kParallel<T> + zero ? zero : rest;
      const V size = one - rest;
      const V angle = half_pi + (V)((I)asin_of(size, rest) ^ negative);  // pi - t
      const V sine = root(rest * (one + size));
      const V factor = madd(angle_factor, angle, constant);
      const V value = madd((V)((I)size ^ negative), factor, angle_factor * sine);
      put(k, root_left * get(right) * value);
      if constexpr (tracks == 1) {
        T* const to = only + plane * entries;
        put(to, get(to) * factor);
      } else if constexpr (tracks > 1) {
        for (int t = 0; t < any_tracks; ++t) {
          T* const to = theta[t] + plane * entries;
          put(to, get(to) * factor);
        }
      }
    });
  };
  if constexpr (vectors < 0) {
    each_vector<T>(entries, [&](const auto& get, const auto& put) {
      each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t m) {
        row(plane, l, m, [&](const auto& body) { body(get, put); });
      });
    });
  } else {
    each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t m) {
      row(plane, l, m, [&](const auto& body) { each_vector<T, vectors>(entries, body); });
    });
  }
}

template <typename T>
void rectified(const RectifiedPlan& plan, const PlaneGrid& grid, const Deviations<T>& d, T* K,
               T* const* theta, int tracks, T* closest) {
  const auto run = [&](auto vectors, auto one_left, auto watched) {
    if (tracks == 0)
      return rectified_tracks<T, vectors, 0, one_left, watched>(plan, grid, d, K, theta, 0,
                                                                closest);
    if (tracks == 1)
      return rectified_tracks<T, vectors, 1, one_left, watched>(plan, grid, d, K, theta, 1,
                                                                closest);
    rectified_tracks<T, 0, 2, one_left, watched>(plan, grid, d, K, theta, tracks, closest);
  };
  const auto choose = [&](auto watched) {
    // A loop over the entries would spend more on each plane than on its one vector.
    constexpr int one_line = 64 / kVectorBytes;
    constexpr std::integral_constant<int, (one_line <= 2 ? one_line : 0)> short_row;
    constexpr std::integral_constant<int, 0> any;
    constexpr std::integral_constant<int, -1> across;
    const bool many = grid.row_count * grid.column_count * kLanes<T> >= grid.entries;
    if (d.root.one_left && many) return run(across, std::true_type{}, watched);
    if (d.root.one_left) return run(any, std::true_type{}, watched);
    if (grid.entries == one_line * kLanes<T>) return run(short_row, std::false_type{}, watched);
    run(any, std::false_type{}, watched);
  };
  if constexpr (sizeof(T) == 4) {
    if (closest) return choose(std::true_type{});
  }
  choose(std::false_type{});
}

// body(number of taps, sources, output offset, elements) for every span; the taps a constant where
// they are few.
template <typename Body>
inline void each_span(const WindowSums& w, const Body& body) {
  for (std::int64_t s = 0; s < w.span_count; ++s) {
    const WindowSpan& span = w.spans[s];
    const std::int32_t* const from = w.sources + span.source;
    const std::int64_t to = span.output * w.run, size = span.length * w.run;
    if (span.taps == 3)
      body(std::integral_constant<int, 3>{}, from, to, size);
    else if (span.taps == 2)
      body(std::integral_constant<int, 2>{}, from, to, size);
    else if (span.taps == 1)
      body(std::integral_constant<int, 1>{}, from, to, size);
    else
      body(static_cast<int>(span.taps), from, to, size);
  }
}

// The sum of the taps' vectors, `offset` elements after the array that their sources count in.
template <typename T, typename Taps>
struct TapSum {
  static constexpr bool fixed = !std::is_same_v<Taps, int>;
  Taps taps;
  const std::int32_t* from;
  std::int64_t run;
  std::int64_t first[3] = {};

  TapSum(Taps taps_, const std::int32_t* from_, std::int64_t run_)
      : taps(taps_), from(from_), run(run_) {
    if constexpr (fixed)
      for (int s = 0; s < Taps::value; ++s) first[s] = from[s] * run;
  }
  template <typename Get>
  VectorOfT<T> operator()(const T* in, const Get& get) const {
    VectorOfT<T> sum{};
    if constexpr (fixed) {
      sum = get(in + first[0]);
      for (int s = 1; s < Taps::value; ++s) sum += get(in + first[s]);
    } else {
      for (int s = 0; s < taps; ++s) sum += get(in + from[s] * run);
    }
    return sum;
  }
};

template <typename T>
void sum(const WindowSums& w, T* out_, const T* in_, double factor) {
  const VectorOfT<T> times = VectorOfT<T>{} + static_cast<T>(factor);
  const std::int64_t in_step = w.inputs * w.run, out_step = w.outputs * w.run;
  each_span(w, [&](auto taps, const std::int32_t* from, std::int64_t to, std::int64_t size) {
    const TapSum<T, decltype(taps)> taps_of(taps, from, w.run);
    T* out = out_ + to;
    const T* in = in_;
    for (std::int64_t b = 0; b < w.repeats; ++b, out += out_step, in += in_step)
      each_vector<T>(
          size, [&](const auto& get, const auto& put) { put(out, times * taps_of(in, get)); });
  });
}

template <typename T, int thetas>  // 0 none, 1 from zero, 2 from theta
void sum_affine_thetas(const WindowSums& w, const AffinePlan& plan, T* K_out, const T* K,
                       T* theta_out, const T* theta) {
  using V = VectorOfT<T>;
  const V weight = V{} + static_cast<T>(plan.weight), bias = V{} + static_cast<T>(plan.bias);
  const V train_weight = V{} + static_cast<T>(plan.train_weight);
  const V train_bias = V{} + static_cast<T>(plan.train_bias);
  const std::int64_t in_step = w.inputs * w.run, out_step = w.outputs * w.run;
  each_span(w, [&](auto taps, const std::int32_t* from, std::int64_t to, std::int64_t size) {
    const TapSum<T, decltype(taps)> taps_of(taps, from, w.run);
    for (std::int64_t b = 0; b < w.repeats; ++b) {
      const std::int64_t at = b * in_step, there = to + b * out_step;
      each_vector<T>(size, [&](const auto& get, const auto& put) {
        const V sum = taps_of(K + at, get);
        put(K_out + there, madd(weight, sum, bias));
        if constexpr (thetas > 0) {
          V own = madd(train_weight, sum, train_bias);
          if constexpr (thetas == 2) own = madd(weight, taps_of(theta + at, get), own);
          put(theta_out + there, own);
        }
      });
    }
  });
}

template <typename T>
void sum_affine(const WindowSums& w, const AffinePlan& plan, T* K_out, const T* K, T* theta_out,
                const T* theta) {
  if (!theta_out) return sum_affine_thetas<T, 0>(w, plan, K_out, K, theta_out, theta);
  if (!theta) return sum_affine_thetas<T, 1>(w, plan, K_out, K, theta_out, theta);
  sum_affine_thetas<T, 2>(w, plan, K_out, K, theta_out, theta);
}

template <typename T>
void affine(T* __restrict x, double a_, double b_, std::int64_t count) {
  const T a = static_cast<T>(a_), b = static_cast<T>(b_);
  for (std::int64_t e = 0; e < count; ++e) x[e] = madd(a, x[e], b);
}

template <typename T>
void combine(T* __restrict y, double a_, const T* __restrict x, double b_, double c_,
             std::int64_t count) {
  const T a = static_cast<T>(a_), b = static_cast<T>(b_), c = static_cast<T>(c_);
  for (std::int64_t e = 0; e < count; ++e) y[e] = madd(a, y[e], madd(b, x[e], c));
}

template <typename T>
void multiply(T* __restrict y, const T* __restrict x, std::int64_t count) {
  for (std::int64_t e = 0; e < count; ++e) y[e] *= x[e];
}

template <typename T>
void scale_both(const PlaneGrid& grid, const PixelSides<T>& f, T* x) {
  each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
    const T* const left = f.left + l * f.left_step;
    const T* const right = f.right + k * f.right_step;
    T* const to = x + plane * grid.entries;
    each_vector<T>(grid.entries, [&](const auto& get, const auto& put) {
      put(to, get(to) * ((f.one_left ? VectorOfT<T>{} + *left : get(left)) * get(right)));
    });
  });
}

template <typename T>
void add_outer(const PlaneGrid& grid, double c, const PixelSides<T>& f, const PixelSides<T>& g,
               T* x) {
  using V = VectorOfT<T>;
  const V factor = V{} + static_cast<T>(c);
  each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t k) {
    const T* const f_left = f.left + l * f.left_step;
    const T* const g_left = g.left + l * g.left_step;
    const T* const f_right = f.right + k * f.right_step;
    const T* const g_right = g.right + k * g.right_step;
    T* const to = x + plane * grid.entries;
    each_vector<T>(grid.entries, [&](const auto& get, const auto& put) {
      const V a = f.one_left ? V{} + *f_left : get(f_left);
      const V b = g.one_left ? V{} + *g_left : get(g_left);
      put(to, madd(factor, a * get(g_right) + b * get(f_right), get(to)));
    });
  });
}

template <typename T>
constexpr TileLoops<T> kLoops = {products<T>, rectified<T>, sum<T>,        sum_affine<T>, affine<T>,
                                 combine<T>,  multiply<T>,  scale_both<T>, add_outer<T>};

}  // namespace

extern const TileLoops<float> tile_loops_single;
extern const TileLoops<double> tile_loops_double;
const TileLoops<float> tile_loops_single = kLoops<float>;
const TileLoops<double> tile_loops_double = kLoops<double>;

}  // namespace lazygram::LAZYGRAM_LEVEL
