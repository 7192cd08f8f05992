"""Norms, gating and rotation of rows: each one pass forward and one back.

Rows are those of tensors `[batch, time, heads, size]` with any strides but the last, which is 1:
what a layer hands to its memory are views of one projection, and what comes back may lie heads
first.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from miras.kernels import kernel

_SHARED = r"""
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define EACH(n) _Pragma("omp simd") for (int64_t i = 0; i < n; ++i)

static inline float exponential(float x) {
  x = x < -87.f ? -87.f : x;
  x = x > 88.f ? 88.f : x;
  float n = std::rint(x * 1.44269504f), r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.f / 5040;
  p = p * r + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + .5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  int32_t bits = ((int32_t)n + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, 4);
  return p * scale;
}
static inline double exponential(double x) { return std::exp(x); }

// How many tokens a sequence has, and how far sequences, tokens and heads lie apart.
struct Steps { int64_t time, sequence, token, head; };

template <typename T> static inline T* at(T* x, const Steps& s, int64_t row, int64_t head) {
  return x + row / s.time * s.sequence + row % s.time * s.token + head * s.head;
}
"""

_FUNCTIONS = r"""
static inline REAL sigmoid(REAL x) { return 1 / (1 + exponential(-x)); }

static inline REAL product(const REAL* x, const REAL* y, int64_t size) {
  REAL sum = 0;
  _Pragma("omp simd reduction(+:sum)") for (int64_t i = 0; i < size; ++i) sum += x[i] * y[i];
  return sum;
}

extern "C" void rms_REAL(const REAL* x, const Steps* in, const REAL* gain, int64_t apart,
                         const REAL* eps, REAL* found, const Steps* out, int64_t heads,
                         int64_t size, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row)
    for (int64_t h = 0; h < heads; ++h) {
      const REAL *a = at(x, *in, row, h), *w = gain + h * apart;
      REAL* y = at(found, *out, row, h);
      REAL inverse = 1 / std::sqrt(product(a, a, size) / size + *eps);
      EACH(size) y[i] = a[i] * inverse * w[i];
    }
}

// Items are blocks of rows: each adds up gradients of the gains of its own.
extern "C" void rms_back_REAL(const REAL* x, const Steps* in, const REAL* gain, int64_t apart,
                              const REAL* eps, const REAL* above, const Steps* up, REAL* below,
                              const Steps* out, REAL* gains, int64_t kept, int64_t heads,
                              int64_t size, int64_t rows, int64_t block, int64_t first,
                              int64_t last) {
  for (int64_t item = first; item < last; ++item) {
    REAL* sums = gains + item * kept;
    for (int64_t i = 0; i < kept; ++i) sums[i] = 0;
    int64_t end = (item + 1) * block < rows ? (item + 1) * block : rows;
    for (int64_t row = item * block; row < end; ++row)
      for (int64_t h = 0; h < heads; ++h) {
        const REAL *a = at(x, *in, row, h), *g = at(above, *up, row, h), *w = gain + h * apart;
        REAL *d = at(below, *out, row, h), *s = sums + h * apart;
        REAL inverse = 1 / std::sqrt(product(a, a, size) / size + *eps), along = 0;
        _Pragma("omp simd reduction(+:along)") for (int64_t i = 0; i < size; ++i)
          along += g[i] * w[i] * a[i];
        along *= inverse * inverse * inverse / size;
        EACH(size) {
          s[i] += g[i] * a[i] * inverse;
          d[i] = g[i] * w[i] * inverse - a[i] * along;
        }
      }
  }
}

extern "C" void unit_REAL(const REAL* x, const Steps* in, const REAL* eps, int64_t silu,
                          REAL* found, const Steps* out, int64_t heads, int64_t size,
                          int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row)
    for (int64_t h = 0; h < heads; ++h) {
      const REAL* a = at(x, *in, row, h);
      REAL* y = at(found, *out, row, h);
      if (silu) EACH(size) y[i] = a[i] * sigmoid(a[i]);
      else EACH(size) y[i] = a[i];
      REAL length = std::sqrt(product(y, y, size)), inverse = 1 / (length < *eps ? *eps : length);
      EACH(size) y[i] *= inverse;
    }
}

extern "C" void unit_back_REAL(const REAL* x, const Steps* in, const REAL* eps, int64_t silu,
                               const REAL* above, const Steps* up, REAL* below, const Steps* out,
                               int64_t heads, int64_t size, int64_t first, int64_t last) {
  std::vector<REAL> room(2 * size);
  REAL *y = room.data(), *slope = y + size;
  for (int64_t row = first; row < last; ++row)
    for (int64_t h = 0; h < heads; ++h) {
      const REAL *a = at(x, *in, row, h), *g = at(above, *up, row, h);
      REAL* d = at(below, *out, row, h);
      if (silu) EACH(size) {
        REAL s = sigmoid(a[i]);
        y[i] = a[i] * s;
        slope[i] = s * (1 + a[i] * (1 - s));
      }
      else EACH(size) {
        y[i] = a[i];
        slope[i] = 1;
      }
      REAL square = product(y, y, size), length = std::sqrt(square), along = 0, inverse = 1 / *eps;
      if (length > *eps) {  // shorter ones are divided by eps: their length does not count
        along = product(g, y, size) / square;
        inverse = 1 / length;
      }
      EACH(size) d[i] = (g[i] - y[i] * along) * inverse * slope[i];
    }
}

extern "C" void gated_REAL(const REAL* gate, const Steps* gates, const REAL* value,
                           const Steps* values, REAL* found, const Steps* out, int64_t size,
                           int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    const REAL *a = at(gate, *gates, row, 0), *v = at(value, *values, row, 0);
    REAL* y = at(found, *out, row, 0);
    EACH(size) y[i] = a[i] * sigmoid(a[i]) * v[i];
  }
}

