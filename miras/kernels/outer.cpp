// Forwards and backwards through a sequence, chunk by chunk; see outer.hpp.

// Rows u of a chunk from what the start answers, `y`, which becomes what the memory answers: the
// answer to address i is y_i + sum_j<i A_ij u_j. In blocks, so that most of it is a product.
template <typename T> static void substitute(Chunk<T>& c, I item, I t) {
  constexpr I B = 8;
  for (I first = 0; first < c.count; first += B) {
    I last = std::min(c.count, first + B);
    if (first)
      product(last - first, c.vp, first, c.A + first * c.cp, c.cp, I(1), c.u, c.vp,
              c.y + first * c.vp, c.vp, true);
    for (I i = first; i < last; ++i) {
      T* y = c.y + i * c.vp;
      for (I j = first; j < i; ++j) {
        T by = c.A[i * c.cp + j];
        for (I n = 0; n < c.vp; ++n) y[n] += by * c.u[j * c.vp + n];
      }
      c.call.row.write(y, c.v + i * c.vp, c.at(item, t + i, 1), c.u + i * c.vp, c.vp,
                       c.call.value_size);
    }
  }
}

// And back, from the last row on: du is completed, dv is the gradient of the answers `y`.
template <typename T>
static void substitute_back(Chunk<T>& c, I item, I t, const T* y, T* du, T* dv) {
  constexpr I B = 8;
  for (I first = (c.count - 1) / B * B; first >= 0; first -= B) {
    I last = std::min(c.count, first + B);
    if (last < c.count)
      product(last - first, c.vp, c.count - last, c.A + last * c.cp + first, I(1), c.cp,
              dv + last * c.vp, c.vp, du + first * c.vp, c.vp, true);
    for (I i = last - 1; i >= first; --i) {
      T* towards = dv + i * c.vp;
      c.call.row.back(y + i * c.vp, c.v + i * c.vp, c.at(item, t + i, 1), du + i * c.vp, towards,
                      c.vp, c.call.value_size);
      for (I j = first; j < i; ++j) {
        T by = c.A[i * c.cp + j];
        for (I n = 0; n < c.vp; ++n) du[j * c.vp + n] += by * towards[n];
      }
    }
  }
}

template <typename T>
static void scale(T* x, I rows, I columns, const T* by, I shift, T first) {
  for (I i = 0; i < rows; ++i) {
    T factor = i + shift < 0 ? first : by[i + shift];
    for (I n = 0; n < columns; ++n) x[i * columns + n] *= factor;
  }
}

// x from the start, read by S: rows of `with` are x faded where that is per channel.
template <typename T>
static void ask(Chunk<T>& c, const T* x, bool early, T* found) {
  if (c.call.channels) {
    c.from_start(x, early, c.x);
    product(c.count, c.vp, c.call.key, c.x, c.kp, I(1), c.s, c.vp, found, c.vp, false);
    return;
  }
  product(c.count, c.vp, c.call.key, x, c.kp, I(1), c.s, c.vp, found, c.vp, false);
  scale(found, c.count, c.vp, c.since, early ? I(-1) : I(0), T(1));
  if (!c.shares.carries) return;
  product(c.count, c.vp, c.call.key, x, c.kp, I(1), c.m, c.vp, c.beside, c.vp, false);
  scale(c.beside, c.count, c.vp, c.shares.second, early ? I(-1) : I(0), T(0));
  for (I n = 0; n < c.count * c.vp; ++n) found[n] += c.beside[n];
}

// A state as tensors have it, [value, key], and as it lies here.
template <typename T> static void enter(const Chunk<T>& c, const T* from, T* to) {
  transpose(from, c.call.value_size, c.call.key, c.call.key, to, c.vp);
}
template <typename T> static void leave(const Chunk<T>& c, const T* from, T* to) {
  transpose(from, c.call.key, c.call.value_size, c.vp, to, c.call.key);
}

