// Vectors of `lanes` real numbers, complex pairs of them, and sine and cosine of such vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace BORROMEAN_TARGET {

template <class T>
struct Integer;
template <>
struct Integer<float> {
  using type = int32_t;
};
template <>
struct Integer<double> {
  using type = int64_t;
};

template <class T>
using Vec [[gnu::vector_size(BORROMEAN_BYTES)]] = T;
template <class T>  // as many lanes, in double precision
using Wide [[gnu::vector_size(BORROMEAN_BYTES / sizeof(T) * sizeof(double))]] = double;
template <class T>
using Ints [[gnu::vector_size(BORROMEAN_BYTES)]] = typename Integer<T>::type;

template <class T>
constexpr int lanes_of = BORROMEAN_BYTES / int(sizeof(T));

template <class T>
struct Pair {  // lanes of complex numbers
  Vec<T> re, im;
};

template <class T>
static inline Vec<T> spread(T value) {
  return Vec<T>{} + value;
}

template <class T>
static inline T total(Vec<T> v) {
  T sum = 0;
  for (int l = 0; l < lanes_of<T>; l++) sum += v[l];
  return sum;
}

// The lanes with their numbers XORed by `mask`: amplitudes that differ in wires held in the lanes.
template <class T>
static inline Vec<T> exchanged(Vec<T> v, int mask) {
  Ints<T> order;
  for (int l = 0; l < lanes_of<T>; l++) order[l] = l ^ mask;
#if defined(__clang__)
  Vec<T> out;
  for (int l = 0; l < lanes_of<T>; l++) out[l] = v[order[l]];
  return out;
#else
  return __builtin_shuffle(v, order);
#endif
}

template <class T>
struct Circle {  // constants of the reduction modulo pi/2 and of the two polynomials
  static constexpr int terms = sizeof(T) == 4 ? 3 : 6;
  static const T sine[6], cosine[6];
  static constexpr T first = sizeof(T) == 4 ? T(1.5703125) : T(1.57079625129699707031);
  static constexpr T second = sizeof(T) == 4 ? T(4.837512969970703125e-4) : T(7.54978941586159635336e-8);
  static constexpr T third = sizeof(T) == 4 ? T(7.549789954891882e-8) : T(5.39030285815811905290e-15);
  static constexpr T magic = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);
  static constexpr T limit = sizeof(T) == 4 ? T(8192.0) : T(1e5);
};
// Chebyshev-type coefficients of Cephes (S. Moshier), in powers of the square, lowest first.
template <>
inline const float Circle<float>::sine[6] = {-1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f};
template <>
inline const float Circle<float>::cosine[6] = {4.166664568298827e-2f, -1.388731625493765e-3f,
                                               2.443315711809948e-5f};
template <>
inline const double Circle<double>::sine[6] = {
    -1.66666666666666307295e-1, 8.33333333332211858878e-3, -1.98412698295895385996e-4,
    2.75573136213857245213e-6,  -2.50507477628578072866e-8, 1.58962301576546568060e-10};
template <>
inline const double Circle<double>::cosine[6] = {
    4.16666666666665929218e-2,  -1.38888888888730564116e-3, 2.48015872888517045348e-5,
    -2.75573141792967388112e-7, 2.08757008419747316778e-9,  -1.13585365213876817300e-11};

// Sine and cosine of every lane; lanes too large for the reduction go through the C library.
template <class T>
static inline void circle(Vec<T> x, Vec<T>& sine, Vec<T>& cosine) {
  using C = Circle<T>;
  Vec<T> shifted = x * T(0.6366197723675814) + C::magic;
  Ints<T> quadrant;
  std::memcpy(&quadrant, &shifted, sizeof quadrant);
  Vec<T> turns = shifted - C::magic;
  Vec<T> r = ((x - turns * C::first) - turns * C::second) - turns * C::third;
  Vec<T> q = r * r;
  Vec<T> s = spread<T>(C::sine[C::terms - 1]), c = spread<T>(C::cosine[C::terms - 1]);
  for (int k = C::terms - 2; k >= 0; k--) {
    s = s * q + C::sine[k];
    c = c * q + C::cosine[k];
  }
  s = s * q * r + r;
  c = c * q * q - q * T(0.5) + T(1);
  Ints<T> odd = -(quadrant & 1);
  Ints<T> back = -((quadrant >> 1) & 1), turned = -(((quadrant + 1) >> 1) & 1);
  sine = odd ? c : s;
  cosine = odd ? s : c;
  sine = back ? -sine : sine;
  cosine = turned ? -cosine : cosine;
  bool large = false;
  for (int l = 0; l < lanes_of<T>; l++) large |= !(std::fabs(x[l]) < C::limit);
  if (large)
    for (int l = 0; l < lanes_of<T>; l++) {
      sine[l] = std::sin(x[l]);
      cosine[l] = std::cos(x[l]);
    }
}

// Walsh-Hadamard transform over the index of `table`, 2^bits entries, in place.
template <class T>
static void hadamard(Vec<T>* table, int bits) {
  using V = Vec<T>;
  int64_t size = int64_t(1) << bits;
  int level = 0;
  if (bits & 1) {
    for (int64_t i = 0; i < size; i += 2) {
      V a = table[i], b = table[i + 1];
      table[i] = a + b;
      table[i + 1] = a - b;
    }
    level = 1;
  }
  for (; level < bits; level += 2) {
    int64_t step = int64_t(1) << level;
    for (int64_t high = 0; high < size; high += 4 * step)
      for (int64_t i = high; i < high + step; i++) {
        V a = table[i], b = table[i + step], c = table[i + 2 * step], d = table[i + 3 * step];
        V e = a + b, f = a - b, g = c + d, h = c - d;
        table[i] = e + g;
        table[i + step] = f + h;
        table[i + 2 * step] = e - g;
        table[i + 3 * step] = f - h;
      }
  }
}

}  // namespace BORROMEAN_TARGET
