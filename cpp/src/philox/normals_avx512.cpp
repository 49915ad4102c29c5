// Normals from Philox at level avx512: see normals.inl.
#define LAZYGRAM_LEVEL avx512
#include "philox/normals.inl"
