// The passes between a step's matrix products, each in one walk through memory.
//
// Compiled once for all sizes, by marginlens/kernels/passes.py, which says what each argument is.
// Sums are taken in the same order at each call with the same number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define INLINE static inline __attribute__((always_inline))

namespace {

template <class R> struct Vector {
  using Integer = std::conditional_t<sizeof(R) == 4, int32_t, int64_t>;
  typedef R V __attribute__((vector_size(BYTES)));
  typedef Integer I __attribute__((vector_size(BYTES)));
  static constexpr int LANES = BYTES / sizeof(R);
};
template <class R> using Vec = typename Vector<R>::V;
template <class R> using Int = typename Vector<R>::I;

template <class V, class R> INLINE V load(const R* from) { V x; std::memcpy(&x, from, sizeof x); return x; }
template <class V, class R> INLINE void store(R* to, V x) { std::memcpy(to, &x, sizeof x); }
template <class R> INLINE Vec<R> choose(Int<R> mask, Vec<R> a, Vec<R> b) {
  return mask ? a : b;
}

// exp(x) for log(smallest normal number) < x <= 0, or NaN: 2^n times a polynomial on |r| <= log(2)/2.
INLINE Vec<float> exponential(Vec<float> x) {
  const float magic = 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  Vec<float> shifted = x * 1.44269504088896341f + magic, n = shifted - magic;
  Vec<float> r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Int<float> power = ((Int<float>)shifted << 23) + (127 << 23);
  return p * (Vec<float>)power;
}

INLINE Vec<double> exponential(Vec<double> x) {
  const double magic = 6755399441055744.0;
  Vec<double> shifted = x * 1.4426950408889634074 + magic, n = shifted - magic;
  Vec<double> r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6;
  double term = 1.0 / 6227020800.0;  // 1 / 13!
  Vec<double> p = Vec<double>{} + term;
  for (int k = 13; k >= 1; k--) {
    term *= k;
    p = p * r + term;
  }
  Int<double> power = ((Int<double>)shifted << 52) + (int64_t(1023) << 52);
  return p * (Vec<double>)power;
}

// Gradient, loss and margin of LINES * LANES rows, classes first in buffer.
template <class R> struct CrossEntropy {
  using V = Vec<R>;
  using I = Int<R>;
  static constexpr int LANES = Vector<R>::LANES, LINES = 2, ROWS = LINES * LANES;

  int64_t classes;
  std::vector<R> buffer;

  explicit CrossEntropy(int64_t classes) : classes(classes), buffer(classes * ROWS) {}

  // In: answers, and logits[class * stride + row], which become gradients of weighted losses; they
  // may lie in buffer. Out: losses and gaps.
  void run(
      R* logits, int64_t stride, const typename Vector<R>::Integer* answers, const R* weights,
      R* losses, R* gaps) {
    R* b = buffer.data();
    V right[LINES], largest[LINES];
    I answer[LINES];
    std::memcpy(answer, answers, sizeof answer);
    const R lowest = std::log(std::numeric_limits<R>::min()) + R(0.5);
    V none = V{} - std::numeric_limits<R>::infinity();
    for (int i = 0; i < LINES; i++) right[i] = V{}, largest[i] = none;
    for (int64_t j = 0; j < classes; j++)
      for (int i = 0; i < LINES; i++) {
        V x = load<V>(logits + j * stride + i * LANES);
        I mine = answer[i] == (typename Vector<R>::Integer)j;
        right[i] = choose<R>(mine, x, right[i]);
        largest[i] = choose<R>((x > largest[i]) & ~mine, x, largest[i]);
      }
    V top[LINES], wrong[LINES];
    for (int i = 0; i < LINES; i++) {
      top[i] = choose<R>(largest[i] > right[i], largest[i], right[i]);
      wrong[i] = V{};
    }
    for (int64_t j = 0; j < classes; j++)
      for (int i = 0; i < LINES; i++) {
        V x = load<V>(logits + j * stride + i * LANES) - top[i];
        x = choose<R>(x < lowest, V{} + lowest, x);  // NaN stays
        I mine = answer[i] == (typename Vector<R>::Integer)j;
        V e = choose<R>(mine, V{}, exponential(x));
        wrong[i] += e;
        store(b + j * ROWS + i * LANES, e);
      }
    V scale[LINES], rest[LINES];
    for (int i = 0; i < LINES; i++) {
      store(gaps + i * LANES, right[i] - largest[i]);
      for (int k = 0; k < LANES; k++) {
        R shift = top[i][k] - right[i][k];
        R excess = wrong[i][k] + (shift == 0 ? R(0) : std::expm1(-shift));
        losses[i * LANES + k] = shift + std::log1p(excess);
        scale[i][k] = weights[i * LANES + k] / (excess + 1);
      }
      rest[i] = -wrong[i] * scale[i];
    }
    for (int64_t j = 0; j < classes; j++)
      for (int i = 0; i < LINES; i++) {
        I mine = answer[i] == (typename Vector<R>::Integer)j;
        V e = load<V>(b + j * ROWS + i * LANES);
        store(logits + j * stride + i * LANES, choose<R>(mine, rest[i], e * scale[i]));
      }
  }
};

// Sums over up to CrossEntropy::ROWS rows from `first` on: loss, right answers, and least margin.
template <class R>
void cross_entropy_block(
    CrossEntropy<R>& work, R* l, const int64_t* answers, const R* weights, int64_t first,
    int64_t count, int64_t class_stride, int64_t row_stride, double weight, double* sums) {
  constexpr int ROWS = CrossEntropy<R>::ROWS;
  R* b = work.buffer.data();
  alignas(BYTES) R each[ROWS], losses[ROWS], gaps[ROWS];
  typename Vector<R>::Integer asked[ROWS];
  for (int k = 0; k < ROWS; k++) {
    asked[k] = answers[first + std::min<int64_t>(k, count - 1)];
    each[k] = k >= count ? R(0) : weights ? weights[first + k] : R(weight);
  }
  if (row_stride == 1 && count == ROWS) {
    work.run(l, class_stride, asked, each, losses, gaps);
  } else {
    for (int64_t j = 0; j < work.classes; j++)
      for (int64_t k = 0; k < ROWS; k++)
        b[j * ROWS + k] = k < count ? l[j * class_stride + k * row_stride] : R(0);
    work.run(b, ROWS, asked, each, losses, gaps);
    for (int64_t j = 0; j < work.classes; j++)
      for (int64_t k = 0; k < count; k++) l[j * class_stride + k * row_stride] = b[j * ROWS + k];
  }
  for (int64_t k = 0; k < count; k++) {
    const double share = weights ? double(weights[first + k]) : 1.0;
    sums[0] += share * losses[k];
    sums[1] += gaps[k] > 0 ? share : 0;
    sums[2] = gaps[k] >= sums[2] ? sums[2] : double(gaps[k]);  // NaN stays
  }
}

constexpr double INFINITE = std::numeric_limits<double>::infinity();

void add_sums(double* to, const double* from) {
  to[0] += from[0], to[1] += from[1];
  to[2] = from[2] >= to[2] ? to[2] : from[2];
}

template <class R>
void cross_entropy(
    R* logits, const int64_t* answers, const R* weights, double* results, int64_t members,
    int64_t classes, int64_t rows, int64_t member_stride, int64_t class_stride, int64_t row_stride,
    double weight, int threads) {
  constexpr int ROWS = CrossEntropy<R>::ROWS;
  const int64_t blocks = (rows + ROWS - 1) / ROWS;
  std::vector<double> partial(3 * members * blocks);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    CrossEntropy<R> work(classes);
#pragma omp for schedule(static)
    for (int64_t item = 0; item < members * blocks; item++) {
      const int64_t first = item % blocks * ROWS, count = std::min<int64_t>(ROWS, rows - first);
      double* sums = partial.data() + 3 * item;
      sums[2] = INFINITE;
      cross_entropy_block(
          work, logits + item / blocks * member_stride + first * row_stride, answers, weights,
          first, count, class_stride, row_stride, weight, sums);
    }
  }
  for (int64_t item = 0; item < members * blocks; item++)
    add_sums(results + 3 * (item / blocks), partial.data() + 3 * item);
}

