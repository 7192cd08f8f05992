// What functions over rows share, whatever their type.
#include <vector>

#define EACH(n) _Pragma("omp simd") for (int64_t i = 0; i < n; ++i)
#define PRAGMA(text) _Pragma(#text)
#define SUM(to, n) PRAGMA(omp simd reduction(+ : to)) for (int64_t i = 0; i < n; ++i)

// Loops over heads of usual sizes are unrolled.
#define SIZED(function, ...)                  \
  switch (size) {                             \
    case 16: function<16>(__VA_ARGS__); break; \
    case 32: function<32>(__VA_ARGS__); break; \
    case 64: function<64>(__VA_ARGS__); break; \
    default: function<0>(__VA_ARGS__);        \
  }

// How many tokens a sequence has, and how far sequences, tokens and heads lie apart.
struct Steps { int64_t time, sequence, token, head; };

template <typename T> static inline T* at(T* x, const Steps& s, int64_t row, int64_t head) {
  return x + row / s.time * s.sequence + row % s.time * s.token + head * s.head;
}
