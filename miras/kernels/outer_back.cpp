// The way back through a chunk; see outer.cpp.

// From what fades to the multipliers themselves, without a division.
template <typename T> static void unfade(Chunk<T>& c, Back<T>& k) {
  I n = c.count;
  if (c.call.channels) {
    I kp = c.kp;
    for (I i = n - 1; i >= 0; --i)
      for (I m = 0; m < kp; ++m) {
        T late = k.dsince[i * kp + m];
        k.dg[i * kp + m] += late * (i ? c.since[(i - 1) * kp + m] : T(1));
        if (i) k.dsince[(i - 1) * kp + m] += late * c.g[i * kp + m];
      }
    for (I j = 0; j + 1 < n; ++j)
      for (I m = 0; m < kp; ++m) {
        T late = k.duntil[j * kp + m];
        k.dg[(j + 1) * kp + m] += late * c.until[(j + 1) * kp + m];
        k.duntil[(j + 1) * kp + m] += late * c.g[(j + 1) * kp + m];
      }
    return;
  }
  for (I j = 0; j < n; ++j) k.dbetween[(n - 1) * c.cp + j] += k.duntil[j];
  c.shares.back(k.dbetween, k.dlast, k.dsince, k.dsecond, k.drest, k.dg, k.dcarry);
}

// As below, of M.
template <typename T> static void momentum_back(Chunk<T>& c, Back<T>& k) {
  I n = c.count, last = n - 1, size = c.call.key * c.vp;
  c.joined(c.b, c.x);
  product(n, c.vp, c.call.key, c.x, c.kp, I(1), k.hm, c.vp, k.du, c.vp, true);
  transpose(k.hm, c.call.key, c.call.value_size, c.vp, k.ht, c.kp);
  product(n, c.kp, c.call.value_size, c.u, c.vp, I(1), k.ht, c.kp, k.beside, c.kp, false);
  const T* own = c.shares.own + last * c.cp;
  for (I i = 0; i < n; ++i) {
    k.dlast[i] = dot(k.beside + i * c.kp, c.b + i * c.kp, c.kp);
    for (I m = 0; m < c.kp; ++m) k.db[i * c.kp + m] += k.beside[i * c.kp + m] * own[i];
  }
  k.dsecond[last] += dot(k.h, c.m, size);
  k.drest += dot(k.hm, c.m, size);
  for (I m = 0; m < size; ++m)
    k.hm[m] = c.shares.second[last] * k.h[m] + c.shares.rest[last] * k.hm[m];
}

// From S after the chunk, h, to rows, to b and to what fades; then h is that before the chunk.
template <typename T> static void end_back(Chunk<T>& c, Back<T>& k) {
  I n = c.count, last = n - 1;
  c.to_end(c.b, c.x);
  product(n, c.vp, c.call.key, c.x, c.kp, I(1), k.h, c.vp, k.du, c.vp, false);
  product(n, c.kp, c.call.value_size, c.u, c.vp, I(1), k.ht, c.kp, k.db, c.kp, false);
  for (I i = 0; i < n; ++i) {
    T* d = k.db + i * c.kp;
    const T* b = c.b + i * c.kp;
    if (c.call.channels)
      for (I m = 0; m < c.kp; ++m) {
        k.duntil[i * c.kp + m] = d[m] * b[m];
        d[m] *= c.until[i * c.kp + m];
      }
    else {
      k.duntil[i] = dot(d, b, c.kp);
      for (I m = 0; m < c.kp; ++m) d[m] *= c.until[i];
    }
  }
  if (c.call.channels)
    for (I m = 0; m < c.call.key; ++m)
      k.dsince[last * c.kp + m] += dot(k.h + m * c.vp, c.s + m * c.vp, c.vp);
  else
    k.dsince[last] += dot(k.h, c.s, c.call.key * c.vp);
  if (c.shares.carries) momentum_back(c, k);
  for (I m = 0; m < c.call.key; ++m) {
    T kept = c.call.channels ? c.since[last * c.kp + m] : c.since[last];
    for (I i = 0; i < c.vp; ++i) k.h[m * c.vp + i] *= kept;
  }
}

// The gradients of a chunk, where they belong.
template <typename T>
static void give(Chunk<T>& c, Back<T>& k, const Gradients<T>& to, I item, I t) {
  const Call<T>& call = c.call;
  for (I i = 0; i < c.count; ++i) {
    I key = c.at(item, t + i, call.key), value = c.at(item, t + i, call.value_size);
    I one = c.at(item, t + i, 1);
    T* db = k.db + i * c.kp;
    std::memcpy(to.query + key, k.dq + i * c.kp, call.key * sizeof(T));
    std::memcpy(to.value + value, k.du + i * c.vp, call.value_size * sizeof(T));
    if (call.decay && call.channels)
      std::memcpy(to.decay + key, k.dg + i * c.kp, call.key * sizeof(T));
    else if (call.decay)
      to.decay[one] = k.dg[i];
    if (call.carry) to.carry[one] = k.dcarry[i];
    if (call.step) {
      to.step[one] = dot(db, c.k + i * c.kp, c.kp);
      for (I n = 0; n < c.kp; ++n) db[n] *= call.step[one];
    }
    if (call.looks && !call.address)
      for (I n = 0; n < c.kp; ++n) db[n] += k.da[i * c.kp + n];
    else if (call.looks)
      std::memcpy(to.address + key, k.da + i * c.kp, call.key * sizeof(T));
    std::memcpy(to.along + key, db, call.key * sizeof(T));
  }
}

