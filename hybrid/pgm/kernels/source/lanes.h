// R rows side by side: as many vectors of the instruction set as hold them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__clang__)
#define BORROMEAN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BORROMEAN_UNROLL _Pragma("GCC unroll 16")
#endif

namespace BORROMEAN_TARGET {

template <int Bytes>
struct Native {
  typedef double Real __attribute__((vector_size(Bytes), aligned(8), may_alias));
};
template <>
struct Native<8> {
  typedef double Real __attribute__((may_alias));
};

template <int R>
struct Lanes {
  static constexpr int bytes = R * 8 < BORROMEAN_BYTES ? R * 8 : BORROMEAN_BYTES;
  static constexpr int count = R * 8 / bytes;
  using Vector = typename Native<bytes>::Real;
  Vector v[count];

  static inline Lanes load(const double* from) {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++)
      x.v[k] = *reinterpret_cast<const Vector*>(from + k * (bytes / 8));
    return x;
  }
  static inline Lanes all(double value) {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++) x.v[k] = Vector{} + value;
    return x;
  }
  inline void store(double* to) const {
    BORROMEAN_UNROLL for (int k = 0; k < count; k++)
      *reinterpret_cast<Vector*>(to + k * (bytes / 8)) = v[k];
  }
  inline Lanes operator*(const Lanes& o) const {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++) x.v[k] = v[k] * o.v[k];
    return x;
  }
  inline Lanes operator*(double o) const {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++) x.v[k] = v[k] * o;
    return x;
  }
  inline Lanes operator+(const Lanes& o) const {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++) x.v[k] = v[k] + o.v[k];
    return x;
  }
  inline Lanes max(const Lanes& o) const {
    Lanes x;
    BORROMEAN_UNROLL for (int k = 0; k < count; k++) x.v[k] = v[k] > o.v[k] ? v[k] : o.v[k];
    return x;
  }
};

// 2^-e where the number lies in [2^e, 2^(e+1)), and e; 1 and 0 for zero and what is not finite.
static inline double unscale(double x, double* exponent) {
  if (!(x > 0) || x > 1.7976931348623157e308) {
    *exponent = 0;
    return 1;
  }
  int e = std::ilogb(x);
  if (e < -1022) e = -1022;
  if (e > 1022) e = 1022;
  *exponent = e;
  return std::ldexp(1.0, -e);
}

}  // namespace BORROMEAN_TARGET
