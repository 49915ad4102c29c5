// Detects the CPU's instruction-set level and holds the one in use.
#include "lazygram/isa.hpp"

#include <atomic>
#include <cstdlib>

#include "lazygram/error.hpp"

namespace lazygram {
namespace {

const Isa kLevels[] = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512_vpopcntdq};

bool cpu_has(Isa level) {
  if (level == Isa::baseline) return true;
#ifdef LAZYGRAM_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  if (level == Isa::avx2) return avx2;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (level == Isa::avx512) return avx512;
  return avx512 && __builtin_cpu_supports("avx512vpopcntdq");
#else
  return false;
#endif
}

std::string names(const std::vector<Isa>& levels) {
  std::string text;
  for (Isa level : levels) text += (text.empty() ? "" : ", ") + std::string(isa_name(level));
  return text;
}

Isa level_named(const std::string& name, const std::string& source) {
  for (Isa level : kLevels) {
    if (name != isa_name(level)) continue;
    for (Isa available : isa_available()) {
      if (available == level) return level;
    }
    throw ArgumentError(source + ": level '" + name +
                        "' cannot run here; available: " + names(isa_available()));
  }
  throw ArgumentError(source + ": unknown level '" + name + "'; levels: baseline, avx2, avx512, " +
                      "avx512_vpopcntdq; available here: " + names(isa_available()));
}

Isa chosen_level() {
  const char* wanted = std::getenv("LAZYGRAM_ISA");
  if (wanted && *wanted) return level_named(wanted, "LAZYGRAM_ISA");
  return isa_available().back();
}

std::atomic<int>& level_in_use() {
  static std::atomic<int> level{static_cast<int>(chosen_level())};
  return level;
}

}  // namespace

const char* isa_name(Isa level) {
  switch (level) {
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_vpopcntdq:
      return "avx512_vpopcntdq";
    default:
      return "baseline";
  }
}

std::vector<Isa> isa_compiled() {
#ifdef LAZYGRAM_X86
  return {std::begin(kLevels), std::end(kLevels)};
#else
  return {Isa::baseline};
#endif
}

std::vector<Isa> isa_available() {
  std::vector<Isa> levels;
  for (Isa level : isa_compiled()) {
    if (cpu_has(level)) levels.push_back(level);
  }
  return levels;
}

Isa isa_used() { return static_cast<Isa>(level_in_use().load(std::memory_order_relaxed)); }

void isa_force(const std::string& name) {
  level_in_use() = static_cast<int>(name.empty() ? chosen_level() : level_named(name, "isa"));
}

}  // namespace lazygram
