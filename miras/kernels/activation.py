"""An activation with its slope in one pass, and both derivatives in another."""

import torch
from torch import Tensor

from miras.kernels import kernel, text

KINDS = ("gelu", "silu", "relu", "tanh")

SOURCE = (
    text("functions.hpp", "activations.hpp")
    + r"""
constexpr int64_t BLOCK = 4096;

template <int KIND, typename T>
static void forward(const T* z, T* value, T* slope, int64_t size, int64_t first, int64_t last) {
  int64_t from = first * BLOCK, to = last * BLOCK < size ? last * BLOCK : size;
  if (slope) {
    _Pragma("omp simd") for (int64_t n = from; n < to; ++n) {
      T v, s, c;
      act<KIND, T>(z[n], v, s, c);
      value[n] = v;
      slope[n] = s;
    }
  } else {
    _Pragma("omp simd") for (int64_t n = from; n < to; ++n) {
      T v, s, c;
      act<KIND, T>(z[n], v, s, c);
      value[n] = v;
    }
  }
}

template <int KIND, typename T>
static void backward(const T* z, const T* above, const T* steep, T* found, int64_t size,
                     int64_t first, int64_t last) {
  int64_t from = first * BLOCK, to = last * BLOCK < size ? last * BLOCK : size;
  if (steep) {
    _Pragma("omp simd") for (int64_t n = from; n < to; ++n) {
      T v, s, c;
      act<KIND, T>(z[n], v, s, c);
      found[n] = above[n] * s + steep[n] * c;
    }
  } else {
    _Pragma("omp simd") for (int64_t n = from; n < to; ++n) {
      T v, s, c;
      act<KIND, T>(z[n], v, s, c);
      found[n] = above[n] * s;
    }
  }
}

#define EACH(function, ...)                 \
  switch (kind) {                           \
    case 0: function<0>(__VA_ARGS__); break; \
    case 1: function<1>(__VA_ARGS__); break; \
    case 2: function<2>(__VA_ARGS__); break; \
    default: function<3>(__VA_ARGS__);       \
  }

#define INSTANCE(T) \
  extern "C" void forward_##T(const T* z, T* value, T* slope, int64_t kind, int64_t size, \
                              int64_t first, int64_t last) { \
    EACH(forward, z, value, slope, size, first, last) \
  } \
  extern "C" void backward_##T(const T* z, const T* above, const T* steep, T* found, \
                               int64_t kind, int64_t size, int64_t first, int64_t last) { \
    EACH(backward, z, above, steep, found, size, first, last) \
  }
INSTANCE(float)
INSTANCE(double)
"""
)

BLOCK = 4096


def forward(kind: str, z: Tensor, steep: bool) -> tuple[Tensor, Tensor | None] | None:
    """Value and, on demand, slope; None where there is no kernel."""
    run = kernel(SOURCE, "forward", z)
    if run is None:
        return None
    z = z.contiguous()
    value = torch.empty_like(z)
    slope = torch.empty_like(z) if steep else None
    items = -(-z.numel() // BLOCK)
    run(z, value, slope, KINDS.index(kind), z.numel(), items=items)
    return value, slope


def backward(kind: str, z: Tensor, above: Tensor, steep: Tensor | None) -> Tensor | None:
    """Gradient of z from that of the value and of the slope; None where there is no kernel."""
    run = kernel(SOURCE, "backward", z, above)
    if run is None:
        return None
    z, found = z.contiguous(), torch.empty_like(z, memory_format=torch.contiguous_format)
    steep = None if steep is None else steep.contiguous()
    items = -(-z.numel() // BLOCK)
    run(z, above.contiguous(), steep, found, KINDS.index(kind), z.numel(), items=items)
    return found