// `starts` keeps S (and M) before every chunk, [key, value].
template <typename T>
static void forward(const Call<T>& call, const T* start, const T* sums, T* found, T* rows,
                    T* answers, T* starts, T* end, T* late, I first, I last) {
  Chunk<T> c(call);
  c.ahead = call.chunk;
  I chunks = (call.time + call.chunk - 1) / call.chunk, size = call.key * call.value_size;
  I slot = call.carry ? 2 * size : size;
  for (I item = first; item < last; ++item) {
    enter(c, start + item * size, c.s);
    if (call.carry) enter(c, sums + item * size, c.m);
    for (I place = 0; place < chunks; ++place) {
      I t = place * call.chunk;
      T* kept = starts ? starts + (item * chunks + place) * slot : nullptr;
      for (I k = 0; k < call.key && kept; ++k, kept += call.value_size) {
        std::memcpy(kept, c.s + k * c.vp, call.value_size * sizeof(T));
        if (call.carry) std::memcpy(kept + size, c.m + k * c.vp, call.value_size * sizeof(T));
      }
      c.read(item, t);
      if (call.looks) {
        c.pairs(c.a, call.early, c.asked, c.A);
        c.strictly_lower(c.A);
        ask(c, c.a, call.early, c.y);
        substitute(c, item, t);
        if (answers)
          for (I i = 0; i < c.count; ++i)
            std::memcpy(answers + c.at(item, t + i, call.value_size), c.y + i * c.vp,
                        call.value_size * sizeof(T));
      } else {
        std::memcpy(c.u, c.v, c.count * c.vp * sizeof(T));
      }
      c.pairs(c.q, false, c.met, c.P);
      ask(c, c.q, false, c.y);
      product(c.count, c.vp, c.count, c.P, c.cp, I(1), c.u, c.vp, c.y, c.vp, true, UPTO);
      c.through();
      c.to_end(c.b, c.x);
      product(call.key, c.vp, c.count, c.x, I(1), c.kp, c.u, c.vp, c.s, c.vp, true);
      if (call.carry) {
        c.joined(c.b, c.x);
        product(call.key, c.vp, c.count, c.x, I(1), c.kp, c.u, c.vp, c.m, c.vp, true);
      }
      for (I i = 0; i < c.count; ++i) {
        I to = c.at(item, t + i, call.value_size);
        std::memcpy(found + to, c.y + i * c.vp, call.value_size * sizeof(T));
        if (rows) std::memcpy(rows + to, c.u + i * c.vp, call.value_size * sizeof(T));
      }
    }
    leave(c, c.s, end + item * size);
    if (call.carry) leave(c, c.m, late + item * size);
  }
}

template <typename T> struct Gradients {
  T *query, *along, *step, *address, *value, *decay, *carry, *start, *sums;
};

