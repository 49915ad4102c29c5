// Which product of bundles a level has.
#include "gram/bundles.hpp"

#include "lazygram/isa.hpp"

namespace lazygram {

template <>
const BundleProduct<float>* bundle_product<float>(std::int64_t cols) {
  IsaTable<const BundleProduct<float>*> table;
#ifdef LAZYGRAM_X86
  table.avx512 = &avx512::bundle_product_float;
#endif
  return cols * static_cast<std::int64_t>(sizeof(float)) <= kBundleBytes ? table.pick() : nullptr;
}

template <>
const BundleProduct<double>* bundle_product<double>(std::int64_t cols) {
  IsaTable<const BundleProduct<double>*> table;
#ifdef LAZYGRAM_X86
  table.avx512 = &avx512::bundle_product_double;
#endif
  return cols * static_cast<std::int64_t>(sizeof(double)) <= kBundleBytes ? table.pick() : nullptr;
}

}  // namespace lazygram
