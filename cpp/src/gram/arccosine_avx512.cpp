// Arc-cosine kernels at level avx512: see arccosine.inl.
#define LAZYGRAM_LEVEL avx512
#include "gram/arccosine.inl"