constexpr int64_t TILE = 256;  // columns worked on at a time

template <class R> struct Rows {
  const R* const* tables;
  const int32_t* const* index;
  int64_t slots, size, width;

  // Sums of a row's embeddings, for some columns.
  INLINE void sum(const Rows& x, int64_t row, int64_t from, int64_t count, R* to) {
    auto of = [&](int64_t slot) { return x.tables[slot] + x.index[slot][row] * x.width + from; };
    const R* first = of(0);
    if (x.slots == 1) {
      std::copy(first, first + count, to);
      return;
    }
    const R* second = of(1);
    for (int64_t i = 0; i < count; i++) to[i] = first[i] + second[i];
    for (int64_t slot = 2; slot < x.slots; slot++) {
      const R* next = of(slot);
      for (int64_t i = 0; i < count; i++) to[i] += next[i];
    }
  }
};

// |x|^DEGREE times 1, or times negative where x < 0.
template <int DEGREE, class R> INLINE R activation(R x, R negative) {
  R size = std::fabs(x), power = size;
  for (int i = 1; i < DEGREE; i++) power *= size;
  return x < 0 ? negative * power : power;
}

template <int DEGREE, class R> INLINE R derivative(R x, R negative) {
  R size = std::fabs(x), power = DEGREE;
  for (int i = 1; i < DEGREE; i++) power *= size;
  return x > 0 ? power : x < 0 ? -negative * power : R(0);
}

