// A block of R rows through the tree: evidence, messages to the root and back, results.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "call.h"
#include "passes.h"

namespace BORROMEAN_TARGET {

using borromean::Call;
using borromean::Kind;
using borromean::Link;
using borromean::Mode;
using borromean::Plan;
using borromean::Table;

template <int R, bool Max>
class Sweep {
 public:
  // `space` has room for size(plan) numbers.
  Sweep(const Plan& plan, const Call& call, double* space)
      : plan(plan),
        call(call),
        space(space),
        scales(space + plan.space * R),
        active(reinterpret_cast<char*>(scales + plan.nodes.size() * R)),
        observed(active + plan.nodes.size()) {}

  static size_t size(const Plan& plan) {
    size_t flags = (plan.nodes.size() + plan.evidence.size() + 7) / 8;
    return (size_t(plan.space) + plan.nodes.size()) * R + flags + 8;
  }

  double* sums = nullptr;  // where marginals are summed over rows

  void run(int64_t first, int count) {
    row = first;
    valid = count;
    for (int l = 0; l < R; l++) exponents[l] = 0, lost[l] = false;
    read_evidence();
    read_rows();
    for (size_t k = plan.nodes.size(); k-- > 0;) plan.nodes[k].clique ? up(k) : multiply(k);
    write_log();
    if (call.mode == Mode::marginals && plan.width) {
      down();
      write_marginals();
    }
    if (call.mode == Mode::sums) {
      down();
      add_sums();
    }
    if (call.mode == Mode::best || call.mode == Mode::draws)
      for (int lane = 0; lane < valid; lane++)
        for (int64_t draw = 0; draw < call.draws; draw++) trace(lane, draw);
  }

 private:
  using L = Lanes<R>;
  const Plan& plan;
  const Call& call;
  double *space, *scales;
  char *active, *observed;
  int64_t row = 0;
  int valid = 0;
  double exponents[R];
  Tables read, into;  // of the node at hand
  bool lost[R];  // rows that are impossible, or left the range in which sums are exact

  double* at(int64_t place) const { return space + place * R; }

  // Divides a message to this node by powers of two, one per row, where its total is far from one.
  void scale(const Node& node, double* table, const L& total, double* factors) {
    double sums[R], by[R];
    total.store(sums);
    bool far = false;
    for (int l = 0; l < R; l++) far |= !(sums[l] >= node.low && sums[l] <= node.high);
    if (!far) {
      if (factors) L::all(1).store(factors);
      return;
    }
    for (int l = 0; l < R; l++) {
      double e;
      by[l] = unscale(sums[l], &e);
      exponents[l] += e;
      lost[l] |= !(sums[l] >= 1e-150 && sums[l] <= 1e150);
    }
    const L factor = L::load(by);
    for (int64_t c = 0; c < node.cells; c++) (L::load(table + c * R) * factor).store(table + c * R);
    if (factors) factor.store(factors);
  }

  void read_evidence() {
    for (size_t v = 0; v < plan.evidence.size(); v++) {
      const borromean::Observed& seen = call.observed[v];
      observed[v] = seen.likelihoods != nullptr;
      if (!seen.states && !seen.likelihoods) continue;
      double* table = at(plan.evidence[v].place);
      const int64_t cells = plan.evidence[v].cells;
      if (seen.states) {
        int64_t states[R];
        bool any = false;
        for (int l = 0; l < R; l++) {
          states[l] = l < valid ? seen.states[(row + l) * seen.stride] : -1;
          any |= states[l] >= 0;
        }
        if (!any && !seen.likelihoods) continue;
        observed[v] = 1;
        for (int64_t c = 0; c < cells; c++)
          for (int l = 0; l < R; l++)
            table[c * R + l] = states[l] < 0 || states[l] == c ? 1.0 : 0.0;
      } else {
        for (int64_t c = 0; c < cells * R; c++) table[c] = 1.0;
      }
      if (seen.likelihoods) weigh(table, cells, seen.likelihoods, seen.row);
    }
  }

  // Multiplies a table by one table per row, each divided by a power of two near its largest entry.
  void weigh(double* table, int64_t cells, const double* values, int64_t stride) {
    for (int l = 0; l < valid; l++) {
      const double* mine = values + (row + l) * stride;
      double largest = 0, e;
      for (int64_t c = 0; c < cells; c++) largest = mine[c] > largest ? mine[c] : largest;
      const double factor = unscale(largest, &e);
      exponents[l] += e;
      for (int64_t c = 0; c < cells; c++) table[c * R + l] *= mine[c] * factor;
    }
  }

