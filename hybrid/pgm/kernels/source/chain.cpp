// Messages along chains of few states: forward and back, scaled at each step. Steps are outermost,
// then groups with matrices of their own, rows and states: (T, G, N, K), matrices (P, G, K, K).

#include <cstdint>

namespace {

// y += x M for a vector x and a matrix of k columns.
inline void add_product(double* __restrict y, const double* __restrict x,
                        const double* __restrict matrix, int64_t k) {
  for (int64_t i = 0; i < k; i++) {
    const double factor = x[i];
    const double* __restrict row = matrix + i * k;
    for (int64_t j = 0; j < k; j++) y[j] += factor * row[j];
  }
}

template <typename T>
T* at(int64_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace

extern "C" {

// The numbers are: T, G, N, K, P; addresses of emissions, matrices, messages, scales (T, G, N).
void borromean_pgm_chain_forward(const int64_t* n) {
  const int64_t steps = n[0], groups = n[1], rows = n[2], k = n[3], shared = n[4] == 1;
  const double *emission = at<const double>(n[5]), *matrices = at<const double>(n[6]);
  double *alpha = at<double>(n[7]), *scales = at<double>(n[8]);
  const int64_t stride = groups * rows * k;
  for (int64_t t = 0; t < steps; t++)
    for (int64_t g = 0; g < groups; g++) {
      const double* matrix = matrices + ((shared || t == 0 ? 0 : t - 1) * groups + g) * k * k;
      for (int64_t row = g * rows; row < (g + 1) * rows; row++) {
        const double* __restrict e = emission + t * stride + row * k;
        double* __restrict a = alpha + t * stride + row * k;
        if (t == 0) {
          for (int64_t j = 0; j < k; j++) a[j] = 1;
        } else {
          for (int64_t j = 0; j < k; j++) a[j] = 0;
          add_product(a, a - stride, matrix, k);
        }
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += a[j] *= e[j];
        if (!(sum > 0)) sum = 1;  // after the end, and where nothing is possible
        const double inverse = 1 / sum;
        for (int64_t j = 0; j < k; j++) a[j] *= inverse;
        scales[t * groups * rows + row] = sum;
      }
    }
}

// The numbers are: T, G, N, K, P; addresses of emissions, transposed matrices, messages, scales,
// starts (G, N), lengths (G, N) or 0; then of results: marginals (T, G, N, K) and sums over rows of
// outer products of neighbours (P, G, K, K), which are zero; and of room for 2 K numbers a row.
void borromean_pgm_chain_backward(const int64_t* n) {
  const int64_t steps = n[0], groups = n[1], rows = n[2], k = n[3], shared = n[4] == 1;
  const double *emission = at<const double>(n[5]), *matrices = at<const double>(n[6]);
  const double *alpha = at<const double>(n[7]), *scales = at<const double>(n[8]);
  const double* start = at<const double>(n[9]);
  const int64_t* lengths = at<const int64_t>(n[10]);
  double *gamma = at<double>(n[11]), *pairs = at<double>(n[12]), *room = at<double>(n[13]);
  const int64_t stride = groups * rows * k;
  for (int64_t t = steps - 1; t >= 0; t--)
    for (int64_t g = 0; g < groups; g++) {
      const int64_t place = ((shared || t == 0 ? 0 : t - 1) * groups + g) * k * k;
      const double* matrix = matrices + place;
      double* sums = pairs + place;
      for (int64_t row = g * rows; row < (g + 1) * rows; row++) {
        const int64_t last = (lengths ? lengths[row] : steps) - 1;
        double* __restrict beta = room + 2 * row * k;
        double* __restrict flow = beta + k;
        double* __restrict out = gamma + t * stride + row * k;
        if (t > last) {
          for (int64_t j = 0; j < k; j++) out[j] = 0;
          continue;
        }
        if (t == last)
          for (int64_t j = 0; j < k; j++) beta[j] = start[row];
        const double* __restrict a = alpha + t * stride + row * k;
        for (int64_t j = 0; j < k; j++) out[j] = a[j] * beta[j];
        if (t == 0) continue;
        const double* __restrict e = emission + t * stride + row * k;
        const double scale = scales[t * groups * rows + row];
        for (int64_t j = 0; j < k; j++) flow[j] = e[j] * beta[j] / scale;
        const double* __restrict before = a - stride;
        for (int64_t i = 0; i < k; i++) {
          const double factor = before[i];
          double* __restrict sum = sums + i * k;
          for (int64_t j = 0; j < k; j++) sum[j] += factor * flow[j];
        }
        for (int64_t j = 0; j < k; j++) beta[j] = 0;
        add_product(beta, flow, matrix, k);
      }
    }
}

}  // extern "C"
