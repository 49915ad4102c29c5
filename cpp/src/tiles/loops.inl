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

// body(load, store) for every vector of a row of `entries` elements; the last may be a part.
template <typename T, typename Body>
inline void each_vector(std::int64_t entries, const Body& body) {
  using V = VectorOfT<T>;
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

template <typename T, int tracks, bool one_left, bool watched>
void rectified_tracks(const RectifiedPlan& plan, const PlaneGrid& grid, const Deviations<T>& d,
                      T* K, T* const* theta, int any_tracks, T* closest) {
  using V = VectorOfT<T>;
  const V sine_factor = V{} + static_cast<T>(plan.sine);
  const V cosine_factor = V{} + static_cast<T>(plan.cosine);
  const V angle_factor = V{} + static_cast<T>(plan.angle);
  const V constant = V{} + static_cast<T>(plan.constant);
  const V half_pi = V{} + static_cast<T>(1.5707963267948966192), one = V{} + T(1), zero{};
  each_plane(grid, [&](std::int64_t plane, std::int64_t l, std::int64_t m) {
    const std::int64_t at_left = l * d.root.left_step, at_right = m * d.root.right_step;
    const T* const left = d.root.left + at_left;
    const T* const left_inverse = d.left_inverse + at_left;
    const T* const right = d.root.right + at_right;
    const T* const right_inverse = d.right_inverse + at_right;
    const V one_root = zero + *left, one_inverse = zero + *left_inverse;
    T* const k = K + plane * grid.entries;
    each_vector<T>(grid.entries, [&](const auto& get, const auto& put) {
      const V rho = get(k) * (one_left ? one_inverse : get(left_inverse)) * get(right_inverse);
      const auto negative = rho < zero;
      V rest = one - (negative ? -rho : rho);  // 1 - |rho|
      if constexpr (watched) {
        const V before = get(closest);
        put(closest, rest < before ? rest : before);
      }
      rest = rest < kParallel<T> + zero ? zero : rest;
      const V size = one - rest, asin_size = asin_of(size, rest);
      const V angle = half_pi + (negative ? -asin_size : asin_size);  // pi - t
      const V c = negative ? -size : size;
      const V sine = root(rest * (one + size));
      const V factor = madd(angle_factor, angle, constant);
      const V scale = (one_left ? one_root : get(left)) * get(right);
      put(k, scale * madd(sine_factor, madd(c, angle, sine), cosine_factor * c));
      for (int t = 0; t < (tracks < 2 ? tracks : any_tracks); ++t) {
        T* const to = theta[t] + plane * grid.entries;
        put(to, get(to) * factor);
      }
    });
  });
}

template <typename T>
void rectified(const RectifiedPlan& plan, const PlaneGrid& grid, const Deviations<T>& d, T* K,
               T* const* theta, int tracks, T* closest) {
  const auto run = [&](auto one_left, auto watched) {
    if (tracks == 0)
      return rectified_tracks<T, 0, one_left, watched>(plan, grid, d, K, theta, 0, closest);
    if (tracks == 1)
      return rectified_tracks<T, 1, one_left, watched>(plan, grid, d, K, theta, 1, closest);
    rectified_tracks<T, 2, one_left, watched>(plan, grid, d, K, theta, tracks, closest);
  };
  const auto choose = [&](auto watched) {
    if (d.root.one_left) return run(std::true_type{}, watched);
    run(std::false_type{}, watched);
  };
  if constexpr (sizeof(T) == 4) {
    if (closest) return choose(std::true_type{});
  }
  choose(std::false_type{});
}

// body(output offset, at(s) = the input run of tap s) for every output run.
template <typename T, typename Body>
inline void each_window(const WindowSums<T>& w, const Body& body) {
  for (std::int64_t b = 0; b < w.repeats; ++b) {
    const std::int64_t from = b * w.inputs * w.run;
    for (std::int64_t o = 0; o < w.outputs; ++o)
      body((b * w.outputs + o) * w.run, w.source + o * w.taps, from);
  }
}

template <typename T, int fixed_taps>
inline VectorOfT<T> sum_at(const T* in, const std::int32_t* source, std::int64_t any_taps,
                           const WindowSums<T>& w, const auto& get) {
  const std::int64_t taps = fixed_taps ? fixed_taps : any_taps;
  const auto at = [&](std::int64_t s) {
    return get(source[s] < 0 ? w.zeros : in + source[s] * w.run);
  };
  VectorOfT<T> sum = at(0);
  for (std::int64_t s = 1; s < taps; ++s) sum += at(s);
  return sum;
}

template <typename T, int taps>
void sum_taps(const WindowSums<T>& w, T* out, const T* in, double factor) {
  const VectorOfT<T> times = VectorOfT<T>{} + static_cast<T>(factor);
  each_window(w, [&](std::int64_t to, const std::int32_t* source, std::int64_t from) {
    each_vector<T>(w.run, [&](const auto& get, const auto& put) {
      put(out + to, times * sum_at<T, taps>(in + from, source, w.taps, w, get));
    });
  });
}

template <typename T>
void sum(const WindowSums<T>& w, T* out, const T* in, double factor) {
  if (w.taps == 3) return sum_taps<T, 3>(w, out, in, factor);
  if (w.taps == 2) return sum_taps<T, 2>(w, out, in, factor);
  sum_taps<T, 0>(w, out, in, factor);
}

template <typename T, int taps, int thetas>  // thetas: 0 none, 1 from zero, 2 from theta
void sum_affine_taps(const WindowSums<T>& w, const AffinePlan& plan, T* K_out, const T* K,
                     T* theta_out, const T* theta) {
  using V = VectorOfT<T>;
  const V weight = V{} + static_cast<T>(plan.weight), bias = V{} + static_cast<T>(plan.bias);
  const V train_weight = V{} + static_cast<T>(plan.train_weight);
  const V train_bias = V{} + static_cast<T>(plan.train_bias);
  each_window(w, [&](std::int64_t to, const std::int32_t* source, std::int64_t from) {
    each_vector<T>(w.run, [&](const auto& get, const auto& put) {
      const V k = sum_at<T, taps>(K + from, source, w.taps, w, get);
      put(K_out + to, madd(weight, k, bias));
      if constexpr (thetas > 0) {
        V own = madd(train_weight, k, train_bias);
        if constexpr (thetas == 2)
          own = madd(weight, sum_at<T, taps>(theta + from, source, w.taps, w, get), own);
        put(theta_out + to, own);
      }
    });
  });
}

template <typename T>
void sum_affine(const WindowSums<T>& w, const AffinePlan& plan, T* K_out, const T* K, T* theta_out,
                const T* theta) {
  const auto run = [&](auto taps) {
    if (!theta_out) return sum_affine_taps<T, taps, 0>(w, plan, K_out, K, theta_out, theta);
    if (!theta) return sum_affine_taps<T, taps, 1>(w, plan, K_out, K, theta_out, theta);
    sum_affine_taps<T, taps, 2>(w, plan, K_out, K, theta_out, theta);
  };
  if (w.taps == 3) return run(std::integral_constant<int, 3>{});
  if (w.taps == 2) return run(std::integral_constant<int, 2>{});
  run(std::integral_constant<int, 0>{});
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
