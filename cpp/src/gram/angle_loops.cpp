// The loops over angles of the level in use.
#include "gram/angle_loops.hpp"

#include "lazygram/isa.hpp"

namespace lazygram {

template <>
const AngleLoops<float>& angle_loops<float>() {
  static const IsaTable<const AngleLoops<float>*> table = {
      &baseline::angle_loops_float,
#ifdef LAZYGRAM_X86
      &avx2::angle_loops_float,
      &avx512::angle_loops_float,
#endif
  };
  return *table.pick();
}

template <>
const AngleLoops<double>& angle_loops<double>() {
  static const IsaTable<const AngleLoops<double>*> table = {
      &baseline::angle_loops_double,
#ifdef LAZYGRAM_X86
      &avx2::angle_loops_double,
      &avx512::angle_loops_double,
#endif
  };
  return *table.pick();
}

}  // namespace lazygram
