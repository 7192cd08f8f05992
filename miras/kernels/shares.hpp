// What a start and the pairs of a chunk are worth in what later tokens see, one number per token:
// M_i = carry_i M_{i-1} + pair_i and W_i = decay_i W_{i-1} + M_i, or W_i = decay_i W_{i-1} + pair_i
// where nothing is carried.

template <typename T> struct Shares {
  const I ld;
  const bool carries;
  I count = 0;
  Scratch<T> scratch;
  T *decay, *carry;
  T *first, *second, *rest;  // of W_0 and M_0 in W_i, of M_0 in M_i
  T *whole, *own;            // [tokens, pairs] of pairs in W and in M; zero above the diagonal
  T* below;

  Shares(I tokens, bool with) : ld(padded<T>(tokens)), carries(with) {
    for (T** each : {&decay, &carry, &first, &second, &rest, &below}) scratch.want(*each, ld);
    scratch.want(whole, ld * ld);
    if (carries) scratch.want(own, ld * ld);
    scratch.give();
  }

  // Of decays and carries that lie `stride` apart; no decays are ones.
  void of(const T* decays, const T* carried, I stride, I tokens) {
    count = tokens;
    T a = 1, b = 0, e = 1;
    for (I i = 0; i < count; ++i) {
      decay[i] = decays ? decays[i * stride] : T(1);
      first[i] = a *= decay[i];
      T* w = whole + i * ld;
      std::fill(w + i + 1, w + ld, T(0));
      w[i] = 1;
      for (I j = 0; j < i; ++j) w[j] = decay[i] * (w - ld)[j];
      if (!carries) continue;
      carry[i] = carried[i * stride];
      rest[i] = e *= carry[i];
      second[i] = b = decay[i] * b + e;
      T* m = own + i * ld;
      std::fill(m + i + 1, m + ld, T(0));
      m[i] = 1;
      for (I j = 0; j < i; ++j) {
        m[j] = carry[i] * (m - ld)[j];
        w[j] += m[j];
      }
    }
  }

  // Gradients of decays and carries from those of the above; `dwhole` is used up, `dlast` is that of
  // the last row of `own`, `drest` that of the last of `rest`.
  void back(T* dwhole, const T* dlast, const T* dfirst, const T* dsecond, T drest, T* ddecay,
            T* dcarry) {
    T of_first = 0, of_second = 0;
    for (I j = 0; j < count && carries; ++j) below[j] = dlast[j];
    for (I i = count - 1; i >= 0; --i) {
      T *row = dwhole + i * ld, *before = row - ld;
      const T *w = whole + (i - 1) * ld;
      of_first += dfirst[i];
      T kept = of_first * (i ? first[i - 1] : T(1));
      for (I j = 0; j < i; ++j) {
        kept += row[j] * w[j];
        before[j] += row[j] * decay[i];
      }
      if (carries) {
        const T* m = own + (i - 1) * ld;
        of_second += dsecond[i];
        kept += of_second * (i ? second[i - 1] : T(0));
        drest += of_second;
        T more = drest * (i ? rest[i - 1] : T(1));
        for (I j = 0; j <= i; ++j) below[j] += row[j];
        for (I j = 0; j < i; ++j) {
          more += below[j] * m[j];
          below[j] *= carry[i];
        }
        dcarry[i] = more;
        of_second *= decay[i], drest *= carry[i];
      }
      ddecay[i] = kept;
      of_first *= decay[i];
    }
  }
};
