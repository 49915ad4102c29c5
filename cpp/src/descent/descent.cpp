// Dense gradient descent: one pass over the weights per step, a panel of neurons at a time.
#include "lazygram/descent.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "lazygram/blas.hpp"
#include "lazygram/error.hpp"
#include "patterns/pack.hpp"

namespace lazygram {
namespace {

// Scratch of one thread: pre-activations (or the masked residuals) of one block, a panel of weights
// or gradients.
template <typename T>
struct Scratch {
  Buffer<T> block, panel, signs;
  void reserve(std::int64_t block_size, std::int64_t panel_size, std::int64_t outputs) {
    if (block.size()) return;
    block = Buffer<T>(std::max<std::int64_t>(block_size, 1));
    panel = Buffer<T>(std::max<std::int64_t>(panel_size, 1));
    signs = Buffer<T>(kPanel * outputs);
  }
};

// Runs body(begin, count, panel index, scratch) over the panels of `width` neurons.
template <typename T, typename Body>
void for_panels(std::int64_t width, std::int64_t rows, std::int64_t panel_size,
                std::int64_t outputs, const RunOptions& options, Body body) {
  const std::int64_t block_size = std::min(kExampleBlock, rows) * kPanel;
  std::vector<Scratch<T>> scratch(resolve_threads(options.threads));
  parallel_tiles(ceil_div(width, kPanel), options, [&](std::int64_t panel, int thread) {
    scratch[thread].reserve(block_size, panel_size, outputs);
    const std::int64_t begin = panel * kPanel;
    body(begin, std::min(kPanel, width - begin), panel, scratch[thread]);
  });
}

// Runs fill(rows, first example, block) and multiplies: gradient (count x dim) = block^T X.
template <typename T, typename Fill>
void masked_product(const Update<T>& update, std::int64_t count, T* block, T* gradient,
                    std::int64_t stride, Fill fill) {
  const ConstMatrixView<T>& X = update.X;
  for (std::int64_t i0 = 0; i0 < X.rows; i0 += kExampleBlock) {
    interruption_point();
    const std::int64_t rows = std::min(kExampleBlock, X.rows - i0);
    fill(rows, i0);
    gemm_tn<T>(count, X.cols, rows, T(1), block, kPanel, X.row(i0), X.stride, i0 ? T(1) : T(0),
               gradient, stride);
  }
}

// gradient (count x dim) = sum_i rho_i M_ri x_i for the neurons begin .. begin+count-1, rho of one
// output.
template <typename T>
void masked_sums(const Update<T>& update, std::int64_t outputs, std::int64_t output,
                 std::int64_t begin, std::int64_t count, T* block, T* gradient,
                 std::int64_t stride) {
  const PackKernels<T>& kernels = pack_kernels<T>();
  masked_product(update, count, block, gradient, stride, [&](std::int64_t rows, std::int64_t i0) {
    for (std::int64_t i = 0; i < rows; ++i) {
      kernels.expand(update.bits.row(i0 + i) + begin / 64, count,
                     static_cast<T>(update.rho[(i0 + i) * outputs + output]), block + i * kPanel);
    }
  });
}

// gradient (count x dim) = sum_i (a_r . rho_i) M_ri x_i over all outputs; a: those of the panel.
template <typename T>
void masked_sums_of_outputs(const Update<T>& update, std::int64_t outputs, const T* a,
                            std::int64_t begin, std::int64_t count, T* block, T* gradient,
                            std::int64_t stride) {
  const PackKernels<T>& kernels = pack_kernels<T>();
  Buffer<T> rho(kExampleBlock * outputs), mask(kPanel);
  masked_product(update, count, block, gradient, stride, [&](std::int64_t rows, std::int64_t i0) {
    for (std::int64_t k = 0; k < rows * outputs; ++k) {
      rho[k] = static_cast<T>(update.rho[i0 * outputs + k]);
    }
    gemm_nt<T>(rows, count, outputs, T(1), rho.data(), outputs, a, outputs, T(0), block, kPanel);
    for (std::int64_t i = 0; i < rows; ++i) {
      kernels.expand(update.bits.row(i0 + i) + begin / 64, count, T(1), mask.data());
      T* const row = block + i * kPanel;
      for (std::int64_t r = 0; r < count; ++r) row[r] = mask[r] > T(0) ? row[r] : T(0);
    }
  });
}

template <typename T>
double dot(const T* x, const T* y, std::int64_t size) {
  double sum = 0;
  for (std::int64_t k = 0; k < size; ++k)
    sum += static_cast<double>(x[k]) * static_cast<double>(y[k]);
  return sum;
}

// Pre-activations of the panel: bits (when wanted) and the panel's share of every prediction. a:
// outputs x kPanel.
template <typename T>
void forward_panel(const T* weights, std::int64_t stride, const T* a, std::int64_t outputs,
                   std::int64_t begin, std::int64_t count, ConstMatrixView<T> X, T* block,
                   double* partial, PatternsView bits) {
  const PackKernels<T>& kernels = pack_kernels<T>();
  for (std::int64_t i0 = 0; i0 < X.rows; i0 += kExampleBlock) {
    interruption_point();
    const std::int64_t rows = std::min(kExampleBlock, X.rows - i0);
    gemm_nt<T>(rows, count, X.cols, T(1), X.row(i0), X.stride, weights, stride, T(0), block,
               kPanel);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* const z = block + i * kPanel;
      for (std::int64_t o = 0; o < outputs; ++o) {
        partial[(i0 + i) * outputs + o] = kernels.readout(z, a + o * kPanel, count);
      }
      if (bits.data) {
        std::uint64_t* const out = bits.row(i0 + i) + begin / 64;
        if (count < kPanel) std::memset(out, 0, kPanel / 8);
        kernels.pack(z, count, out);
      }
    }
  }
}

// The read-out of a panel by output, as `readout` wants it: `a` itself where there is one output.
template <typename T>
const T* by_output(const T* a, std::int64_t outputs, std::int64_t count, T* scratch) {
  if (outputs == 1) return a;
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t r = 0; r < count; ++r) scratch[o * kPanel + r] = a[r * outputs + o];
  }
  return scratch;
}

