// A recurrent cell over a sequence, or a scan of channels, and its derivative.
//
// An item is one head of up to ROWS sequences. The channels of a head are split in bands where there
// are more threads than items: then threads meet after every token, since sums R h see all of h. A
// scan has no such sums, and its bands never meet.
constexpr int64_t ROWS = 8;

// Where the numbers of one row lie; those of a head's channels are side by side.
template <typename T> struct Place {
  T* data;
  int64_t batch, time, head;
  T* at(int64_t b, int64_t t, int64_t h) const { return data + b * batch + t * time + h * head; }
};

template <typename T> struct Cell {
  Program<T> p;
  std::vector<Place<T>> seen, given;  // what sums start from, and rows as they are
  int64_t time, batch, heads, band, shared;
  const T *matrix, *start, *before;
  T *summed, *output, *states;

  // `table` has four numbers per row.
  Cell(const int64_t* whole, const T* real, const int64_t* sizes, const int64_t* table)
      : p(whole, real), time(sizes[0]), batch(sizes[1]), heads(sizes[2]), band(sizes[3]),
        shared(sizes[4]) {
    for (int64_t row = 0; row < p.seen + p.given; ++row, table += 4)
      (row < p.seen ? seen : given)
          .push_back({reinterpret_cast<T*>(table[0]), table[1], table[2], table[3]});
  }

  int64_t token(int64_t b, int64_t t, int64_t h) const { return (b * time + t) * heads + h; }
  T* sums(int64_t b, int64_t t, int64_t h, int64_t row) const {
    return summed + (token(b, t, h) * p.seen + row) * p.size;
  }
  const T* old(int64_t b, int64_t t, int64_t h) const {
    const int64_t size = p.states * p.size;
    return t ? states + token(b, t - 1, h) * size : start + (b * heads + h) * size;
  }
  T* now(int64_t b, int64_t t, int64_t h) const {
    return states + token(b, t, h) * p.states * p.size;
  }
};

// Channels [low, high) of one head of some sequences.
struct Part {
  int64_t head, from, to, low, high;
};

// Threads that share an item wait here for each other; one alone never waits.
struct Meeting {
  int64_t *arrived, share, all, turn;
  void wait() {
    if (share == all) return;
    turn += all;
    __atomic_fetch_add(arrived, share, __ATOMIC_ACQ_REL);
    for (int64_t tries = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < turn; ++tries)
      if (tries > 20000) std::this_thread::yield();
  }
};

// What a cell does for each part of it that the range of items names.
template <typename T, typename F>
static void parts(const Cell<T>& c, int64_t* arrived, int64_t first, int64_t last, F run) {
  const int64_t size = c.p.size, rows = c.p.seen ? ROWS : 1;
  const int64_t bands = (size + c.band - 1) / c.band, blocks = (c.batch + rows - 1) / rows;
  auto part = [&](int64_t item, int64_t from, int64_t to) {
    int64_t head = item / blocks, b = item % blocks * rows;
    return Part{head, b, std::min(c.batch, b + rows), from * c.band, std::min(size, to * c.band)};
  };
  if (c.shared) {
    Meeting meeting{arrived, last - first, bands, 0};
    for (int64_t item = 0; item < c.heads * blocks; ++item)
      run(part(item, first, last), meeting, first, bands);
  } else {
    Meeting alone{nullptr, 1, 1, 0};
    for (int64_t item = first; item < last; ++item) {
      int64_t one = c.p.seen ? 0 : item % bands, whole = c.p.seen ? item : item / bands;
      run(part(whole, one, c.p.seen ? bands : one + 1), alone, 0, 1);
    }
  }
}

// Lines of the rows that the next token needs, on their way while a product is done.
template <typename T> static inline void fetch(const T* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 64 / sizeof(T)) __builtin_prefetch(from + i);
}

