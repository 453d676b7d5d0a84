// What visits every amplitude: rotations forward and backward, diagonals.
#pragma once

#include "program.h"
#include "vector.h"

namespace BORROMEAN_TARGET {

using borromean::parity;
using borromean::Pass;
using borromean::Walk;

// Cosine and sine of half an angle. `bare`: the cosine was taken out, it multiplies the whole state.
template <class T>
struct Turn {
  Vec<T> c, s;
  bool bare;
};

template <bool Bare, class V>
static inline void rotate(V& u, V& v, V c, V s) {
  V a = Bare ? u - s * v : c * u - s * v;
  V b = Bare ? v + s * u : c * v + s * u;
  u = a;
  v = b;
}

template <class T, bool Imaginary, bool Bare>
static inline void turn(Pair<T>& x, Pair<T>& y, Vec<T> c, Vec<T> s) {
  if (Imaginary) {
    rotate<Bare>(y.im, x.re, c, s);
    rotate<Bare>(x.im, y.re, c, s);
  } else {
    rotate<Bare>(x.re, y.re, c, s);
    rotate<Bare>(x.im, y.im, c, s);
  }
}

// Im <l|P|p> of one pair of basis states.
template <class T, bool Imaginary>
static inline Vec<T> slope(const Pair<T>& l0, const Pair<T>& l1, const Pair<T>& p0,
                           const Pair<T>& p1) {
  if (Imaginary) return l0.re * p1.im - l0.im * p1.re + l1.re * p0.im - l1.im * p0.re;
  return l1.re * p0.re - l0.re * p1.re + l1.im * p0.im - l0.im * p1.im;
}

template <class T, bool Imaginary, bool Bare>
static void double_forward(Pair<T>* __restrict state, const Pass& pass, const Turn<T>& f, const Turn<T>& g) {
  int64_t x1 = pass.x[0], x2 = pass.x[1], x3 = x1 ^ x2, r = pass.walk.base, count = pass.walk.count();
  const int64_t* steps = pass.walk.steps.data();
  Vec<T> c1 = f.c, s1 = f.s, c2 = g.c, s2 = g.s;
  for (int64_t k = 1;; k++) {
    Pair<T> a = state[r], b = state[r ^ x1], c = state[r ^ x2], d = state[r ^ x3];
    turn<T, Imaginary, Bare>(a, b, c1, s1);
    turn<T, Imaginary, Bare>(c, d, c1, s1);
    turn<T, Imaginary, Bare>(a, c, c2, s2);
    turn<T, Imaginary, Bare>(b, d, c2, s2);
    state[r] = a;
    state[r ^ x1] = b;
    state[r ^ x2] = c;
    state[r ^ x3] = d;
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
}

template <class T, bool Imaginary, bool Bare>
static void plain_forward(Pair<T>* __restrict state, const Pass& pass, const Turn<T>& f) {
  int64_t x = pass.x[0], r = pass.walk.base, count = pass.walk.count();
  const int64_t* steps = pass.walk.steps.data();
  Vec<T> c = f.c, s = f.s;
  for (int64_t k = 1;; k++) {
    Pair<T> a = state[r], b = state[r ^ x];
    turn<T, Imaginary, Bare>(a, b, c, s);
    state[r] = a;
    state[r ^ x] = b;
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
}

template <class T, bool Imaginary, bool Bare>
static void plain_backward(Pair<T>* __restrict state, Pair<T>* __restrict other, const Pass& pass,
                           const Turn<T>& f, Vec<T>& result) {
  int64_t x = pass.x[0], r = pass.walk.base, count = pass.walk.count();
  const int64_t* steps = pass.walk.steps.data();
  Vec<T> c = f.c, s = f.s, sum = {};
  for (int64_t k = 1;; k++) {
    Pair<T> a = state[r], b = state[r ^ x], p = other[r], q = other[r ^ x];
    sum += slope<T, Imaginary>(p, q, a, b);
    turn<T, Imaginary, Bare>(a, b, c, s);
    turn<T, Imaginary, Bare>(p, q, c, s);
    state[r] = a;
    state[r ^ x] = b;
    other[r] = p;
    other[r ^ x] = q;
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
  result += sum;
}

// Undoes both rotations on `state` and `other`, after adding the slopes of both angles.
template <class T, bool Imaginary, bool Bare>
static void double_backward(Pair<T>* __restrict state, Pair<T>* __restrict other,
                            const Pass& pass, const Turn<T>& f, const Turn<T>& g,
                            Vec<T>& slope1, Vec<T>& slope2) {
  int64_t x1 = pass.x[0], x2 = pass.x[1], x3 = x1 ^ x2, r = pass.walk.base, count = pass.walk.count();
  const int64_t* steps = pass.walk.steps.data();
  Vec<T> c1 = f.c, s1 = f.s, c2 = g.c, s2 = g.s, sum1 = {}, sum2 = {};
  for (int64_t k = 1;; k++) {
    Pair<T>*q0 = other + r, *q1 = other + (r ^ x1), *q2 = other + (r ^ x2), *q3 = other + (r ^ x3);
    Pair<T> a = state[r], b = state[r ^ x1], c = state[r ^ x2], d = state[r ^ x3];
    sum1 += slope<T, Imaginary>(*q0, *q1, a, b) + slope<T, Imaginary>(*q2, *q3, c, d);
    sum2 += slope<T, Imaginary>(*q0, *q2, a, c) + slope<T, Imaginary>(*q1, *q3, b, d);
    turn<T, Imaginary, Bare>(a, b, c1, s1);
    turn<T, Imaginary, Bare>(c, d, c1, s1);
    turn<T, Imaginary, Bare>(a, c, c2, s2);
    turn<T, Imaginary, Bare>(b, d, c2, s2);
    state[r] = a;
    state[r ^ x1] = b;
    state[r ^ x2] = c;
    state[r ^ x3] = d;
    a = *q0, b = *q1, c = *q2, d = *q3;
    turn<T, Imaginary, Bare>(a, b, c1, s1);
    turn<T, Imaginary, Bare>(c, d, c1, s1);
    turn<T, Imaginary, Bare>(a, c, c2, s2);
    turn<T, Imaginary, Bare>(b, d, c2, s2);
    *q0 = a, *q1 = b, *q2 = c, *q3 = d;
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
  slope1 += sum1;
  slope2 += sum2;
}

// Four rotations: two on groups of four vectors, kept in the first-level cache, then the other two.
template <class T, bool Imaginary, bool Bare>
static void quadruple_forward(Pair<T>* __restrict state, const Pass& pass, const Turn<T>* f) {
  const int64_t *x = pass.x, *steps = pass.walk.steps.data();
  int64_t r = pass.walk.base, count = pass.walk.count();
  int64_t x1 = x[0], x2 = x[1], x3 = x1 ^ x2, y1 = x[2], y2 = x[3];
  const int64_t ys[4] = {0, y1, y2, y1 ^ y2}, xs[4] = {0, x1, x2, x3};
  Vec<T> c1 = f[0].c, s1 = f[0].s, c2 = f[1].c, s2 = f[1].s;
  Vec<T> c3 = f[2].c, s3 = f[2].s, c4 = f[3].c, s4 = f[3].s;
  Pair<T> kept[16];
  for (int64_t k = 1;; k++) {
    for (int i = 0; i < 4; i++) {
      int64_t at = r ^ ys[i];
      Pair<T> a = state[at], b = state[at ^ x1], c = state[at ^ x2], d = state[at ^ x3];
      turn<T, Imaginary, Bare>(a, b, c1, s1);
      turn<T, Imaginary, Bare>(c, d, c1, s1);
      turn<T, Imaginary, Bare>(a, c, c2, s2);
      turn<T, Imaginary, Bare>(b, d, c2, s2);
      kept[4 * i] = a;
      kept[4 * i + 1] = b;
      kept[4 * i + 2] = c;
      kept[4 * i + 3] = d;
    }
    for (int i = 0; i < 4; i++) {
      int64_t at = r ^ xs[i];
      Pair<T> a = kept[i], b = kept[i + 4], c = kept[i + 8], d = kept[i + 12];
      turn<T, Imaginary, Bare>(a, b, c3, s3);
      turn<T, Imaginary, Bare>(c, d, c3, s3);
      turn<T, Imaginary, Bare>(a, c, c4, s4);
      turn<T, Imaginary, Bare>(b, d, c4, s4);
      state[at] = a;
      state[at ^ y1] = b;
      state[at ^ y2] = c;
      state[at ^ ys[3]] = d;
    }
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
}

template <class T, bool Imaginary, bool Bare>
static inline void two_backward(const Pair<T>* const* in, const Pair<T>* const* other_in,
                                Pair<T>* const* out, Pair<T>* const* other_out, Vec<T> c1, Vec<T> s1,
                                Vec<T> c2, Vec<T> s2, Vec<T>& sum1, Vec<T>& sum2) {
  Pair<T> a = *in[0], b = *in[1], c = *in[2], d = *in[3];
  sum1 += slope<T, Imaginary>(*other_in[0], *other_in[1], a, b) +
          slope<T, Imaginary>(*other_in[2], *other_in[3], c, d);
  sum2 += slope<T, Imaginary>(*other_in[0], *other_in[2], a, c) +
          slope<T, Imaginary>(*other_in[1], *other_in[3], b, d);
  turn<T, Imaginary, Bare>(a, b, c1, s1);
  turn<T, Imaginary, Bare>(c, d, c1, s1);
  turn<T, Imaginary, Bare>(a, c, c2, s2);
  turn<T, Imaginary, Bare>(b, d, c2, s2);
  *out[0] = a, *out[1] = b, *out[2] = c, *out[3] = d;
  a = *other_in[0], b = *other_in[1], c = *other_in[2], d = *other_in[3];
  turn<T, Imaginary, Bare>(a, b, c1, s1);
  turn<T, Imaginary, Bare>(c, d, c1, s1);
  turn<T, Imaginary, Bare>(a, c, c2, s2);
  turn<T, Imaginary, Bare>(b, d, c2, s2);
  *other_out[0] = a, *other_out[1] = b, *other_out[2] = c, *other_out[3] = d;
}

template <class T, bool Imaginary, bool Bare>
static void quadruple_backward(Pair<T>* state, Pair<T>* other, const Pass& pass, const Turn<T>* f,
                               Vec<T>* slopes) {
  const int64_t *x = pass.x, *steps = pass.walk.steps.data();
  int64_t r = pass.walk.base, count = pass.walk.count();
  const int64_t xs[4] = {0, x[0], x[1], x[0] ^ x[1]}, ys[4] = {0, x[2], x[3], x[2] ^ x[3]};
  Vec<T> sum1 = {}, sum2 = {}, sum3 = {}, sum4 = {};
  Pair<T> kept[16], kept_other[16];
  for (int64_t k = 1;; k++) {
    for (int i = 0; i < 4; i++) {
      int64_t at = r ^ ys[i];
      Pair<T>* in[4] = {state + at, state + (at ^ xs[1]), state + (at ^ xs[2]), state + (at ^ xs[3])};
      Pair<T>* more[4] = {other + at, other + (at ^ xs[1]), other + (at ^ xs[2]),
                          other + (at ^ xs[3])};
      Pair<T>* out[4] = {kept + 4 * i, kept + 4 * i + 1, kept + 4 * i + 2, kept + 4 * i + 3};
      Pair<T>* out_more[4] = {kept_other + 4 * i, kept_other + 4 * i + 1, kept_other + 4 * i + 2,
                              kept_other + 4 * i + 3};
      two_backward<T, Imaginary, Bare>(in, more, out, out_more, f[0].c, f[0].s, f[1].c, f[1].s, sum1,
                                       sum2);
    }
    for (int i = 0; i < 4; i++) {
      int64_t at = r ^ xs[i];
      Pair<T>* in[4] = {kept + i, kept + i + 4, kept + i + 8, kept + i + 12};
      Pair<T>* more[4] = {kept_other + i, kept_other + i + 4, kept_other + i + 8,
                          kept_other + i + 12};
      Pair<T>* out[4] = {state + at, state + (at ^ ys[1]), state + (at ^ ys[2]), state + (at ^ ys[3])};
      Pair<T>* out_more[4] = {other + at, other + (at ^ ys[1]), other + (at ^ ys[2]),
                              other + (at ^ ys[3])};
      two_backward<T, Imaginary, Bare>(in, more, out, out_more, f[2].c, f[2].s, f[3].c, f[3].s, sum3,
                                       sum4);
    }
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
  slopes[0] = sum1;
  slopes[1] = sum2;
  slopes[2] = sum3;
  slopes[3] = sum4;
}

// One lane is 1 where all conditions with a lane part hold, for the vector r.
template <class T>
static inline Vec<T> active(const Pass& pass, int64_t r, int inner) {
  Vec<T> on = spread<T>(1);
  for (size_t k = 0; k < pass.lanes.size(); k++) {
    int wanted = pass.lanes[k].value ^ parity(pass.lanes[k].mask & r);
    for (int l = 0; l < lanes_of<T>; l++)
      if (parity(pass.lane_masks[k] & l & ((1 << inner) - 1)) != wanted) on[l] = 0;
  }
  return on;
}

template <class T, bool Imaginary>
static inline void turn_within(Pair<T>& a, int exchange, Vec<T> c, Vec<T> s) {
  Vec<T> re = exchanged<T>(a.re, exchange), im = exchanged<T>(a.im, exchange);
  if (Imaginary) {
    a = {c * a.re + s * im, c * a.im - s * re};
  } else {
    a = {c * a.re - s * re, c * a.im - s * im};
  }
}

template <class T>
static inline Pair<T> exchanged(const Pair<T>& a, int mask) {
  return {exchanged<T>(a.re, mask), exchanged<T>(a.im, mask)};
}

// One rotation in full generality, on `state` and, if `other` is given, on it too with its slope.
template <class T, bool Imaginary, bool Backward>
static void single(Pair<T>* state, Pair<T>* other, const Pass& pass, const Turn<T>& f, int inner,
                   int turned, Vec<T>& result) {
  Vec<T> sum = {};
  Vec<T> combinations[16];
  int conditions = int(pass.lanes.size());
  for (int64_t r = 0; conditions && r < int64_t(1) << conditions; r++) {
    Pass probe;
    probe.lane_masks = pass.lane_masks;
    for (int k = 0; k < conditions; k++)
      probe.lanes.push_back({0, pass.lanes[k].value ^ int(r >> k & 1)});
    combinations[r] = active<T>(probe, 0, inner);
  }
  int64_t r = pass.walk.base, count = pass.walk.count(), x = pass.x[0];
  const int64_t* steps = pass.walk.steps.data();
  for (int64_t k = 1;; k++) {
    int negative = turned ^ parity(pass.sign & r);
    Vec<T> c = f.c, s = negative ? -f.s : f.s, weight = spread<T>(negative ? -1 : 1);
    if (conditions) {
      int which = 0;
      for (int i = 0; i < conditions; i++) which |= parity(pass.lanes[i].mask & r) << i;
      Vec<T> on = combinations[which];
      c = on * (c - T(1)) + T(1);
      s *= on;
      weight *= on;
    }
    Pair<T> a = state[r];
    if (x) {
      Pair<T> b = state[r ^ x];
      if (pass.exchange) b = exchanged<T>(b, pass.exchange);
      if (Backward) {
        Pair<T> p = other[r], q = other[r ^ x];
        if (pass.exchange) q = exchanged<T>(q, pass.exchange);
        sum += weight * slope<T, Imaginary>(p, q, a, b);
        turn<T, Imaginary, false>(p, q, c, s);
        other[r] = p;
        other[r ^ x] = pass.exchange ? exchanged<T>(q, pass.exchange) : q;
      }
      turn<T, Imaginary, false>(a, b, c, s);
      state[r] = a;
      state[r ^ x] = pass.exchange ? exchanged<T>(b, pass.exchange) : b;
    } else {
      if (Backward) {
        Pair<T> p = other[r], e = exchanged<T>(a, pass.exchange);
        sum += weight * (Imaginary ? p.re * e.im - p.im * e.re : -(p.re * e.re + p.im * e.im));
        turn_within<T, Imaginary>(p, pass.exchange, c, s);
        other[r] = p;
      }
      turn_within<T, Imaginary>(a, pass.exchange, c, s);
      state[r] = a;
    }
    if (k == count) break;
    r ^= steps[__builtin_ctzll(k)];
  }
  result += sum;
}

// Products of the state with a diagonal: `re`, `im` hold one number per vector (`Lanes` false) or one
// vector per vector.
template <class T, bool Lanes>
static void diagonal_forward(Pair<T>* state, const T* re, const T* im, int64_t size) {
  constexpr int width = Lanes ? lanes_of<T> : 1;
  for (int64_t u = 0; u < size; u++) {
    Vec<T> c, s;
    if (Lanes) {
      c = *(const Vec<T>*)(re + u * width);
      s = *(const Vec<T>*)(im + u * width);
    } else {
      c = spread<T>(re[u]);
      s = spread<T>(im[u]);
    }
    Pair<T> a = state[u];
    state[u] = {a.re * c - a.im * s, a.re * s + a.im * c};
  }
}

template <class T, int Half>
static inline Vec<T> merged(Vec<T> a, Vec<T> b) {
  constexpr int n = lanes_of<T>;
  Ints<T> straight, crossed;
  for (int l = 0; l < n; l++) {
    straight[l] = l & Half ? n + l : l;
    crossed[l] = l & Half ? n + (l ^ Half) : l ^ Half;
  }
#if defined(__clang__)
  Vec<T> out;
  for (int l = 0; l < n; l++) out[l] = l & Half ? b[l] + b[l ^ Half] : a[l] + a[l ^ Half];
  return out;
#else
  return __builtin_shuffle(a, b, straight) + __builtin_shuffle(a, b, crossed);
#endif
}

// Lane l of the result is the total of v[l].
template <class T>
static inline Vec<T> totals(Vec<T>* v) {
  constexpr int n = lanes_of<T>;
  for (int k = 0; k < n; k += 2) v[k / 2] = merged<T, 1>(v[k], v[k + 1]);
  if (n > 2)
    for (int k = 0; k < n / 2; k += 2) v[k / 2] = merged<T, 2>(v[k], v[k + 1]);
  if (n > 4)
    for (int k = 0; k < n / 4; k += 2) v[k / 2] = merged<T, (n > 4 ? 4 : 1)>(v[k], v[k + 1]);
  if (n > 8) v[0] = merged<T, (n > 8 ? 8 : 1)>(v[0], v[1]);
  return v[0];
}

// Undoes a diagonal on both vectors. `slopes` receives Im(conj(other) state): totals over the lanes
// are added (`Lanes` false), or vectors are stored, both times `weight`.
template <class T, bool Lanes>
static void diagonal_backward(Pair<T>* state, Pair<T>* other, const T* re, const T* im,
                              T* slopes, int64_t size, Vec<T> weight) {
  constexpr int n = lanes_of<T>;
  Vec<T> found[n] = {};
  for (int64_t u = 0; u < size; u++) {
    Vec<T> c, s;
    if (Lanes) {
      c = *(const Vec<T>*)(re + u * n);
      s = *(const Vec<T>*)(im + u * n);
    } else {
      c = spread<T>(re[u]);
      s = spread<T>(im[u]);
    }
    Pair<T> a = state[u], b = other[u];
    a = {a.re * c + a.im * s, a.im * c - a.re * s};
    b = {b.re * c + b.im * s, b.im * c - b.re * s};
    state[u] = a;
    other[u] = b;
    Vec<T> v = weight * (b.re * a.im - b.im * a.re);
    if (Lanes) {
      *(Vec<T>*)(slopes + u * n) = v;
    } else {
      found[u % n] = v;
      if (u % n == n - 1) *(Vec<T>*)(slopes + u - n + 1) += totals<T>(found);
    }
  }
  if (!Lanes && size % n)
    for (int64_t u = 0; u < size; u++) slopes[u] += total<T>(found[u]);
}

}  // namespace BORROMEAN_TARGET
