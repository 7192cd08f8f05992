"""A matrix whose every entry has a recurrence of its own, and its derivative, never written out."""

import torch
from torch import Tensor

from miras.kernels import kernel

SOURCE = r"""
#include <algorithm>
#include <cstdint>
#include <vector>

// W[v][k] <- W[v][k] a[v] c[k] (1 - d[v] e[k]) + u[v] b[k], y[v] = sum over k of W[v][k] q[k].
// Tensors are [batch, time, heads, rows or columns]; c, and d with e, may be left out. An item is
// one head of one sequence. States are kept at the start of every SPAN tokens.
constexpr int64_t SPAN = 16;

template <typename T> struct Inputs {
  const T *a, *c, *d, *e, *u, *b, *q;
  int64_t time, heads, rows, columns, before;
};

// One token; `old` and `now` may be the same.
template <typename T>
static void step(const Inputs<T>& in, int64_t place, const T* old, T* now, T* output) {
  const int64_t rows = in.rows, columns = in.columns;
  const T *c = in.c ? in.c + place * columns : nullptr, *b = in.b + place * columns;
  const T *e = in.e ? in.e + place * columns : nullptr, *q = in.q + place * columns;
  for (int64_t v = 0; v < rows; ++v) {
    const T a = in.a[place * rows + v], u = in.u[place * rows + v];
    const T d = e ? in.d[place * rows + v] : T(0);
    const T* x = old + v * columns;
    T *y = now + v * columns, seen = 0;
    if (output && in.before) {
      #pragma omp simd reduction(+:seen)
      for (int64_t k = 0; k < columns; ++k) seen += x[k] * q[k];
    }
    if (c && e) {
      #pragma omp simd
      for (int64_t k = 0; k < columns; ++k) y[k] = x[k] * (a * c[k] * (1 - d * e[k])) + u * b[k];
    } else if (c) {
      #pragma omp simd
      for (int64_t k = 0; k < columns; ++k) y[k] = x[k] * (a * c[k]) + u * b[k];
    } else if (e) {
      #pragma omp simd
      for (int64_t k = 0; k < columns; ++k) y[k] = x[k] * (a * (1 - d * e[k])) + u * b[k];
    } else {
      #pragma omp simd
      for (int64_t k = 0; k < columns; ++k) y[k] = x[k] * a + u * b[k];
    }
    if (output && !in.before) {
      #pragma omp simd reduction(+:seen)
      for (int64_t k = 0; k < columns; ++k) seen += y[k] * q[k];
    }
    if (output) output[place * rows + v] = seen;
  }
}

template <typename T>
static void forward(const Inputs<T> in, const T* start, T* output, T* kept, T* end, int64_t first,
                    int64_t last) {
  const int64_t size = in.rows * in.columns, spans = (in.time + SPAN - 1) / SPAN;
  for (int64_t item = first; item < last; ++item) {
    T* state = end + item * size;
    std::copy_n(start + item * size, size, state);
    for (int64_t t = 0; t < in.time; ++t) {
      if (t % SPAN == 0) std::copy_n(state, size, kept + (item * spans + t / SPAN) * size);
      int64_t place = (item / in.heads * in.time + t) * in.heads + item % in.heads;
      step(in, place, state, state, output);
    }
  }
}

template <typename T>
static void backward(const Inputs<T> in, const T* kept, const T* above, T* carried, T* to_a,
                     T* to_c, T* to_d, T* to_e, T* to_u, T* to_b, T* to_q, int64_t first,
                     int64_t last) {
  const int64_t rows = in.rows, columns = in.columns, size = rows * columns;
  const int64_t spans = (in.time + SPAN - 1) / SPAN;
  std::vector<T> states((SPAN + 1) * size), one(columns, T(1)), none(columns, T(0));
  std::vector<T> unused(columns);
  for (int64_t item = first; item < last; ++item) {
    T* carry = carried + item * size;
    for (int64_t span = spans - 1; span >= 0; --span) {
      int64_t from = span * SPAN, to = std::min(in.time, from + SPAN);
      auto place_of = [&](int64_t t) {
        return (item / in.heads * in.time + t) * in.heads + item % in.heads;
      };
      std::copy_n(kept + (item * spans + span) * size, size, states.data());
      for (int64_t t = from; t < to; ++t) {
        T* at = &states[(t - from) * size];
        step(in, place_of(t), (const T*)at, at + size, (T*)nullptr);
      }
      for (int64_t t = to - 1; t >= from; --t) {
        const int64_t place = place_of(t);
        const T *old = &states[(t - from) * size], *now = old + size;
        const T* shown = in.before ? old : now;
        const T* c = in.c ? in.c + place * columns : one.data();
        const T* e = in.e ? in.e + place * columns : none.data();
        const T *b = in.b + place * columns, *q = in.q + place * columns;
        T *dc = in.c ? to_c + place * columns : unused.data();
        T *de = in.e ? to_e + place * columns : unused.data();
        T *db = to_b + place * columns, *dq = to_q + place * columns;
        for (int64_t k = 0; k < columns; ++k) dc[k] = de[k] = db[k] = dq[k] = 0;
        for (int64_t v = 0; v < rows; ++v) {
          const int64_t row = place * rows + v;
          const T a = in.a[row], u = in.u[row], d = in.e ? in.d[row] : T(0), up = above[row];
          const T *x = old + v * columns, *w = shown + v * columns;
          const T early = in.before ? up : T(0), late = in.before ? T(0) : up;
          T *g = carry + v * columns, da = 0, dd = 0, du = 0;
          #pragma omp simd reduction(+:da, dd, du)
          for (int64_t k = 0; k < columns; ++k) {
            T reached = g[k] + late * q[k], p = reached * x[k], m = 1 - d * e[k], ac = a * c[k];
            dq[k] += up * w[k];
            du += reached * b[k];
            db[k] += reached * u;
            da += p * c[k] * m;
            dc[k] += p * a * m;
            dd -= p * ac * e[k];
            de[k] -= p * ac * d;
            g[k] = reached * ac * m + early * q[k];
          }
          to_a[row] = da;
          to_u[row] = du;
          if (in.e) to_d[row] = dd;
        }
      }
    }
  }
}

#define INSTANCE(T) \
  extern "C" void forward_##T(const T* a, const T* c, const T* d, const T* e, const T* u, \
      const T* b, const T* q, const T* start, T* output, T* kept, T* end, int64_t time, \
      int64_t heads, int64_t rows, int64_t columns, int64_t before, int64_t first, int64_t last) { \
    forward<T>({a, c, d, e, u, b, q, time, heads, rows, columns, before}, start, output, kept, \
               end, first, last); \
  } \
  extern "C" void backward_##T(const T* a, const T* c, const T* d, const T* e, const T* u, \
      const T* b, const T* q, const T* kept, const T* above, T* carried, T* to_a, T* to_c, \
      T* to_d, T* to_e, T* to_u, T* to_b, T* to_q, int64_t time, int64_t heads, int64_t rows, \
      int64_t columns, int64_t before, int64_t first, int64_t last) { \
    backward<T>({a, c, d, e, u, b, q, time, heads, rows, columns, before}, kept, above, carried, \
                to_a, to_c, to_d, to_e, to_u, to_b, to_q, first, last); \
  }
INSTANCE(float)
INSTANCE(double)
"""

