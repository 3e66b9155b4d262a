// Full-batch training steps of many small networks at once: forward, backward, penalty, optimizer.
//
// Seeds are the lanes of a SIMD register. A block is as many members as one register has lanes; it
// takes all its steps before the next block starts, so that its weights, moments and activations stay
// in the first or second level of the cache. Everything in a block is an array of registers:
// weights[vector][neuron], the vectors of the slots first and then those of the classes.
//
// The sizes are macros, given by marginlens/kernels/ensemble_steps.py, so that loops are unrolled:
// REAL, ROWS, SLOTS, SIGNS (rows are signs, not indices), SIZE, CLASSES, WIDTH, DEGREE, NEGATIVE
// (sigma(-1)), POWER (sigma is x^DEGREE), PENALTY (the exponent of a neuron's norm), ADAM, NEURONWISE
// (one second moment a neuron, steps relative to its norm), BETA1 and BETA2 of either, PATIENCE
// (members stop when loss and weights have hardly changed for some steps in a row).

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
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

typedef REAL real;
using Integer = std::conditional_t<sizeof(real) == 4, int32_t, int64_t>;
typedef real V __attribute__((vector_size(BYTES)));
typedef Integer I __attribute__((vector_size(BYTES)));

constexpr int LANES = BYTES / sizeof(real);
constexpr int INPUTS = SIGNS ? SIZE : SLOTS * SIZE;  // vectors of the slots
constexpr int VECTORS = INPUTS + CLASSES;
constexpr int CHUNKS = (ROWS + 31) / 32;
constexpr int CHUNK = (ROWS + CHUNKS - 1) / CHUNKS;  // rows whose activations are held at a time
constexpr int PITCH = WIDTH % 16 ? WIDTH : WIDTH + 2;
constexpr int SQUARES = NEURONWISE ? 1 : VECTORS;  // second moments of a neuron
constexpr double NU = DEGREE + 1.0;

INLINE V all(real x) { return V{} + x; }
INLINE V choose(I mask, V a, V b) { return (V)(((I)a & mask) | ((I)b & ~mask)); }
INLINE V larger(V a, V b) { return choose(a > b, a, b); }

INLINE V root(V x) {
#if BYTES == 64
  if constexpr (sizeof(real) == 4) return (V)_mm512_sqrt_ps((__m512)x);
  else return (V)_mm512_sqrt_pd((__m512d)x);
#elif BYTES == 32
  if constexpr (sizeof(real) == 4) return (V)_mm256_sqrt_ps((__m256)x);
  else return (V)_mm256_sqrt_pd((__m256d)x);
#else
  for (int lane = 0; lane < LANES; lane++) x[lane] = std::sqrt(x[lane]);
  return x;
#endif
}

// exp(x) for log(smallest normal number) < x <= 0: 2^k by its bits times a Taylor polynomial of
// x - k log 2, which is at most 0.35; its remainder is below half a unit in the last place.
INLINE V exponential(V x) {
  constexpr bool single = sizeof(real) == 4;
  constexpr real shift = single ? real(12582912.0) : real(6755399441055744.0);  // 1.5 * 2^(digits-1)
  constexpr real high = single ? real(0.693359375) : real(6.93147180369123816490e-01);
  constexpr real low = single ? real(-2.12194440e-4) : real(1.90821492927058770002e-10);
  constexpr int digits = single ? 23 : 52, bias = single ? 127 : 1023, terms = single ? 7 : 13;
  V shifted = x * real(1.44269504088896340736) + shift;
  V k = shifted - shift;
  V r = (x - k * high) - k * low;
  V value = all(1);
#pragma GCC unroll 16
  for (int n = terms; n > 0; n--) value = value * (r * real(1.0 / n)) + real(1);
  I power = ((I)shifted - (I)all(shift) + bias) << digits;
  return value * (V)power;
}

