// A deep memory whose gradients are taken at the start of each chunk; see miras/plans/deep.py.
//
// Tokens are [batch, time, heads, size]; an item is one head of one sequence. Inside a chunk tokens
// lie in columns, [features, tokens]: then every product has a matrix on its left, in whatever
// order it is stored, and tokens on its right, and what is one number per token (shares, norms)
// meets neighbours. A matrix is stored with its wider side as rows. An offset is one more column of
// the last matrix, which meets a feature that is 1.

template <typename T> struct Call {
  const T *query, *key, *value;     // tokens
  const T *step, *decay, *carry;    // one number per token; the last two only where there are any
  const T *gain, *shift;            // [heads, value], only where there is a norm that has them
  Row<T> row;
  const I* sizes;                   // of the key, the hidden layers and the value
  I depth, time, heads, chunk, activation, norm;
  I every;                          // chunks whose starts are found again from the first one's
  bool offset, residual;
  bool looks;                       // an error is of the answer; or minus the value
  I in(I layer) const { return sizes[layer] + (offset && layer == depth - 1); }
  I out(I layer) const { return sizes[layer + 1]; }
};

enum Norm { NONE, LAYER, RMS };

// A matrix [out, in] of the memory, or its momentum, or a gradient of either.
template <typename T> struct Matrix {
  I out, in;
  bool turned;  // stored as [in, out]
  I rows, ld;
  Matrix(I outputs, I inputs) : out(outputs), in(inputs), turned(outputs < inputs) {
    rows = turned ? in : out;
    ld = padded<T>(turned ? out : in);
  }
  I size() const { return rows * ld; }
  I by_out() const { return turned ? 1 : ld; }
  I by_in() const { return turned ? ld : 1; }

  void enter(const T* from, T* to) const {
    if (turned) return transpose(from, out, in, in, to, ld);
    for (I r = 0; r < rows; ++r) {
      std::memcpy(to + r * ld, from + r * in, in * sizeof(T));
      std::fill(to + r * ld + in, to + (r + 1) * ld, T(0));
    }
  }
  void leave(const T* from, T* to) const {
    if (turned) return transpose(from, in, out, ld, to, in);
    for (I r = 0; r < rows; ++r) std::memcpy(to + r * in, from + r * ld, in * sizeof(T));
  }
  // y [out, tokens] (+)= W x and x [wanted, tokens] (+)= W^T y, the first `wanted` inputs of it
  void apply(const T* w, const T* x, T* y, I tokens, bool add) const {
    product(out, tokens, in, w, by_out(), by_in(), x, tokens, y, tokens, add);
  }
  void back(const T* w, const T* y, T* x, I tokens, I wanted, bool add) const {
    product(wanted, tokens, out, w, by_in(), by_out(), y, tokens, x, tokens, add);
  }
  // W += sum over tokens of y x^T, where `narrow` [tokens, ld] is x, or y if turned
  void gather(const T* y, const T* x, const T* narrow, I tokens, I count, T* w) const {
    product(rows, ld, count, turned ? x : y, tokens, I(1), narrow, ld, w, ld, true);
  }
};
