// Functions over rows: included once for each REAL.
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

template <int64_t SIZE>
static void unit(const REAL* x, const Steps* in, REAL eps, int64_t silu, REAL* found,
                 const Steps* out, int64_t heads, int64_t any, int64_t first, int64_t last) {
  const int64_t size = SIZE ? SIZE : any;
  for (int64_t row = first; row < last; ++row)
    for (int64_t h = 0; h < heads; ++h) {
      const REAL* a = at(x, *in, row, h);
      REAL *y = at(found, *out, row, h), square = 0;
      if (silu) {
        SUM(square, size) { y[i] = a[i] * sigmoid(a[i]); square += y[i] * y[i]; }
      } else {
        SUM(square, size) { y[i] = a[i]; square += y[i] * y[i]; }
      }
      REAL length = std::sqrt(square), inverse = 1 / (length < eps ? eps : length);
      EACH(size) y[i] *= inverse;
    }
}

extern "C" void unit_REAL(const REAL* x, const Steps* in, const REAL* eps, int64_t silu,
                          REAL* found, const Steps* out, int64_t heads, int64_t size,
                          int64_t first, int64_t last) {
  SIZED(unit, x, in, *eps, silu, found, out, heads, size, first, last)
}

template <int64_t SIZE>
static void unit_back(const REAL* x, const Steps* in, REAL eps, int64_t silu, const REAL* above,
                      const Steps* up, REAL* below, const Steps* out, int64_t heads, int64_t any,
                      int64_t first, int64_t last) {
  const int64_t size = SIZE ? SIZE : any;
  std::vector<REAL> room(2 * size);
  REAL *y = room.data(), *slope = y + size;
  for (int64_t row = first; row < last; ++row)
    for (int64_t h = 0; h < heads; ++h) {
      const REAL *a = at(x, *in, row, h), *g = at(above, *up, row, h);
      REAL *d = at(below, *out, row, h), square = 0, along = 0;
      if (silu) {
        EACH(size) {
          REAL s = sigmoid(a[i]);
          y[i] = a[i] * s;
          slope[i] = s * (1 + a[i] * (1 - s));
        }
      } else {
        EACH(size) { y[i] = a[i]; slope[i] = 1; }
      }
      SUM(square, size) square += y[i] * y[i];
      SUM(along, size) along += y[i] * g[i];
      REAL length = std::sqrt(square), inverse = 1 / (length > eps ? length : eps);
      along = length > eps ? along / square : 0;  // below eps the length does not count
      EACH(size) d[i] = (g[i] - y[i] * along) * inverse * slope[i];
    }
}

extern "C" void unit_back_REAL(const REAL* x, const Steps* in, const REAL* eps, int64_t silu,
                               const REAL* above, const Steps* up, REAL* below, const Steps* out,
                               int64_t heads, int64_t size, int64_t first, int64_t last) {
  SIZED(unit_back, x, in, *eps, silu, above, up, below, out, heads, size, first, last)
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
