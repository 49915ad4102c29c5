// Row-major GEMM through the installed BLAS pointers, or through plain loops when there are none.
#include "lazygram/blas.hpp"

#include <limits>

#include "lazygram/error.hpp"

namespace lazygram {
namespace {

SgemmFunction sgemm_pointer = nullptr;
DgemmFunction dgemm_pointer = nullptr;

void call(char ta, char tb, int m, int n, int k, float alpha, const float* a, int lda,
          const float* b, int ldb, float beta, float* c, int ldc) {
  sgemm_pointer(&ta, &tb, &m, &n, &k, &alpha, const_cast<float*>(a), &lda, const_cast<float*>(b),
                &ldb, &beta, c, &ldc);
}

void call(char ta, char tb, int m, int n, int k, double alpha, const double* a, int lda,
          const double* b, int ldb, double beta, double* c, int ldc) {
  dgemm_pointer(&ta, &tb, &m, &n, &k, &alpha, const_cast<double*>(a), &lda, const_cast<double*>(b),
                &ldb, &beta, c, &ldc);
}

int to_int(std::int64_t value) {
  require(value <= std::numeric_limits<int>::max(),
          "a dimension of a matrix product exceeds 2^31 - 1");
  return static_cast<int>(value);
}

// op(A)(i, p) sits at a[i * a_row + p * a_col], likewise B; C is row-major. Reference speed only.
template <typename T>
void gemm_loops(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a,
                std::int64_t a_row, std::int64_t a_col, const T* b, std::int64_t b_row,
                std::int64_t b_col, T beta, T* c, std::int64_t ldc) {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (std::int64_t p = 0; p < k; ++p)
        sum += a[i * a_row + p * a_col] * b[p * b_row + j * b_col];
      T& out = c[i * ldc + j];
      out = beta == T(0) ? alpha * sum : alpha * sum + beta * out;
    }
  }
}

// Row-major C = op(A) op(B) is column-major C^T = op(B)^T op(A)^T: swap the operands, keep the
// flags.
template <typename T>
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          T alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
          std::int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (blas_is_set()) {
    call(transpose_b ? 'T' : 'N', transpose_a ? 'T' : 'N', to_int(n), to_int(m), to_int(k), alpha,
         b, to_int(ldb), a, to_int(lda), beta, c, to_int(ldc));
  } else {
    gemm_loops(m, n, k, alpha, a, transpose_a ? 1 : lda, transpose_a ? lda : 1, b,
               transpose_b ? 1 : ldb, transpose_b ? ldb : 1, beta, c, ldc);
  }
}

}  // namespace

void set_blas(SgemmFunction sgemm, DgemmFunction dgemm) {
  sgemm_pointer = sgemm;
  dgemm_pointer = dgemm;
}

bool blas_is_set() { return sgemm_pointer && dgemm_pointer; }

#define LAZYGRAM_GEMM(NAME, TRANSPOSE_A, TRANSPOSE_B)                                              \
  template <typename T>                                                                            \
  void NAME(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a, std::int64_t lda, \
            const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc) {                        \
    gemm(TRANSPOSE_A, TRANSPOSE_B, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                  \
  }                                                                                                \
  template void NAME(std::int64_t, std::int64_t, std::int64_t, float, const float*, std::int64_t,  \
                     const float*, std::int64_t, float, float*, std::int64_t);                     \
  template void NAME(std::int64_t, std::int64_t, std::int64_t, double, const double*,              \
                     std::int64_t, const double*, std::int64_t, double, double*, std::int64_t);

LAZYGRAM_GEMM(gemm_nt, false, true)
LAZYGRAM_GEMM(gemm_tn, true, false)
LAZYGRAM_GEMM(gemm_nn, false, false)

}  // namespace lazygram
