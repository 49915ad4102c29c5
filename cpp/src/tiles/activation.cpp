// Activations on a block of pairs: the arc-cosine loop, and every other dual in chunks of float64.
#include <algorithm>
#include <cmath>

#include "lazygram/error.hpp"
#include "tiles/runner.hpp"

namespace lazygram {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kRootTwoPi = 2.50662827463100050242;
constexpr double kParallel2 = 8e-15;  // 1 - rho^2 below this counts as 0
// Of covariances against variances, both rounded many times.
template <typename T>
constexpr double kSlack = sizeof(T) == 4 ? 1e-4 : 1e-6;

RectifiedPlan rectified_plan(const duals::Rectified& value, double scale) {
  return {scale * (value.same + value.opposite), -scale * value.opposite * kPi};
}

}  // namespace

template <typename T>
void Runner<T>::activation(const Instruction& in, std::size_t at) {
  const ProgramActivation& formula = program_.activations()[in.index];
  std::vector<T*>& theta = active_;
  theta.clear();
  for (int t = 0; t < track_count_; ++t)
    if (current().active[t]) theta.push_back(current().theta[t]);
  require(theta.empty() || formula.differentiable,
          "activation: " + formula.name + " is not differentiable, so there is no tangent kernel");
  const duals::Rectified* const value =
      formula.value ? formula.value->rectified_parameters() : nullptr;
  const duals::Rectified* slope =
      formula.derivative ? formula.derivative->rectified_parameters() : nullptr;
  // The loop has one formula for both.
  if (value && slope && (slope->same != value->same || slope->opposite != -value->opposite))
    slope = nullptr;
  const bool zeros = alone_ ? own_zeros(in, at) : left_->at[at].has_zero || right_->at[at].has_zero;
  const bool corrects = zeros && !theta.empty() && slope && slope->at_zero != slope->mean;
  if (is_rectified(formula) && (slope || theta.empty()) && !(corrects && slope->mean == 0.0) &&
      !(alone_ && first_route_)) {
    const PixelSides<T> inverse = sides(at, 2);
    const Deviations<T> d{sides(at, 1), inverse.left, inverse.right};
    if (corrects) correct_zeros(at, inverse, static_cast<T>(slope->at_zero / slope->mean));
    loops_.rectified(rectified_plan(*value, in.x), grid(at), d, current().k, theta.data(),
                     static_cast<int>(theta.size()),
                     watched_ && !theta.empty() ? closest_.data() : nullptr);
  } else {
    general_activation(in, at);
  }
  if constexpr (std::is_same_v<T, double>)
    if (alone_ && program_.uses_means()) activation_means(in, at);
}

// Of an example whose variance is 0 the loop takes E phi'(v) for phi'(0).
template <typename T>
void Runner<T>::correct_zeros(std::size_t at, const PixelSides<T>& inverse, T ratio) {
  const PlaneGrid g = grid(at);
  for (std::int64_t plane = 0; plane < planes(); ++plane) {
    const AxisPair row = g.rows[plane / g.column_count], column = g.columns[plane % g.column_count];
    const T* const left = inverse.left + (row.left * g.width + column.left) * inverse.left_step;
    const T* const right =
        inverse.right + (row.right * g.width + column.right) * inverse.right_step;
    for (std::int64_t e = 0; e < count_; ++e) {
      const T f = left[inverse.one_left ? 0 : e] > T(0) ? T(1) : ratio;
      const T factor = right[e] > T(0) ? f : f * ratio;
      if (factor == T(1)) continue;
      for (T* const theta : active_) theta[plane * count_ + e] *= factor;
    }
  }
}

template <typename T>
void Runner<T>::activation_means(const Instruction& in, std::size_t at) {
  const ProgramActivation& formula = program_.activations()[in.index];
  const std::int64_t size = in.before.pixels() * count_;
  Value& value = current();
  value.mean = value.mean_storage.data();
  own_variances(in, at);
  const double root_scale = std::sqrt(in.x);
  if (is_rectified(formula)) {
    const double mean = 2.0 * formula.value->rectified_parameters()->mean / kRootTwoPi;
    for (std::int64_t e = 0; e < size; ++e)
      value.mean[e] = static_cast<T>(mean * std::sqrt(own_[e]));
  } else {
    require(service_ != nullptr, "activation: no closed form of its mean and no service to ask");
    if constexpr (std::is_same_v<T, double>)
      service_->means(in.index, own_.data(), size, value.mean);
  }
  for (std::int64_t e = 0; e < size; ++e) value.mean[e] *= static_cast<T>(root_scale);
}

// Variances of the examples that run alone, [pixels][count].
template <typename T>
void Runner<T>::own_variances(const Instruction& in, std::size_t at) {
  const std::int64_t pixels = in.before.pixels();
  const PixelSides<T> variance = sides(at, 0);
  own_.resize(pixels * count_);
  for (std::int64_t l = 0; l < pixels; ++l)
    std::copy_n(variance.left + l * variance.left_step, count_, own_.data() + l * count_);
}

template <typename T>
bool Runner<T>::own_zeros(const Instruction& in, std::size_t at) {
  own_variances(in, at);
  return std::any_of(own_.begin(), own_.end(), [](double v) { return v < kDualMinVariance; });
}

