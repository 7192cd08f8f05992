"""What one channel of a recurrent cell does at a token, in C++; `cell` has the loop over tokens."""

from miras.kernels import text

SOURCE = (
    text("functions.hpp")
    + r"""
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
};

// The channels of one head of one sequence at one token.
template <typename T> struct Channels {
  const Program<T>& p;
  const int64_t n;
  std::vector<T> room;
  T *gate[4], *value, *size, *keep, *total, *quotient, *shown;
  T *slope[4], *by_value, *by_size, *by_keep;

  explicit Channels(const Program<T>& program) : p(program), n(p.size), room(17 * n) {
    T* next = room.data();
    for (T** x : {&gate[0], &gate[1], &gate[2], &gate[3], &value, &size, &keep, &total, &quotient,
                  &shown, &slope[0], &slope[1], &slope[2], &slope[3], &by_value, &by_size,
                  &by_keep}) {
      *x = next;
      next += n;
    }
  }

  // Gates, value, step and what is kept, from the rows of the token.
  void open(const T* summed, const T* given) {
    const T *decay = gate[DECAY], *step = gate[STEP], *reset = gate[RESET];
    for (int g = 0; g < 4; ++g) {
      T* to = gate[g];
      const T* from = (p.kind[g] == GIVEN ? given : summed) + p.row[g] * n;
      const T number = p.number[g], low = p.floor;
      switch (p.kind[g]) {
        case NONE: EACH to[i] = 1; break;
        case SIGMOID: EACH to[i] = sigmoid(from[i]); break;
        case EXPONENTIAL: EACH to[i] = exponential(15 * hyperbolic(from[i] / 15)); break;
        case GIVEN: EACH to[i] = from[i]; break;
        case FIXED: EACH to[i] = number; break;
        case COMPLEMENT: EACH to[i] = 1 - decay[i]; break;
      }
      if (g == DECAY && low > 0) EACH to[i] = to[i] < low ? low : to[i];
    }
    const T *seen = summed + p.candidate_row * n, *plain = given + p.value_row * n;
    T *v = value, *s = size, *k = keep;
    switch (p.candidate) {
      case PLAIN: EACH v[i] = plain[i]; break;
      case HYPERBOLIC: EACH v[i] = hyperbolic(seen[i]); break;
      case WITH_RESET: EACH v[i] = hyperbolic(plain[i] + reset[i] * seen[i]); break;
    }
    const T divisor = p.divisor;
    EACH s[i] = step[i] / divisor;
    if (p.implicit) EACH s[i] = s[i] / (1 + s[i]);
    if (!p.residual) EACH k[i] = decay[i];
    else if (p.previous) EACH k[i] = decay[i] - s[i];
    else EACH k[i] = decay[i] * (1 - s[i]);
  }

  void write(const T* old, T* now) {
    const T *v = value, *s = size, *k = keep;
    EACH now[i] = s[i] * v[i] + k[i] * old[i];
    if (p.states > 1) EACH now[n + i] = s[i] + k[i] * old[n + i];
  }

  // What is read before the output gate, from the states after the token.
  void read(const T* now, const T* given) {
    const T *u = given + p.bonus_row * n, *v = value, *step = gate[STEP];
    const T low = T(1e-12);
    T *q = quotient, *m = total, *r = shown;
    EACH q[i] = now[i];
    if (p.bonus_row >= 0) EACH q[i] += step[i] * u[i] * v[i];
    if (p.normaliser) {
      EACH m[i] = now[n + i];
      if (p.bonus_row >= 0) EACH m[i] += step[i] * u[i];
      EACH q[i] /= m[i] < low ? low : m[i];
    }
    if (p.squash) EACH r[i] = hyperbolic(q[i]);
    else EACH r[i] = q[i];
  }

  // From the gradient of the output to those of all rows; `carry` goes from the states after the
  // token to those before it.
  void back(const T* summed, const T* given, const T* old, const T* above, T* carry, T* to_summed,
            T* to_given) {
    const T *out = gate[OUTPUT], *step = gate[STEP], *decay = gate[DECAY], *reset = gate[RESET];
    const T *u = given + p.bonus_row * n, *q = quotient, *r = shown, *m = total;
    const T *v = value, *size = this->size, *keep = this->keep;
    T *dv = by_value, *ds = by_size, *dk = by_keep;
    T *decayed = slope[DECAY], *stepped = slope[STEP], *shut = slope[RESET], *let = slope[OUTPUT];
    const T low = T(1e-12), divisor = p.divisor, floor = p.floor;
    // dk and ds: first what reaches the sum that is read and its normaliser.
    EACH let[i] = above[i] * r[i];
    EACH dk[i] = above[i] * out[i];
    if (p.squash) EACH dk[i] *= 1 - r[i] * r[i];
    EACH stepped[i] = dv[i] = ds[i] = shut[i] = 0;
    if (p.normaliser) {
      EACH ds[i] = m[i] < low ? T(0) : -dk[i] * q[i] / m[i];
      EACH dk[i] /= m[i] < low ? low : m[i];
    }
    if (p.bonus_row >= 0) {
      T* to_bonus = to_given + p.bonus_row * n;
      EACH {
        T strength = dk[i] * v[i] + ds[i];
        dv[i] = dk[i] * step[i] * u[i];
        stepped[i] = strength * u[i];
        to_bonus[i] = strength * step[i];
      }
    }
    // Then what reaches step and multiplier.
    if (p.states > 1) {
      EACH {
        T total = carry[n + i] + ds[i];
        ds[i] = total;
        carry[n + i] = total * keep[i];
      }
    }
    EACH {
      T w = carry[i] + dk[i];
      dk[i] = w * old[i];
      if (p.states > 1) dk[i] += ds[i] * old[n + i];
      ds[i] += w * v[i];
      dv[i] += w * size[i];
      carry[i] = w * keep[i];
    }
    EACH decayed[i] = dk[i];
    if (p.residual && p.previous) EACH ds[i] -= dk[i];
    if (p.residual && !p.previous) {
      EACH decayed[i] = dk[i] * (1 - size[i]);
      EACH ds[i] -= dk[i] * decay[i];
    }
    // d (x / (1 + x)) = 1 / (1 + x)^2 = (1 - size)^2.
    if (p.implicit) EACH ds[i] *= (1 - size[i]) * (1 - size[i]);
    EACH stepped[i] += ds[i] / divisor;
    if (p.candidate == PLAIN) {
      T* to_value = to_given + p.value_row * n;
      EACH to_value[i] = dv[i];
    } else {
      const T* seen = summed + p.candidate_row * n;
      T *to_seen = to_summed + p.candidate_row * n, *to_value = to_given + p.value_row * n;
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
      const T *x = gate[g], *d = slope[g], *from = summed + p.row[g] * n;
      T *into = to_summed + p.row[g] * n, *other = to_given + p.row[g] * n;
      if (p.kind[g] == SIGMOID) EACH into[i] = d[i] * x[i] * (1 - x[i]);
      if (p.kind[g] == GIVEN) EACH other[i] = d[i];
      if (p.kind[g] == EXPONENTIAL) {
        EACH {
          T y = hyperbolic(from[i] / 15);
          into[i] = d[i] * x[i] * (1 - y * y);
        }
      }
    }
  }
};
"""
)