template <int DEGREE, class R>
void forward_rows(const Rows<R>& x, R* hidden, int64_t lo, int64_t rows, R negative) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t from = 0; from < x.width; from += TILE) {
      R before[TILE], *to = hidden + row * x.width + from;
      const int64_t count = std::min(TILE, x.width - from);
      Rows<R>::sum(x, lo + row, from, count, before);
      for (int64_t i = 0; i < count; i++) to[i] = activation<DEGREE>(before[i], negative);
    }
}

template <int DEGREE, class R>
void backward_rows(
    const Rows<R>& x, const R* back, R* const* gradients, int64_t lo, int64_t rows, R negative) {
  for (int64_t from = 0; from < x.width; from += TILE) {
    const int64_t count = std::min(TILE, x.width - from);
    for (int64_t row = 0; row < rows; row++) {
      R before[TILE];
      const R* d = back + row * x.width + from;
      Rows<R>::sum(x, lo + row, from, count, before);
      for (int64_t i = 0; i < count; i++) before[i] = d[i] * derivative<DEGREE>(before[i], negative);
      for (int64_t slot = 0; slot < x.slots; slot++) {
        R* to = gradients[slot] + x.index[slot][lo + row] * x.width + from;
        for (int64_t i = 0; i < count; i++) to[i] += before[i];
      }
    }
  }
}

