// The one order in which partial sums are added up; included by every kernels_<level>.cpp.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

// Sum of `lanes` values by halves: value l takes value l + half.
template <int lanes, typename T>
inline T fold(T* sums) {
  if constexpr (lanes == 1) {
    return sums[0];
  } else {
    for (int l = 0; l < lanes / 2; ++l) sums[l] += sums[l + lanes / 2];
    return fold<lanes / 2>(sums);
  }
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL
