// What Python asks of the kernels as a whole.

#include "kernels.h"

extern "C" {

// The instruction set in use: 0 portable, 1 AVX2, 2 AVX-512.
int lehr_level() { return lehr::level(); }

// A checksum of the sources, by which a library is told from one that was left from others.
uint32_t lehr_sources() { return LEHR_SOURCES; }

// Use at most this one, for tests and measurements.
void lehr_limit_level(int most) { lehr::chosen_level = std::min(lehr::machine_level(), most); }
}