// log(1 + x) for finite x >= 0: the logarithm of u = 1 + x by its exponent and 2 atanh((m-1)/(m+1)) of
// its mantissa m, with |s| <= 0.172, and what rounding took from u.
INLINE V log_one_plus(V x) {
  constexpr bool single = sizeof(real) == 4;
  constexpr real high = single ? real(0.693359375) : real(6.93147180369123816490e-01);
  constexpr real low = single ? real(-2.12194440e-4) : real(1.90821492927058770002e-10);
  constexpr int digits = single ? 23 : 52, bias = single ? 127 : 1023, terms = single ? 5 : 11;
  const V u = x + real(1);
  I exponent = ((I)u >> digits) - bias;
  V m = (V)(((I)u & ((Integer(1) << digits) - 1)) | (I)all(1));
  const I large = m > real(1.41421356237309504880);
  m = choose(large, m * real(0.5), m);
  exponent -= large;  // a comparison that holds is -1
  const V k = __builtin_convertvector(exponent, V);
  const V s = (m - real(1)) / (m + real(1)), z = s * s;
  V series{};
#pragma GCC unroll 16
  for (int n = terms; n > 0; n--) series = (series + real(1) / real(2 * n + 1)) * z;
  return k * high + (k * low + (s + s) * (series + real(1))) + (x - (u - real(1))) / u;
}

template <int K>
INLINE V integer_power(V x) {
  if constexpr (K == 0) return all(1);
  else if constexpr (K == 1) return x;
  else if constexpr (K % 2) return x * integer_power<K - 1>(x);
  else return integer_power<K / 2>(x * x);
}

// x^exponent for x >= 0; exponents are constants, and mostly small integers.
template <typename Exponent>
INLINE V power(V x, Exponent) {
  constexpr double exponent = Exponent::value();
  if constexpr (exponent == int(exponent)) return integer_power<int(exponent)>(x);
  else {
    for (int lane = 0; lane < LANES; lane++) x[lane] = std::pow(x[lane], real(exponent));
    return x;
  }
}

struct Degree { static constexpr double value() { return DEGREE; } };
struct Below { static constexpr double value() { return DEGREE - 1.0; } };
struct Homogeneity { static constexpr double value() { return NU; } };
struct Norm { static constexpr double value() { return PENALTY; } };
struct NormBelow { static constexpr double value() { return PENALTY - 2.0; } };

INLINE V activate(V x) {
  if constexpr (POWER) return power(x, Degree{});
  V size = power(larger(x, -x), Degree{});
  return NEGATIVE == 1 ? size : choose(x > 0, size, size * real(NEGATIVE));
}

INLINE V slope(V x) {
  if constexpr (POWER) return real(DEGREE) * power(x, Below{});
  V size = real(DEGREE) * power(larger(x, -x), Below{});
  return choose(x > 0, size, choose(x < 0, size * real(-NEGATIVE), V{}));
}

// out[m][n] (+)= sum_k a[m][k] b[k][n] in each lane, M by N of them at a time in registers.
struct Matrix {
  V* at;
  int row, column;
  INLINE V& get(const Matrix& x, int i, int j) { return x.at[i * x.row + j * x.column]; }
};

template <int M, int N, int K, bool ADD>
INLINE void tile(Matrix out, Matrix a, Matrix b, int m, int n, int terms) {
  V sum[M][N];
#pragma GCC unroll 8
  for (int i = 0; i < M; i++)
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[i][j] = ADD ? Matrix::get(out, m + i, n + j) : V{};
  const int count = K ? K : terms;
  for (int k = 0; k < count; k++) {
    V left[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) left[i] = Matrix::get(a, m + i, k);
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) {
      const V right = Matrix::get(b, k, n + j);
#pragma GCC unroll 8
      for (int i = 0; i < M; i++) sum[i][j] += left[i] * right;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; i++)
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) Matrix::get(out, m + i, n + j) = sum[i][j];
}

template <int M, int K, bool ADD>
INLINE void band(Matrix out, Matrix a, Matrix b, int m, int columns, int terms) {
  int n = 0;
  for (; n + 4 <= columns; n += 4) tile<M, 4, K, ADD>(out, a, b, m, n, terms);
  switch (columns - n) {
    case 3: tile<M, 3, K, ADD>(out, a, b, m, n, terms); break;
    case 2: tile<M, 2, K, ADD>(out, a, b, m, n, terms); break;
    case 1: tile<M, 1, K, ADD>(out, a, b, m, n, terms); break;
  }
}

template <int K, bool ADD>
INLINE void multiply(Matrix out, Matrix a, Matrix b, int rows, int columns, int terms) {
  int m = 0;
  for (; m + 3 <= rows; m += 3) band<3, K, ADD>(out, a, b, m, columns, terms);
  if (rows - m == 2) band<2, K, ADD>(out, a, b, m, columns, terms);
  if (rows - m == 1) band<1, K, ADD>(out, a, b, m, columns, terms);
}

