// A matrix laid out for few rows times it, again and again: one token of some sequences.
#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#ifdef __AVX512F__  // 32 registers, so that eight rows with two vectors of sums each stay in them
constexpr int64_t PACKED_ROWS = 8, PACKED_BYTES = 64;
#else
constexpr int64_t PACKED_ROWS = 4, PACKED_BYTES = 32;
#endif

// A matrix [rows, columns] in bands of two vectors of columns.
template <typename T> struct Packed {
  static constexpr int64_t WIDE = PACKED_BYTES / sizeof(T), BAND = 2 * WIDE;
  typedef T Vector __attribute__((vector_size(PACKED_BYTES), aligned(sizeof(T)), may_alias));
  int64_t rows = 0, bands = 0, room = 0;
  std::vector<T> data;

  void open(int64_t count, int64_t columns) {
    rows = count;
    bands = (columns + BAND - 1) / BAND;
    room = bands * BAND;
    data.assign(room * rows, T(0));
  }

  // `wide` columns of a row from `column` on, which lie `step` apart.
  void put(int64_t row, int64_t column, const T* from, int64_t step, int64_t wide) {
    while (wide > 0) {
      int64_t place = column % BAND, count = std::min(wide, BAND - place);
      T* to = &data[(column / BAND * rows + row) * BAND + place];
      for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
      from += count * step;
      column += count;
      wide -= count;
    }
  }

  // to [count, room] = left [count, apart] @ matrix, for as many rows as there are.
  void times(const T* left, int64_t apart, int64_t count, T* to) const {
    for (; count > 0; count -= PACKED_ROWS, left += PACKED_ROWS * apart, to += PACKED_ROWS * room) {
      // There may be room for more rows than there are: nobody looks at what comes of it.
      if (count > 4) some<PACKED_ROWS>(left, apart, to);
      else if (count > 2) some<4>(left, apart, to);
      else if (count > 1) some<2>(left, apart, to);
      else some<1>(left, apart, to);
    }
  }

  template <int64_t COUNT> void some(const T* left, int64_t apart, T* to) const {
    for (int64_t band = 0; band < bands; ++band) {
      Vector sum[COUNT][2] = {};
      const T* here = data.data() + band * rows * BAND;
      for (int64_t r = 0; r < rows; ++r, here += BAND) {
        Vector a = *(const Vector*)here, b = *(const Vector*)(here + WIDE);
        for (int64_t i = 0; i < COUNT; ++i) {
          T x = left[i * apart + r];
          sum[i][0] += x * a;
          sum[i][1] += x * b;
        }
      }
      for (int64_t i = 0; i < COUNT; ++i)
        for (int64_t j = 0; j < 2; ++j) *(Vector*)(to + i * room + band * BAND + j * WIDE) = sum[i][j];
    }
  }
};