// The softmax of -beta m over all rows and wrong classes, m the lead of the asked logit: one thread's
// sums in units of exp(reference), the largest term so far.
template <class R> struct SoftMargin {
  using V = Vec<R>;
  static constexpr int LANES = Vector<R>::LANES, COLUMNS = 4;  // reference, total, margin, squares

  int64_t classes;
  const int64_t* answers;
  const R* multiplicity;  // its logarithm, of each row; null where all are 1
  R sharpness;
  bool squares;
  std::vector<R> right, largest, wrong;
  double reference = -INFINITE, total = 0, margin = INFINITE, square = 0;

  SoftMargin(int64_t classes, const int64_t* answers, const R* multiplicity, R sharpness,
             bool squares, int64_t block)
      : classes(classes), answers(answers), multiplicity(multiplicity), sharpness(sharpness),
        squares(squares), right(block), largest(block), wrong(block) {}

  // In: logits[class * count + row] of rows from `first` on. Out: terms of the sum in units of
  // exp(reference), which are the gradient; where the reference grows, rescale(factor) is called first.
  template <class Rescale>
  void run(R* logits, int64_t first, int64_t count, double* adversary, Rescale rescale) {
    const int64_t* asked = answers + first;
    const R* more = multiplicity ? multiplicity + first : nullptr;
    const R none = -std::numeric_limits<R>::infinity();
    for (int64_t k = 0; k < count; k++) {
      right[k] = logits[asked[k] * count + k];
      logits[asked[k] * count + k] = none;
      largest[k] = none;
    }
    for (int64_t j = 0; j < classes; j++) {
      R* l = logits + j * count;
      for (int64_t k = 0; k < count; k++) {
        const R x = l[k] - right[k];
        l[k] = x;
        largest[k] = x <= largest[k] ? largest[k] : x;  // NaN stays
      }
      if (!squares) continue;
      R sum = 0;
      for (int64_t k = 0; k < count; k++) sum += l[k] == none ? R(0) : l[k] * l[k];
      square += sum;
    }
    double top = -INFINITE;
    for (int64_t k = 0; k < count; k++) {
      const double lead = -double(largest[k]);
      margin = lead >= margin ? margin : lead;
      const double term = double(sharpness) * largest[k] + (more ? double(more[k]) : 0.0);
      top = term <= top ? top : term;
    }
    if (!(top <= reference)) {
      if (reference > -INFINITE) {
        const double factor = std::exp(reference - top);
        total *= factor;
        rescale(R(factor));
      }
      reference = top;
    }
    const R lowest = std::log(std::numeric_limits<R>::min()) + R(0.5), shift = reference;
    std::fill(wrong.begin(), wrong.begin() + count, R(0));
    for (int64_t k = 0; k < count; k++) right[k] = (more ? more[k] : R(0)) - shift;
    for (int64_t j = 0; j < classes; j++) {
      R* l = logits + j * count;
      for (int64_t k = 0; k < count; k += LANES) {
        V x, offset, sum;
        const int64_t rest = std::min<int64_t>(LANES, count - k);
        if (rest == LANES) {
          x = load<V>(l + k), offset = load<V>(right.data() + k), sum = load<V>(wrong.data() + k);
        } else {
          x = V{} + none, offset = V{}, sum = V{};
          std::memcpy(&x, l + k, rest * sizeof(R));
          std::memcpy(&offset, right.data() + k, rest * sizeof(R));
          std::memcpy(&sum, wrong.data() + k, rest * sizeof(R));
        }
        const Int<R> mine = x == none;
        V z = (mine ? V{} : x) * sharpness + offset;
        z = choose<R>(z < lowest, V{} + lowest, z);  // NaN stays
        const V e = choose<R>(mine, V{}, exponential(z));
        sum += e;
        std::memcpy(l + k, &e, rest * sizeof(R));
        std::memcpy(wrong.data() + k, &sum, rest * sizeof(R));
      }
      if (adversary)
        for (int64_t k = 0; k < count; k++) adversary[asked[k] * classes + j] += l[k];
    }
    for (int64_t k = 0; k < count; k++) {
      total += wrong[k];
      logits[asked[k] * count + k] = -wrong[k];
    }
  }
};

template <class R>
using Gemm = void (*)(
    const char*, const char*, const int*, const int*, const int*, const R*, const R*, const int*,
    const R*, const int*, const R*, R*, const int*);

// Loss and gradients of one network. Each thread takes its share of the rows through all passes, in
// blocks, and sums gradients of its own, which are added up in the threads' order.
template <int DEGREE, class R>
void step(
    Gemm<R> gemm, const Rows<R>& x, const R* w, R* const* gradients, R* w_gradient,
    const int64_t* answers, const R* weights, double* results, R* scratch, int64_t classes,
    int64_t rows, int64_t block, R negative, double weight, int threads) {
  const int64_t table = x.size * x.width, last = classes * x.width;
  const int64_t own = block * (x.width + classes) + last + x.slots * table;
  std::vector<double> partial(3 * threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#ifdef _OPENMP
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
#else
    const int thread = 0, team = 1;
#endif
    const int64_t start = rows * thread / team, stop = rows * (thread + 1) / team;
    R *hidden = scratch + thread * own, *logits = hidden + block * x.width;
    R *last_sum = logits + block * classes, *sums[8];
    for (int64_t slot = 0; slot < x.slots && w_gradient; slot++) {
      int64_t same = 0;  // slots that share a table share its gradient
      while (gradients[same] != gradients[slot]) same++;
      sums[slot] = thread ? last_sum + last + same * table : gradients[slot];
      if (same == slot) std::fill(sums[slot], sums[slot] + table, R(0));
    }
    if (thread == 0) last_sum = w_gradient;
    if (w_gradient && start == stop) std::fill(last_sum, last_sum + last, R(0));
    CrossEntropy<R> work(classes);
    double* mine = partial.data() + 3 * thread;
    mine[2] = INFINITE;
    const int neurons = x.width, outputs = classes;
    const R one = 1, zero = 0;
    for (int64_t lo = start; lo < stop; lo += block) {
      const int count = std::min(block, stop - lo);
      forward_rows<DEGREE>(x, hidden, lo, count, negative);
      gemm("T", "N", &count, &outputs, &neurons, &one, hidden, &neurons, w, &neurons, &zero, logits,
          &count);
      for (int64_t at = 0; at < count; at += CrossEntropy<R>::ROWS)
        cross_entropy_block(
            work, logits + at, answers, weights, lo + at,
            std::min<int64_t>(CrossEntropy<R>::ROWS, count - at), count, 1, weight, mine);
      if (!w_gradient) continue;
      gemm("N", "N", &neurons, &outputs, &count, &one, hidden, &neurons, logits, &count,
          lo == start ? &zero : &one, last_sum, &neurons);
      gemm("N", "T", &neurons, &count, &outputs, &one, w, &neurons, logits, &count, &zero, hidden,
          &neurons);
      backward_rows<DEGREE>(x, hidden, sums, lo, count, negative);
    }
#pragma omp barrier
    auto add_up = [&](R* to, int64_t offset, int64_t count) {
      for (int64_t i = count * thread / team; i < count * (thread + 1) / team; i++)
        for (int other = 1; other < team; other++) to[i] += scratch[other * own + offset + i];
    };
    if (w_gradient) {
      const int64_t after = block * (x.width + classes);
      add_up(w_gradient, after, last);
      for (int64_t slot = 0; slot < x.slots; slot++) {
        int64_t same = 0;
        while (gradients[same] != gradients[slot]) same++;
        if (same == slot) add_up(gradients[slot], after + last + slot * table, table);
      }
    }
#pragma omp single
    for (int other = 0; other < team; other++) add_sums(results, partial.data() + 3 * other);
  }
}

