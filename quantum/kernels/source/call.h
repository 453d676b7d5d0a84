// One run: pointers, sizes and strides. Strides count numbers, 0 where an array is shared.
#pragma once

#include <cstdint>

namespace borromean {

struct Call {
  int64_t sets, rows;
  const void* const* arrays;
  const int64_t* set_strides;
  const int64_t* row_strides;
  void* const* gradients;  // like the arrays, zero before; backward only
  void* output;            // (sets, rows, words), or states (sets, rows, 2^wires) if `states`
  const void* cotangent;   // like the output; backward only
  void* saved;             // final states block after block; may be null forward
  bool states;
};

}  // namespace borromean
