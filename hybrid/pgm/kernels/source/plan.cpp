#include "plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace borromean {

namespace {

Axes read_axes(const int64_t*& code) {
  int64_t count = *code++;
  Axes axes(code, code + count);
  code += count;
  return axes;
}

int64_t size_of(const Plan& plan, const Axes& axes) {
  int64_t cells = 1;
  for (int32_t axis : axes) cells *= plan.cards[size_t(axis)];
  return cells;
}

// For every cell of a table with axes `from` its cell in a table with axes `to`, some of them.
Map offsets(const Plan& plan, const Axes& from, const Axes& to) {
  std::vector<int64_t> stride(from.size(), 0);
  for (size_t k = 0; k < from.size(); k++) {
    auto found = std::find(to.begin(), to.end(), from[k]);
    if (found == to.end()) continue;
    stride[k] = 1;
    for (auto later = found + 1; later != to.end(); ++later)
      stride[k] *= plan.cards[size_t(*later)];
  }
  Map map(size_t(size_of(plan, from)));
  map[0] = 0;
  // Axis by axis from the last one: what is there is repeated, shifted by the stride.
  size_t done = 1;
  for (size_t k = from.size(); k-- > 0;) {
    int64_t card = plan.cards[size_t(from[k])];
    for (int64_t state = card - 1; state > 0; state--) {
      int32_t shift = int32_t(state * stride[k]);
      int32_t* into = map.data() + size_t(state) * done;
      for (size_t c = 0; c < done; c++) into[c] = map[c] + shift;
    }
    done *= size_t(card);
  }
  return map;
}

void link(Plan& plan, int32_t at, std::vector<Link> Node::*list, Kind kind, int32_t index,
          const Axes& axes) {
  Node& node = plan.nodes[size_t(at)];
  int32_t map = -1;
  if (node.clique || axes != node.axes) {
    auto found = std::find(node.mapped.begin(), node.mapped.end(), axes);
    map = int32_t(found - node.mapped.begin());
    if (found == node.mapped.end()) node.mapped.push_back(axes);
  }
  (node.*list).push_back({kind, index, map});
}

std::vector<Table> read_tables(const int64_t*& code, const Plan& plan) {
  std::vector<Table> tables(size_t(*code++));
  for (Table& table : tables) {
    table.node = int32_t(*code++);
    table.axes = read_axes(code);
    table.cells = size_of(plan, table.axes);
  }
  return tables;
}

void connect(Plan& plan) {
  auto& nodes = plan.nodes;
  for (size_t k = 0; k < plan.outputs.size(); k++)
    for (int32_t at = plan.outputs[k].node; at >= 0 && !nodes[size_t(at)].wanted;
         at = nodes[size_t(at)].parent)
      nodes[size_t(at)].wanted = true;
  for (size_t k = 1; k < nodes.size(); k++) {
    Node& node = nodes[k];
    if (node.clique) {
      nodes[size_t(node.parent)].cliques.push_back(int32_t(k));
    } else {
      link(plan, node.parent, &Node::inputs, Kind::node, int32_t(k), node.axes);
      if (node.wanted) link(plan, node.parent, &Node::targets, Kind::node, int32_t(k), node.axes);
    }
  }
  auto each = [&](std::vector<Table>& tables, std::vector<Link> Node::*list, Kind kind) {
    for (size_t k = 0; k < tables.size(); k++)
      link(plan, tables[k].node, list, kind, int32_t(k), tables[k].axes);
  };
  each(plan.rows, &Node::inputs, Kind::rows);
  each(plan.evidence, &Node::inputs, Kind::evidence);
  each(plan.outputs, &Node::targets, Kind::output);
}

// Places in the workspace: evidence and tables per row, messages, and last what is summed into.
void place(Plan& plan) {
  int64_t end = 0;
  auto take = [&](int64_t cells) { return (end += cells) - cells; };
  for (Table& table : plan.evidence) table.place = take(table.cells);
  for (Table& table : plan.rows) table.place = take(table.cells);
  for (Node& node : plan.nodes) {
    if (!node.clique) {
      node.message = take(node.cells);
      continue;
    }
    const Node& parent = plan.nodes[size_t(node.parent)];
    node.alias = parent.cliques.size() == 1 && parent.inputs.empty();
    node.up = node.alias ? parent.message : take(parent.cells);
  }
  plan.beliefs = end;
  for (Node& node : plan.nodes)
    if (!node.clique && node.wanted) node.belief = take(node.cells);
  for (Table& table : plan.outputs) {
    const Node& node = plan.nodes[size_t(table.node)];
    table.place = !node.clique && node.axes == table.axes ? node.belief : take(table.cells);
  }
  plan.beliefs_end = plan.space = end;
  for (Table& table : plan.outputs) {
    table.offset = plan.width;
    plan.width += table.cells;
  }
  plan.nodes[0].low = std::ldexp(1.0, -64), plan.nodes[0].high = std::ldexp(1.0, 64);
  for (Node& node : plan.nodes) {
    if (node.clique || node.parent < 0) continue;
    const Node& parent = plan.nodes[size_t(node.parent)];
    // All messages to one table together: no product of their totals leaves 2^-400 to 2^60.
    const int inputs = int(parent.inputs.size());
    node.low = std::ldexp(1.0, -std::min(64, 400 / inputs));
    node.high = std::ldexp(1.0, std::max(1, 60 / inputs));
  }
}

// The product of a clique's factors, each divided by a power of two near its largest entry.
std::vector<double> product(const Plan& plan, const Node& node,
                            const std::vector<std::pair<const Table*, const double*>>& factors,
                            double* exponent) {
  std::vector<double> dense(size_t(node.cells), 1.0);
  auto scaled = [&](double largest) {
    if (!(largest > 0) || !std::isfinite(largest)) return 1.0;
    int e = std::max(-1022, std::min(1022, std::ilogb(largest)));
    *exponent += e;
    return std::ldexp(1.0, -e);
  };
  for (auto [table, values] : factors) {
    double factor = scaled(*std::max_element(values, values + table->cells));
    if (table->axes == node.axes) {
      for (size_t c = 0; c < dense.size(); c++) dense[c] *= values[c] * factor;
    } else {
      Map map = offsets(plan, node.axes, table->axes);
      for (size_t c = 0; c < dense.size(); c++) dense[c] *= values[map[c]] * factor;
    }
  }
  if (factors.size() > 1) {
    double factor = scaled(*std::max_element(dense.begin(), dense.end()));
    if (factor != 1.0)
      for (double& value : dense) value *= factor;
  }
  return dense;
}

}  // namespace