// `both` [2, ROWS, size] has the outputs of the last token, and room for those of this one.
template <typename T>
static void forward(const Cell<T>& c, const Part& k, T* both, Meeting& meeting) {
  const Program<T>& p = c.p;
  const int64_t size = p.size, n = k.high - k.low, h = k.head, count = k.to - k.from;
  Channels<T> at(p, n);
  std::vector<const T*> rows(p.seen + p.given + 1), given(rows);
  Packed<T> packed;
  if (p.seen) {
    const T* from = c.matrix + h * size * p.seen * size + k.low;
    packed.open(size, p.seen * n);
    for (int64_t i = 0; i < size; ++i)
      for (int64_t r = 0; r < p.seen; ++r)
        packed.put(i, r * n, from + (i * p.seen + r) * size, 1, n);
    for (int64_t b = k.from; b < k.to; ++b)
      std::copy_n(c.before + (b * c.heads + h) * size + k.low, n,
                  both + (b - k.from) * size + k.low);
    meeting.wait();
  }
  std::vector<T> product(ROWS * packed.room);
  for (int64_t t = 0; t < c.time; ++t) {
    T* next = both + ((t + 1) % 2 * ROWS) * size + k.low;
    if (p.seen) {
      for (int64_t b = k.from; b < k.to; ++b) {
        for (auto& row : c.seen) fetch(row.at(b, t, h) + k.low, n);
        for (auto& row : c.given) fetch(row.at(b, t, h) + k.low, n);
      }
      packed.times(both + (t % 2 * ROWS) * size, size, count, product.data());
    }
    for (int64_t b = k.from; b < k.to; ++b) {
      for (int64_t r = 0; r < p.given; ++r) given[r] = c.given[r].at(b, t, h) + k.low;
      for (int64_t r = 0; r < p.seen; ++r) {
        const T* x = c.seen[r].at(b, t, h) + k.low;
        const T* more = &product[(b - k.from) * packed.room + r * n];
        T* row = c.sums(b, t, h, r) + k.low;
        rows[r] = row;
        EACH row[i] = x[i] + more[i];
      }
      T* now = c.now(b, t, h) + k.low;
      at.open(rows.data(), given.data());
      at.write(c.old(b, t, h) + k.low, now, size);
      const T* found = now;  // without a place of its own the output is the state
      if (c.output) {
        at.read(now, size, given.data());
        const T *gate = at.gate[OUTPUT], *shown = at.shown;
        T* out = c.output + c.token(b, t, h) * size + k.low;
        EACH out[i] = gate[i] * shown[i];
        found = out;
      }
      if (p.seen) std::copy_n(found, n, next + (b - k.from) * size);
    }
    meeting.wait();
  }
}