template <typename T>
void Runner<T>::general_activation(const Instruction& in, std::size_t at) {
  Value& value = current();
  const ProgramActivation& formula = program_.activations()[in.index];
  const std::int64_t size = planes() * count_;
  const bool tracked = !active_.empty();
  const PixelSides<T> variance = sides(at, 0);
  const PlaneGrid g = grid(at);
  std::unique_ptr<EntryDual> own_value, own_derivative;
  const EntryDual *with = nullptr, *with_derivative = nullptr;
  if (alone_) {
    const auto ask = [&](int derivative) {
      require(service_ != nullptr, "activation: no closed form and no service to ask");
      own_variances(in, at);
      const auto places = static_cast<std::int64_t>(own_.size());
      return service_->dual(in.index, derivative, own_.data(), places, own_.data(), places);
    };
    if (!formula.value) own_value = ask(0);
    if (!formula.derivative && tracked) own_derivative = ask(1);
    with = own_value.get();
    with_derivative = own_derivative.get();
  } else {
    with = duals_->value[in.index].get();
    with_derivative = duals_->derivative[in.index].get();
  }
  // Variances of every entry, plane after plane, and their places in the tables.
  const auto fill = [&](std::int64_t begin, std::int64_t count, double* p, double* q,
                        std::int32_t* place_left, std::int32_t* place_right) {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t plane = (begin + done) / count_, e = (begin + done) % count_;
      const AxisPair row = g.rows[plane / g.column_count];
      const AxisPair column = g.columns[plane % g.column_count];
      const std::int64_t l = row.left * g.width + column.left;
      const std::int64_t k = row.right * g.width + column.right;
      const std::int64_t here = std::min(count_ - e, count - done);
      const T* const left = variance.left + l * variance.left_step;
      if (variance.one_left)
        std::fill_n(p + done, here, static_cast<double>(*left));
      else
        std::copy_n(left + e, here, p + done);
      std::copy_n(variance.right + k * variance.right_step + e, here, q + done);
      if (place_left) {
        for (std::int64_t x = 0; x < here; ++x) {
          const std::int64_t entry = e + x;
          if (alone_) {
            place_left[done + x] = static_cast<std::int32_t>(l * count_ + entry);
            place_right[done + x] = static_cast<std::int32_t>(k * count_ + entry);
          } else {
            const std::int64_t i = pairs_.segment ? pairs_.i0 : pairs_.i[entry];
            const std::int64_t j = pairs_.segment ? pairs_.j0 + entry : pairs_.j[entry];
            place_left[done + x] = static_cast<std::int32_t>(l * left_->n + i);
            place_right[done + x] = static_cast<std::int32_t>(k * right_->n + j);
          }
        }
      }
      done += here;
    }
  };
  const auto multiply = [&](std::int64_t begin, const double* factor, std::int64_t count) {
    for (T* const theta : active_)
      for (std::int64_t k = 0; k < count; ++k)
        theta[begin + k] = static_cast<T>(theta[begin + k] * (in.x * factor[k]));
  };
  // Kinked activations lose digits at 1 - rho^2 = 0, and these are all here that may be kinked.
  const auto watch = [&](std::int64_t entry, double determinant, double product) {
    if (determinant < 2 * kNear * product) closest_[entry % count_] = T(0);
  };
  if ((with && with->whole_blocks()) || (with_derivative && with_derivative->whole_blocks())) {
    if (chunks_.size() < 5 * size) chunks_ = Buffer<double>(5 * size);
    double *const p = chunks_.data(), *const q = p + size, *const r = q + size;
    double *const out = r + size, *const factor = out + size;
    fill(0, size, p, q, nullptr, nullptr);
    std::copy_n(value.k, size, r);
    require(with && (with_derivative || !tracked),
            "activation: value and derivative must both work on whole blocks");
    with->evaluate_block(r, p, q, size, out);
    if (tracked) {
      with_derivative->evaluate_block(r, p, q, size, factor);
      multiply(0, factor, size);
    }
    for (std::int64_t k = 0; k < size; ++k) value.k[k] = static_cast<T>(in.x * out[k]);
    for (std::int64_t k = 0; watched_ && k < size; ++k)
      watch(k, p[k] * q[k] - r[k] * r[k], p[k] * q[k]);
    return;
  }
  const bool places =
      (with && with->needs_places()) || (with_derivative && with_derivative->needs_places());
  DualChunk x;
  alignas(64) double out[kDualChunk];
  std::int32_t place_left[kDualChunk], place_right[kDualChunk];
  for (std::int64_t begin = 0; begin < size; begin += kDualChunk) {
    const std::int64_t count = std::min<std::int64_t>(kDualChunk, size - begin);
    std::copy_n(value.k + begin, count, x.r);
    fill(begin, count, x.p, x.q, places ? place_left : nullptr, place_right);
    for (std::int64_t k = count; k < kDualChunk; ++k) {
      x.r[k] = 0.0;
      x.p[k] = x.q[k] = 1.0;
    }
    require(prepare_chunk(x, kSlack<T>),
            "X: a covariance inside the program is not finite, above 1e100, or larger than its "
            "variances allow");
    for (int k = 0; k < kDualChunk; ++k)  // as the arc-cosine loop does, see kParallel there
      x.d[k] = x.d[k] < kParallel2 * (x.p[k] * x.q[k]) ? 0.0 : x.d[k];
    for (std::int64_t k = 0; watched_ && k < count; ++k) watch(begin + k, x.d[k], x.p[k] * x.q[k]);
    const auto evaluate = [&](const std::optional<Dual>& closed, const EntryDual* other) {
      if (closed) {
        closed->evaluate(x, out);
      } else {
        require(other != nullptr, "activation: no dual for it");
        other->evaluate(x, place_left, place_right, static_cast<int>(count), out);
      }
    };
    if (tracked) {
      evaluate(formula.derivative, with_derivative);
      multiply(begin, out, count);
    }
    evaluate(formula.value, with);
    for (std::int64_t k = 0; k < count; ++k) value.k[begin + k] = static_cast<T>(in.x * out[k]);
  }
}

template void Runner<float>::activation(const Instruction&, std::size_t);
template void Runner<double>::activation(const Instruction&, std::size_t);

}  // namespace lazygram
