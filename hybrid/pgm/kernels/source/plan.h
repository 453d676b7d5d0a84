// What is known before any row: nodes, where each cell finds its entries in other tables, and the
// products of the tables that all rows share.
#pragma once

#include <cstdint>
#include <vector>

namespace borromean {

using Axes = std::vector<int32_t>;
using Map = std::vector<int32_t>;

enum class Kind { node, evidence, rows, output };

struct Link {  // a table that a node reads, or adds to
  Kind kind;
  int32_t index;
  int32_t map;  // -1: the same cells in the same order
};

struct Node {
  bool clique;
  int32_t parent;
  Axes axes;
  int64_t cells = 1;
  bool wanted = false;  // an output lies at it or below

  std::vector<Map> maps;
  std::vector<Axes> mapped;  // the axes of each map's table
  std::vector<Link> inputs, targets;

  // Cliques: the cells that are not zero, those of one cell of the parent together.
  std::vector<int32_t> start, cell;
  std::vector<double> base, sums;
  double exponent = 0;
  bool alias = false;  // its message is its parent's message
  int64_t up = 0;      // place of its message

  // Other tables.
  std::vector<int32_t> cliques;
  int64_t message = 0, belief = 0;
  double low = 1, high = 1;  // totals of its message between these are left as they are
};

struct Table {  // of a factor, of a variable's evidence or of an output
  int32_t node;
  Axes axes;
  int64_t cells = 1;
  int64_t place = 0;   // in the workspace
  int64_t offset = 0;  // outputs: in the row that is written
};

struct Plan {
  std::vector<int64_t> cards;
  std::vector<Node> nodes;
  std::vector<Table> shared, rows, evidence, outputs;
  int64_t space = 0;   // cells of the workspace
  int64_t beliefs = 0, beliefs_end = 0;  // the part of it that is summed into
  int64_t width = 0;   // numbers written per row
  int64_t work = 0;    // cells that are visited per row
  double exponent = 0;
  bool sparse = true;
};

Plan read_plan(const int64_t* code);
// Multiplies the tables that all rows share into the cliques.
void fill(Plan& plan, const double* const* tables, bool sparse);

}  // namespace borromean
