// A deep memory over a whole sequence, and its derivative; see network.hpp.

// `starts` [items, chunks, weights (and sums)] keeps the state before every chunk, as it lies here.
template <typename T>
static void forward(const Call<T>& call, const T* start, const T* sums, T* found, T* answers,
                    T* starts, T* end, T* late, I first, I last) {
  Chunk<T> c(call);
  I chunks = (call.time + call.chunk - 1) / call.chunk, state = c.state(), entries = c.entries();
  bool carries = c.shares.carries();
  I slot = carries ? 2 * state : state;
  std::vector<T> room(2 * state);
  for (I item = first; item < last; ++item) {
    I head = item % call.heads;
    T* now = starts ? starts + item * chunks * slot : room.data();
    const T *from = start + item * entries, *of_sums = carries ? sums + item * entries : nullptr;
    T *into = now, *beside = now + state;
    for (auto& layer : c.layers) {
      layer.enter(from, into);
      if (carries) layer.enter(of_sums, beside), of_sums += layer.out * layer.in;
      from += layer.out * layer.in, into += layer.size(), beside += layer.size();
    }
    for (I place = 0; place < chunks; ++place) {
      T* next = starts && place + 1 < chunks ? now + slot : room.data();
      c.read(item, place * call.chunk);
      c.ask(now, head);
      c.answers(now, now + state, head);
      c.leave(c.found, item, place * call.chunk, c.value, found);
      if (answers) c.leave(c.answer, item, place * call.chunk, c.value, answers);
      c.end(now, now + state, next, next + state);
      now = next;
    }
    T *to = end + item * entries, *rest = carries ? late + item * entries : nullptr;
    const T* then = now + state;
    for (auto& layer : c.layers) {
      layer.leave(now, to);
      if (carries) layer.leave(then, rest), rest += layer.out * layer.in;
      to += layer.out * layer.in, now += layer.size(), then += layer.size();
    }
  }
}

template <typename T>
static void backward(const Call<T>& call, const T* starts, const T* above, const T* end,
                     const T* late, Gradients<T> to, I first, I last) {
  Chunk<T> c(call);
  Back<T> b(c);
  I chunks = (call.time + call.chunk - 1) / call.chunk, state = c.state(), entries = c.entries();
  bool carries = c.shares.carries();
  I slot = carries ? 2 * state : state;
  std::vector<T> value(c.value * c.ld);
  auto enter = [&](const T* from, I item, T* into) {
    if (!from) return std::fill(into, into + state, T(0));
    from += item * entries;
    for (auto& layer : c.layers) {
      layer.enter(from, into);
      from += layer.out * layer.in, into += layer.size();
    }
  };
  auto leave = [&](const T* from, I item, T* into) {
    into += item * entries;
    for (auto& layer : c.layers) {
      layer.leave(from, into);
      into += layer.out * layer.in, from += layer.size();
    }
  };
  for (I item = first; item < last; ++item) {
    I head = item % call.heads;
    enter(end, item, b.weights);
    enter(late, item, b.sums);
    for (T* each : {b.gain, b.shift}) std::fill(each, each + c.value, T(0));
    for (I place = chunks - 1; place >= 0; --place) {
      I t = place * call.chunk;
      const T *w = starts + (item * chunks + place) * slot, *s = w + state;
      c.read(item, t);
      c.ask(w, head);
      c.answers(w, s, head);
      c.enter(above, item, t, c.value, b.above);
      b.begin();
      b.end(w, s);
      b.answers(w, s, head);
      b.ask(w, head, value.data());
      b.shares();
      c.leave(b.z, item, t, c.key, to.query);
      c.leave(b.of[0].x, item, t, c.key, to.key);
      c.leave(value.data(), item, t, c.value, to.value);
      c.leave(b.step, item, t, 1, to.step);
      if (to.decay) c.leave(b.decay, item, t, 1, to.decay);
      if (to.carry) c.leave(b.carry, item, t, 1, to.carry);
    }
    leave(b.weights, item, to.start);
    if (carries) leave(b.sums, item, to.sums);
    if (to.gain) std::memcpy(to.gain + item * c.value, b.gain, c.value * sizeof(T));
    if (to.shift) std::memcpy(to.shift + item * c.value, b.shift, c.value * sizeof(T));
  }
}

#define TOKENS(T)                                                                                  \
  const T *query, const T *key, const T *value, const T *step, const T *decay, const T *carry,     \
      const T *gain, const T *shift, const T *gate, const T *p
#define SIZES                                                                                      \
  const I *sizes, I depth, I time, I heads, I chunk, I activation, I norm, I offset, I residual
#define CALL(T)                                                                                    \
  Call<T> call {                                                                                   \
    query, key, value, step, decay, carry, gain, shift, {gate, nullptr, p}, sizes, depth, time,    \
        heads, chunk, activation, norm, offset != 0, residual != 0                                 \
  }

#define NETWORK(T)                                                                                 \
  extern "C" void network_forward_##T(TOKENS(T), const T* start, const T* sums, T* found,          \
                                      T* answers, T* starts, T* end, T* late, SIZES, I first,      \
                                      I last) {                                                    \
    CALL(T);                                                                                       \
    forward(call, start, sums, found, answers, starts, end, late, first, last);                    \
  }                                                                                                \
  extern "C" void network_backward_##T(                                                            \
      TOKENS(T), const T* starts, const T* above, const T* end, const T* late, T* dquery, T* dkey, \
      T* dvalue, T* dstep, T* ddecay, T* dcarry, T* dgain, T* dshift, T* dstart, T* dsums, SIZES,  \
      I first, I last) {                                                                           \
    CALL(T);                                                                                       \
    Gradients<T> to{dquery, dkey, dvalue, dstep, ddecay, dcarry, dgain, dshift, dstart, dsums};    \
    backward(call, starts, above, end, late, to, first, last);                                     \
  }

NETWORK(float)
NETWORK(double)
