// W[v][k] <- W[v][k] a[v] c[k] (1 - d[v] e[k]) + u[v] b[k], y[v] = sum over k of W[v][k] q[k].
// Tensors are [batch, time, heads, rows or columns]; a, c, and d with e, may be left out. States
// are kept at the start of every SPAN tokens. An item is `wide` heads of one sequence, which lie side
// by side in a token.
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>
#ifdef __AVX__
#include <immintrin.h>
#endif

constexpr int64_t SPAN = 16;

template <typename T> struct Inputs {
  const T *a, *c, *d, *e, *u, *b, *q;
  int64_t time, heads, rows, columns, before, wide;
};

struct Item {
  int64_t batch, from, to;  // heads
  template <typename T> Item(const Inputs<T>& in, int64_t item) {
    int64_t tiles = (in.heads + in.wide - 1) / in.wide;
    batch = item / tiles;
    from = item % tiles * in.wide;
    to = std::min(in.heads, from + in.wide);
  }
};

// One token of one head; `old` and `now` may be the same. COLUMNS is their number, or 0 if it is
// only known when it runs; READ says when the state is read.
enum { NEVER, BEFORE, AFTER };
template <typename T, int COLUMNS, bool C, bool E, int READ>
static inline void step(const Inputs<T>& in, int64_t place, const T* old, T* now, T* output) {
  const int64_t rows = in.rows, columns = COLUMNS ? COLUMNS : in.columns;
  const T *c = in.c + place * columns, *b = in.b + place * columns;
  const T *e = in.e + place * columns, *q = in.q + place * columns;
  for (int64_t v = 0; v < rows; ++v) {
    const T a = in.a ? in.a[place * rows + v] : T(1), u = in.u[place * rows + v];
    const T d = E ? in.d[place * rows + v] : T(0);
    const T* x = old + v * columns;
    T *y = now + v * columns, read = 0;
    #pragma omp simd reduction(+:read)
    for (int64_t k = 0; k < columns; ++k) {
      T keep = C ? a * c[k] : a, before = x[k];
      if (E) keep *= 1 - d * e[k];
      T after = before * keep + u * b[k];
      y[k] = after;
      if (READ) read += (READ == BEFORE ? before : after) * q[k];
    }
    if (READ) output[place * rows + v] = read;
  }
}

// Gradients go past the cache where the processor has a way: they are as large as all inputs, and
// nobody reads them before the last one is written.
template <typename T> static inline void stream(T* to, const T* from, int64_t count) {
#ifdef __AVX__
  if (reinterpret_cast<uintptr_t>(to) % 64 == 0 && count * sizeof(T) % 64 == 0) {
    for (int64_t i = 0; i < count; i += 32 / sizeof(T))
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
    return;
  }
#endif
  std::copy_n(from, count, to);
}

// Back through one token of one head: `g` goes from the gradient of the state after it to that of
// the state before it.
template <typename T> struct Gradients {
  T *a, *c, *d, *e, *u, *b, *q;
};

template <typename T, int COLUMNS, bool C, bool E>
static inline void back(const Inputs<T>& in, int64_t place, const T* old, const T* now,
                        const T* above, T* carry, const Gradients<T>& to) {
  const int64_t rows = in.rows, columns = COLUMNS ? COLUMNS : in.columns;
  const T *c = in.c + place * columns, *b = in.b + place * columns;
  const T *e = in.e + place * columns, *q = in.q + place * columns;
  const bool apart = COLUMNS && rows == 1;
  T own[4][COLUMNS ? COLUMNS : 1];
  T *dc = apart ? own[0] : to.c + place * columns, *de = apart ? own[1] : to.e + place * columns;
  T *db = apart ? own[2] : to.b + place * columns, *dq = apart ? own[3] : to.q + place * columns;
  for (int64_t v = 0; v < rows; ++v) {
    const int64_t row = place * rows + v;
    const T a = in.a ? in.a[row] : T(1), u = in.u[row], d = E ? in.d[row] : T(0), up = above[row];
    const T *x = old + v * columns, *w = (in.before ? old : now) + v * columns;
    const T early = in.before ? up : T(0), late = in.before ? T(0) : up;
    T *g = carry + v * columns, da = 0, dd = 0, du = 0;
    #pragma omp simd reduction(+:da, dd, du)
    for (int64_t k = 0; k < columns; ++k) {
      T reached = g[k] + late * q[k], p = reached * x[k];
      T m = E ? 1 - d * e[k] : T(1), ac = C ? a * c[k] : a;
      T other = C ? c[k] * m : m;
      // The first row stores, the others add.
      dq[k] = (v ? dq[k] : T(0)) + up * w[k];
      db[k] = (v ? db[k] : T(0)) + reached * u;
      du += reached * b[k];
      da += p * other;
      if (C) dc[k] = (v ? dc[k] : T(0)) + p * a * m;
      if (E) {
        dd -= p * ac * e[k];
        de[k] = (v ? de[k] : T(0)) - p * ac * d;
      }
      g[k] = reached * ac * m + early * q[k];
    }
    to.u[row] = du;
    if (in.a) to.a[row] = da;
    if (E) to.d[row] = dd;
  }
  if (!apart) return;
  if (C) stream(to.c + place * columns, dc, columns);
  if (E) stream(to.e + place * columns, de, columns);
  stream(to.b + place * columns, db, columns);
  stream(to.q + place * columns, dq, columns);
}

