// Non-owning strided views and aligned owning buffers: the only array types of the core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace lazygram {

// Row-major matrix view: element (i, j) at data[i * stride + j]; stride is counted in elements and
// may be 0 (one row seen many times) or larger than cols (padding, a slice of a wider matrix).
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  T* row(std::int64_t i) const { return data + i * stride; }
  T& operator()(std::int64_t i, std::int64_t j) const { return data[i * stride + j]; }
  MatrixView rows_from(std::int64_t begin, std::int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

template <typename T>
using ConstMatrixView = MatrixView<const T>;

// Owning buffer, aligned to a cache line, contents uninitialised.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::int64_t size)
      : data_(static_cast<T*>(::operator new(
            static_cast<std::size_t>(size > 0 ? size : 1) * sizeof(T), std::align_val_t{64}))),
        size_(size) {}

  T* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }
  T& operator[](std::int64_t i) const { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* pointer) const { ::operator delete(pointer, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t size_ = 0;
};

inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
inline std::int64_t ceil_div(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

}  // namespace lazygram
