"""A recurrent cell over a sequence, and its derivative: one product a token, then its channels."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from miras.kernels import channels, kernel

SOURCE = (
    channels.SOURCE
    + r"""
constexpr int64_t BLOCK = 4;  // sequences that one item takes together

// A matrix [rows, columns] in bands of two vectors of columns, for BLOCK rows times it.
template <typename T> struct Packed {
  static constexpr int64_t WIDE = 32 / sizeof(T), BAND = 2 * WIDE;
  typedef T Vector __attribute__((vector_size(32), aligned(sizeof(T))));
  int64_t rows, bands, room;
  std::vector<T> data;

  // `from` is the matrix, or turned.
  Packed(const T* from, int64_t rows, int64_t columns, bool turned)
      : rows(rows), bands((columns + BAND - 1) / BAND), room(bands * BAND), data(room * rows) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        data[(c / BAND * rows + r) * BAND + c % BAND] =
            turned ? from[c * rows + r] : from[r * columns + c];
  }

  // to [BLOCK, room] = left [BLOCK, apart] @ matrix.
  void times(const T* left, int64_t apart, T* to) const {
    for (int64_t band = 0; band < bands; ++band) {
      Vector sum[BLOCK][2] = {};
      const T* here = data.data() + band * rows * BAND;
      for (int64_t r = 0; r < rows; ++r, here += BAND) {
        Vector a = *(const Vector*)here, b = *(const Vector*)(here + WIDE);
        for (int64_t i = 0; i < BLOCK; ++i) {
          T x = left[i * apart + r];
          sum[i][0] += x * a;
          sum[i][1] += x * b;
        }
      }
      for (int64_t i = 0; i < BLOCK; ++i)
        for (int64_t j = 0; j < 2; ++j)
          *(Vector*)(to + i * room + band * BAND + j * WIDE) = sum[i][j];
    }
  }
};

// Items are a head and BLOCK sequences of it. Tensors are [heads, time, batch, ..., size].
struct Item {
  int64_t head, from, to;
  Item(int64_t item, int64_t batch) {
    int64_t blocks = (batch + BLOCK - 1) / BLOCK;
    head = item / blocks;
    from = item % blocks * BLOCK;
    to = std::min(batch, from + BLOCK);
  }
};

template <typename T>
static void forward(const T* drive, const T* given, const T* matrix, const T* start,
                    const T* before, T* summed, T* output, T* states, const int64_t* whole,
                    const T* real, int64_t time, int64_t batch, int64_t first, int64_t last) {
  const Program<T> p(whole, real);
  const int64_t n = p.size, wide = p.seen * n, kept = p.states * n;
  Channels<T> at(p);
  for (int64_t number = first; number < last; ++number) {
    Item item(number, batch);
    Packed<T> packed(matrix + item.head * n * wide, n, wide, false);
    std::vector<T> asked(BLOCK * n), product(BLOCK * packed.room);
    for (int64_t b = item.from; b < item.to; ++b)
      std::copy_n(before + (item.head * batch + b) * n, n, &asked[(b - item.from) * n]);
    for (int64_t t = 0; t < time; ++t) {
      packed.times(asked.data(), n, product.data());
      for (int64_t b = item.from; b < item.to; ++b) {
        int64_t place = (item.head * time + t) * batch + b;
        const T *x = drive + place * wide, *more = &product[(b - item.from) * packed.room];
        const T* input = given + place * p.given * n;
        const T* old = start + (item.head * batch + b) * kept;
        if (t) old = states + (place - batch) * kept;
        T *row = summed + place * wide, *now = states + place * kept;
        T *out = output + place * n, *next = &asked[(b - item.from) * n];
        for (int64_t i = 0; i < wide; ++i) row[i] = x[i] + more[i];
        at.open(row, input);
        at.write(old, now);
        at.read(now, input);
        const T *gate = at.gate[OUTPUT], *shown = at.shown;
        EACH out[i] = next[i] = gate[i] * shown[i];
      }
    }
  }
}

template <typename T>
static void backward(const T* summed, const T* given, const T* matrix, const T* start,
                     const T* states, const T* above, T* to_summed, T* to_given, T* carried,
                     T* reached, const int64_t* whole, const T* real, int64_t time, int64_t batch,
                     int64_t first, int64_t last) {
  const Program<T> p(whole, real);
  const int64_t n = p.size, wide = p.seen * n, kept = p.states * n;
  Channels<T> at(p);
  std::vector<T> pulled(BLOCK * wide), both(n);
  for (int64_t number = first; number < last; ++number) {
    Item item(number, batch);
    Packed<T> packed(matrix + item.head * n * wide, wide, n, true);
    std::vector<T> asked(BLOCK * packed.room);
    for (int64_t t = time - 1; t >= 0; --t) {
      for (int64_t b = item.from; b < item.to; ++b) {
        int64_t place = (item.head * time + t) * batch + b;
        const T *row = summed + place * wide, *input = given + place * p.given * n;
        const T* old = start + (item.head * batch + b) * kept;
        if (t) old = states + (place - batch) * kept;
        const T *up = above + place * n, *late = &asked[(b - item.from) * packed.room];
        T *sum = both.data(), *into = to_summed + place * wide;
        EACH sum[i] = up[i] + late[i];
        at.open(row, input);
        at.read(states + place * kept, input);
        at.back(row, input, old, sum, carried + (item.head * batch + b) * kept, into,
                to_given + place * p.given * n);
        std::copy_n(into, wide, &pulled[(b - item.from) * wide]);
      }
      packed.times(pulled.data(), wide, asked.data());
    }
    for (int64_t b = item.from; b < item.to; ++b)
      std::copy_n(&asked[(b - item.from) * packed.room], n, reached + (item.head * batch + b) * n);
  }
}

