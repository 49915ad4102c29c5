// Loops over the duals at level avx2: see loops.inl.
#define LAZYGRAM_LEVEL avx2
#include "duals/loops.inl"