  void read_rows() {
    for (size_t k = 0; k < plan.rows.size(); k++) {
      double* table = at(plan.rows[k].place);
      for (int64_t c = 0; c < plan.rows[k].cells * R; c++) table[c] = 1.0;
      weigh(table, plan.rows[k].cells, call.tables[k].values, call.tables[k].stride);
    }
  }

  void find_read(const Node& node) {
    read.clear();
    for (const Link& link : node.inputs) {
      const size_t k = size_t(link.index);
      if (link.kind == Kind::node ? !active[k] : link.kind == Kind::evidence && !observed[k])
        continue;
      const int64_t place = link.kind == Kind::node       ? plan.nodes[k].message
                            : link.kind == Kind::evidence ? plan.evidence[k].place
                                                          : plan.rows[k].place;
      read.add(at(place), link.map < 0 ? nullptr : node.maps[size_t(link.map)].data());
    }
  }

  void find_targets(const Node& node) {
    into.clear();
    for (const Link& link : node.targets) {
      const size_t k = size_t(link.index);
      if (link.map >= 0)  // otherwise the target is the node's own table
        into.add(at(link.kind == Kind::node ? plan.nodes[k].belief : plan.outputs[k].place),
                 node.maps[size_t(link.map)].data());
    }
  }

  // A clique: the sum (or the largest cell) over the axes that its parent lacks.
  void up(size_t k) {
    const Node& node = plan.nodes[k];
    const Node& parent = plan.nodes[size_t(node.parent)];
    find_read(node);
    double* message = at(node.up);
    L total = L::all(0);
    if (!Max && !read.count) {
      for (int64_t g = 0; g < parent.cells; g++) {
        const L sum = L::all(node.sums[size_t(g)]);
        sum.store(message + g * R);
        total = total + sum;
      }
    } else {
      total = collect_any<R, Max>(node, read, message);
    }
    scale(parent, message, total, scales + k * R);
  }

  // Another table: the product of what is known from below.
  void multiply(size_t k) {
    const Node& node = plan.nodes[k];
    find_read(node);
    active[k] = read.count || !node.cliques.empty();
    if (!active[k]) return;
    if (node.cliques.size() == 1 && plan.nodes[size_t(node.cliques[0])].alias) return;
    double* message = at(node.message);
    int factors = 0;
    for (int32_t child : node.cliques)
      factor(node, message, at(plan.nodes[size_t(child)].up), nullptr, factors++);
    for (size_t t = 0; t < read.at.size(); t++)
      factor(node, message, read.at[t], read.map[t], factors++);
    if (factors > 1) balance(node, message);
  }

  void factor(const Node& node, double* message, const double* from, const int32_t* map,
              int before) {
    for (int64_t c = 0; c < node.cells; c++) {
      L x = L::load(from + (map ? map[c] : c) * R);
      if (before) x = x * L::load(message + c * R);
      x.store(message + c * R);
    }
    if (before && before % 4 == 0) balance(node, message);
  }

  void balance(const Node& node, double* message) {
    L total = L::all(0);
    for (int64_t c = 0; c < node.cells; c++) total = total + L::load(message + c * R);
    scale(node, message, total, nullptr);
  }

  void write_log() {
    constexpr double ln2 = 0.69314718055994531;
    const double* root = at(plan.nodes[0].message);
    for (int l = 0; l < valid; l++)
      call.log[row + l] = lost[l] ? -std::numeric_limits<double>::infinity()
                                  : std::log(root[l]) + (exponents[l] + plan.exponent) * ln2;
  }

  void down() {
    std::memset(at(plan.beliefs), 0, size_t(plan.beliefs_end - plan.beliefs) * R * sizeof(double));
    const double* root = at(plan.nodes[0].message);
    double* belief = at(plan.nodes[0].belief);
    for (int l = 0; l < R; l++)
      belief[l] = lost[l] || !(root[l] > 0) || l >= valid ? 0.0
                  : call.weights                          ? call.weights[row + l]
                                                          : 1.0;
    for (const Node& node : plan.nodes) {
      if (!node.wanted) continue;
      find_targets(node);
      if (!node.clique) {
        spread(node);
      } else if (into.count) {
        ratio(node);
        find_read(node);
        distribute_any<R>(node, read, into, at(node.up));
      }
    }
  }

