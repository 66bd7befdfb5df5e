/* One dense layer, Y = max(X W + B, 0), compiled from examples/matmul.tile; see README.md. */

#include <stdio.h>
#include <stdlib.h>

#include "dense.h"

enum { ROWS = 8, INPUTS = 64, OUTPUTS = 10 };

static float x[ROWS * INPUTS], w[INPUTS * OUTPUTS], b[OUTPUTS], y[ROWS * OUTPUTS];

/* Numbers between -1 and 1, the same on every machine. */
static void fill(float *values, size_t count, unsigned seed) {
  for (size_t i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 16 & 0x7fff) / 16384.0f - 1.0f;
  }
}

static double largest_difference(void) {
  double largest = 0;
  for (int r = 0; r < ROWS; r++) {
    for (int o = 0; o < OUTPUTS; o++) {
      double sum = b[o];
      for (int i = 0; i < INPUTS; i++) sum += (double)x[r * INPUTS + i] * w[i * OUTPUTS + o];
      double difference = (sum > 0 ? sum : 0) - y[r * OUTPUTS + o];
      if (difference < 0) difference = -difference;
      if (difference > largest) largest = difference;
    }
  }
  return largest;
}

int main(void) {
  size_t size = tilec_dense_workspace();
  void *workspace = malloc(size ? size : 1);
  if (workspace == NULL) return 1;
  fill(x, TILEC_DENSE_X_ELEMENTS, 1);
  fill(w, TILEC_DENSE_W_ELEMENTS, 2);
  fill(b, TILEC_DENSE_B_ELEMENTS, 3);

  int status = tilec_dense(x, w, b, y, workspace);
  if (status != TILEC_OK) {
    fprintf(stderr, "tilec_dense returned %d\n", status);
    return 1;
  }
  double difference = largest_difference();
  int refused = tilec_dense(x, w, b, x, workspace) == TILEC_OVERLAP;
  free(workspace);

  printf("workspace: %zu bytes\n", size);
  printf("agrees with plain loops: %s\n", difference < 1e-5 ? "yes" : "no");
  printf("a result that overlaps an input is refused: %s\n", refused ? "yes" : "no");
  return !(difference < 1e-5 && refused);
}
