// CPU instruction-set level: what was compiled, what this CPU has, what is used; chosen once,
// outside the loops.
#pragma once

#include <string>
#include <vector>

namespace lazygram {

// Ordered: a CPU that has a level has every level below it.
//   baseline          any x86-64, any arm64
//   avx2              AVX2, FMA, BMI2, POPCNT
//   avx512            AVX-512 F, BW, DQ, VL
//   avx512_vpopcntdq  and VPOPCNTDQ
enum class Isa { baseline = 0, avx2 = 1, avx512 = 2, avx512_vpopcntdq = 3 };

const char* isa_name(Isa level);
std::vector<Isa> isa_compiled();
std::vector<Isa> isa_available();  // compiled levels that this CPU can run

// The level in use: the highest available, unless LAZYGRAM_ISA names one. Throws ArgumentError when
// that variable names no level or one that cannot run here.
Isa isa_used();

// Uses the named level from now on ("" returns to the choice above). For tests.
void isa_force(const std::string& name);

// One function per level; a level without an own implementation uses the next lower one.
template <typename Function>
struct IsaTable {
  Function baseline = nullptr;
  Function avx2 = nullptr;
  Function avx512 = nullptr;
  Function avx512_vpopcntdq = nullptr;

  Function pick() const {
    const Isa level = isa_used();
    if (level >= Isa::avx512_vpopcntdq && avx512_vpopcntdq) return avx512_vpopcntdq;
    if (level >= Isa::avx512 && avx512) return avx512;
    if (level >= Isa::avx2 && avx2) return avx2;
    return baseline;
  }
};

}  // namespace lazygram