  void spread(const Node& node) {
    const double* belief = at(node.belief);
    for (size_t k = 0; k < into.at.size(); k++)
      for (int64_t c = 0; c < node.cells; c++) {
        double* to = into.at[k] + int64_t(into.map[k][c]) * R;
        (L::load(to) + L::load(belief + c * R)).store(to);
      }
  }

  // A clique's message to its parent becomes what its cells are to be multiplied by.
  void ratio(const Node& node) {
    const Node& parent = plan.nodes[size_t(node.parent)];
    const double *belief = at(parent.belief), *factors = scales + (&node - plan.nodes.data()) * R;
    double* message = at(node.up);
    constexpr double most = std::numeric_limits<double>::max();
    for (int64_t g = 0; g < parent.cells; g++)
      for (int l = 0; l < R; l++) {
        const double b = belief[g * R + l], m = message[g * R + l];
        const double q = b / m * factors[l];
        message[g * R + l] = m > 0 && b != 0 ? (q < most ? (q > -most ? q : -most) : most) : 0.0;
      }
  }

  void write_marginals() {
    for (const Table& table : plan.outputs) {
      const double* from = at(table.place);
      double* to = call.marginals + row * plan.width + table.offset;
      for (int l = 0; l < valid; l++, to += plan.width)
        for (int64_t c = 0; c < table.cells; c++) to[c] = from[c * R + l];
    }
  }

  // Sums over rows go on where the last block ended.
  void add_sums() {
    for (const Table& table : plan.outputs) {
      const double* from = at(table.place);
      double* to = sums + table.offset;
      for (int64_t c = 0; c < table.cells; c++) {
        double sum = 0;
        for (int l = 0; l < R; l++) sum += from[c * R + l];
        to[c] += sum;
      }
    }
  }

  // From the root down: in each clique the best cell, or a drawn one, given its parent's.
  void trace(int lane, int64_t draw) {
    const int64_t place = (row + lane) * call.draws + draw, variables = int64_t(plan.cards.size());
    int64_t* states = call.states + place * variables;
    for (int64_t v = 0; v < variables; v++) states[v] = -1;
    if (lost[lane]) return;
    for (size_t k = 0; k < plan.nodes.size(); k++) {
      const Node& node = plan.nodes[k];
      if (!node.clique) continue;
      const borromean::Axes& known = plan.nodes[size_t(node.parent)].axes;
      int64_t group = 0;
      for (int32_t axis : known) group = group * plan.cards[size_t(axis)] + states[axis];
      const int64_t chosen =
          pick(node, group, lane,
               call.mode == Mode::draws
                   ? call.uniform[place * int64_t(plan.nodes.size()) + int64_t(k)]
                   : 0);
      if (chosen < 0) {
        for (int64_t v = 0; v < variables; v++) states[v] = -1;
        return;
      }
      int64_t rest = node.cell[size_t(chosen)];
      for (size_t a = node.axes.size(); a-- > known.size();) {
        const int64_t card = plan.cards[size_t(node.axes[a])];
        states[node.axes[a]] = rest % card;
        rest /= card;
      }
    }
  }

  int64_t pick(const Node& node, int64_t group, int lane, double uniform) {
    find_read(node);
    const int64_t begin = node.start[size_t(group)], end = node.start[size_t(group) + 1];
    auto value = [&](int64_t c) {
      double x = node.base[size_t(c)];
      for (size_t t = 0; t < read.at.size(); t++)
        x *= read.at[t][int64_t(read.map[t][c]) * R + lane];
      return x;
    };
    int64_t chosen = -1;
    double largest = 0, sum = 0;
    for (int64_t c = begin; c < end; c++) {
      const double x = value(c);
      sum += x;
      if (x > largest) largest = x, chosen = c;
    }
    if (call.mode == Mode::best) return chosen;
    double below = 0;
    const double target = uniform * sum;
    for (int64_t c = begin; c < end; c++) {
      const double x = value(c);
      below += x;
      if (x > 0) chosen = c;
      if (x > 0 && below > target) break;
    }
    return chosen;
  }
};

}  // namespace BORROMEAN_TARGET
