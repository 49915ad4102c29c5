// Loops over angles at level baseline: see angle_loops.inl.
#define LAZYGRAM_LEVEL baseline
#include "gram/angle_loops.inl"
