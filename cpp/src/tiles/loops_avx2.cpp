// Loops of the tile engine at level avx2: see loops.inl.
#define LAZYGRAM_LEVEL avx2
#include "tiles/loops.inl"