// Back from the last token. Gradients of sums are taken through R by each thread for the channels
// that it has: `both` [2, bands, ROWS, size] has what that gives for all channels of h.
template <typename T>
static void backward(const Cell<T>& c, const Part& k, const Place<T>& above,
                     const std::vector<Place<T>>& to_given, T* to_summed, T* carried, T* reached,
                     T* both, Meeting& meeting, int64_t own, int64_t bands) {
  const Program<T>& p = c.p;
  const int64_t size = p.size, n = k.high - k.low, h = k.head, count = k.to - k.from;
  const int64_t wide = p.seen * n;
  Channels<T> at(p, n);
  std::vector<const T*> rows(p.seen + p.given + 1), given(rows);
  std::vector<T*> to_rows(rows.size()), into(rows.size());
  std::vector<T> pulled(ROWS * wide), sum(n);
  Packed<T> packed;
  if (p.seen) {
    const T* from = c.matrix + h * size * p.seen * size + k.low;
    packed.open(wide, size);
    for (int64_t r = 0; r < p.seen; ++r)
      for (int64_t i = 0; i < n; ++i)
        packed.put(r * n + i, 0, from + r * size + i, p.seen * size, size);
  }
  std::vector<T> product(ROWS * packed.room);
  // What reached h of a sequence, from all threads that share the item.
  auto late = [&](int64_t t, int64_t b, T* found) {
    for (int64_t one = 0; one < bands; ++one) {
      const T* from = both + ((t % 2 * bands + one) * ROWS + b - k.from) * size + k.low;
      EACH found[i] += from[i];
    }
  };
  for (int64_t t = c.time - 1; t >= 0; --t) {
    T* mine = both + (t % 2 * bands + own) * ROWS * size;
    for (int64_t b = k.from; b < k.to; ++b) {
      for (int64_t r = 0; r < p.given; ++r) {
        given[r] = c.given[r].at(b, t, h) + k.low;
        into[r] = to_given[r].at(b, t, h) + k.low;
      }
      for (int64_t r = 0; r < p.seen; ++r) {
        rows[r] = c.sums(b, t, h, r) + k.low;
        to_rows[r] = to_summed + (rows[r] - c.summed);
      }
      const T *now = c.now(b, t, h) + k.low, *up = above.at(b, t, h) + k.low;
      const T* whole = up;
      if (p.seen) {
        T* added = sum.data();
        EACH added[i] = up[i];
        if (t + 1 < c.time) late(t + 1, b, added);
        whole = added;
      }
      at.open(rows.data(), given.data());
      at.read(now, size, given.data());
      at.back(rows.data(), given.data(), c.old(b, t, h) + k.low, size, whole,
              carried + (b * c.heads + h) * p.states * size + k.low, to_rows.data(), into.data());
      for (int64_t r = 0; r < p.seen; ++r)
        std::copy_n(to_rows[r], n, &pulled[(b - k.from) * wide + r * n]);
    }
    if (!p.seen) continue;
    for (int64_t b = k.from; t && b < k.to; ++b) {
      for (int64_t r = 0; r < p.seen; ++r) fetch(c.sums(b, t - 1, h, r) + k.low, n);
      for (auto& row : c.given) fetch(row.at(b, t - 1, h) + k.low, n);
      for (int64_t s = 0; s < p.states; ++s) fetch(c.old(b, t - 1, h) + s * size + k.low, n);
      fetch(above.at(b, t - 1, h) + k.low, n);
    }
    packed.times(pulled.data(), wide, count, product.data());
    for (int64_t b = 0; b < count; ++b)
      std::copy_n(&product[b * packed.room], size, mine + b * size);
    meeting.wait();
  }
  for (int64_t b = k.from; p.seen && b < k.to; ++b) {
    T* found = reached + (b * c.heads + h) * size + k.low;
    std::fill_n(found, n, T(0));
    late(0, b, found);
  }
  meeting.wait();  // before the next item writes where this one was read
}

// `sizes` are time, batch, heads, channels of a band, whether threads share items.
#define INSTANCE(T) \
  extern "C" void forward_##T(const int64_t* whole, const T* real, const int64_t* sizes, \
      const int64_t* table, const T* matrix, const T* start, const T* before, T* summed, \
      T* output, T* states, T* common, int64_t* arrived, int64_t first, int64_t last) { \
    Cell<T> c(whole, real, sizes, table); \
    c.matrix = matrix, c.start = start, c.before = before; \
    c.summed = summed, c.output = output, c.states = states; \
    std::vector<T> own(common ? 0 : 2 * ROWS * c.p.size); \
    parts(c, arrived, first, last, [&](const Part& k, Meeting& m, int64_t, int64_t) { \
      forward(c, k, common ? common : own.data(), m); \
    }); \
  } \
  extern "C" void backward_##T(const int64_t* whole, const T* real, const int64_t* sizes, \
      const int64_t* table, const int64_t* gradients, const T* matrix, const T* start, \
      const T* summed, const T* states, T* to_summed, T* carried, T* reached, T* common, \
      int64_t* arrived, int64_t first, int64_t last) { \
    Cell<T> c(whole, real, sizes, table); \
    c.matrix = matrix, c.start = start, c.output = nullptr; \
    c.summed = const_cast<T*>(summed), c.states = const_cast<T*>(states); \
    std::vector<Place<T>> to; \
    for (int64_t row = 0; row <= c.p.given; ++row, gradients += 4) \
      to.push_back({reinterpret_cast<T*>(gradients[0]), gradients[1], gradients[2], \
                    gradients[3]}); \
    std::vector<T> alone(common ? 0 : 2 * ROWS * c.p.size); \
    parts(c, arrived, first, last, [&](const Part& k, Meeting& m, int64_t own, int64_t bands) { \
      backward(c, k, to.back(), to, to_summed, carried, reached, common ? common : alone.data(), \
               m, own, bands); \
    }); \
  }
INSTANCE(float)
INSTANCE(double)
