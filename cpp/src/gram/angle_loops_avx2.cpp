// Loops over angles at level avx2: see angle_loops.inl.
#define LAZYGRAM_LEVEL avx2
#include "gram/angle_loops.inl"