struct Rows {
  const int32_t* inputs;  // (row, slot): index of a vector, from 0 over all slots
  const real* signs;      // (row, coordinate)
  const int32_t* answers;
};

struct Space {
  V gradient[VECTORS][WIDTH], before[CHUNK][PITCH], hidden[CHUNK][PITCH], logits[CHUNK][CLASSES];
};

struct Metrics {
  double entropy[LANES], right[LANES], margin[LANES], norm[LANES], penalty[LANES];
};

INLINE void read(const V (*weights)[WIDTH], const Rows& rows, int first, int count, Space& s) {
  for (int r = 0; r < count; r++) {
    const int row = first + r;
    for (int i = 0; i < WIDTH; i++) {
      V sum{};
      if constexpr (SIGNS)
        for (int j = 0; j < SIZE; j++) sum += weights[j][i] * rows.signs[row * SIZE + j];
      else
        for (int j = 0; j < SLOTS; j++) sum += weights[rows.inputs[row * SLOTS + j]][i];
      s.before[r][i] = sum;
      s.hidden[r][i] = activate(sum);
    }
  }
}

// Loss of one row; its logits become the gradient of the mean loss. The right answer's gradient is
// minus the sum of the others', so that both keep their relative accuracy at any margin.
template <bool MEASURE>
INLINE void entropy(V* logits, int answer, Metrics* metrics, V& loss) {
  const real least = std::log(std::numeric_limits<real>::min()) + real(0.5);
  const V right = logits[answer];
  V largest = all(-std::numeric_limits<real>::infinity());
  logits[answer] = largest;
  for (int c = 0; c < CLASSES; c++) largest = larger(logits[c], largest);
  logits[answer] = right;
  const V top = larger(largest, right);
  for (int c = 0; c < CLASSES; c++) {
    V below = logits[c] - top;
    logits[c] = exponential(choose(below < least, all(least), below));
  }
  const V own = logits[answer];
  logits[answer] = V{};
  V wrong{};
  for (int c = 0; c < CLASSES; c++) wrong += logits[c];
  const V shift = top - right;
  const V excess = choose(shift > 0, (wrong - real(1)) + own, wrong);
  if constexpr (PATIENCE && !MEASURE) loss += shift + log_one_plus(excess);
  if constexpr (MEASURE) {
    const V gap = right - largest;
    for (int lane = 0; lane < LANES; lane++) {
      metrics->entropy[lane] += double(shift[lane]) + std::log1p(double(excess[lane]));
      metrics->right[lane] += gap[lane] > 0;
      metrics->margin[lane] = std::fmin(metrics->margin[lane], double(gap[lane]));
    }
  }
  const V scale = real(1) / ((wrong + own) * real(ROWS));
  for (int c = 0; c < CLASSES; c++) logits[c] *= scale;
  logits[answer] = -wrong * scale;
}

INLINE void logits_of(const V (*weights)[WIDTH], const Rows& rows, int first, int count, Space& s) {
  read(weights, rows, first, count, s);
  V* classes = const_cast<V*>(weights[INPUTS]);
  multiply<WIDTH, false>({s.logits[0], CLASSES, 1}, {s.hidden[0], PITCH, 1}, {classes, 1, WIDTH},
                         count, CLASSES, WIDTH);
}

// Gradient of the mean cross-entropy, which is returned where it is needed. Never inlined, so that it is
// the same to the bit wherever it is called.
__attribute__((noinline)) V gradient_of(const V (*weights)[WIDTH], const Rows& rows, Space& s) {
  V loss{};
  for (int j = 0; j < VECTORS; j++)
    for (int i = 0; i < WIDTH; i++) s.gradient[j][i] = V{};
  V* classes = const_cast<V*>(weights[INPUTS]);
  for (int first = 0; first < ROWS; first += CHUNK) {
    const int count = ROWS - first < CHUNK ? ROWS - first : CHUNK;
    logits_of(weights, rows, first, count, s);
    for (int r = 0; r < count; r++) entropy<false>(s.logits[r], rows.answers[first + r], nullptr, loss);
    multiply<0, true>({s.gradient[INPUTS], WIDTH, 1}, {s.logits[0], 1, CLASSES},
                      {s.hidden[0], PITCH, 1}, CLASSES, WIDTH, count);
    multiply<CLASSES, false>({s.hidden[0], PITCH, 1}, {s.logits[0], CLASSES, 1},
                             {classes, WIDTH, 1}, count, WIDTH, CLASSES);
    for (int r = 0; r < count; r++) {
      const int row = first + r;
      for (int i = 0; i < WIDTH; i++) {
        const V back = s.hidden[r][i] * slope(s.before[r][i]);
        if constexpr (SIGNS)
          for (int j = 0; j < SIZE; j++) s.gradient[j][i] += back * rows.signs[row * SIZE + j];
        else
          for (int j = 0; j < SLOTS; j++) s.gradient[rows.inputs[row * SLOTS + j]][i] += back;
      }
    }
  }
  return loss / real(ROWS);
}

