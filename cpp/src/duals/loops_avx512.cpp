// Loops over the duals at level avx512: see loops.inl.
#define LAZYGRAM_LEVEL avx512
#include "duals/loops.inl"
