// Loops of the tile engine at level avx512: see loops.inl.
#define LAZYGRAM_LEVEL avx512
#include "tiles/loops.inl"
