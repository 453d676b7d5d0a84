/* What one core can do: fused multiply-adds in float32 per second with all operands in registers,
 * and bytes per second of a[i] = b[i] + s * c[i] on arrays far larger than the caches.
 * Prints both. Compiled by machine.py with -O3 -march=native. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
enum { WIDTH = 64 };
#else
enum { WIDTH = 32 };
#endif
typedef float lanes __attribute__((vector_size(WIDTH)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve chains hide the latency of the multiply-add on every core we know of. */
static double flops(void) {
  enum { CHAINS = 12, TURNS = 4000000 };
  lanes sum[CHAINS], factor = {0}, term = {0};
  for (int lane = 0; lane < WIDTH / 4; lane++) {
    factor[lane] = 0.999f;
    term[lane] = 1e-3f * (float)(1 + lane);
  }
  for (int chain = 0; chain < CHAINS; chain++) sum[chain] = term * (float)chain;
  double begin = now();
  for (long turn = 0; turn < TURNS; turn++)
#pragma GCC unroll 12
    for (int chain = 0; chain < CHAINS; chain++) sum[chain] = sum[chain] * factor + term;
  double seconds = now() - begin;
  volatile float sink = 0;
  for (int chain = 0; chain < CHAINS; chain++) sink += sum[chain][0];
  return 2.0 * CHAINS * TURNS * (WIDTH / 4) / seconds;
}

static double bandwidth(void) {
  const size_t count = (size_t)1 << 25; /* 128 MiB each */
  float *a = malloc(4 * count), *b = malloc(4 * count), *c = malloc(4 * count);
  if (!a || !b || !c) return 0;
  for (size_t i = 0; i < count; i++) a[i] = 0, b[i] = 1, c[i] = 2;
  double best = 0;
  for (int turn = 0; turn < 5; turn++) {
    double begin = now();
    for (size_t i = 0; i < count; i++) a[i] = b[i] + 3.0f * c[i];
    double rate = 12.0 * (double)count / (now() - begin);
    if (rate > best) best = rate;
    b[turn] = a[turn + 1]; /* keeps every turn alive */
  }
  free(a), free(b), free(c);
  return best;
}

int main(void) {
  double best = 0;
  for (int turn = 0; turn < 5; turn++) {
    double rate = flops();
    if (rate > best) best = rate;
  }
  printf("%.6e %.6e\n", best, bandwidth());
  return 0;
}
