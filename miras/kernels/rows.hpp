// The row that a token writes, from what the memory answers, and the way back.
//
// Without ERROR a row is the value minus the answer. ERROR is the error map of an attentional bias,
// an expression of r (one entry of the answer minus the value), n2 (the squared length of all of
// r), g (a gate of the token), limit and the numbers p[0], p[1], ...; a row is minus the error.

template <typename T> struct Dual {  // a number and its derivative
  T v, d;
};

#define DUAL template <typename T> static inline Dual<T>
DUAL operator+(Dual<T> a, Dual<T> b) { return {a.v + b.v, a.d + b.d}; }
DUAL operator+(Dual<T> a, T b) { return {a.v + b, a.d}; }
DUAL operator+(T a, Dual<T> b) { return {a + b.v, b.d}; }
DUAL operator*(Dual<T> a, Dual<T> b) { return {a.v * b.v, a.d * b.v + a.v * b.d}; }
DUAL operator*(T a, Dual<T> b) { return {a * b.v, a * b.d}; }
DUAL operator*(Dual<T> a, T b) { return {a.v * b, a.d * b}; }
DUAL operator/(Dual<T> a, Dual<T> b) { T x = a.v / b.v; return {x, (a.d - x * b.d) / b.v}; }
DUAL operator/(T a, Dual<T> b) { T x = a / b.v; return {x, -x * b.d / b.v}; }
DUAL root(Dual<T> a) { T x = std::sqrt(a.v); return {x, a.d / (2 * x)}; }
DUAL power(Dual<T> a, T p) { T x = std::pow(a.v, p); return {x, p * x / a.v * a.d}; }
DUAL least(Dual<T> a, T b) { return a.v < b ? a : Dual<T>{b, T(0)}; }
DUAL most(Dual<T> a, T b) { return a.v > b ? a : Dual<T>{b, T(0)}; }
DUAL where(bool one, Dual<T> a, Dual<T> b) { return {one ? a.v : b.v, one ? a.d : b.d}; }
template <typename T> static inline T root(T a) { return std::sqrt(a); }
template <typename T> static inline T power(T a, T p) { return std::pow(a, p); }
template <typename T> static inline T least(T a, T b) { return a < b ? a : b; }
template <typename T> static inline T most(T a, T b) { return a > b ? a : b; }
template <typename T> static inline T where(bool one, T a, T b) { return one ? a : b; }
template <typename T> static inline T number(T a) { return a; }
template <typename T> static inline T number(Dual<T> a) { return a.v; }

template <typename T> struct Row {
  const T *gate, *limit, *p;  // of the tokens; numbers of the error map

#ifndef ERROR
  void write(const T* answer, const T* value, I, T* u, I size, I) const {
    for (I n = 0; n < size; ++n) u[n] = value[n] - answer[n];
  }
  void back(const T*, const T*, I, const T* du, T* dv, I size, I) const {
    for (I n = 0; n < size; ++n) dv[n] = -du[n];
  }
#else
  template <typename N> static inline N error(N r, N n2, T g, T limit, const T* p) {
    return ERROR;
  }

  static T squared(const T* answer, const T* value, I size) {
    T sum = 0;
    for (I n = 0; n < size; ++n) sum += (answer[n] - value[n]) * (answer[n] - value[n]);
    return sum;
  }

  // `entries` are those of a value, without the padding.
  void write(const T* answer, const T* value, I token, T* u, I size, I entries) const {
    T g = gate ? gate[token] : T(0), most = limit ? limit[token] : T(0);
    T n2 = LENGTH ? squared(answer, value, entries) : T(0);
    T own[4] = {p[0], p[1], p[2], p[3]};
    for (I n = 0; n < entries; ++n) u[n] = -error<T>(answer[n] - value[n], n2, g, most, own);
    for (I n = entries; n < size; ++n) u[n] = 0;
  }

  void back(const T* answer, const T* value, I token, const T* du, T* dv, I size, I entries) const {
    T g = gate ? gate[token] : T(0), most = limit ? limit[token] : T(0);
    T n2 = LENGTH ? squared(answer, value, entries) : T(0), along = 0;
    T own[4] = {p[0], p[1], p[2], p[3]};
    for (I n = 0; n < entries; ++n) {
      Dual<T> r{answer[n] - value[n], T(1)};
      dv[n] = -du[n] * error<Dual<T>>(r, Dual<T>{n2, T(0)}, g, most, own).d;
    }
    if (LENGTH) {
      for (I n = 0; n < entries; ++n) {
        Dual<T> r{answer[n] - value[n], T(0)};
        along -= du[n] * error<Dual<T>>(r, Dual<T>{n2, T(1)}, g, most, own).d;
      }
      for (I n = 0; n < entries; ++n) dv[n] += 2 * along * (answer[n] - value[n]);
    }
    for (I n = entries; n < size; ++n) dv[n] = 0;
  }
#endif
};