template <typename T>
static void backward(const Call<T>& call, const T* rows, const T* answers, const T* starts,
                     const T* above, const T* end, const T* late, const Gradients<T>& to, I first,
                     I last) {
  Chunk<T> c(call);
  c.ahead = -call.chunk;
  Back<T> k(c);
  I chunks = (call.time + call.chunk - 1) / call.chunk, size = call.key * call.value_size;
  I w = call.channels ? c.kp : 1;
  for (I item = first; item < last; ++item) {
    for (T* each : {k.h, k.hm}) std::fill(each, each + call.key * c.vp, T(0));
    if (end) enter(c, end + item * size, k.h);
    if (late) enter(c, late + item * size, k.hm);
    for (I place = chunks - 1; place >= 0; --place) {
      I t = place * call.chunk;
      const T* from = starts + (item * chunks + place) * (call.carry ? 2 * size : size);
      for (I n = 0; n < call.key; ++n, from += call.value_size) {
        std::memcpy(c.s + n * c.vp, from, call.value_size * sizeof(T));
        if (call.carry) std::memcpy(c.m + n * c.vp, from + size, call.value_size * sizeof(T));
      }
      c.read(item, t);
      I n = c.count;
      c.take(rows, item, t, call.value_size, c.u, c.vp);
      c.take(above, item, t, call.value_size, k.dy, c.vp);
      transpose(c.s, call.key, call.value_size, c.vp, k.st, c.kp);
      transpose(k.h, call.key, call.value_size, c.vp, k.ht, c.kp);
      if (call.carry) transpose(c.m, call.key, call.value_size, c.vp, k.mt, c.kp);
      transpose(c.u, n, call.value_size, c.vp, k.ut, c.cp);
      std::fill(k.dg, k.dg + call.chunk * w, T(0));
      std::fill(k.dsince, k.dsince + call.chunk * w, T(0));
      std::fill(k.dbetween, k.dbetween + call.chunk * c.cp, T(0));
      std::fill(k.dsecond, k.dsecond + call.chunk, T(0));
      k.drest = 0;

      // From what stays, and from the reads.
      end_back(c, k);
      c.pairs(c.q, false, c.met, c.P);
      product(n, c.vp, n, c.P, I(1), c.cp, k.dy, c.vp, k.du, c.vp, true, FROM);

      // What is asked before the write.
      if (call.looks) {
        c.pairs(c.a, call.early, c.asked, c.A);
        c.strictly_lower(c.A);
        if (answers) c.take(answers, item, t, call.value_size, c.y, c.vp);
        substitute_back(c, item, t, c.y, k.du, k.dv);
        k.ask(c.a, call.early, k.dv, k.da);
        product(n, c.cp, call.value_size, k.dv, c.vp, I(1), k.ut, c.cp, k.dA, c.cp, false, LOWER);
        c.strictly_lower(k.dA);
        k.pairs(c.a, call.early, c.asked, k.dA, k.da);
        k.asked(c.a, call.early, k.dv);
      }
      // Reads.
      k.ask(c.q, false, k.dy, k.dq);
      product(n, c.cp, call.value_size, k.dy, c.vp, I(1), k.ut, c.cp, k.dP, c.cp, false, LOWER);
      for (I i = 0; i < n; ++i)
        for (I j = i + 1; j < c.cp; ++j) k.dP[i * c.cp + j] = 0;
      k.pairs(c.q, false, c.met, k.dP, k.dq);
      k.asked(c.q, false, k.dy);

      unfade(c, k);
      give(c, k, to, item, t);
    }
    leave(c, k.h, to.start + item * size);
    if (call.carry) leave(c, k.hm, to.sums + item * size);
  }
}

#define TOKENS(T)                                                                                  \
  const T *query, const T *along, const T *step, const T *address, const T *value, const T *decay, \
      const T *carry, const T *gate, const T *limit, const T *numbers
#define SIZES I time, I heads, I key, I value_size, I chunk, I early, I looks, I channels
#define CALL(T)                                                                                    \
  Call<T> call {                                                                                   \
    query, along, step, address, value, decay, carry, {gate, limit, numbers}, time, heads, key,    \
        value_size, chunk, early != 0, looks != 0, channels != 0                                   \
  }

#define OUTER(T)                                                                                   \
  extern "C" void outer_forward_##T(TOKENS(T), const T* start, const T* sums, T* found, T* rows,   \
                                    T* answers, T* starts, T* end, T* late, SIZES, I first,        \
                                    I last) {                                                      \
    CALL(T);                                                                                       \
    forward(call, start, sums, found, rows, answers, starts, end, late, first, last);              \
  }                                                                                                \
  extern "C" void outer_backward_##T(TOKENS(T), const T* rows, const T* answers, const T* starts,  \
                                     const T* above, const T* end, const T* late, T* dquery,       \
                                     T* dalong, T* dstep, T* daddress, T* dvalue, T* ddecay,       \
                                     T* dcarry, T* dstart, T* dsums, SIZES, I first, I last) {     \
    CALL(T);                                                                                       \
    Gradients<T> to{dquery, dalong, dstep, daddress, dvalue, ddecay, dcarry, dstart, dsums};       \
    backward(call, rows, answers, starts, above, end, late, to, first, last);                      \
  }

OUTER(float)
OUTER(double)
