// Loops over angles at level avx512: see angle_loops.inl.
#define LAZYGRAM_LEVEL avx512
#include "gram/angle_loops.inl"
