// Co-activation counts on a CUDA device: one block per 32 x 32 tile, words staged through shared
// memory.
//
// A thread owns 2 x 2 counts; 16 x 16 threads share 2 x 32 rows of kChunk words. Per chunk and
// thread: 4 kChunk (AND, POPC, ADD) on 64-bit words from 4 kChunk shared loads. Counts are
// integers, so they equal the CPU's.
#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "lazygram/cuda.hpp"

namespace lazygram {
namespace {

constexpr int kThreads = 16;  // along each side of a block
constexpr int kTile = 2 * kThreads;
constexpr int kChunk = 16;  // words per row and pass: 128 bytes, one coalesced read

void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA, ") + what + ": " + cudaGetErrorString(status));
  }
}

// Device memory of the size of a host array, freed with the scope.
template <typename T>
struct DeviceArray {
  T* data = nullptr;
  explicit DeviceArray(std::size_t size) {
    check(cudaMalloc(&data, size * sizeof(T)), "allocation");
  }
  ~DeviceArray() { cudaFree(data); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
};

// rows x words, dense, copied from a strided view.
DeviceArray<std::uint64_t>* upload(ConstPatternsView view) {
  auto* device = new DeviceArray<std::uint64_t>(static_cast<std::size_t>(view.rows * view.cols));
  const cudaError_t status =
      cudaMemcpy2D(device->data, view.cols * sizeof(std::uint64_t), view.data,
                   view.stride * sizeof(std::uint64_t), view.cols * sizeof(std::uint64_t),
                   view.rows, cudaMemcpyHostToDevice);
  if (status != cudaSuccess) {
    delete device;
    check(status, "copy to the device");
  }
  return device;
}

__global__ void coactivation(const std::uint64_t* a, std::int64_t a_rows, const std::uint64_t* b,
                             std::int64_t b_rows, std::int64_t words, std::int64_t* out) {
  // One word of padding a row keeps the reads of a column of threads on different banks.
  __shared__ std::uint64_t sa[kTile][kChunk + 1], sb[kTile][kChunk + 1];
  const int tx = threadIdx.x, ty = threadIdx.y;
  const std::int64_t i0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const std::int64_t j0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  long long sums[2][2] = {};
  for (std::int64_t begin = 0; begin < words; begin += kChunk) {
    for (int half = 0; half < 2; ++half) {
      const int row = ty + half * kThreads;
      const std::int64_t w = begin + tx;
      sa[row][tx] = i0 + row < a_rows && w < words ? a[(i0 + row) * words + w] : 0;
      sb[row][tx] = j0 + row < b_rows && w < words ? b[(j0 + row) * words + w] : 0;
    }
    __syncthreads();
    int part[2][2] = {};  // at most 64 kChunk
    for (int w = 0; w < kChunk; ++w) {
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 2; ++j) {
          part[i][j] += __popcll(sa[ty + i * kThreads][w] & sb[tx + j * kThreads][w]);
        }
      }
    }
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) sums[i][j] += part[i][j];
    }
    __syncthreads();
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      const std::int64_t row = i0 + ty + i * kThreads, col = j0 + tx + j * kThreads;
      if (row < a_rows && col < b_rows) out[row * b_rows + col] = sums[i][j];
    }
  }
}

}  // namespace

bool cuda_compiled() { return true; }

int cuda_devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void coactivation_counts_cuda(ConstPatternsView a, ConstPatternsView b,
                              MatrixView<std::int64_t> out) {
  if (a.cols != b.cols) throw std::invalid_argument("patterns: the two sets have different widths");
  if (a.rows == 0 || b.rows == 0) return;
  const std::unique_ptr<DeviceArray<std::uint64_t>> da(upload(a)), db(upload(b));
  const DeviceArray<std::int64_t> counts(static_cast<std::size_t>(a.rows * b.rows));
  const dim3 blocks(static_cast<unsigned>(ceil_div(b.rows, kTile)),
                    static_cast<unsigned>(ceil_div(a.rows, kTile)));
  coactivation<<<blocks, dim3(kThreads, kThreads)>>>(da->data, a.rows, db->data, b.rows, a.cols,
                                                     counts.data);
  check(cudaGetLastError(), "launch");
  check(cudaMemcpy2D(out.data, out.stride * sizeof(std::int64_t), counts.data,
                     b.rows * sizeof(std::int64_t), b.rows * sizeof(std::int64_t), a.rows,
                     cudaMemcpyDeviceToHost),
        "copy from the device");
}

}  // namespace lazygram
