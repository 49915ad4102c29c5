// BLAS entry points that the core calls. The Python package hands in SciPy's; alone, the core uses
// plain loops.
//
// Every call is made from inside a tile and must run on the calling thread only (the Python side
// holds the BLAS pool to one thread), so that the result does not depend on the number of threads.
#pragma once

#include <cstdint>

namespace lazygram {

// Fortran BLAS signatures with 32-bit integers, as scipy.linalg.cython_blas exports them.
using SgemmFunction = void (*)(char*, char*, int*, int*, int*, float*, float*, int*, float*, int*,
                               float*, float*, int*);
using DgemmFunction = void (*)(char*, char*, int*, int*, int*, double*, double*, int*, double*,
                               int*, double*, double*, int*);

void set_blas(SgemmFunction sgemm, DgemmFunction dgemm);
bool blas_is_set();

// Row-major products; ld* are row strides in elements.
//   gemm_nt: C (m x n) = alpha A (m x k) B (n x k)^T + beta C
//   gemm_tn: C (m x n) = alpha A (k x m)^T B (k x n) + beta C
//   gemm_nn: C (m x n) = alpha A (m x k) B (k x n) + beta C
template <typename T>
void gemm_nt(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a, std::int64_t lda,
             const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc);
template <typename T>
void gemm_tn(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a, std::int64_t lda,
             const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc);
template <typename T>
void gemm_nn(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a, std::int64_t lda,
             const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc);

}  // namespace lazygram