SPAN = 16

Inputs = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor, Tensor, Tensor]
"""What rows and columns keep, what is erased (by row, by column), what is written, and queries."""


def forward(inputs: Inputs, start: Tensor, before: bool) -> tuple[Tensor, Tensor, Tensor] | None:
    """Outputs, states at the start of every span, and the last state; None without a kernel.

    All inputs are `[batch, time, heads, rows or columns]`, read before or after the write.
    """
    run = kernel(SOURCE, "forward", start)
    if run is None:
        return None
    batch, time, heads, rows = inputs[0].shape
    columns = start.shape[-1]
    output = start.new_empty(batch, time, heads, rows)
    kept = start.new_empty(batch, heads, -(-time // SPAN), rows, columns)
    end = start.new_empty(start.shape)
    given = [None if each is None else each.contiguous() for each in inputs]
    sizes = (time, heads, rows, columns, int(before))
    run(*given, start.contiguous(), output, kept, end, *sizes, items=batch * heads)
    return output, kept, end


def backward(
    inputs: Inputs, kept: Tensor, above: Tensor, late: Tensor, before: bool
) -> tuple[list[Tensor | None], Tensor]:
    """Gradients of the inputs, and of the state before the first token.

    From those of the outputs, and of the last state.
    """
    run = kernel(SOURCE, "backward", kept)
    if run is None:
        raise RuntimeError("the kernel that ran forward is no longer there")
    batch, time, heads, rows = inputs[0].shape
    given = [None if each is None else each.contiguous() for each in inputs]
    found = [None if each is None else torch.empty_like(each) for each in given]
    carried = late.clone(memory_format=torch.contiguous_format)
    sizes = (time, heads, rows, kept.shape[-1], int(before))
    run(*given, kept, above.contiguous(), carried, *found, *sizes, items=batch * heads)
    return found, carried
