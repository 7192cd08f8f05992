// Products of small matrices, fast where all of them lie in the cache.
//
// Every matrix is padded: rows have a multiple of WIDE<T> numbers, so that inner loops have no rest.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

typedef int64_t I;

template <typename T> struct Lanes {
  typedef T type __attribute__((vector_size(32)));
  static constexpr I count = 32 / sizeof(T);
};

template <typename T> constexpr I WIDE = 2 * Lanes<T>::count;

template <typename T> static inline I padded(I size) {
  return (size + WIDE<T> - 1) / WIDE<T> * WIDE<T>;
}

template <typename T> static inline typename Lanes<T>::type load(const T* from) {
  typename Lanes<T>::type found;
  std::memcpy(&found, from, sizeof found);
  return found;
}

template <typename T> static inline void store(T* to, typename Lanes<T>::type what) {
  std::memcpy(to, &what, sizeof what);
}

// R rows and WIDE columns of c (+)= a b, over from <= k < to; a(m, k) = a[m am + k ak].
template <typename T, int R>
static inline void tile(const T* a, I am, I ak, const T* b, I ldb, T* c, I ldc, I from, I to,
                        bool add) {
  typedef typename Lanes<T>::type V;
  constexpr I L = Lanes<T>::count;
  V sums[R][2];
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < 2; ++n) sums[r][n] = add ? load(c + r * ldc + n * L) : V{};
  for (I k = from; k < to; ++k) {
    V left = load(b + k * ldb), right = load(b + k * ldb + L);
    for (int r = 0; r < R; ++r) {
      T x = a[r * am + k * ak];
      sums[r][0] += x * left;
      sums[r][1] += x * right;
    }
  }
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < 2; ++n) store(c + r * ldc + n * L, sums[r][n]);
}

// FULL: all of c. LOWER: only what is not above the diagonal of c is wanted. UPTO: a is zero above
// its diagonal. FROM: a is zero below its diagonal. UPPER: only what is not below the diagonal of c
// is wanted. BEFORE: b is zero below its diagonal. SINCE: b is zero above its diagonal.
enum Shape { FULL, LOWER, UPTO, FROM, UPPER, BEFORE, SINCE };

// c [rows, columns] (+)= a [rows, inner] b [inner, columns]; `columns` is padded.
template <typename T>
static void product(I rows, I columns, I inner, const T* a, I am, I ak, const T* b, I ldb, T* c,
                    I ldc, bool add, Shape shape = FULL) {
  for (I n = 0; n < columns; n += WIDE<T>)
    for (I m = 0; m < rows; m += 6) {
      I r = std::min<I>(6, rows - m);
      if (shape == LOWER && n >= m + r) continue;
      if (shape == UPPER && m >= n + WIDE<T>) continue;
      I from = shape == FROM ? m : shape == SINCE ? std::min(inner, n) : 0;
      I to = inner;
      if (shape == UPTO) to = std::min(inner, m + r);
      if (shape == BEFORE) to = std::min(inner, n + WIDE<T>);
      const T* x = a + m * am;
      T* y = c + m * ldc + n;
      switch (r) {
        case 6: tile<T, 6>(x, am, ak, b + n, ldb, y, ldc, from, to, add); break;
        case 5: tile<T, 5>(x, am, ak, b + n, ldb, y, ldc, from, to, add); break;
        case 4: tile<T, 4>(x, am, ak, b + n, ldb, y, ldc, from, to, add); break;
        case 3: tile<T, 3>(x, am, ak, b + n, ldb, y, ldc, from, to, add); break;
        case 2: tile<T, 2>(x, am, ak, b + n, ldb, y, ldc, from, to, add); break;
        default: tile<T, 1>(x, am, ak, b + n, ldb, y, ldc, from, to, add);
      }
    }
}

// Sum of products of two padded rows.
template <typename T> static inline T dot(const T* x, const T* y, I size) {
  typename Lanes<T>::type sum{};
  for (I n = 0; n < size; n += Lanes<T>::count) sum += load(x + n) * load(y + n);
  T found = 0;
  for (I n = 0; n < Lanes<T>::count; ++n) found += sum[n];
  return found;
}

// to [columns, ldt] = from [rows, ldf] turned; what is left of a row of `to` is zero.
template <typename T>
static void transpose(const T* from, I rows, I columns, I ldf, T* to, I ldt) {
  for (I n = 0; n < columns; ++n) {
    for (I m = 0; m < rows; ++m) to[n * ldt + m] = from[m * ldf + n];
    for (I m = rows; m < ldt; ++m) to[n * ldt + m] = 0;
  }
}

// Memory for a few matrices, zero at first.
template <typename T> struct Scratch {
  std::vector<T> room;
  std::vector<std::pair<T**, I>> wanted;
  void want(T*& place, I size) { wanted.push_back({&place, size}); }
  void give() {
    I total = 0;
    for (auto& each : wanted) total += padded<T>(each.second);
    room.assign(total, T(0));
    T* next = room.data();
    for (auto& each : wanted) {
      *each.first = next;
      next += padded<T>(each.second);
    }
  }
};