#define INSTANCE(T) \
  extern "C" void forward_##T(const T* drive, const T* given, const T* matrix, const T* start, \
      const T* before, T* summed, T* output, T* states, const int64_t* whole, const T* real, \
      int64_t time, int64_t batch, int64_t first, int64_t last) { \
    forward<T>(drive, given, matrix, start, before, summed, output, states, whole, real, time, \
               batch, first, last); \
  } \
  extern "C" void backward_##T(const T* summed, const T* given, const T* matrix, const T* start, \
      const T* states, const T* above, T* to_summed, T* to_given, T* carried, T* reached, \
      const int64_t* whole, const T* real, int64_t time, int64_t batch, int64_t first, \
      int64_t last) { \
    backward<T>(summed, given, matrix, start, states, above, to_summed, to_given, carried, \
                reached, whole, real, time, batch, first, last); \
  }
INSTANCE(float)
INSTANCE(double)
"""
)

BLOCK = 4

KINDS = ("none", "sigmoid", "exponential", "given", "fixed", "complement")
"""How a gate is made: of a row that sees the output, of a given row, or of the decay."""

CANDIDATES = ("plain", "tanh", "tanh with reset")


class Gate(NamedTuple):
    """How one gate is made."""

    kind: str = "none"
    row: int = 0  # among those that see the output, or those that are given
    number: float = 0.0


class Program(NamedTuple):
    """What a channel does at a token: w = keep w + size value, then what is read."""

    gates: tuple[Gate, Gate, Gate, Gate]  # decay, step, reset, output
    candidate: str
    candidate_row: int
    value_row: int
    bonus_row: int  # of exp(u), or -1
    residual: bool
    previous: bool
    implicit: bool
    normaliser: bool
    squash: bool
    floor: float
    divisor: float

    def tables(
        self, seen: int, given: int, states: int, like: Tensor
    ) -> tuple[ctypes.Array[ctypes.c_int64], Tensor]:
        """The numbers that the kernel reads it from."""
        whole: Sequence[int] = (
            *(KINDS.index(gate.kind) for gate in self.gates),
            *(gate.row for gate in self.gates),
            *(seen, given, states, like.shape[-1], CANDIDATES.index(self.candidate)),
            *(self.candidate_row, self.value_row, self.bonus_row),
            *(self.residual, self.previous, self.implicit, self.normaliser, self.squash),
        )
        real = [*(gate.number for gate in self.gates), self.floor, self.divisor]
        return (ctypes.c_int64 * len(whole))(*whole), like.new_tensor(real)


def forward(
    program: Program, drive: Tensor, given: Tensor, matrix: Tensor, start: Tensor, before: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Sums, outputs and states of all tokens, or None where there is no kernel."""
    run = kernel(SOURCE, "forward", drive, given, matrix, start, before)
    if run is None:
        return None
    heads, time, batch, seen, size = drive.shape
    summed = drive.new_empty(drive.shape)
    output = drive.new_empty(heads, time, batch, size)
    states = drive.new_empty(heads, time, batch, start.shape[-2], size)
    tables = program.tables(seen, given.shape[-2], start.shape[-2], drive)
    sources = (each.contiguous() for each in (drive, given, matrix, start, before))
    items = heads * -(-batch // BLOCK)
    run(*sources, summed, output, states, *tables, time, batch, items=items)
    return summed, output, states


def backward(
    program: Program,
    summed: Tensor,
    given: Tensor,
    matrix: Tensor,
    start: Tensor,
    states: Tensor,
    above: Tensor,
    carried: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Gradients of the sums, the given rows, the states and the output before the first token."""
    run = kernel(SOURCE, "backward", summed, given, matrix, start, above, carried)
    if run is None:
        return None
    heads, time, batch, seen, size = summed.shape
    tables = program.tables(seen, given.shape[-2], start.shape[-2], summed)
    to_summed, to_given = summed.new_empty(summed.shape), given.new_empty(given.shape)
    carried = carried.clone(memory_format=torch.contiguous_format)
    reached = summed.new_empty(heads, batch, size)
    sources = (each.contiguous() for each in (summed, given, matrix, start, states, above))
    items = heads * -(-batch // BLOCK)
    found = (to_summed, to_given, carried, reached)
    run(*sources, *found, *tables, time, batch, items=items)
    return found