// u = m^{-1/2} sum over panels, in panel order; `values` of each panel.
void sum_panels(const Buffer<double>& partial, std::int64_t panels, std::int64_t values,
                std::int64_t width, double* u) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(width));
  std::fill_n(u, values, 0.0);
  for (std::int64_t p = 0; p < panels; ++p) {
    for (std::int64_t i = 0; i < values; ++i) u[i] += partial[p * values + i];
  }
  for (std::int64_t i = 0; i < values; ++i) u[i] *= scale;
}

}  // namespace

template <typename T>
void descend(const Parameters<T>& from, const Parameters<T>& to, const Update<T>* update,
             ConstMatrixView<T> X, double* u, PatternsView bits, const RunOptions& options) {
  const std::int64_t width = from.W.rows, dim = from.W.cols, outputs = from.outputs;
  const std::int64_t panels = ceil_div(width, kPanel), values = X.rows * outputs;
  const std::int64_t rows = std::max(X.rows, update ? update->X.rows : 0);
  const double c = update ? update->step_size / std::sqrt(static_cast<double>(width)) : 0.0;
  Buffer<double> partial(panels * values);
  for_panels<T>(
      width, rows, update ? kPanel * dim : 0, outputs, options,
      [&](std::int64_t begin, std::int64_t count, std::int64_t panel, Scratch<T>& scratch) {
        const T* const a = from.a + begin * outputs;
        T* const a_next = to.a + begin * outputs;
        T* const gradient = scratch.panel.data();
        if (update) std::copy_n(a, count * outputs, a_next);
        for (std::int64_t o = 0; update && (update->train_output || outputs == 1) && o < outputs;
             ++o) {
          masked_sums(*update, outputs, o, begin, count, scratch.block.data(), gradient, dim);
          if (!update->train_output) continue;
          for (std::int64_t r = 0; r < count; ++r) {
            a_next[r * outputs + o] =
                static_cast<T>(static_cast<double>(a[r * outputs + o]) -
                               c * dot(from.W.row(begin + r), gradient + r * dim, dim));
          }
        }
        if (update && outputs > 1) {
          masked_sums_of_outputs(*update, outputs, a, begin, count, scratch.block.data(), gradient,
                                 dim);
        }
        for (std::int64_t r = 0; update && r < count; ++r) {
          const T* const w = from.W.row(begin + r);
          const T* const g = gradient + r * dim;
          T* const out = to.W.row(begin + r);
          const T factor = static_cast<T>(outputs == 1 ? c * static_cast<double>(a[r]) : c);
          for (std::int64_t k = 0; k < dim; ++k) out[k] = w[k] - factor * g[k];
        }
        if (X.rows) {
          forward_panel<T>(to.W.row(begin), to.W.stride,
                           by_output<T>(a_next, outputs, count, scratch.signs.data()), outputs,
                           begin, count, X, scratch.block.data(), partial.data() + panel * values,
                           bits);
        }
      });
  if (X.rows) sum_panels(partial, panels, values, width, u);
}

