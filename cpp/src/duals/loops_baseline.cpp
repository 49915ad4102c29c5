// Loops over the duals at level baseline: see loops.inl.
#define LAZYGRAM_LEVEL baseline
#include "duals/loops.inl"