Plan read_plan(const int64_t* code) {
  Plan plan;
  plan.cards.assign(code + 1, code + 1 + code[0]);
  code += 1 + code[0];
  plan.nodes.resize(size_t(*code++));
  for (Node& node : plan.nodes) {
    node.clique = *code++ != 0;
    node.parent = int32_t(*code++);
    node.axes = read_axes(code);
    node.cells = size_of(plan, node.axes);
  }
  plan.shared = read_tables(code, plan);
  plan.rows = read_tables(code, plan);
  plan.evidence = read_tables(code, plan);
  plan.outputs = read_tables(code, plan);
  connect(plan);
  place(plan);
  return plan;
}

void fill(Plan& plan, const double* const* tables, bool sparse) {
  std::vector<std::vector<std::pair<const Table*, const double*>>> factors(plan.nodes.size());
  for (size_t k = 0; k < plan.shared.size(); k++)
    factors[size_t(plan.shared[k].node)].push_back({&plan.shared[k], tables[k]});
  bool again = !plan.nodes.empty() && plan.work > 0 && !sparse && !plan.sparse;
  plan.exponent = 0;
  if (!again) plan.work = 0;
  for (size_t k = 0; k < plan.nodes.size(); k++) {
    Node& node = plan.nodes[k];
    if (!node.clique) {
      if (again) continue;
      node.maps.clear();
      for (const Axes& axes : node.mapped) node.maps.push_back(offsets(plan, node.axes, axes));
      plan.work += node.cells;
      continue;
    }
    node.exponent = 0;
    std::vector<double> dense = product(plan, node, factors[k], &node.exponent);
    plan.exponent += node.exponent;
    int64_t groups = plan.nodes[size_t(node.parent)].cells, run = node.cells / groups;
    node.sums.assign(size_t(groups), 0.0);
    for (int64_t g = 0; g < groups; g++)
      for (int64_t c = g * run; c < (g + 1) * run; c++) node.sums[size_t(g)] += dense[size_t(c)];
    if (!again) {
      node.cell.clear();
      node.start.assign(1, 0);
      for (int64_t g = 0; g < groups; g++) {
        for (int64_t c = g * run; c < (g + 1) * run; c++)
          if (!sparse || dense[size_t(c)] != 0) node.cell.push_back(int32_t(c));
        node.start.push_back(int32_t(node.cell.size()));
      }
      node.maps.clear();
      for (const Axes& axes : node.mapped) {
        Map map = offsets(plan, node.axes, axes), kept(node.cell.size());
        for (size_t c = 0; c < kept.size(); c++) kept[c] = map[size_t(node.cell[c])];
        node.maps.push_back(std::move(kept));
      }
      plan.work += int64_t(node.cell.size());
    }
    node.base.resize(node.cell.size());
    for (size_t c = 0; c < node.base.size(); c++) node.base[c] = dense[size_t(node.cell[c])];
  }
  plan.sparse = sparse;
}

}  // namespace borromean
