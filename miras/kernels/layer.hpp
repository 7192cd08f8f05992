// What functions over rows share, whatever their type.
#include <cmath>
#include <cstdint>
#include <cstring>
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