// What a chunk needs beside on the way back.
template <typename T> struct Back {
  Chunk<T>& c;
  Scratch<T> scratch;
  T *h, *hm;                               // gradients of S and M
  T *st, *mt, *ht;                         // S, M and a gradient turned, [value, key]
  T *dy, *du, *dv, *ut;                    // [C, value]; u turned
  T *dq, *da, *db, *beside;                // [C, key]
  T *dP, *dA, *dbetween, *dhistory;
  T *dsince, *duntil, *dg, *dsecond, *dlast, *dcarry;
  T drest;

  explicit Back(Chunk<T>& chunk) : c(chunk) {
    const Call<T>& call = c.call;
    I C = call.chunk, w = call.channels ? c.kp : 1;
    for (T** each : {&h, &hm}) scratch.want(*each, call.key * c.vp);
    for (T** each : {&st, &mt, &ht}) scratch.want(*each, call.value_size * c.kp);
    for (T** each : {&dy, &du, &dv}) scratch.want(*each, C * c.vp);
    scratch.want(ut, c.vp * c.cp);
    for (T** each : {&dq, &da, &db}) scratch.want(*each, C * c.kp);
    for (T** each : {&dP, &dA, &dbetween}) scratch.want(*each, C * c.cp);
    for (T** each : {&dsince, &duntil, &dg}) scratch.want(*each, C * w);
    for (T** each : {&dsecond, &dlast, &dcarry}) scratch.want(*each, C);
    scratch.want(beside, C * c.kp);
    if (call.channels) scratch.want(dhistory, 16 * c.kp);
    scratch.give();
  }

  // Of x faded from the start and read: dx, and what fades. `towards` is the gradient of the read.
  void ask(const T* x, bool early, const T* towards, T* dx) {
    product(c.count, c.kp, c.call.value_size, towards, c.vp, I(1), st, c.kp, dx, c.kp, false);
    for (I i = 0; i < c.count; ++i) {
      I place = early ? i - 1 : i;
      T* d = dx + i * c.kp;
      const T* at = x + i * c.kp;
      if (place < 0) continue;
      if (c.call.channels) {
        for (I n = 0; n < c.kp; ++n) {
          dsince[place * c.kp + n] += d[n] * at[n];
          d[n] *= c.since[place * c.kp + n];
        }
      } else {
        dsince[place] += dot(d, at, c.kp);
        for (I n = 0; n < c.kp; ++n) d[n] *= c.since[place];
      }
    }
    if (!c.shares.carries) return;
    product(c.count, c.kp, c.call.value_size, towards, c.vp, I(1), mt, c.kp, beside, c.kp, false);
    for (I i = early; i < c.count; ++i) {
      I place = early ? i - 1 : i;
      dsecond[place] += dot(beside + i * c.kp, x + i * c.kp, c.kp);
      for (I n = 0; n < c.kp; ++n)
        dx[i * c.kp + n] += beside[i * c.kp + n] * c.shares.second[place];
    }
  }

  // And of S and M, which were asked.
  void asked(const T* x, bool early, const T* towards) {
    c.from_start(x, early, c.x);
    product(c.call.key, c.vp, c.count, c.x, I(1), c.kp, towards, c.vp, h, c.vp, true);
    if (!c.shares.carries) return;
    for (I i = 0; i < c.count; ++i) {
      I place = early ? i - 1 : i;
      T by = place < 0 ? T(0) : c.shares.second[place];
      for (I n = 0; n < c.kp; ++n) c.x[i * c.kp + n] = x[i * c.kp + n] * by;
    }
    product(c.call.key, c.vp, c.count, c.x, I(1), c.kp, towards, c.vp, hm, c.vp, true);
  }

  // Of pairs: d is the gradient of the faded pairs, and is used up.
  void pairs(const T* x, bool early, const T* raw, T* d, T* dx) {
    if (c.call.channels) return channels(x, early, d, dx);
    for (I i = 0; i < c.count; ++i) {
      I last = early ? i : i + 1, row = early ? i - 1 : i;
      for (I j = 0; j < last; ++j) {
        dbetween[row * c.cp + j] += d[i * c.cp + j] * raw[i * c.cp + j];
        d[i * c.cp + j] *= c.between[row * c.cp + j];
      }
      for (I j = last; j < c.cp; ++j) d[i * c.cp + j] = 0;
    }
    product(c.count, c.kp, c.count, d, c.cp, I(1), c.b, c.kp, dx, c.kp, true, UPTO);
    product(c.count, c.kp, c.count, d, I(1), c.cp, x, c.kp, db, c.kp, true, FROM);
  }

  void channels(const T* x, bool early, const T* d, T* dx) {
    I kp = c.kp;
    for (I first = 0, block = 0; first < c.count; first += 16, ++block) {
      std::fill(dhistory, dhistory + 16 * kp, T(0));
      for (I i = std::min(c.count, first + 16) - 1; i >= first; --i) {
        I place = i - first;
        const T* before = c.history + (block * 16 + place - 1) * 16 * kp;
        const T* now = c.history + (block * 16 + place) * 16 * kp;
        const T *keep = c.g + i * kp, *at = x + i * kp;
        T *own = dx + i * kp, *faded = dg + i * kp;
        for (I j = 0; j < place; ++j) {
          T* late = dhistory + j * kp;
          T by = d[i * c.cp + first + j];
          const T *past = before + j * kp, *seen = early ? past : now + j * kp;
          if (early)
            for (I n = 0; n < kp; ++n) {
              own[n] += by * seen[n];
              faded[n] += late[n] * past[n];
              late[n] = late[n] * keep[n] + by * at[n];
            }
          else
            for (I n = 0; n < kp; ++n) {
              own[n] += by * seen[n];
              late[n] += by * at[n];
              faded[n] += late[n] * past[n];
              late[n] *= keep[n];
            }
        }
        T by = early ? T(0) : d[i * c.cp + i];
        T* late = dhistory + place * kp;
        for (I n = 0; n < kp; ++n) {
          own[n] += by * c.b[i * kp + n];
          db[i * kp + n] += late[n] + by * at[n];
        }
      }
    }
    if (c.count > 16) middle(x, early, d, dx);
  }

  // Pairs of the second half with the first: products of both sides, which meet in the middle.
  void middle(const T* x, bool early, const T* d, T* dx) {
    I kp = c.kp, rows = c.count - 16;
    const T* last = c.history + 15 * 16 * kp;
    c.from_middle(x, early);
    T *dleft = c.x, *dright = dhistory;
    product(rows, kp, I(16), d + 16 * c.cp, c.cp, I(1), last, kp, dleft, kp, false);
    product(I(16), kp, rows, d + 16 * c.cp, I(1), c.cp, c.left, kp, dright, kp, false);
    // left_i = x_i since_i, since_i = since_{i-1} g_i from the middle on
    T* late = c.left;
    std::fill(late, late + kp, T(0));
    for (I i = c.count - 1; i >= 16; --i) {
      const T* before = c.tail + (i - 1) * kp;
      for (I n = 0; n < kp; ++n) {
        T first = i > 16 ? before[n] : T(1), by = dleft[(i - 16) * kp + n];
        T seen = early ? first : c.tail[i * kp + n];
        dx[i * kp + n] += by * seen;
        T of = by * x[i * kp + n];
        if (!early) late[n] += of;
        dg[i * kp + n] += late[n] * first;
        late[n] *= c.g[i * kp + n];
        if (early) late[n] += of;
      }
    }
    // right_j = b_j tail_j, tail_j = tail_{j+1} g_{j+1} up to the middle
    std::fill(late, late + kp, T(0));
    for (I j = 0; j < 16; ++j)
      for (I n = 0; n < kp; ++n) {
        T by = dright[j * kp + n];
        db[j * kp + n] += by * c.tail[j * kp + n];
        late[n] += by * c.b[j * kp + n];
        if (j < 15) {
          dg[(j + 1) * kp + n] += late[n] * c.tail[(j + 1) * kp + n];
          late[n] *= c.g[(j + 1) * kp + n];
        }
      }
  }
};
