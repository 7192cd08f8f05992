// The error of answers [features, tokens], as rows.hpp has it for one token, and the way back.

#ifndef ERROR
template <typename T>
static void mistake(const Row<T>&, const T* answer, const T* value, const T*, I size, I ld, T* error,
                    T*) {
  for (I n = 0; n < size * ld; ++n) error[n] = answer[n] - value[n];
}

// Gradient of the answer from that of the error; `along` and `length` are a number per token.
template <typename T>
static void mistake_back(const Row<T>&, const T*, const T*, const T*, I size, I ld, const T* above,
                         T* found, T*, T*) {
  std::memcpy(found, above, size * ld * sizeof(T));
}
#else
template <typename T>
static void lengths(const T* answer, const T* value, I size, I ld, T* length) {
  std::fill(length, length + ld, T(0));
  if (!LENGTH) return;
  for (I f = 0; f < size; ++f)
    for (I i = 0; i < ld; ++i) {
      T r = answer[f * ld + i] - value[f * ld + i];
      length[i] += r * r;
    }
}

template <typename T>
static void mistake(const Row<T>& row, const T* answer, const T* value, const T* gate, I size, I ld,
                    T* error, T* length) {
  lengths(answer, value, size, ld, length);
  T own[4] = {row.p[0], row.p[1], row.p[2], row.p[3]};
  for (I f = 0; f < size; ++f)
    for (I i = 0; i < ld; ++i) {
      I n = f * ld + i;
      error[n] = Row<T>::template error<T>(answer[n] - value[n], length[i], gate[i], T(0), own);
    }
}

template <typename T>
static void mistake_back(const Row<T>& row, const T* answer, const T* value, const T* gate, I size,
                         I ld, const T* above, T* found, T* along, T* length) {
  typedef Dual<T> N;
  lengths(answer, value, size, ld, length);
  std::fill(along, along + ld, T(0));
  T own[4] = {row.p[0], row.p[1], row.p[2], row.p[3]};
  for (I f = 0; f < size; ++f)
    for (I i = 0; i < ld; ++i) {
      I n = f * ld + i;
      T r = answer[n] - value[n];
      N near{length[i], T(0)}, far{length[i], T(1)};
      found[n] = above[n] * Row<T>::template error<N>(N{r, T(1)}, near, gate[i], T(0), own).d;
      if (LENGTH)
        along[i] += above[n] * Row<T>::template error<N>(N{r, T(0)}, far, gate[i], T(0), own).d;
    }
  if (LENGTH)
    for (I f = 0; f < size; ++f)
      for (I i = 0; i < ld; ++i) {
        I n = f * ld + i;
        found[n] += 2 * along[i] * (answer[n] - value[n]);
      }
}
#endif