// Soft margin and gradients of one network, as `step`: sums and gradients in units of exp(reference).
template <int DEGREE, class R>
void soft_margin(
    Gemm<R> gemm, const Rows<R>& x, const R* w, R* const* gradients, R* w_gradient,
    const int64_t* answers, const R* multiplicity, double* results, double* adversary, R* scratch,
    int64_t classes, int64_t rows, int64_t block, R negative, double sharpness, int squares,
    int threads) {
  constexpr int COLUMNS = SoftMargin<R>::COLUMNS;
  const int64_t table = x.size * x.width, last = classes * x.width, pairs = classes * classes;
  const int64_t own = block * (x.width + classes) + last + x.slots * table;
  std::vector<double> partial(COLUMNS * threads), factors(threads);
  std::vector<double> wrong(adversary ? pairs * threads : 0);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#ifdef _OPENMP
    const int thread = omp_get_thread_num(), team = omp_get_num_threads();
#else
    const int thread = 0, team = 1;
#endif
    const int64_t start = rows * thread / team, stop = rows * (thread + 1) / team;
    R *hidden = scratch + thread * own, *logits = hidden + block * x.width;
    R *last_sum = logits + block * classes, *sums[8];
    bool first_of[8];
    for (int64_t slot = 0; slot < x.slots && w_gradient; slot++) {
      int64_t same = 0;  // slots that share a table share its gradient
      while (gradients[same] != gradients[slot]) same++;
      sums[slot] = thread ? last_sum + last + same * table : gradients[slot];
      first_of[slot] = same == slot;
      if (same == slot) std::fill(sums[slot], sums[slot] + table, R(0));
    }
    if (thread == 0) last_sum = w_gradient;
    if (w_gradient && start == stop) std::fill(last_sum, last_sum + last, R(0));
    double* mine = adversary ? wrong.data() + pairs * thread : nullptr;
    SoftMargin<R> work(classes, answers, multiplicity, sharpness, squares, block);
    auto rescale = [&](R factor) {
      if (mine)
        for (int64_t i = 0; i < pairs; i++) mine[i] *= factor;
      if (!w_gradient) return;
      for (int64_t i = 0; i < last; i++) last_sum[i] *= factor;
      for (int64_t slot = 0; slot < x.slots; slot++)
        for (int64_t i = 0; i < table && first_of[slot]; i++) sums[slot][i] *= factor;
    };
    const int neurons = x.width, outputs = classes;
    const R one = 1, zero = 0;
    for (int64_t lo = start; lo < stop; lo += block) {
      const int count = std::min(block, stop - lo);
      forward_rows<DEGREE>(x, hidden, lo, count, negative);
      gemm("T", "N", &count, &outputs, &neurons, &one, hidden, &neurons, w, &neurons, &zero, logits,
          &count);
      work.run(logits, lo, count, mine, rescale);
      if (!w_gradient) continue;
      gemm("N", "N", &neurons, &outputs, &count, &one, hidden, &neurons, logits, &count,
          lo == start ? &zero : &one, last_sum, &neurons);
      gemm("N", "T", &neurons, &count, &outputs, &one, w, &neurons, logits, &count, &zero, hidden,
          &neurons);
      backward_rows<DEGREE>(x, hidden, sums, lo, count, negative);
    }
    double* of = partial.data() + COLUMNS * thread;
    of[0] = work.reference, of[1] = work.total, of[2] = work.margin, of[3] = work.square;
#pragma omp barrier
#pragma omp single
    {
      double reference = -INFINITE, total = 0, margin = INFINITE, square = 0;
      for (int other = 0; other < team; other++) {
        const double mine = partial[COLUMNS * other];
        reference = mine <= reference ? reference : mine;  // NaN stays
      }
      for (int other = 0; other < team; other++) {
        const double* from = partial.data() + COLUMNS * other;
        factors[other] = std::exp(from[0] - reference);
        total += factors[other] * from[1];
        margin = from[2] >= margin ? margin : from[2];
        square += from[3];
        for (int64_t i = 0; i < pairs && adversary; i++)
          adversary[i] += factors[other] * wrong[pairs * other + i];
      }
      results[0] = reference, results[1] = total, results[2] = margin, results[3] = square;
    }
    auto add_up = [&](R* to, int64_t offset, int64_t count) {
      const R first = factors[0];
      for (int64_t i = count * thread / team; i < count * (thread + 1) / team; i++) {
        to[i] *= first;
        for (int other = 1; other < team; other++)
          to[i] += R(factors[other]) * scratch[other * own + offset + i];
      }
    };
    if (w_gradient) {
      const int64_t after = block * (x.width + classes);
      add_up(w_gradient, after, last);
      for (int64_t slot = 0; slot < x.slots; slot++)
        if (first_of[slot]) add_up(gradients[slot], after + last + slot * table, table);
    }
  }
}