INLINE V squares_of(const V (*weights)[WIDTH], int neuron) {
  V squares{};
  for (int j = 0; j < VECTORS; j++) squares += weights[j][neuron] * weights[j][neuron];
  return squares;
}

INLINE V norm_of(const V (*weights)[WIDTH], int neuron) { return root(squares_of(weights, neuron)); }

// How far members are from having converged, as doubles: the loss before the last step, the relative
// change of the weights in it (-1: it was looked at), the number of steps in a row in which both
// hardly changed, and the step at which that was often enough (-1: not yet).
struct Still {
  double loss[LANES], change[LANES], count[LANES], ended[LANES];
};

// Look at the last step, now that the loss after it is known; whether a member is still to be trained.
__attribute__((noinline)) bool judge(Still& still, V loss, int64_t step, double tolerance,
                                     int64_t patience) {
  bool any = false;
  for (int lane = 0; lane < LANES; lane++) {
    const double before = still.loss[lane], now = double(loss[lane]);
    if (still.change[lane] >= 0 && still.ended[lane] < 0) {
      const bool same = still.change[lane] < tolerance &&
                        std::fabs(now - before) < tolerance * std::fabs(before);
      still.count[lane] = same ? still.count[lane] + 1 : 0;
      if (still.count[lane] >= double(patience)) still.ended[lane] = double(step);
    }
    still.loss[lane] = now;
    still.change[lane] = -1;
    any = any || still.ended[lane] < 0;
  }
  return any;
}

void update(V (*weights)[WIDTH], V (*mean)[WIDTH], V (*square)[WIDTH], const V (*gradient)[WIDTH],
            real rate, real correction, real strength, Still* still) {
  V moved{}, size{};
  I held{};  // all bits set in the lanes of members that have converged: they stay as they are
  if constexpr (PATIENCE)
    for (int lane = 0; lane < LANES; lane++) held[lane] = still->ended[lane] < 0 ? 0 : -1;
  V decay[WIDTH];
  for (int i = 0; i < WIDTH; i++) {
    decay[i] = all(strength * real(PENALTY));
    if constexpr (PENALTY != 2) decay[i] *= power(norm_of(weights, i), NormBelow{});
  }
  V pace[WIDTH];  // by which the first moments of a neuron are multiplied
  if constexpr (NEURONWISE)
    for (int i = 0; i < WIDTH; i++) {
      V slope{};
      for (int j = 0; j < VECTORS; j++) {
        const V g = gradient[j][i] + decay[i] * weights[j][i];
        slope += g * g;
      }
      const V v = square[0][i] * real(BETA2) + slope * real(1 - BETA2);
      square[0][i] = v;
      pace[i] = choose(v > 0, norm_of(weights, i) * correction / root(v), V{});
    }
  for (int j = 0; j < VECTORS; j++)
    for (int i = 0; i < WIDTH; i++) {
      V g = gradient[j][i] + decay[i] * weights[j][i];
      if constexpr (ADAM) {
        V m = mean[j][i] + (g - mean[j][i]) * real(1 - BETA1);
        V v = square[j][i] * real(BETA2) + g * g * real(1 - BETA2);
        mean[j][i] = m;
        square[j][i] = v;
        g = m / (root(v) / correction + real(1e-8));
      }
      if constexpr (NEURONWISE) {
        mean[j][i] = mean[j][i] * real(BETA1) + g * real(1 - BETA1);
        g = mean[j][i] * pace[i];
      }
      if constexpr (PATIENCE) {
        const V old = weights[j][i], now = choose(held, old, old - rate * g);
        weights[j][i] = now;
        moved += (now - old) * (now - old);
        size += old * old;
      } else {
        weights[j][i] -= rate * g;
      }
    }
  if constexpr (PATIENCE)
    for (int lane = 0; lane < LANES; lane++)
      still->change[lane] =
          moved[lane] > 0 ? std::sqrt(double(moved[lane]) / double(size[lane])) : 0.0;
}

