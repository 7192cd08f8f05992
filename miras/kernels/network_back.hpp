// The way back through one chunk of a deep memory; see network_chunk.hpp, where names come from.

template <typename T> struct Gradients {
  T *query, *key, *value, *step, *decay, *carry, *gain, *shift, *start, *sums;
};

template <typename T> struct Back {
  Chunk<T>& c;
  const Call<T>& call;
  const I ld;
  Scratch<T> scratch;
  struct Layer {
    T *error, *x;  // gradients of what keys made
  };
  std::vector<Layer> of;
  T *weights, *sums;                 // gradients of the state: after the chunk, then before it
  T *above, *u, *z, *wide, *tall, *bent;
  T *share, *straight, *turned;      // [pairs, tokens]; turned back; gradient of Chunk::turned
  T *first, *second, *late, *last, *one, *two;
  T *step, *decay, *carry, *of_own;
  T rest;
  T *gain, *shift;

  explicit Back(Chunk<T>& chunk) : c(chunk), call(chunk.call), ld(chunk.ld), of(call.depth) {
    I most = 0;
    for (I m = 0; m < call.depth; ++m) {
      most = std::max(most, std::max(call.in(m), call.out(m)));
      scratch.want(of[m].error, call.out(m) * ld);
      scratch.want(of[m].x, call.in(m) * ld);
    }
    most = padded<T>(most);
    for (T** each : {&weights, &sums}) scratch.want(*each, c.state());
    for (T** each : {&u, &z, &wide, &tall, &bent}) scratch.want(*each, most * ld);
    scratch.want(above, c.value * ld);
    for (T** each : {&share, &straight, &turned}) scratch.want(*each, ld * ld);
    for (T** each : {&first, &second, &late, &last, &one, &two, &step, &decay, &carry, &of_own})
      scratch.want(*each, ld);
    for (T** each : {&gain, &shift}) scratch.want(*each, c.value);
    scratch.give();
  }

  void begin() {
    for (T* each : {first, second, late, last}) std::fill(each, each + ld, T(0));
    std::fill(turned, turned + ld * ld, T(0));
    rest = 0;
  }

  // to += sign x y, one number per token
  void meet(const T* x, const T* y, I rows, T sign, T* to) {
    c.meet(x, y, rows, one);
    for (I i = 0; i < ld; ++i) to[i] += sign * one[i];
  }
  void negative(const T* x, const T* by, I rows, T* to, bool add) const {
    for (I f = 0; f < rows; ++f)
      for (I i = 0; i < ld; ++i) {
        I n = f * ld + i;
        to[n] = (add ? to[n] : T(0)) - x[n] * by[i];
      }
  }

  // From the state after the chunk to that before it, errors and inputs of keys.
  void end(const T* w, const T* s) {
    bool carries = c.shares.carries;
    T *dw = weights, *ds = sums;
    for (I m = 0; m < call.depth; ++m) {
      const Matrix<T>& layer = c.layers[m];
      auto& l = c.of[m];
      pairs(layer, dw, l.x, l.error, c.late, late, of[m], false);
      if (carries) pairs(layer, ds, l.x, l.error, c.last, last, of[m], true);
      I size = layer.size(), end = c.count - 1;
      T kept = c.shares.first[end], more = c.shares.second[end], left = c.shares.rest[end];
      first[end] += dot(dw, w, size);
      if (carries) {
        second[end] += dot(dw, s, size);
        rest += dot(ds, s, size);
        for (I n = 0; n < size; ++n) ds[n] = more * dw[n] + left * ds[n];
        s += size, ds += size;
      }
      for (I n = 0; n < size; ++n) dw[n] *= kept;
      w += size, dw += size;
    }
  }

  // W' = ... - sum_j by_j error_j x_j^T
  void pairs(const Matrix<T>& layer, const T* dw, const T* x, const T* error, const T* by, T* dby,
             Layer& to, bool add) {
    if (!layer.turned) {
      negative(x, by, layer.in, wide, false);
      layer.apply(dw, wide, to.error, ld, add);
      layer.back(dw, error, wide, ld, layer.in, false);
      meet(wide, x, layer.in, T(-1), dby);
      negative(wide, by, layer.in, to.x, add);
    } else {
      negative(error, by, layer.out, wide, false);
      layer.back(dw, wide, to.x, ld, layer.in, add);
      layer.apply(dw, x, wide, ld, false);
      meet(wide, error, layer.out, T(-1), dby);
      negative(wide, by, layer.out, to.error, add);
    }
  }

  void normed(const T* x, const T* normal) {  // gain and shift, from the gradient of the result
    for (I f = 0; f < c.value; ++f)
      for (I i = 0; i < c.count; ++i) {
        gain[f] += x[f * ld + i] * normal[f * ld + i];
        shift[f] += x[f * ld + i];
      }
  }

  // From `above`, the gradient of what was read, to that of the queries in z.
  void answers(const T* w, const T* s, I head) {
    I last = call.depth - 1;
    w += c.state(), s += c.state();
    T *dw = weights + c.state(), *ds = sums + c.state();
    if (call.norm == NONE) {
      std::memcpy(u, above, c.value * ld * sizeof(T));
    } else {
      normed(above, c.seen);
      c.gained(above, head, wide);
      c.pull(wide, c.seen, c.spread, u);
    }
    for (I m = last; m >= 0; --m) {
      const Matrix<T>& layer = c.layers[m];
      auto& l = c.of[m];
      w -= layer.size(), dw -= layer.size(), s -= layer.size(), ds -= layer.size();
      transpose(l.pairs, ld, ld, ld, straight, ld);
      product(layer.out, ld, c.count, u, ld, I(1), straight, ld, of[m].error, ld, true, SINCE);
      product(c.count, ld, layer.out, l.error, I(1), ld, u, ld, share, ld, false, UPPER);
      for (I j = 0; j < c.count; ++j)
        for (I i = 0; i < ld; ++i) {
          I n = j * ld + i;
          T by = i < j ? T(0) : share[n];
          turned[n] -= i < j ? T(0) : by * l.met[n];
          share[n] = -by * c.turned[n];
        }
      product(layer.in, ld, c.count, l.x, ld, I(1), share, ld, z, ld, false, BEFORE);
      for (I n = c.count * ld; n < ld * ld; ++n) share[n] = 0;
      transpose(share, ld, ld, ld, straight, ld);
      product(layer.in, ld, c.count, l.z, ld, I(1), straight, ld, of[m].x, ld, true, SINCE);
      start(layer, w, call.decay ? c.shares.first : nullptr, first, l.z, l.plain, dw);
      if (c.shares.carries) start(layer, s, c.shares.second, second, l.z, l.beside, ds);
      if (m == 0) break;
      activate<T>(call.activation, c.of[m - 1].c, nullptr, u, nullptr, call.out(m - 1) * ld);
      for (I n = 0; n < call.out(m - 1) * ld; ++n) u[n] *= z[n];
    }
    if (call.residual)
      for (I n = 0; n < c.value * ld; ++n) z[n] += above[n];
  }

  // Of c = by W z: adds to z, to W and to the numbers.
  void start(const Matrix<T>& layer, const T* w, const T* by, T* dby, const T* asked,
             const T* plain, T* dw) {
    if (!layer.turned) {
      layer.back(w, u, wide, ld, layer.in, false);
      if (by) meet(wide, asked, layer.in, T(1), dby);
      for (I f = 0; f < layer.in; ++f)
        for (I i = 0; i < ld; ++i) {
          I n = f * ld + i;
          z[n] += by ? wide[n] * by[i] : wide[n];
        }
    } else {
      const T* from = u;
      if (by) {
        meet(u, plain, layer.out, T(1), dby);
        c.scaled(u, by, layer.out, wide);
        from = wide;
      }
      layer.back(w, from, z, ld, layer.in, true);
    }
    c.lay(layer, asked, u, by, T(1), wide);
    layer.gather(u, asked, wide, ld, c.count, dw);
  }

  // Gradients of errors of keys, back to keys and values.
  void ask(const T* w, I head, T* value) {
    I last = call.depth - 1;
    T* dw = weights;
    for (I m = 0; m < last; ++m) {  // errors came from the last layer to the first
      auto& l = c.of[m];
      const Matrix<T>& above = c.layers[m + 1];
      I size = call.out(m) * ld;
      w += c.layers[m].size(), dw += c.layers[m].size();
      activate<T>(call.activation, l.a, nullptr, wide, bent, size);
      for (I n = 0; n < size; ++n) {
        tall[n] = of[m].error[n] * l.slope[n];
        of[m].error[n] *= l.back[n] * bent[n];  // from here on the gradient of a
      }
      if (above.in > call.out(m)) std::fill(tall + size, tall + size + ld, T(0));
      above.apply(w, tall, of[m + 1].error, ld, true);
      c.lay(above, tall, c.of[m + 1].error, nullptr, T(1), wide);
      above.gather(c.of[m + 1].error, tall, wide, ld, c.count, dw);
    }
    answer(head, value);
    for (I m = last; m >= 0; --m) {
      const Matrix<T>& layer = c.layers[m];
      layer.back(w, of[m].error, of[m].x, ld, layer.in, true);
      c.lay(layer, c.of[m].x, of[m].error, nullptr, T(1), wide);
      layer.gather(of[m].error, c.of[m].x, wide, ld, c.count, dw);
      if (m == 0) break;
      for (I n = 0; n < call.out(m - 1) * ld; ++n)
        of[m - 1].error[n] += of[m].x[n] * c.of[m - 1].slope[n];
      w -= c.layers[m - 1].size(), dw -= c.layers[m - 1].size();
    }
  }

  // Of the last layer: its error's gradient becomes that of what it gave.
  void answer(I head, T* value) {
    I last = call.depth - 1, size = c.value;
    T *w = of[last].error, *pulled = tall;
    const T *error = c.of[last].error, *normal = c.normal;
    if (call.norm == NONE) {
      std::memcpy(bent, w, size * ld * sizeof(T));
      std::fill(pulled, pulled + size * ld, T(0));
    } else {
      // The pull is linear in the error and symmetric; it bends where the output does.
      c.pull(w, normal, c.inverse, wide);
      c.gained(c.wrong, head, bent);
      c.meet(normal, w, size, one);
      c.meet(normal, bent, size, two);
      c.meet(wide, bent, size, step);
      for (I f = 0; f < size; ++f)
        for (I i = 0; i < ld; ++i) {
          I n = f * ld + i;
          pulled[n] = -c.inverse[i] / size *
                      (one[i] * error[n] + wide[n] * two[i] + normal[n] * step[i]);
        }
      for (I f = 0; f < size; ++f)
        for (I i = 0; i < c.count; ++i) gain[f] += c.wrong[f * ld + i] * wide[f * ld + i];
      c.gained(wide, head, bent);
    }
    for (I n = 0; n < size * ld; ++n) value[n] = -bent[n];
    if (call.looks)
      mistake_back(call.row, c.answer, c.v, c.gate, size, ld, bent, wide, one, two);
    else
      std::fill(wide, wide + size * ld, T(0));
    if (call.residual)
      for (I n = 0; n < size * ld; ++n) of[0].x[n] += wide[n];
    if (call.norm == NONE) {
      for (I n = 0; n < size * ld; ++n) w[n] = pulled[n] + wide[n];
      return;
    }
    normed(wide, normal);
    c.gained(wide, head, bent);
    c.pull(bent, normal, c.inverse, wide);
    for (I n = 0; n < size * ld; ++n) w[n] = pulled[n] + wide[n];
  }

  // From shares to steps, decays and carries.
  void shares() {
    Shares<T>& s = c.shares;
    I end = c.count - 1;
    transpose(turned, ld, ld, ld, straight, ld);
    for (T* each : {of_own, step, decay, carry}) std::fill(each, each + ld, T(0));
    for (I i = 0; i <= end; ++i)
      for (I j = 0; j <= i; ++j) {
        T& d = straight[i * ld + j];
        if (i == end) d += late[j];
        step[j] += d * s.whole[i * ld + j];
        d *= c.step[j];
      }
    for (I j = 0; j <= end && s.carries; ++j) {
      step[j] += last[j] * s.own[end * ld + j];
      of_own[j] = last[j] * c.step[j];
    }
    s.back(straight, of_own, first, second, rest, decay, carry);
  }
};