template <typename T>
void loss_gradient(const Parameters<T>& at, const Update<T>& update, MatrixView<T> gradient,
                   T* output_gradient, const RunOptions& options) {
  const std::int64_t width = at.W.rows, dim = at.W.cols, outputs = at.outputs;
  const double scale = 1.0 / std::sqrt(static_cast<double>(width));
  for_panels<T>(
      width, update.X.rows, 0, outputs, options,
      [&](std::int64_t begin, std::int64_t count, std::int64_t, Scratch<T>& scratch) {
        T* const g = gradient.row(begin);
        for (std::int64_t o = 0; (output_gradient || outputs == 1) && o < outputs; ++o) {
          masked_sums(update, outputs, o, begin, count, scratch.block.data(), g, gradient.stride);
          for (std::int64_t r = 0; output_gradient && r < count; ++r) {
            output_gradient[(begin + r) * outputs + o] =
                static_cast<T>(scale * dot(at.W.row(begin + r), g + r * gradient.stride, dim));
          }
        }
        if (outputs > 1) {
          masked_sums_of_outputs(update, outputs, at.a + begin * outputs, begin, count,
                                 scratch.block.data(), g, gradient.stride);
        }
        for (std::int64_t r = 0; r < count; ++r) {
          const T factor =
              static_cast<T>(outputs == 1 ? scale * static_cast<double>(at.a[begin + r]) : scale);
          for (std::int64_t k = 0; k < dim; ++k) g[r * gradient.stride + k] *= factor;
        }
      });
}

template <typename T>
void predict(const Neurons<T>& neurons, const T* a, std::int64_t outputs, ConstMatrixView<T> X,
             double* u, const RunOptions& options) {
  const std::int64_t width = neurons.width();
  const std::int64_t panels = ceil_div(width, kPanel), values = X.rows * outputs;
  Buffer<double> partial(panels * values);
  for_panels<T>(
      width, X.rows, neurons.scratch_size(), outputs, options,
      [&](std::int64_t begin, std::int64_t count, std::int64_t panel, Scratch<T>& scratch) {
        std::int64_t stride = 0;
        const T* const w = neurons.panel(begin, count, scratch.panel.data(), &stride);
        if (!a) neurons.random.signs(begin, count, scratch.signs.data());
        const T* const own =
            a ? by_output<T>(a + begin * outputs, outputs, count, scratch.signs.data())
              : scratch.signs.data();
        forward_panel<T>(w, stride, own, outputs, begin, count, X, scratch.block.data(),
                         partial.data() + panel * values, {});
      });
  sum_panels(partial, panels, values, width, u);
}

template <typename T>
void weight_distances(ConstMatrixView<T> W, const Neurons<T>& initial, double* out,
                      const RunOptions& options) {
  for_panels<T>(W.rows, 0, initial.scratch_size(), 1, options,
                [&](std::int64_t begin, std::int64_t count, std::int64_t, Scratch<T>& scratch) {
                  std::int64_t stride = 0;
                  const T* const w0 = initial.panel(begin, count, scratch.panel.data(), &stride);
                  for (std::int64_t r = 0; r < count; ++r) {
                    const T* const w = W.row(begin + r);
                    double sum = 0;
                    for (std::int64_t k = 0; k < W.cols; ++k) {
                      const double d =
                          static_cast<double>(w[k]) - static_cast<double>(w0[r * stride + k]);
                      sum += d * d;
                    }
                    out[begin + r] = std::sqrt(sum);
                  }
                });
}

#define LAZYGRAM_DESCENT(T)                                                                     \
  template void descend(const Parameters<T>&, const Parameters<T>&, const Update<T>*,           \
                        ConstMatrixView<T>, double*, PatternsView, const RunOptions&);          \
  template void loss_gradient(const Parameters<T>&, const Update<T>&, MatrixView<T>, T*,        \
                              const RunOptions&);                                               \
  template void predict(const Neurons<T>&, const T*, std::int64_t, ConstMatrixView<T>, double*, \
                        const RunOptions&);                                                     \
  template void weight_distances(ConstMatrixView<T>, const Neurons<T>&, double*, const RunOptions&);
LAZYGRAM_DESCENT(float)
LAZYGRAM_DESCENT(double)

}  // namespace lazygram
