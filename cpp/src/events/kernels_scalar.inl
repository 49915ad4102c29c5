// Scans and selection without mask registers: shared by the levels that have none. The branch-free
// form (write, then advance by the outcome) costs the same whatever the hit rate.

namespace lazygram::LAZYGRAM_LEVEL {
namespace {

std::int64_t scan(const float* keys, std::int64_t begin, std::int64_t end, float low, float high,
                  std::uint32_t* out) {
  std::int64_t found = 0;
  for (std::int64_t p = begin; p < end; ++p) {
    out[found] = static_cast<std::uint32_t>(p);
    found += static_cast<int>(keys[p] >= low) & static_cast<int>(keys[p] <= high);
  }
  return found;
}

std::int64_t advance_slack(double* slack, std::int64_t count, double up, double down,
                           std::uint32_t* out) {
  std::int64_t found = 0;
  for (std::int64_t p = 0; p < count; ++p) {
    const bool above = slack[p] > 0;
    const double left = above ? slack[p] - up : slack[p] + down;
    slack[p] = left;
    out[found] = static_cast<std::uint32_t>(p);
    found += static_cast<int>(above ? left <= 0 : left >= 0);
  }
  return found;
}

template <typename T>
std::int64_t select(const T* z, std::int64_t count, T limit, std::uint16_t* position, T* value) {
  std::int64_t found = 0;
  for (std::int64_t k = 0; k < count; ++k) {
    position[found] = static_cast<std::uint16_t>(k);
    value[found] = z[k];
    found += static_cast<int>(z[k] < limit) & static_cast<int>(z[k] > -limit);
  }
  return found;
}

}  // namespace
}  // namespace lazygram::LAZYGRAM_LEVEL
