// A lowered circuit, as it arrives from Python, and its schedule for one way of using the lanes.
//
// Basis states are numbers j of n bits. Permutations that are affine over GF(2) (X, CNOT, SWAP) were
// absorbed before: a gate is a rotation exp(-i angle P / 2) by a Pauli word that sends |j> to
// |j ^ x>, with signs from the parity of j & z, so that no gate moves amplitudes. The lowest
// `inner` bits of j select lanes, the others index vectors.
#pragma once

#include <cstdint>
#include <vector>

namespace borromean {

static inline int parity(int64_t bits) { return __builtin_parityll(uint64_t(bits)); }

struct Term {  // coefficient times a value: a parameter, or a product (numbered after them)
  int parameter;
  double coefficient;
};

struct Angle {
  double constant = 0;
  std::vector<Term> terms;
};

struct Parameter {
  int array;
  int64_t position;
};

struct Factor {  // an affine form of parameters
  double constant = 0;
  std::vector<Term> terms;
};

using Product = std::vector<Factor>;

struct Condition {  // the parity of j & mask equals value
  int64_t mask;
  int value;
};

struct Rotation {
  int64_t x, z;
  bool imaginary;  // off-diagonal entries of P are real: the rotation mixes real and imaginary parts
  int sign;
  int angle;
  std::vector<Condition> conditions;
};

struct Phase {  // exp(-i angle (-1)^parity(j & mask) / 2)
  int64_t mask;
  int angle;
};

struct Link {  // a rotation of one bit of the product state at the start: letter 0 X, 1 Y, 2 Z
  int bit, letter, sign, angle;
};

struct Word {  // i^turns (-1)^parity(z & j) |j ^ x><j|
  int64_t x, z;
  int turns;
};

struct Step {  // a diagonal (phases), or rotations in order
  bool diagonal;
  std::vector<int> items;  // numbers of phases or rotations
};

struct Program {
  int wires = 0, arrays = 0;
  int64_t values() const { return int64_t(parameters.size() + products.size()); }
  std::vector<Parameter> parameters;
  std::vector<Product> products;
  std::vector<Angle> angles;
  std::vector<Link> links;
  std::vector<Phase> phases;
  std::vector<Rotation> rotations;
  std::vector<Step> steps;
  std::vector<Word> words;
  std::vector<int64_t> flips;  // physical mask that flips logical bit k, for states
  int64_t origin = 0;          // physical index of the logical state 0
};

// All cosets of the span of some masks: representatives are visited by XOR steps.
struct Walk {
  int64_t base = 0;
  std::vector<int64_t> steps;  // steps[k] is applied when the counter flips its bits 0..k
  int64_t count() const { return int64_t(1) << steps.size(); }
};

// One visit of all amplitudes (of a block of them): one rotation, or two or four that commute.
struct Pass {
  int count = 1;
  int rotations[4] = {-1, -1, -1, -1};
  int64_t x[4] = {0, 0, 0, 0};  // vector masks within the block
  Walk walk;
  // Single rotations only:
  int exchange = 0;              // lane mask
  int64_t sign = 0;              // vector mask whose parity turns the sign
  std::vector<Condition> lanes;  // conditions with a part in the lanes: vector mask and value
  std::vector<int> lane_masks;   // their lane part
  bool plain = false;            // none of the four above
};

// Passes that run on a copy of 2^size vectors that stays in the cache, or on the state itself.
struct Frame {
  int size = 0;
  bool whole = true;
  std::vector<int64_t> offsets;  // of the block's vectors
  std::vector<int> exchanges;    // lane masks of the block's vectors
  Walk walk;
  std::vector<Pass> passes;
};

struct Stage {
  bool diagonal = false;
  std::vector<int> phases;
  std::vector<Frame> frames;
};

struct Schedule {
  int outer = 0, inner = 0;  // bits that index vectors, bits in the lanes
  std::vector<Stage> stages;
};

Program read_program(const int64_t* code, const double* reals);
Schedule make_schedule(const Program& program, int inner, int block);

}  // namespace borromean
