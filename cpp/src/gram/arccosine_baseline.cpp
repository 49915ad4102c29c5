// Arc-cosine kernels at level baseline: see arccosine.inl.
#define LAZYGRAM_LEVEL baseline
#include "gram/arccosine.inl"
