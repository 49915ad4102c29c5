// Loops over angles at level baseline: see angle_loops.inl.
#define LAZYGRAM_LEVEL baseline
#include "tiles/angle_loops.inl"
