// Normals from Philox at level avx2: see normals.inl.
#define LAZYGRAM_LEVEL avx2
#include "philox/normals.inl"
