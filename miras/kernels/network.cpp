// A deep memory over a whole sequence, and its derivative; see network.hpp.

// Matrices as tensors have them, one after the other, and as they lie here.
template <typename T> static void enter(const Chunk<T>& c, const T* from, T* to) {
  if (!from) std::fill(to, to + c.state(), T(0));
  for (auto& layer : c.layers) {
    if (from) layer.enter(from, to), from += layer.out * layer.in;
    to += layer.size();
  }
}
template <typename T> static void leave(const Chunk<T>& c, const T* from, T* to) {
  for (auto& layer : c.layers) {
    layer.leave(from, to);
    to += layer.out * layer.in, from += layer.size();
  }
}

// `starts` [items, kept, weights (and sums)] keeps the state before the first of `every` chunks, as
// it lies here.
template <typename T>
static void forward(const Call<T>& call, const T* start, const T* sums, T* found, T* answers,
                    T* starts, T* end, T* late, T* anchor, I first, I last) {
  Chunk<T> c(call);
  I chunks = (call.time + call.chunk - 1) / call.chunk, state = c.state(), entries = c.entries();
  bool carries = c.shares.carries;
  I slot = carries ? 2 * state : state, kept = (chunks + call.every - 1) / call.every;
  std::vector<T> room(2 * state);
  for (I item = first; item < last; ++item) {
    I head = item % call.heads;
    T* first_start = starts ? starts + item * kept * slot : nullptr;
    T* now = starts ? first_start : room.data();
    enter(c, start + item * entries, now);
    if (carries) enter(c, sums + item * entries, now + state);
    for (I place = 0; place < chunks; ++place) {
      bool keep = starts && place + 1 < chunks && (place + 1) % call.every == 0;
      T* next = keep ? first_start + (place + 1) / call.every * slot : room.data();
      if (place + 1 == chunks) leave(c, now, anchor + item * entries);
      c.read(item, place * call.chunk);
      c.ask(now, head);
      c.answers(now, now + state, head);
      c.leave(c.found, item, place * call.chunk, c.value, found);
      if (answers) c.leave(c.answer, item, place * call.chunk, c.value, answers);
      c.end(now, now + state, next, next + state);
      now = next;
    }
    leave(c, now, end + item * entries);
    if (carries) leave(c, now + state, late + item * entries);
  }
}

template <typename T>
static void backward(const Call<T>& call, const T* starts, const T* above, const T* end,
                     const T* late, const T* anchor, Gradients<T> to, I first, I last) {
  Chunk<T> c(call);
  Back<T> b(c);
  I chunks = (call.time + call.chunk - 1) / call.chunk, state = c.state(), entries = c.entries();
  bool carries = c.shares.carries;
  I slot = carries ? 2 * state : state, kept = (chunks + call.every - 1) / call.every;
  std::vector<T> between((call.every - 1) * slot);
  std::vector<T> value(c.value * c.ld), wide(state);
  for (I item = first; item < last; ++item) {
    I head = item % call.heads;
    enter(c, end ? end + item * entries : nullptr, b.weights);
    enter(c, late ? late + item * entries : nullptr, b.sums);
    for (T* each : {b.gain, b.shift}) std::fill(each, each + c.value, T(0));
    for (I place = chunks - 1; place >= 0; --place) {
      I t = place * call.chunk, after = place % call.every;
      const T* w = starts + (item * kept + place / call.every) * slot;
      if (place + 1 == chunks || after + 1 == call.every)  // of these chunks the last comes first
        for (I n = 0; n < after; ++n) {
          const T* now = n ? between.data() + (n - 1) * slot : w;
          T* next = between.data() + n * slot;
          c.read(item, (place - after + n) * call.chunk);
          c.ask(now, head);
          c.end(now, now + state, next, next + state);
        }
      if (after) w = between.data() + (after - 1) * slot;
      const T* s = w + state;
      c.read(item, t);
      c.ask(w, head);
      c.answers(w, s, head);
      c.enter(above, item, t, c.value, b.above);
      b.begin();
      b.end(w, s);
      b.answers(w, s, head);
      b.ask(w, head, value.data());
      b.shares();
      if (anchor && place + 1 == chunks) {
        enter(c, anchor + item * entries, wide.data());
        for (I n = 0; n < state; ++n) b.weights[n] += wide[n];
      }
      c.leave(b.z, item, t, c.key, to.query);
      c.leave(b.of[0].x, item, t, c.key, to.key);
      c.leave(value.data(), item, t, c.value, to.value);
      c.leave(b.step, item, t, 1, to.step);
      if (to.decay) c.leave(b.decay, item, t, 1, to.decay);
      if (to.carry) c.leave(b.carry, item, t, 1, to.carry);
    }
    leave(c, b.weights, to.start + item * entries);
    if (carries) leave(c, b.sums, to.sums + item * entries);
    if (to.gain) std::memcpy(to.gain + item * c.value, b.gain, c.value * sizeof(T));
    if (to.shift) std::memcpy(to.shift + item * c.value, b.shift, c.value * sizeof(T));
  }
}

#define TOKENS(T)                                                                                  \
  const T *query, const T *key, const T *value, const T *step, const T *decay, const T *carry,     \
      const T *gain, const T *shift, const T *gate, const T *p
#define SIZES                                                                                      \
  const I *sizes, I depth, I time, I heads, I chunk, I every, I activation, I norm, I offset,      \
      I residual, I looks
#define CALL(T)                                                                                    \
  Call<T> call {                                                                                   \
    query, key, value, step, decay, carry, gain, shift, {gate, nullptr, p}, sizes, depth, time,    \
        heads, chunk, activation, norm, every, offset != 0, residual != 0, looks != 0              \
  }

#define NETWORK(T)                                                                                 \
  extern "C" void network_forward_##T(TOKENS(T), const T* start, const T* sums, T* found,          \
                                      T* answers, T* starts, T* end, T* late, T* anchor, SIZES,    \
                                      I first, I last) {                                           \
    CALL(T);                                                                                       \
    forward(call, start, sums, found, answers, starts, end, late, anchor, first, last);            \
  }                                                                                                \
  extern "C" void network_backward_##T(                                                            \
      TOKENS(T), const T* starts, const T* above, const T* end, const T* late, const T* anchor,    \
      T* dquery, T* dkey, T* dvalue, T* dstep, T* ddecay, T* dcarry, T* dgain, T* dshift,          \
      T* dstart, T* dsums, SIZES, I first, I last) {                                               \
    CALL(T);                                                                                       \
    Gradients<T> to{dquery, dkey, dvalue, dstep, ddecay, dcarry, dgain, dshift, dstart, dsums};    \
    backward(call, starts, above, end, late, anchor, to, first, last);                             \
  }

NETWORK(float)
NETWORK(double)