// Divide gradients of a soft margin by the sums' totals, and add those of multiplier * sum ||w_i||^nu.
// Results of each member: the multiplier, and the root mean square of what neurons earn.
template <class R>
void to_tangent(
    const R* const* parameters, R* const* gradients, const int64_t* counts, const double* uses,
    const double* totals, int64_t parts, int64_t members, int64_t width, double nu,
    double* results) {
  std::vector<double> squares(width), products(width);
  std::vector<R> factor(width);
  for (int64_t member = 0; member < members; member++) {
    std::fill(squares.begin(), squares.end(), 0.0);
    std::fill(products.begin(), products.end(), 0.0);
    const R scale = 1 / totals[member];
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const int64_t at = (member * counts[part] + v) * width;
        const R* p = parameters[part] + at;
        R* g = gradients[part] + at;
        const double use = uses[part];
        for (int64_t i = 0; i < width; i++) {
          g[i] *= scale;
          squares[i] += use * (double(p[i]) * double(p[i]));
          products[i] += double(p[i]) * double(g[i]);
        }
      }
    double multiplier = 0, earned = 0;
    for (int64_t i = 0; i < width; i++) {
      const double own = -products[i] / nu, norm = std::sqrt(squares[i]);
      const double mass = nu == 3 ? norm * squares[i] : std::pow(norm, nu);
      multiplier += own;
      if (mass > 0) earned += own * own / mass;
    }
    for (int64_t i = 0; i < width; i++) {
      const double norm = std::sqrt(squares[i]);
      factor[i] = multiplier * nu * (nu == 3 ? norm : nu == 2 ? 1.0 : std::pow(norm, nu - 2));
    }
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const int64_t at = (member * counts[part] + v) * width;
        const R *p = parameters[part] + at, use = uses[part];
        R* g = gradients[part] + at;
        for (int64_t i = 0; i < width; i++) g[i] += use * factor[i] * p[i];
      }
    results[2 * member] = multiplier, results[2 * member + 1] = std::sqrt(earned);
  }
}

