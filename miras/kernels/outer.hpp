// Matrix memories that are written one row u along b per token; see miras/plans/outer.py.
//
// Tokens are [batch, time, heads, size], weights [batch, heads, value, key]; an item is one head of
// one sequence. Inside, S is the transposed weights, [key, value]. `step` multiplies b where it is
// given; the address is b without its step where none is given. Decay is one number per token, or
// one per key channel. With one number there may be a momentum M: rows join M, which fades as
// `carry` says and is added to S at every token.

template <typename T> struct Call {
  const T *query, *along, *step, *address, *value, *decay, *carry;
  Row<T> row;
  I time, heads, key, value_size, chunk;
  bool early, looks, channels;
};

// The tokens of one chunk, and what fades between them.
template <typename T> struct Chunk {
  const Call<T>& call;
  I kp, vp, cp, count = 0;
  I ahead = 0;  // from a token to the one that is wanted next in its place
  Scratch<T> scratch;
  T *q, *k, *a, *b, *v, *bt;      // [C, key], value [C, value], bt [key, C]
  T *g, *since, *until;           // one or `key` numbers per token
  Shares<T> shares;               // where there is one number per token
  T *between;                     // [C, C] shares of pairs in S, zero above the diagonal
  T *met, *asked;                 // q b^T and a b^T, before they fade where that is one number
  T *P, *A;                       // and after
  // Of channels: b_j at later tokens of its half; what is left of the middle, or until it; x and b
  // there.
  T *history, *tail, *left, *right;
  T *s, *m, *u, *x, *y, *beside;

  explicit Chunk(const Call<T>& c) : call(c), shares(c.chunk, c.carry) {
    kp = padded<T>(c.key), vp = padded<T>(c.value_size), cp = padded<T>(c.chunk);
    I C = c.chunk, w = c.channels ? kp : 1;
    for (T** each : {&q, &k, &a, &b, &x}) scratch.want(*each, C * kp);
    for (T** each : {&v, &u, &y, &beside}) scratch.want(*each, C * vp);
    scratch.want(until, C * w);
    if (c.channels)
      for (T** each : {&g, &since}) scratch.want(*each, C * w);
    for (T** each : {&met, &asked, &P, &A}) scratch.want(*each, C * cp);
    scratch.want(bt, c.key * cp);
    for (T** each : {&s, &m}) scratch.want(*each, c.key * vp);
    if (c.channels) {
      scratch.want(history, 2 * 16 * 16 * kp);
      for (T** each : {&tail, &left}) scratch.want(*each, C * kp);
      scratch.want(right, kp * WIDE<T> * 2);
    }
    scratch.give();
    if (!c.channels) between = shares.whole, since = shares.first, g = shares.decay;
  }

  I at(I item, I t, I size) const {
    I batch = item / call.heads, head = item % call.heads;
    return ((batch * call.time + t) * call.heads + head) * size;
  }

  // Tokens of one head lie apart: those of the chunk that comes next are sent for meanwhile.
  void take(const T* from, I item, I t, I size, T* to, I ld) {
    for (I i = 0; i < count; ++i) {
      const T* row = from + at(item, t + i, size);
      std::memcpy(to + i * ld, row, size * sizeof(T));
      if (t + i + ahead < 0 || t + i + ahead >= call.time) continue;
      const T* next = row + ahead * call.heads * size;
      for (I n = 0; n < size; n += 64 / sizeof(T)) __builtin_prefetch(next + n);
    }
  }

  void read(I item, I t) {
    count = std::min(call.chunk, call.time - t);
    take(call.query, item, t, call.key, q, kp);
    take(call.along, item, t, call.key, k, kp);
    take(call.value, item, t, call.value_size, v, vp);
    if (call.address) take(call.address, item, t, call.key, a, kp);
    else std::memcpy(a, k, count * kp * sizeof(T));
    for (I i = 0; i < count; ++i) {
      T size = call.step ? call.step[at(item, t + i, 1)] : T(1);
      for (I n = 0; n < kp; ++n) b[i * kp + n] = size * k[i * kp + n];
    }
    transpose(b, count, call.key, kp, bt, cp);
    if (call.channels) fade_channels(item, t);
    else fade(item, t);
  }

  void fade(I item, I t) {
    I place = at(item, t, 1);
    shares.of(call.decay ? call.decay + place : nullptr, call.carry ? call.carry + place : nullptr,
              call.heads, count);
    std::memcpy(until, between + (count - 1) * cp, count * sizeof(T));
  }

  void fade_channels(I item, I t) {
    take(call.decay, item, t, call.key, g, kp);
    for (I i = 0; i < count; ++i)
      for (I n = 0; n < kp; ++n)
        since[i * kp + n] = g[i * kp + n] * (i ? since[(i - 1) * kp + n] : T(1));
    for (I n = 0; n < kp; ++n) until[(count - 1) * kp + n] = 1;
    for (I i = count - 2; i >= 0; --i)
      for (I n = 0; n < kp; ++n)
        until[i * kp + n] = until[(i + 1) * kp + n] * g[(i + 1) * kp + n];
    // What is left of b_j at each later token of its block of 16, and at the end of the first.
    for (I first = 0, block = 0; first < count; first += 16, ++block)
      for (I i = first; i < std::min(count, first + 16); ++i) {
        T* row = history + ((block * 16 + i - first) * 16) * kp;
        for (I j = 0; j < i - first; ++j)
          for (I n = 0; n < kp; ++n)
            row[j * kp + n] = row[(j - 16) * kp + n] * g[i * kp + n];
        std::memcpy(row + (i - first) * kp, b + i * kp, kp * sizeof(T));
      }
    if (count > 16) {
      const T* last = history + 15 * 16 * kp;
      transpose(last, 16, call.key, kp, right, 2 * WIDE<T>);
      for (I n = 0; n < kp; ++n) tail[15 * kp + n] = 1;
      for (I i = 14; i >= 0; --i)
        for (I n = 0; n < kp; ++n)
          tail[i * kp + n] = tail[(i + 1) * kp + n] * g[(i + 1) * kp + n];
      for (I i = 16; i < count; ++i)
        for (I n = 0; n < kp; ++n)
          tail[i * kp + n] = g[i * kp + n] * (i > 16 ? tail[(i - 1) * kp + n] : T(1));
    }
  }

  // left_i = x_i times what is left of the middle of the chunk when token i reads.
  void from_middle(const T* from, bool early) {
    for (I i = 16; i < count; ++i)
      for (I n = 0; n < kp; ++n) {
        T kept = !early ? tail[i * kp + n] : i > 16 ? tail[(i - 1) * kp + n] : T(1);
        left[(i - 16) * kp + n] = from[i * kp + n] * kept;
      }
  }

  // x_i . b_j faded, for j <= i, or j < i where token i reads before its own decay.
  void pairs(const T* from, bool early, T* raw, T* found) {
    if (!call.channels) {
      product(count, cp, call.key, from, kp, I(1), bt, cp, raw, cp, false, LOWER);
      for (I i = 0; i < count; ++i) {
        T* row = found + i * cp;
        const T* faded = early ? between + (i - 1) * cp : between + i * cp;
        I last = early ? i : i + 1;
        for (I j = 0; j < last; ++j) row[j] = raw[i * cp + j] * faded[j];
        for (I j = last; j < cp; ++j) row[j] = 0;
      }
      return;
    }
    for (I i = 0; i < count; ++i) {
      T* row = found + i * cp;
      I block = i / 16, first = block * 16, place = i - first;
      const T* past = history + (block * 16 + place - (early ? 1 : 0)) * 16 * kp;
      I last = early ? place : place + 1;
      for (I j = 0; j < last; ++j) row[first + j] = dot(from + i * kp, past + j * kp, kp);
      for (I j = first + last; j < cp; ++j) row[j] = 0;
    }
    if (count > 16) {
      from_middle(from, early);
      product(count - 16, I(16), call.key, left, kp, I(1), right, 2 * WIDE<T>, found + 16 * cp, cp,
              false);
    }
  }

  void strictly_lower(T* square) {
    for (I i = 0; i < count; ++i)
      for (I j = i; j < cp; ++j) square[i * cp + j] = 0;
  }

  // to = from, each row times what is left of the start when its token reads.
  void from_start(const T* from, bool early, T* to) {
    for (I i = 0; i < count; ++i)
      for (I n = 0; n < kp; ++n) {
        I place = early ? i - 1 : i;
        T kept = place < 0 ? T(1) : call.channels ? since[place * kp + n] : since[place];
        to[i * kp + n] = from[i * kp + n] * kept;
      }
  }

  void to_end(const T* from, T* to) {
    for (I i = 0; i < count; ++i)
      for (I n = 0; n < kp; ++n)
        to[i * kp + n] = from[i * kp + n] * (call.channels ? until[i * kp + n] : until[i]);
  }

  void joined(const T* from, T* to) {  // as `to_end`, of M
    const T* own = shares.own + (count - 1) * cp;
    for (I i = 0; i < count; ++i)
      for (I n = 0; n < kp; ++n) to[i * kp + n] = from[i * kp + n] * own[i];
  }

  // S and M at the end of the chunk, without what was written in it.
  void through() {
    I end = count - 1;
    for (I k = 0; k < call.key; ++k) {
      T kept = call.channels ? since[end * kp + k] : since[end];
      for (I n = 0; n < vp; ++n) s[k * vp + n] *= kept;
    }
    if (!shares.carries) return;
    for (I n = 0; n < call.key * vp; ++n) {
      s[n] += shares.second[end] * m[n];
      m[n] *= shares.rest[end];
    }
  }
};
