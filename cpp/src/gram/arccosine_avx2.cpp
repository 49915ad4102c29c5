// Arc-cosine kernels at level avx2: see arccosine.inl.
#define LAZYGRAM_LEVEL avx2
#include "gram/arccosine.inl"