template <typename T, int COLUMNS, bool C, bool E>
static void forward(const Inputs<T>& in, const T* start, T* output, T* kept, T* end, Item item) {
  const int64_t size = in.rows * in.columns, spans = (in.time + SPAN - 1) / SPAN;
  const int64_t wide = (item.to - item.from) * size;
  T* state = end + (item.batch * in.heads + item.from) * size;
  std::copy_n(start + (item.batch * in.heads + item.from) * size, wide, state);
  for (int64_t t = 0; t < in.time; ++t) {
    int64_t span = item.batch * spans + t / SPAN, first = (item.batch * in.time + t) * in.heads;
    if (kept && t % SPAN == 0)
      std::copy_n(state, wide, kept + (span * in.heads + item.from) * size);
    for (int64_t h = item.from; h < item.to; ++h) {
      T* at = state + (h - item.from) * size;
      if (in.before) step<T, COLUMNS, C, E, BEFORE>(in, first + h, at, at, output);
      else step<T, COLUMNS, C, E, AFTER>(in, first + h, at, at, output);
    }
  }
}

template <typename T, int COLUMNS, bool C, bool E>
static void backward(const Inputs<T>& in, const T* kept, const T* above, T* carried,
                     const Gradients<T>& to, Item item, std::vector<T>& states) {
  const int64_t size = in.rows * in.columns, spans = (in.time + SPAN - 1) / SPAN;
  const int64_t wide = (item.to - item.from) * size;
  T* carry = carried + (item.batch * in.heads + item.from) * size;
  states.resize((SPAN + 1) * wide);
  for (int64_t span = spans - 1; span >= 0; --span) {
    int64_t from = span * SPAN, until = std::min(in.time, from + SPAN);
    const T* start = kept + ((item.batch * spans + span) * in.heads + item.from) * size;
    std::copy_n(start, wide, states.data());
    for (int64_t t = from; t + 1 < until || (t < until && !in.before); ++t)
      for (int64_t h = item.from; h < item.to; ++h) {
        T* at = &states[(t - from) * wide + (h - item.from) * size];
        int64_t place = (item.batch * in.time + t) * in.heads + h;
        step<T, COLUMNS, C, E, NEVER>(in, place, at, at + wide, (T*)nullptr);
      }
    for (int64_t t = until - 1; t >= from; --t)
      for (int64_t h = item.from; h < item.to; ++h) {
        const T* at = &states[(t - from) * wide + (h - item.from) * size];
        int64_t place = (item.batch * in.time + t) * in.heads + h;
        T* g = carry + (h - item.from) * size;
        back<T, COLUMNS, C, E>(in, place, at, at + wide, above, g, to);
      }
  }
}

// What is the same for all tokens as constants of the compiler: 16 columns, as in Mamba, are two
// or four vectors.
template <typename T, typename F> static void shaped(const Inputs<T>& in, F run) {
  auto kinds = [&](auto columns) {
    std::true_type yes;
    std::false_type no;
    if (in.c && in.e) run(columns, yes, yes);
    else if (in.c) run(columns, yes, no);
    else if (in.e) run(columns, no, yes);
    else run(columns, no, no);
  };
  if (in.columns == 16) kinds(std::integral_constant<int, 16>());
  else kinds(std::integral_constant<int, 0>());
}

#define INSTANCE(T) \
  extern "C" void forward_##T(const T* a, const T* c, const T* d, const T* e, const T* u, \
      const T* b, const T* q, const T* start, T* output, T* kept, T* end, int64_t time, \
      int64_t heads, int64_t rows, int64_t columns, int64_t before, int64_t wide, int64_t first, \
      int64_t last) { \
    Inputs<T> in{a, c, d, e, u, b, q, time, heads, rows, columns, before, wide}; \
    shaped(in, [&](auto known, auto c, auto e) { \
      for (int64_t item = first; item < last; ++item) \
        forward<T, known, c, e>(in, start, output, kept, end, Item(in, item)); \
    }); \
  } \
  extern "C" void backward_##T(const T* a, const T* c, const T* d, const T* e, const T* u, \
      const T* b, const T* q, const T* kept, const T* above, T* carried, T* to_a, T* to_c, \
      T* to_d, T* to_e, T* to_u, T* to_b, T* to_q, int64_t time, int64_t heads, int64_t rows, \
      int64_t columns, int64_t before, int64_t wide, int64_t first, int64_t last) { \
    Inputs<T> in{a, c, d, e, u, b, q, time, heads, rows, columns, before, wide}; \
    Gradients<T> to{to_a, to_c, to_d, to_e, to_u, to_b, to_q}; \
    std::vector<T> states; \
    shaped(in, [&](auto known, auto c, auto e) { \
      for (int64_t item = first; item < last; ++item) \
        backward<T, known, c, e>(in, kept, above, carried, to, Item(in, item), states); \
    }); \
  }
INSTANCE(float)
INSTANCE(double)