extern "C" void gated_back_REAL(const REAL* gate, const Steps* gates, const REAL* value,
                                const Steps* values, const REAL* above, const Steps* up,
                                REAL* of_gate, const Steps* to_gate, REAL* of_value,
                                const Steps* to_value, int64_t size, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    const REAL *a = at(gate, *gates, row, 0), *v = at(value, *values, row, 0);
    const REAL* g = at(above, *up, row, 0);
    REAL *da = at(of_gate, *to_gate, row, 0), *dv = at(of_value, *to_value, row, 0);
    EACH(size) {
      REAL s = sigmoid(a[i]);
      dv[i] = g[i] * a[i] * s;
      da[i] = g[i] * v[i] * s * (1 + a[i] * (1 - s));
    }
  }
}

// Entries (i, half + i) turn by the angle of their token, back if `sign` is -1.
extern "C" void rotate_REAL(const REAL* x, const Steps* in, const REAL* cosine, const REAL* sine,
                            int64_t sign, REAL* found, const Steps* out, int64_t half,
                            int64_t heads, int64_t size, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) {
    const REAL *c = cosine + row % in->time * half, *s = sine + row % in->time * half;
    for (int64_t h = 0; h < heads; ++h) {
      const REAL *a = at(x, *in, row, h), *b = a + half;
      REAL *y = at(found, *out, row, h), *z = y + half;
      EACH(half) {
        REAL turn = sign * s[i], one = a[i], other = b[i];
        y[i] = one * c[i] - other * turn;
        z[i] = one * turn + other * c[i];
      }
      for (int64_t i = 2 * half; i < size; ++i) y[i] = a[i];
    }
  }
}
"""

SOURCE = _SHARED + "".join(_FUNCTIONS.replace("REAL", real) for real in ("float", "double"))

_BLOCK = 128  # rows whose gradients of gains one item of work adds up


def _view(x: Tensor) -> tuple[Any, Any]:
    """Where the rows are, and how far apart."""
    steps = (ctypes.c_int64 * 4)(x.shape[1], *x.stride()[:3])
    return x if x.is_contiguous() else x.data_ptr(), steps


def _sizes(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _rows(x: Tensor) -> int:
    return x.shape[0] * x.shape[1]


def rms(x: Tensor, gain: Tensor, eps: float) -> Tensor | None:
    """x / sqrt(mean of x^2 + eps) times the gain, `[size]` or `[heads, size]`."""
    run = kernel(SOURCE, "rms", x)
    if run is None or gain.dtype != x.dtype:
        return None
    found, apart = torch.empty_like(x), x.shape[3] if gain.ndim == 2 else 0
    least = x.new_full((1,), eps)
    run(*_view(x), gain, apart, least, *_view(found), *_sizes(x), items=_rows(x))
    return found


def rms_back(x: Tensor, gain: Tensor, eps: float, above: Tensor) -> tuple[Tensor, Tensor] | None:
    """Gradients of x and of the gain."""
    run = kernel(SOURCE, "rms_back", x)
    if run is None or gain.dtype != x.dtype:
        return None
    found, apart = torch.empty_like(x), x.shape[3] if gain.ndim == 2 else 0
    blocks = -(-_rows(x) // _BLOCK)
    gains, least = gain.new_empty(blocks, *gain.shape), x.new_full((1,), eps)
    given = (*_view(x), gain, apart, least, *_view(above), *_view(found), gains, gain.numel())
    run(*given, *_sizes(x), _rows(x), _BLOCK, items=blocks)
    return found, gains.sum(0)


def unit(x: Tensor, eps: float, silu: bool) -> Tensor | None:
    """y / max(|y|, eps), y = x or silu(x)."""
    run = kernel(SOURCE, "unit", x)
    if run is None:
        return None
    found, least = torch.empty_like(x), x.new_full((1,), eps)
    run(*_view(x), least, int(silu), *_view(found), *_sizes(x), items=_rows(x))
    return found


def unit_back(x: Tensor, eps: float, silu: bool, above: Tensor) -> Tensor | None:
    """Gradient of x."""
    run = kernel(SOURCE, "unit_back", x)
    if run is None:
        return None
    found, least = torch.empty_like(x), x.new_full((1,), eps)
    given = (*_view(x), least, int(silu), *_view(above), *_view(found))
    run(*given, *_sizes(x), items=_rows(x))
    return found


def gated(gate: Tensor, value: Tensor) -> Tensor | None:
    """silu(gate) value, for one head."""
    run = kernel(SOURCE, "gated", gate)
    if run is None or value.dtype != gate.dtype:
        return None
    found = gate.new_empty(gate.shape)
    run(*_view(gate), *_view(value), *_view(found), gate.shape[3], items=_rows(gate))
    return found


def gated_back(
    gate: Tensor, value: Tensor, above: Tensor, of_gate: Tensor, of_value: Tensor
) -> bool:
    """Write the gradients of gate and value to where they are wanted; False without a kernel."""
    run = kernel(SOURCE, "gated_back", gate)
    if run is None or value.dtype != gate.dtype:
        return False
    given = (*_view(gate), *_view(value), *_view(above), *_view(of_gate), *_view(of_value))
    run(*given, gate.shape[3], items=_rows(gate))
    return True


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, sign: int) -> Tensor | None:
    """Entries (i, half + i) of every head turned by the angle of their token, `[time, half]`."""
    run = kernel(SOURCE, "rotate", x)
    if run is None or cosine.dtype != x.dtype:
        return None
    found = x.new_empty(x.shape)
    angles = (cosine.contiguous(), sine.contiguous(), sign)
    run(*_view(x), *angles, *_view(found), cosine.shape[1], *_sizes(x), items=_rows(x))
    return found
