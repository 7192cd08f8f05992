"""The short convolution of a layer: one pass over the tokens, and one back."""

import torch
from torch import Tensor

from miras.kernels import kernel

_FUNCTIONS = r"""
// Channels of one sequence, each with taps of its own; `before` are taps - 1 earlier tokens.
extern "C" void convolve_REAL(const REAL* x, const REAL* before, const REAL* taps, REAL* found,
                              int64_t time, int64_t channels, int64_t count, int64_t first,
                              int64_t last) {
  for (int64_t item = first; item < last; ++item) {
    const REAL *a = x + item * time * channels, *h = before + item * (count - 1) * channels;
    for (int64_t t = 0; t < time; ++t) {
      REAL* y = found + (item * time + t) * channels;
      for (int64_t back = 0; back < count; ++back) {
        const REAL* w = taps + (count - 1 - back) * channels;
        int64_t place = t - back;
        const REAL* seen = place >= 0 ? a + place * channels : h + (count - 1 + place) * channels;
        if (back) EACH(channels) y[i] += w[i] * seen[i];
        else EACH(channels) y[i] = w[i] * seen[i];
      }
    }
  }
}

extern "C" void convolve_back_REAL(const REAL* x, const REAL* before, const REAL* taps,
                                   const REAL* above, REAL* below, REAL* of_before, REAL* of_taps,
                                   int64_t time, int64_t channels, int64_t count, int64_t first,
                                   int64_t last) {
  for (int64_t item = first; item < last; ++item) {
    int64_t earlier = (count - 1) * channels, all = time * channels;
    const REAL *a = x + item * all, *h = before + item * earlier, *up = above + item * all;
    REAL *d = below + item * all, *dh = of_before + item * earlier;
    REAL* sums = of_taps + item * count * channels;
    for (int64_t i = 0; i < earlier; ++i) dh[i] = 0;
    for (int64_t i = 0; i < count * channels; ++i) sums[i] = 0;
    for (int64_t t = 0; t < time; ++t) {
      const REAL* g = up + t * channels;
      for (int64_t back = 0; back < count; ++back) {
        int64_t place = t - back, history = count - 1 + place;
        const REAL* seen = place >= 0 ? a + place * channels : h + history * channels;
        REAL* to = place >= 0 ? d + place * channels : dh + history * channels;
        const REAL* w = taps + (count - 1 - back) * channels;
        REAL* s = sums + (count - 1 - back) * channels;
        if (back || place < 0) EACH(channels) { s[i] += g[i] * seen[i]; to[i] += g[i] * w[i]; }
        else EACH(channels) { s[i] += g[i] * seen[i]; to[i] = g[i] * w[i]; }
      }
    }
  }
}
"""

_HEAD = """
#include <cstdint>
#define EACH(n) _Pragma("omp simd") for (int64_t i = 0; i < n; ++i)
"""

SOURCE = _HEAD + "".join(_FUNCTIONS.replace("REAL", real) for real in ("float", "double"))


def forward(x: Tensor, before: Tensor, taps: Tensor) -> Tensor | None:
    """x `[batch, time, channels]` after `before`, taps - 1 tokens; taps `[taps, channels]`."""
    run = kernel(SOURCE, "convolve", x)
    if run is None or {before.dtype, taps.dtype} != {x.dtype}:
        return None
    found = torch.empty_like(x)
    run(x, before, taps, found, *x.shape[1:], len(taps), items=len(x))
    return found


def backward(
    x: Tensor, before: Tensor, taps: Tensor, above: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Gradients of the three."""
    run = kernel(SOURCE, "convolve_back", x)
    if run is None or {before.dtype, taps.dtype} != {x.dtype}:
        return None
    of_x, of_before = torch.empty_like(x), torch.empty_like(before)
    of_taps = taps.new_empty(len(x), *taps.shape)
    tensors = (x, before, taps, above, of_x, of_before, of_taps)
    run(*tensors, *x.shape[1:], len(taps), items=len(x))
    return of_x, of_before, of_taps.sum(0)
