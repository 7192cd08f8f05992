// Normal distribution up to z, `bell` is e^(-z^2 / 2): Abramowitz and Stegun 7.1.26, 1.5e-7 off.
__attribute__((always_inline)) static inline float below(float z, float bell) {
  float x = std::fabs(z) * .70710678f, t = 1.f / (1.f + .3275911f * x);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - .284496736f;
  p = p * t + .254829592f;
  float tail = .5f * p * t * bell;
  return z < 0 ? tail : 1.f - tail;
}
static inline double below(double z, double) { return .5 * std::erfc(-z * 0.70710678118654752); }

// Value, slope and curvature of an activation.
template <int KIND, typename T>
__attribute__((always_inline)) static inline void act(T z, T& value, T& slope, T& curve) {
  if (KIND == 0) {
    T bell = exponential(-z * z / 2), share = below(z, bell);
    bell *= T(0.3989422804014327);
    value = z * share;
    slope = share + z * bell;
    curve = bell * (2 - z * z);
  } else if (KIND == 1) {
    T share = 1 / (1 + exponential(-z)), rest = 1 - share;
    value = z * share;
    slope = share * (1 + z * rest);
    curve = share * rest * (2 + z * (rest - share));
  } else if (KIND == 2) {
    slope = z > 0 ? T(1) : T(0);
    value = z > 0 ? z : T(0);
    curve = 0;
  } else {
    T less = exponential(-2 * std::fabs(z)), size = (1 - less) / (1 + less);
    value = z < 0 ? -size : size;
    slope = 1 - size * size;
    curve = -2 * value * slope;
  }
}

template <int KIND, typename T>
static void each(const T* z, T* value, T* slope, T* curve, int64_t size) {
  if (curve) {
    _Pragma("omp simd") for (int64_t n = 0; n < size; ++n) {
      T v;
      act<KIND, T>(z[n], v, slope[n], curve[n]);
    }
  } else if (value && slope) {
    _Pragma("omp simd") for (int64_t n = 0; n < size; ++n) {
      T c;
      act<KIND, T>(z[n], value[n], slope[n], c);
    }
  } else {
    T* to = value ? value : slope;
    _Pragma("omp simd") for (int64_t n = 0; n < size; ++n) {
      T v, s, c;
      act<KIND, T>(z[n], v, s, c);
      to[n] = value ? v : s;
    }
  }
}

// Value, slope or both; slope and curvature.
template <typename T>
static void activate(int64_t kind, const T* z, T* value, T* slope, T* curve, int64_t size) {
  switch (kind) {
    case 0: return each<0>(z, value, slope, curve, size);
    case 1: return each<1>(z, value, slope, curve, size);
    case 2: return each<2>(z, value, slope, curve, size);
    default: return each<3>(z, value, slope, curve, size);
  }
}
