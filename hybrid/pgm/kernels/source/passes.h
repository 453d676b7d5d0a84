// The two passes over a clique: what it tells its parent, and what it adds to other tables. Every
// cell is computed anew in the second pass; only messages are kept.
#pragma once

#include "lanes.h"
#include "plan.h"

namespace BORROMEAN_TARGET {

using borromean::Node;

constexpr int most_read = 4, most_added = 3;  // loops that know their number of tables

struct Tables {  // what a node reads or adds to: addresses, and cells by cell of the node
  std::vector<double*> at;
  std::vector<const int32_t*> map;
  int count = 0;
  void clear() { at.clear(), map.clear(), count = 0; }
  void add(double* table, const int32_t* cells) {
    at.push_back(table), map.push_back(cells), count++;
  }
};

// The tables of a loop, at hand where their number N is known to the compiler.
template <int N>
struct Fixed {
  double* at[N > 0 ? N : 1];
  const int32_t* map[N > 0 ? N : 1];
  explicit Fixed(const Tables& tables) {
    BORROMEAN_UNROLL for (int k = 0; k < N; k++) at[k] = tables.at[k], map[k] = tables.map[k];
  }
  static constexpr int count = N;
};
template <>
struct Fixed<-1> {
  double* const* at;
  const int32_t* const* map;
  int count;
  explicit Fixed(const Tables& tables) : at(tables.at.data()), map(tables.map.data()), count(tables.count) {}
};

// The product of a cell's entries.
template <int R, int N>
static inline Lanes<R> cell(Lanes<R> x, const Fixed<N>& read, int64_t c) {
  BORROMEAN_UNROLL for (int k = 0; k < read.count; k++)
    x = x * Lanes<R>::load(read.at[k] + int64_t(read.map[k][c]) * R);
  return x;
}

template <int R, bool Max, int N>
static Lanes<R> collect(const Node& node, const Tables& tables, double* up) {
  const Fixed<N> read(tables);
  const int32_t* start = node.start.data();
  const double* base = node.base.data();
  const int64_t groups = int64_t(node.start.size()) - 1;
  Lanes<R> total = Lanes<R>::all(0);
  for (int64_t g = 0; g < groups; g++) {
    Lanes<R> sum = Lanes<R>::all(0);
    for (int64_t c = start[g], end = start[g + 1]; c < end; c++) {
      Lanes<R> x = cell<R, N>(Lanes<R>::all(base[c]), read, c);
      sum = Max ? sum.max(x) : sum + x;
    }
    sum.store(up + g * R);
    total = total + sum;
  }
  return total;
}

template <int R, int N, int M>
static void distribute(const Node& node, const Tables& tables, const Tables& targets,
                       const double* ratio) {
  const Fixed<N> read(tables);
  const Fixed<M> into(targets);
  const int32_t* start = node.start.data();
  const double* base = node.base.data();
  const int64_t groups = int64_t(node.start.size()) - 1;
  for (int64_t g = 0; g < groups; g++) {
    const Lanes<R> q = Lanes<R>::load(ratio + g * R);
    for (int64_t c = start[g], end = start[g + 1]; c < end; c++) {
      const Lanes<R> x = cell<R, N>(q * base[c], read, c);
      BORROMEAN_UNROLL for (int k = 0; k < into.count; k++) {
        double* to = into.at[k] + int64_t(into.map[k][c]) * R;
        (Lanes<R>::load(to) + x).store(to);
      }
    }
  }
}

template <int R, bool Max, int N = 0>
static Lanes<R> collect_any(const Node& node, const Tables& read, double* up) {
  if constexpr (N > most_read) {
    return collect<R, Max, -1>(node, read, up);
  } else {
    return read.count == N ? collect<R, Max, N>(node, read, up)
                           : collect_any<R, Max, N + 1>(node, read, up);
  }
}

template <int R, int N, int M = 1>
static void distribute_into(const Node& node, const Tables& read, const Tables& into,
                            const double* ratio) {
  if constexpr (M > most_added || N < 0) {
    distribute<R, N, -1>(node, read, into, ratio);
  } else if (into.count == M) {
    distribute<R, N, M>(node, read, into, ratio);
  } else {
    distribute_into<R, N, M + 1>(node, read, into, ratio);
  }
}

template <int R, int N = 0>
static void distribute_any(const Node& node, const Tables& read, const Tables& into,
                           const double* ratio) {
  if constexpr (N > most_read) {
    distribute_into<R, -1>(node, read, into, ratio);
  } else if (read.count == N) {
    distribute_into<R, N>(node, read, into, ratio);
  } else {
    distribute_any<R, N + 1>(node, read, into, ratio);
  }
}

}  // namespace BORROMEAN_TARGET
