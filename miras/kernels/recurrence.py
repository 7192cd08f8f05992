"""x_t = keep_t x_{t-1} + write_t and its derivative, each in one pass over the numbers."""

from typing import NamedTuple

import torch
from torch import Tensor

from miras.kernels import kernel

SOURCE = r"""
#include <cstdint>
#include <algorithm>

// Items are tiles of columns of one sequence. Tensors are [batch, time, columns]; `keep` has one
// number for `group` columns.
constexpr int64_t TILE = 1024;

template <typename F>
static void tiles(int64_t columns, int64_t group, int64_t first, int64_t last, F each) {
  int64_t wide = std::max<int64_t>(1, TILE / group) * group, count = (columns + wide - 1) / wide;
  for (int64_t item = first; item < last; ++item) {
    int64_t from = item % count * wide;
    each(item / count, from, std::min(columns, from + wide));
  }
}

template <typename T>
static void forward(const T* keep, const T* write, const T* start, T* found, int64_t time,
                    int64_t columns, int64_t group, int64_t first, int64_t last) {
  int64_t keeps = columns / group;
  tiles(columns, group, first, last, [&](int64_t batch, int64_t from, int64_t to) {
    const T* before = start + batch * columns;
    for (int64_t t = 0; t < time; ++t) {
      const T* k = keep + (batch * time + t) * keeps;
      const T* w = write + (batch * time + t) * columns;
      T* x = found + (batch * time + t) * columns;
      if (group == 1)
        for (int64_t n = from; n < to; ++n) x[n] = w[n] + k[n] * before[n];
      else
        for (int64_t g = from / group; g < to / group; ++g)
          for (int64_t n = g * group; n < (g + 1) * group; ++n) x[n] = w[n] + k[g] * before[n];
      before = x;
    }
  });
}

template <typename T>
static void backward(const T* keep, const T* start, const T* found, const T* above, T* kept,
                     T* written, T* started, int64_t time, int64_t columns, int64_t group,
                     int64_t first, int64_t last) {
  int64_t keeps = columns / group;
  tiles(columns, group, first, last, [&](int64_t batch, int64_t from, int64_t to) {
    T* late = started + batch * columns;
    for (int64_t n = from; n < to; ++n) late[n] = 0;
    for (int64_t t = time - 1; t >= 0; --t) {
      const T* k = keep + (batch * time + t) * keeps;
      const T* a = above + (batch * time + t) * columns;
      const T* x = t ? found + (batch * time + t - 1) * columns : start + batch * columns;
      T* dk = kept + (batch * time + t) * keeps;
      T* dw = written + (batch * time + t) * columns;
      if (group == 1) {
        for (int64_t n = from; n < to; ++n) {
          T d = a[n] + late[n];
          dw[n] = d;
          dk[n] = d * x[n];
          late[n] = k[n] * d;
        }
      } else {
        for (int64_t g = from / group; g < to / group; ++g) {
          T sum = 0;
          for (int64_t n = g * group; n < (g + 1) * group; ++n) {
            T d = a[n] + late[n];
            dw[n] = d;
            sum += d * x[n];
            late[n] = k[g] * d;
          }
          dk[g] = sum;
        }
      }
    }
  });
}

#define INSTANCE(T) \
  extern "C" void forward_##T(const T* keep, const T* write, const T* start, T* found, \
      int64_t time, int64_t columns, int64_t group, int64_t first, int64_t last) { \
    forward<T>(keep, write, start, found, time, columns, group, first, last); \
  } \
  extern "C" void backward_##T(const T* keep, const T* start, const T* found, const T* above, \
      T* kept, T* written, T* started, int64_t time, int64_t columns, int64_t group, \
      int64_t first, int64_t last) { \
    backward<T>(keep, start, found, above, kept, written, started, time, columns, group, first, \
                last); \
  }
INSTANCE(float)
INSTANCE(double)
"""

TILE = 1024


class Sizes(NamedTuple):
    """How many numbers there are, and for how many of them a multiplier stands."""

    columns: int
    group: int
    items: int


def _sizes(keep: Tensor, write: Tensor) -> Sizes:
    columns = write[0, 0].numel()
    group = columns // max(1, keep[0, 0].numel())
    wide = max(1, TILE // group) * group
    return Sizes(columns, group, write.shape[0] * -(-columns // wide))


def _laid_out(keep: Tensor, write: Tensor) -> Tensor:
    """`keep`, a number for a group of columns where it is the same for those at the end."""
    inner = 0
    while inner < keep.ndim - 2 and keep.shape[-1 - inner] == 1:
        inner += 1
    shape = (*write.shape[: write.ndim - inner], *[1] * inner)
    return keep.expand(shape).contiguous()


def forward(keep: Tensor, write: Tensor, start: Tensor) -> Tensor | None:
    """All x_t, or None where there is no kernel; shapes as in `miras.plans.recurrence`."""
    run = kernel(SOURCE, "forward", write, keep, start) if write.numel() else None
    if run is None:
        return None
    keep, found = (
        _laid_out(keep, write),
        torch.empty_like(write, memory_format=torch.contiguous_format),
    )
    columns, group, items = _sizes(keep, write)
    tensors = (keep, write.contiguous(), start.contiguous(), found)
    run(*tensors, write.shape[1], columns, group, items=items)
    return found


def backward(
    keep: Tensor, start: Tensor, found: Tensor, above: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Gradients of keep, write and start from that of all x_t, or None without a kernel."""
    run = kernel(SOURCE, "backward", found, keep, start, above) if found.numel() else None
    if run is None:
        return None
    laid = _laid_out(keep, found)
    columns, group, items = _sizes(laid, found)
    kept, written = torch.empty_like(laid), torch.empty_like(found)
    started = torch.empty_like(start, memory_format=torch.contiguous_format)
    tensors = (laid, start.contiguous(), found, above.contiguous(), kept, written, started)
    run(*tensors, found.shape[1], columns, group, items=items)
    return kept.sum_to_size(keep.shape), written, started
