// One call: which rows, what was observed in them, and where results go.
#pragma once

#include <cstdint>
#include <vector>

namespace borromean {

enum class Mode { partition = 0, marginals = 1, best = 2, draws = 3, sums = 4 };

struct Observed {  // of a variable: states, -1 where not observed, and likelihoods of its states
  const int64_t* states = nullptr;
  int64_t stride = 0;
  const double* likelihoods = nullptr;
  int64_t row = 0;
};

struct Rows {  // tables of a factor, one per row
  const double* values;
  int64_t stride;
};

struct Call {
  Mode mode;
  int64_t rows;
  double* log;         // of the sum over everything, or of the largest cell
  double* marginals;   // rows x width, or their sums over rows: width
  int64_t* states;     // rows x draws x variables
  int64_t draws;
  const double* uniform;  // rows x draws x nodes
  const double* weights;  // of rows in sums
  std::vector<Observed> observed;
  std::vector<Rows> tables;
};

}  // namespace borromean
