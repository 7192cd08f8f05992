// What one channel of a recurrent cell or a scan does at a token; cell.cpp has the loop over them.
#include <algorithm>
#include <vector>

// A loop over channels, each of which looks at numbers of its own alone.
#define EACH _Pragma("omp simd") for (int64_t i = 0; i < n; ++i)

template <typename T> static inline T sigmoid(T x) { return 1 / (1 + exponential(-x)); }
template <typename T> static inline T hyperbolic(T x) { return 1 - 2 / (exponential(2 * x) + 1); }

// How a gate is made, which gate, how a value is made: the numbers of Program in Python.
enum { NONE, SIGMOID, EXPONENTIAL, GIVEN, FIXED, COMPLEMENT };
enum { DECAY, STEP, RESET, OUTPUT };
enum { PLAIN, HYPERBOLIC, WITH_RESET };

template <typename T> struct Program {
  int64_t kind[4], row[4], seen, given, states, size;
  int64_t candidate, candidate_row, value_row, bonus_row;
  int64_t residual, previous, implicit, normaliser, squash;
  T number[4], floor, divisor;
  Program(const int64_t* whole, const T* real) {
    for (auto& x : kind) x = *whole++;
    for (auto& x : row) x = *whole++;
    for (int64_t* x : {&seen, &given, &states, &size, &candidate, &candidate_row, &value_row,
                       &bonus_row, &residual, &previous, &implicit, &normaliser, &squash})
      *x = *whole++;
    for (auto& x : number) x = *real++;
    floor = *real++;
    divisor = *real++;
  }
  // What is read is the first state as it is.
  bool bare() const {
    return kind[OUTPUT] == NONE && !squash && !normaliser && bonus_row < 0;
  }
};