// Scale each member to sum ||w_i||^nu = 1.
template <class R>
void to_sphere(
    R* const* parameters, const int64_t* counts, const double* uses, int64_t parts, int64_t members,
    int64_t width, double nu) {
  std::vector<double> squares(width);
  for (int64_t member = 0; member < members; member++) {
    std::fill(squares.begin(), squares.end(), 0.0);
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const R* p = parameters[part] + (member * counts[part] + v) * width;
        const double use = uses[part];
        for (int64_t i = 0; i < width; i++) squares[i] += use * (double(p[i]) * double(p[i]));
      }
    double norm = 0;
    for (int64_t i = 0; i < width; i++) norm += std::pow(squares[i], nu / 2);
    const R factor = std::pow(norm, -1 / nu);
    for (int64_t part = 0; part < parts; part++) {
      R* p = parameters[part] + member * counts[part] * width;
      for (int64_t i = 0; i < counts[part] * width; i++) p[i] *= factor;
    }
  }
}

template <class R>
void penalty(
    const R* const* parameters, R* const* gradients, const int64_t* counts, const double* uses,
    int64_t parts, int64_t members, int64_t width, double strength, double power,
    double homogeneity, double* results, int threads) {
  const int64_t tiles = (width + TILE - 1) / TILE;
  std::vector<double> partial(2 * members * tiles);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (int64_t item = 0; item < members * tiles; item++) {
    const int64_t member = item / tiles, from = item % tiles * TILE;
    const int64_t count = std::min(TILE, width - from);
    double norms[TILE] = {};
    R factor[TILE];
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const R* p = parameters[part] + (member * counts[part] + v) * width + from;
        const double use = uses[part];
        for (int64_t i = 0; i < count; i++) norms[i] += use * (double(p[i]) * double(p[i]));
      }
    double total = 0, value = 0;
    for (int64_t i = 0; i < count; i++) {
      const double norm = std::sqrt(norms[i]);
      const double before = power == 2 ? 1.0 : power == 3 ? norm : std::pow(norm, power - 2);
      factor[i] = strength * power * before;
      const double own = power == 2 || power == 3 ? before * norms[i] : std::pow(norm, power);
      value += own;
      total += homogeneity == power ? own
          : homogeneity == 2 ? norms[i] : homogeneity == 3 ? norms[i] * norm
          : std::pow(norm, homogeneity);
    }
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const int64_t at = (member * counts[part] + v) * width + from;
        const R *p = parameters[part] + at, use = uses[part];
        R* g = gradients[part] + at;
        for (int64_t i = 0; i < count; i++) g[i] += use * factor[i] * p[i];
      }
    partial[2 * item] = value, partial[2 * item + 1] = total;
  }
  for (int64_t item = 0; item < members * tiles; item++)
    for (int k = 0; k < 2; k++) results[2 * (item / tiles) + k] += partial[2 * item + k];
}

// Adam with one second moment a neuron and steps relative to the neuron's norm.
template <class R>
void neuronwise_adam(
    R* const* parameters, const R* const* gradients, R* const* means, double* squares,
    const int64_t* counts, const double* uses, int64_t parts, int64_t members, int64_t width,
    double rate, double correction, double beta1, double beta2, int threads) {
  const int64_t tiles = (width + TILE - 1) / TILE;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (int64_t item = 0; item < members * tiles; item++) {
    const int64_t member = item / tiles, from = item % tiles * TILE;
    const int64_t count = std::min(TILE, width - from);
    double weights[TILE] = {}, slopes[TILE] = {};
    R factor[TILE];
    for (int64_t part = 0; part < parts; part++)
      for (int64_t v = 0; v < counts[part]; v++) {
        const int64_t at = (member * counts[part] + v) * width + from;
        const R *p = parameters[part] + at, *g = gradients[part] + at;
        const double use = uses[part], share = 1 / use;
        for (int64_t i = 0; i < count; i++) {
          weights[i] += use * (double(p[i]) * double(p[i]));
          slopes[i] += share * (double(g[i]) * double(g[i]));
        }
      }
    double* square = squares + member * width + from;
    for (int64_t i = 0; i < count; i++) {
      square[i] = beta2 * square[i] + (1 - beta2) * slopes[i];
      factor[i] = square[i] > 0 ? rate * std::sqrt(weights[i] * correction / square[i]) : 0;
    }
    for (int64_t part = 0; part < parts; part++) {
      const R keep = beta1, add = (1 - beta1) / uses[part];
      for (int64_t v = 0; v < counts[part]; v++) {
        const int64_t at = (member * counts[part] + v) * width + from;
        R *p = parameters[part] + at, *m = means[part] + at;
        const R* g = gradients[part] + at;
        for (int64_t i = 0; i < count; i++) {
          m[i] = keep * m[i] + add * g[i];
          p[i] -= factor[i] * m[i];
        }
      }
    }
  }
}

}  // namespace

