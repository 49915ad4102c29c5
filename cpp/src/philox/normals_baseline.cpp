// Normals from Philox at level baseline: see normals.inl.
#define LAZYGRAM_LEVEL baseline
#include "philox/normals.inl"
