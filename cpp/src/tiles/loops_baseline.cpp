// Loops of the tile engine at level baseline: see loops.inl.
#define LAZYGRAM_LEVEL baseline
#include "tiles/loops.inl"
