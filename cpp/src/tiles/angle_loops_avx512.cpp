// Loops over angles at level avx512: see angle_loops.inl.
#define LAZYGRAM_LEVEL avx512
#include "tiles/angle_loops.inl"