__attribute__((noinline)) V penalty_of(const V (*weights)[WIDTH]) {
  V total{};
  for (int i = 0; i < WIDTH; i++)
    total += PENALTY == 2 ? squares_of(weights, i) : power(norm_of(weights, i), Norm{});
  return total;
}

void measure(const V (*weights)[WIDTH], const Rows& rows, Space& s, Metrics& metrics) {
  for (int lane = 0; lane < LANES; lane++) {
    metrics.entropy[lane] = metrics.right[lane] = metrics.norm[lane] = metrics.penalty[lane] = 0;
    metrics.margin[lane] = std::numeric_limits<double>::infinity();
  }
  for (int first = 0; first < ROWS; first += CHUNK) {
    const int count = ROWS - first < CHUNK ? ROWS - first : CHUNK;
    logits_of(weights, rows, first, count, s);
    V unused{};
    for (int r = 0; r < count; r++)
      entropy<true>(s.logits[r], rows.answers[first + r], &metrics, unused);
  }
  for (int i = 0; i < WIDTH; i++) {
    const V norm = norm_of(weights, i);
    const V total = power(norm, Homogeneity{}), penalty = power(norm, Norm{});
    for (int lane = 0; lane < LANES; lane++) {
      metrics.norm[lane] += total[lane];
      metrics.penalty[lane] += penalty[lane];
    }
  }
  for (int lane = 0; lane < LANES; lane++) {
    metrics.entropy[lane] /= ROWS;
    metrics.right[lane] /= ROWS;
  }
}

// Weights on their way to zero pass through denormal numbers, many times slower to compute with.
struct Flush {
#if defined(__SSE2__)
  unsigned before = _mm_getcsr();
  Flush() { _mm_setcsr(before | 0x8040); }
  ~Flush() { _mm_setcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;
  Flush() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    asm volatile("msr fpcr, %0" : : "r"(before | (1 << 24)));
  }
  ~Flush() { asm volatile("msr fpcr, %0" : : "r"(before)); }
#endif
};

}  // namespace

extern "C" int lanes() { return LANES; }

// weights, mean, square: (block, vector, neuron, lane); square of one vector if NEURONWISE. schedule: (step, [rate, correction of the
// root, strength, whether convergence is judged]), with one row more for the state after the last
// step, of which only the last two count. metrics: (block, [entropy, right, margin, norm, penalty],
// lane). still: (block, [loss, change, count, ended], lane), changed; null without PATIENCE.
extern "C" void advance(real* weights, real* mean, real* square, const int32_t* inputs,
                        const real* signs, const int32_t* answers, const double* schedule,
                        double* metrics, double* still, double tolerance, int64_t patience,
                        int64_t first, int64_t blocks, int64_t steps, int64_t threads) {
  const Rows rows{inputs, signs, answers};
  std::atomic<int64_t> next{0};
  typedef V (*Weights)[WIDTH];
  auto work = [&] {
    const Flush flush;
    Space* space = new Space;
    for (int64_t block; (block = next++) < blocks;) {
      const int64_t offset = block * VECTORS * WIDTH * LANES;
      const Weights w = (Weights)(weights + offset);
      Still* own = PATIENCE ? (Still*)still + block : nullptr;
      for (int64_t step = 0; step < steps + (PATIENCE && steps); step++) {
        const double* now = schedule + 4 * step;
        const V entropy = gradient_of(w, rows, *space);
        if constexpr (PATIENCE) {
          const V loss = entropy + real(now[2]) * penalty_of(w);
          if (now[3] && !judge(*own, loss, first + step, tolerance, patience)) break;
          if (step == steps) break;
        }
        update(w, (Weights)(mean + offset),
               (Weights)(square + block * SQUARES * WIDTH * LANES), space->gradient,
               real(now[0]), real(now[1]), real(now[2]), own);
      }
      measure(w, rows, *space, ((Metrics*)metrics)[block]);
    }
    delete space;
  };
  std::vector<std::thread> others;
  for (int64_t thread = 1; thread < threads; thread++) others.emplace_back(work);
  work();
  for (auto& other : others) other.join();
}