// `n` channels of one head of one sequence at one token. Rows are pointers to their numbers: those
// to which a product was added, and those that are given. What needs no work is not copied.
template <typename T> struct Channels {
  const Program<T>& p;
  const int64_t n;
  std::vector<T> room;
  const T *gate[4], *value, *size, *keep, *quotient, *shown;
  T *made[4], *candidate, *moved, *kept, *total, *summed_up, *squashed;
  T *slope[4], *by_value, *by_size, *by_keep;

  Channels(const Program<T>& program, int64_t count) : p(program), n(count), room(17 * n) {
    T* next = room.data();
    for (T** x : {&made[0], &made[1], &made[2], &made[3], &candidate, &moved, &kept, &total,
                  &summed_up, &squashed, &slope[0], &slope[1], &slope[2], &slope[3], &by_value,
                  &by_size, &by_keep}) {
      *x = next;
      next += n;
    }
    for (int g = 0; g < 4; ++g)
      std::fill_n(made[g], n, p.kind[g] == FIXED ? p.number[g] : T(1));
  }

  // Gates, value, step and what is kept, from the rows of the token.
  void open(const T* const* summed, const T* const* given) {
    for (int g = 0; g < 4; ++g) {
      const T *from = p.kind[g] == GIVEN ? given[p.row[g]] : summed[p.row[g]];
      const T *decay = gate[DECAY], low = p.floor;
      T* to = made[g];
      gate[g] = to;
      switch (p.kind[g]) {
        case SIGMOID: EACH to[i] = sigmoid(from[i]); break;
        case EXPONENTIAL: EACH to[i] = exponential(15 * hyperbolic(from[i] / 15)); break;
        case GIVEN:
          if (g == DECAY && low > 0) EACH to[i] = from[i];
          else gate[g] = from;
          break;
        case COMPLEMENT: EACH to[i] = 1 - decay[i]; break;
      }
      if (g == DECAY && low > 0) EACH to[i] = to[i] < low ? low : to[i];
    }
    const T *decay = gate[DECAY], *step = gate[STEP], *reset = gate[RESET];
    const T *seen = summed[p.candidate_row], *plain = given[p.value_row];
    T *v = candidate, *s = moved, *k = kept;
    value = v;
    switch (p.candidate) {
      case PLAIN: value = plain; break;
      case HYPERBOLIC: EACH v[i] = hyperbolic(seen[i]); break;
      case WITH_RESET: EACH v[i] = hyperbolic(plain[i] + reset[i] * seen[i]); break;
    }
    const T divisor = p.divisor;
    size = step;
    if (p.implicit || divisor != 1) {
      EACH s[i] = step[i] / divisor;
      if (p.implicit) EACH s[i] = s[i] / (1 + s[i]);
      size = s;
    }
    const T* of = size;
    keep = k;
    if (!p.residual) keep = decay;
    else if (p.previous) EACH k[i] = decay[i] - of[i];
    else EACH k[i] = decay[i] * (1 - of[i]);
  }

  // States lie `apart` from each other.
  void write(const T* old, T* now, int64_t apart) {
    const T *v = value, *s = size, *k = keep;
    EACH now[i] = s[i] * v[i] + k[i] * old[i];
    if (p.states > 1) EACH now[apart + i] = s[i] + k[i] * old[apart + i];
  }

  // What is read before the output gate, from the states after the token.
  void read(const T* now, int64_t apart, const T* const* given) {
    quotient = shown = now;
    if (p.bare()) return;
    const T *u = p.bonus_row < 0 ? nullptr : given[p.bonus_row], *v = value, *step = gate[STEP];
    const T low = T(1e-12);
    T *q = summed_up, *m = total, *r = squashed;
    if (p.normaliser || u) {
      EACH q[i] = now[i];
      if (u) EACH q[i] += step[i] * u[i] * v[i];
      if (p.normaliser) {
        EACH m[i] = now[apart + i];
        if (u) EACH m[i] += step[i] * u[i];
        EACH q[i] /= m[i] < low ? low : m[i];
      }
      quotient = shown = q;
    }
    if (p.squash) {
      const T* of = quotient;
      EACH r[i] = hyperbolic(of[i]);
      shown = r;
    }
  }

  // From the gradient of the output to those of all rows; `carry` goes from the states after the
  // token to those before it.
  void back(const T* const* summed, const T* const* given, const T* old, int64_t apart,
            const T* above, T* carry, T* const* to_summed, T* const* to_given) {
    const T *out = gate[OUTPUT], *step = gate[STEP], *decay = gate[DECAY], *reset = gate[RESET];
    const T *q = quotient, *r = shown, *m = total;
    const T *v = value, *size = this->size, *keep = this->keep;
    const T low = T(1e-12), divisor = p.divisor, floor = p.floor;
    const bool bonus = p.bonus_row >= 0;
    // Gradients of rows that are given are made where they belong.
    auto place = [&](int g) { return p.kind[g] == GIVEN ? to_given[p.row[g]] : slope[g]; };
    T *decayed = place(DECAY), *stepped = place(STEP), *shut = place(RESET), *let = place(OUTPUT);
    T *dv = p.candidate == PLAIN ? to_given[p.value_row] : by_value;
    T *ds = bonus ? by_size : stepped, *dk = by_keep;
    // What reaches the sum that is read, and its normaliser.
    const T* reach = above;
    if (p.kind[OUTPUT] != NONE) {
      EACH let[i] = above[i] * r[i];
      EACH dk[i] = above[i] * out[i];
      reach = dk;
    }
    if (p.squash) {
      EACH dk[i] = reach[i] * (1 - r[i] * r[i]);
      reach = dk;
    }
    if (p.normaliser || bonus) EACH dv[i] = ds[i] = 0;
    if (p.normaliser) {
      EACH ds[i] = m[i] < low ? T(0) : -reach[i] * q[i] / m[i];
      EACH dk[i] = reach[i] / (m[i] < low ? low : m[i]);
      reach = dk;
    }
    if (bonus) {
      const T* u = given[p.bonus_row];
      T* to_bonus = to_given[p.bonus_row];
      EACH {
        T strength = reach[i] * v[i] + ds[i];
        dv[i] = reach[i] * step[i] * u[i];
        stepped[i] = strength * u[i];
        to_bonus[i] = strength * step[i];
      }
    }
    // What reaches step and multiplier.
    T* beside = slope[RESET];
    if (p.states > 1) {
      EACH {
        T total = carry[apart + i] + ds[i];
        ds[i] = total;
        beside[i] = total * old[apart + i];
        carry[apart + i] = total * keep[i];
      }
    }
    if (p.normaliser || bonus) {
      EACH {
        T w = carry[i] + reach[i];
        decayed[i] = w * old[i];
        ds[i] += w * v[i];
        dv[i] += w * size[i];
        carry[i] = w * keep[i];
      }
    } else {
      EACH {
        T w = carry[i] + reach[i];
        decayed[i] = w * old[i];
        ds[i] = w * v[i];
        dv[i] = w * size[i];
        carry[i] = w * keep[i];
      }
    }
    if (p.states > 1) EACH decayed[i] += beside[i];
    if (p.residual && p.previous) EACH ds[i] -= decayed[i];
    if (p.residual && !p.previous) {
      EACH ds[i] -= decayed[i] * decay[i];
      EACH decayed[i] *= 1 - size[i];
    }
    // d (x / (1 + x)) = 1 / (1 + x)^2 = (1 - size)^2.
    if (p.implicit) EACH ds[i] *= (1 - size[i]) * (1 - size[i]);
    if (divisor != 1) EACH ds[i] /= divisor;
    if (bonus) EACH stepped[i] += ds[i];
    if (p.kind[RESET] != NONE && p.candidate != WITH_RESET) EACH shut[i] = 0;
    if (p.candidate != PLAIN) {
      const T* seen = summed[p.candidate_row];
      T *to_seen = to_summed[p.candidate_row], *to_value = to_given[p.value_row];
      EACH dv[i] *= 1 - v[i] * v[i];
      if (p.candidate == WITH_RESET) {
        EACH to_value[i] = dv[i];
        EACH shut[i] = dv[i] * seen[i];
        EACH dv[i] *= reset[i];
      }
      EACH to_seen[i] = dv[i];
    }
    if (p.kind[STEP] == COMPLEMENT) EACH decayed[i] -= stepped[i];
    // Where a multiplier lies on its floor, what it was made of has no say.
    if (floor > 0) EACH decayed[i] = decay[i] <= floor ? T(0) : decayed[i];
    for (int g = 0; g < 4; ++g) {
      const T *x = gate[g], *d = slope[g], *from = summed[p.row[g]];
      T* into = to_summed[p.row[g]];
      if (p.kind[g] == SIGMOID) EACH into[i] = d[i] * x[i] * (1 - x[i]);
      if (p.kind[g] == EXPONENTIAL) {
        EACH {
          T y = hyperbolic(from[i] / 15);
          into[i] = d[i] * x[i] * (1 - y * y);
        }
      }
    }
  }
};
