// One chunk of one item: gradients of its keys at its start, then what its queries read.
template <typename T> struct Chunk {
  const Call<T>& call;
  I ld, count = 0, key, value;
  std::vector<Matrix<T>> layers;
  Shares<T> shares;
  T *step, *late, *last, *turned;  // steps; shares of pairs with them: at the end in W and in M,
                                   // and in W [pairs, tokens]
  Scratch<T> scratch;
  struct Layer {
    T *x, *a, *slope, *back, *error;  // of keys: input, W x, slope there, pulled error, error at a
    T *z, *c, *met, *pairs;           // of queries: input, W z; [pairs, tokens] z.x and its share
    T *plain, *beside;                // W_0 z and M_0 z where they are narrower than z
  };
  std::vector<Layer> of;
  T *v, *answer, *wrong, *normal, *inverse, *found, *seen, *spread;  // wrong: error of the answer
  T *gate, *wide, *one, *two;

  explicit Chunk(const Call<T>& given)
      : call(given), ld(padded<T>(given.chunk)), key(given.sizes[0]),
        value(given.sizes[given.depth]), shares(given.chunk, given.carry), of(given.depth) {
    I most = 0;
    for (I m = 0; m < call.depth; ++m) {
      layers.emplace_back(call.out(m), call.in(m));
      I in = call.in(m), out = call.out(m);
      most = std::max(most, std::max(in, out));
      Layer& l = of[m];
      for (T** each : {&l.x, &l.z}) scratch.want(*each, in * ld);
      for (T** each : {&l.a, &l.slope, &l.back, &l.error, &l.c, &l.plain, &l.beside})
        scratch.want(*each, out * ld);
      for (T** each : {&l.met, &l.pairs}) scratch.want(*each, ld * ld);
    }
    for (T** each : {&v, &answer, &wrong, &normal, &found, &seen}) scratch.want(*each, value * ld);
    for (T** each : {&inverse, &spread, &gate, &one, &two, &step, &late, &last})
      scratch.want(*each, ld);
    scratch.want(turned, ld * ld);
    scratch.want(wide, padded<T>(most) * ld);
    scratch.give();
  }

  I state() const {
    I total = 0;
    for (auto& each : layers) total += each.size();
    return total;
  }
  I entries() const {  // as tensors have them
    I total = 0;
    for (auto& each : layers) total += each.out * each.in;
    return total;
  }
  I at(I item, I time, I size) const {
    return ((item / call.heads * call.time + time) * call.heads + item % call.heads) * size;
  }
  void enter(const T* from, I item, I time, I size, T* to) const {
    const T* source = from + at(item, time, size);
    for (I i = 0; i < count; ++i, source += call.heads * size)
      for (I f = 0; f < size; ++f) to[f * ld + i] = source[f];
    for (I f = 0; f < size; ++f)
      for (I i = count; i < ld; ++i) to[f * ld + i] = 0;
  }
  void leave(const T* from, I item, I time, I size, T* to) const {
    T* target = to + at(item, time, size);
    for (I i = 0; i < count; ++i, target += call.heads * size)
      for (I f = 0; f < size; ++f) target[f] = from[f * ld + i];
  }
  // x [rows, tokens] times a number per token
  void scaled(const T* x, const T* by, I rows, T* to) const {
    for (I f = 0; f < rows; ++f)
      for (I i = 0; i < ld; ++i) to[f * ld + i] = x[f * ld + i] * by[i];
  }
  void read(I item, I time) {
    count = std::min(call.chunk, call.time - time);
    share(at(item, time, 1));
    enter(call.key, item, time, key, of[0].x);
    enter(call.query, item, time, key, of[0].z);
    enter(call.value, item, time, value, v);
    I last = call.depth - 1;
    if (call.offset)
      for (T* each : {of[last].x, of[last].z})
        std::fill(each + (call.in(last) - 1) * ld, each + call.in(last) * ld, T(1));
    I place = at(item, time, 1);
    for (I i = 0; i < ld; ++i)
      gate[i] = call.row.gate && i < count ? call.row.gate[place + i * call.heads] : T(0);
  }

  void share(I place) {
    shares.of(call.decay ? call.decay + place : nullptr, call.carry ? call.carry + place : nullptr,
              call.heads, count);
    for (T* each : {step, late, last}) std::fill(each, each + ld, T(0));
    std::fill(turned, turned + ld * ld, T(0));
    for (I j = 0; j < count; ++j) {
      step[j] = call.step[place + j * call.heads];
      for (I i = j; i < count; ++i) turned[j * ld + i] = shares.whole[i * ld + j] * step[j];
      late[j] = shares.whole[(count - 1) * ld + j] * step[j];
      if (shares.carries) last[j] = shares.own[(count - 1) * ld + j] * step[j];
    }
  }

  // sums over features of x y, one per token
  void meet(const T* x, const T* y, I rows, T* to) const {
    std::fill(to, to + ld, T(0));
    for (I f = 0; f < rows; ++f)
      for (I i = 0; i < ld; ++i) to[i] += x[f * ld + i] * y[f * ld + i];
  }
  void total(const T* x, I rows, T* to) const {
    std::fill(to, to + ld, T(0));
    for (I f = 0; f < rows; ++f)
      for (I i = 0; i < ld; ++i) to[i] += x[f * ld + i];
  }

  // The norm and the residual at the end of the network.
  void finish(const T* out, const T* skip, I head, T* to, T* normal, T* inverse) {
    if (call.norm == NONE) {
      std::memcpy(to, out, value * ld * sizeof(T));
    } else {
      total(out, value, one);
      for (I f = 0; f < value; ++f)
        for (I i = 0; i < ld; ++i)
          normal[f * ld + i] = out[f * ld + i] - (call.norm == LAYER ? one[i] / value : T(0));
      meet(normal, normal, value, one);
      for (I i = 0; i < ld; ++i) inverse[i] = 1 / std::sqrt(one[i] / value + T(1e-6));
      scaled(normal, inverse, value, normal);
      for (I f = 0; f < value; ++f) {
        T by = call.gain[head * value + f], more = call.shift ? call.shift[head * value + f] : T(0);
        for (I i = 0; i < ld; ++i) to[f * ld + i] = by * normal[f * ld + i] + more;
      }
    }
    if (call.residual)
      for (I n = 0; n < value * ld; ++n) to[n] += skip[n];
  }

  // From an error in what a norm gives, gain taken in, to that in what it was given.
  void pull(const T* error, const T* normal, const T* inverse, T* to) {
    if (call.norm == LAYER) total(error, value, one);
    else std::fill(one, one + ld, T(0));
    meet(error, normal, value, two);
    for (I f = 0; f < value; ++f)
      for (I i = 0; i < ld; ++i) {
        I n = f * ld + i;
        to[n] = (error[n] - one[i] / value - normal[n] * two[i] / value) * inverse[i];
      }
  }
  void gained(const T* x, I head, T* to) const {
    for (I f = 0; f < value; ++f)
      for (I i = 0; i < ld; ++i) to[f * ld + i] = x[f * ld + i] * call.gain[head * value + f];
  }

  void ask(const T* weights, I head) {
    I last = call.depth - 1;
    const T* w = weights;
    for (I m = 0; m <= last; w += layers[m++].size()) {
      layers[m].apply(w, of[m].x, of[m].a, ld, false);
      if (m < last)
        activate<T>(call.activation, of[m].a, of[m + 1].x, of[m].slope, nullptr, call.out(m) * ld);
    }
    finish(of[last].a, of[0].x, head, answer, normal, inverse);
    if (call.looks)
      mistake(call.row, answer, v, gate, value, ld, wrong, two);
    else
      for (I n = 0; n < value * ld; ++n) wrong[n] = -v[n];
    if (call.norm == NONE) {
      std::memcpy(of[last].error, wrong, value * ld * sizeof(T));
    } else {
      gained(wrong, head, wide);
      pull(wide, normal, inverse, of[last].error);
    }
    for (I m = last - 1; m >= 0; --m) {
      w -= layers[m + 1].size();
      layers[m + 1].back(w, of[m + 1].error, of[m].back, ld, call.out(m), false);
      for (I n = 0; n < call.out(m) * ld; ++n) of[m].error[n] = of[m].back[n] * of[m].slope[n];
    }
  }

  void answers(const T* weights, const T* sums, I head) {
    I last = call.depth - 1;
    for (I m = 0; m <= last; weights += layers[m].size(), sums += layers[m++].size()) {
      Layer& l = of[m];
      const Matrix<T>& layer = layers[m];
      product(count, ld, layer.in, l.x, I(1), ld, l.z, ld, l.met, ld, false, UPPER);
      for (I j = 0; j < ld; ++j)
        for (I i = 0; i < ld; ++i) {
          I n = j * ld + i;
          l.pairs[n] = i < j || j >= count ? T(0) : -l.met[n] * turned[n];
        }
      start(layer, weights, call.decay ? shares.first : nullptr, l, l.plain, false);
      if (shares.carries) start(layer, sums, shares.second, l, l.beside, true);
      product(layer.out, ld, count, l.error, ld, I(1), l.pairs, ld, l.c, ld, true, BEFORE);
      T* next = m < last ? of[m + 1].z : nullptr;
      if (next) activate<T>(call.activation, l.c, next, nullptr, nullptr, layer.out * ld);
    }
    finish(of[last].c, of[0].z, head, found, seen, spread);
  }

  // c (+)= what is left of W z; numbers per token go to the narrower side.
  void start(const Matrix<T>& layer, const T* w, const T* by, Layer& l, T* plain, bool add) {
    if (!layer.turned) {
      const T* z = l.z;
      if (by) scaled(z, by, layer.in, wide), z = wide;
      layer.apply(w, z, l.c, ld, add);
      return;
    }
    layer.apply(w, l.z, plain, ld, false);
    for (I f = 0; f < layer.out; ++f)
      for (I i = 0; i < ld; ++i) {
        I n = f * ld + i;
        T more = by ? plain[n] * by[i] : plain[n];
        l.c[n] = add ? l.c[n] + more : more;
      }
  }

  // The narrower factor of a sum over tokens, a token in a row, times a number each.
  void lay(const Matrix<T>& layer, const T* x, const T* y, const T* by, T sign, T* to) const {
    const T* from = layer.turned ? y : x;
    I size = layer.turned ? layer.out : layer.in;
    for (I i = 0; i < count; ++i) {
      T number = by ? sign * by[i] : sign;
      for (I f = 0; f < size; ++f) to[i * layer.ld + f] = from[f * ld + i] * number;
      for (I f = size; f < layer.ld; ++f) to[i * layer.ld + f] = 0;
    }
  }

  // Weights and sums after the last token; `now` may be where the old ones are.
  void end(const T* weights, const T* sums, T* now, T* then) {
    I end = count - 1;
    T decay = shares.first[end], more = shares.second[end], rest = shares.rest[end];
    for (I m = 0; m < call.depth; ++m) {
      Layer& l = of[m];
      const Matrix<T>& layer = layers[m];
      I size = layer.size();
      if (shares.carries)
        for (I n = 0; n < size; ++n) {
          T sum = sums[n];
          now[n] = decay * weights[n] + more * sum;
          then[n] = rest * sum;
        }
      else
        for (I n = 0; n < size; ++n) now[n] = decay * weights[n];
      lay(layer, l.x, l.error, late, T(-1), wide);
      layer.gather(l.error, l.x, wide, ld, count, now);
      if (shares.carries) {
        lay(layer, l.x, l.error, last, T(-1), wide);
        layer.gather(l.error, l.x, wide, ld, count, then);
      }
      weights += size, now += size;
      if (shares.carries) sums += size, then += size;
    }
  }
};