#define BY_DEGREE(function, ...)                  \
  switch (degree) {                               \
    case 1: function<1>(__VA_ARGS__); break;      \
    case 2: function<2>(__VA_ARGS__); break;      \
    case 3: function<3>(__VA_ARGS__); break;      \
    default: function<4>(__VA_ARGS__); break;     \
  }

#define EXPORTS(R)                                                                                 \
  void cross_entropy_##R(                                                                          \
      R* logits, const int64_t* answers, const R* weights, double* results, int64_t members,       \
      int64_t classes, int64_t rows, int64_t member_stride, int64_t class_stride,                  \
      int64_t row_stride, double weight, int threads) {                                            \
    cross_entropy<R>(logits, answers, weights, results, members, classes, rows, member_stride,     \
        class_stride, row_stride, weight, threads);                                                \
  }                                                                                                \
  void step_##R(                                                                                   \
      Gemm<R> gemm, const R* const* tables, const int32_t* const* index, const R* w,               \
      R* const* gradients, R* w_gradient, const int64_t* answers, const R* weights,                \
      double* results, R* scratch, int64_t slots, int64_t size, int64_t width, int64_t classes,    \
      int64_t rows, int64_t block, int degree, double negative, double weight, int threads) {      \
    Rows<R> x{tables, index, slots, size, width};                                                  \
    BY_DEGREE(step, gemm, x, w, gradients, w_gradient, answers, weights, results, scratch,         \
        classes, rows, block, R(negative), weight, threads)                                        \
  }                                                                                                \
  void soft_margin_##R(                                                                            \
      Gemm<R> gemm, const R* const* tables, const int32_t* const* index, const R* w,               \
      R* const* gradients, R* w_gradient, const int64_t* answers, const R* multiplicity,           \
      double* results, double* adversary, R* scratch, int64_t slots, int64_t size, int64_t width,  \
      int64_t classes, int64_t rows, int64_t block, int degree, double negative,                   \
      double sharpness, int squares, int threads) {                                                \
    Rows<R> x{tables, index, slots, size, width};                                                  \
    BY_DEGREE(soft_margin, gemm, x, w, gradients, w_gradient, answers, multiplicity, results,      \
        adversary, scratch, classes, rows, block, R(negative), sharpness, squares, threads)        \
  }                                                                                                \
  void to_tangent_##R(                                                                             \
      const R* const* parameters, R* const* gradients, const int64_t* counts, const double* uses,  \
      const double* totals, int64_t parts, int64_t members, int64_t width, double nu,              \
      double* results) {                                                                           \
    to_tangent<R>(                                                                                 \
        parameters, gradients, counts, uses, totals, parts, members, width, nu, results);          \
  }                                                                                                \
  void to_sphere_##R(                                                                              \
      R* const* parameters, const int64_t* counts, const double* uses, int64_t parts,              \
      int64_t members, int64_t width, double nu) {                                                 \
    to_sphere<R>(parameters, counts, uses, parts, members, width, nu);                             \
  }                                                                                                \
  void penalty_##R(                                                                                \
      const R* const* parameters, R* const* gradients, const int64_t* counts, const double* uses,  \
      int64_t parts, int64_t members, int64_t width, double strength, double power,                \
      double homogeneity, double* results, int threads) {                                          \
    penalty<R>(parameters, gradients, counts, uses, parts, members, width, strength, power,        \
        homogeneity, results, threads);                                                            \
  }                                                                                                \
  void neuronwise_adam_##R(                                                                        \
      R* const* parameters, const R* const* gradients, R* const* means, double* squares,           \
      const int64_t* counts, const double* uses, int64_t parts, int64_t members, int64_t width,    \
      double rate, double correction, double beta1, double beta2, int threads) {                   \
    neuronwise_adam<R>(parameters, gradients, means, squares, counts, uses, parts, members, width, \
        rate, correction, beta1, beta2, threads);                                                  \
  }

extern "C" {
EXPORTS(float)
EXPORTS(double)
}
