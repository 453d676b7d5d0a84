// Reads a lowered circuit and arranges its rotations in passes (nothing here is hot).
#include "program.h"

#include <algorithm>

namespace borromean {

namespace {

struct Reader {
  const int64_t* code;
  const double* reals;
  int64_t next() { return *code++; }
  int number() { return int(*code++); }
  double real() { return *reals++; }
};

int64_t leading(int64_t mask) { return int64_t(1) << (63 - __builtin_clzll(uint64_t(mask))); }

// Reduced rows over GF(2); `add` returns false for a vector already in the span.
struct Span {
  std::vector<int64_t> rows;
  int64_t reduced(int64_t v) const {
    for (int64_t row : rows) v = std::min(v, v ^ row);
    return v;
  }
  bool add(int64_t v) {
    v = reduced(v);
    if (!v) return false;
    for (int64_t& row : rows) row = std::min(row, row ^ v);
    rows.push_back(v);
    std::sort(rows.rbegin(), rows.rend());
    return true;
  }
};

// Basis of the vectors of `bits` bits with even parity against every mask.
std::vector<int64_t> kernel(const std::vector<int64_t>& masks, int bits) {
  Span span;
  for (int64_t mask : masks) span.add(mask);
  std::vector<int64_t> basis;
  for (int k = 0; k < bits; k++) {
    int64_t unit = int64_t(1) << k;
    bool pivot = false;
    for (int64_t row : span.rows) pivot |= leading(row) == unit;
    if (pivot) continue;
    int64_t v = unit;
    for (int64_t row : span.rows)
      if (row & unit) v |= leading(row);
    basis.push_back(v);
  }
  return basis;
}

Walk walk_over(const std::vector<int64_t>& directions, int64_t base) {
  Walk walk;
  walk.base = base;
  int64_t all = 0;
  for (int64_t d : directions) walk.steps.push_back(all ^= d);
  return walk;
}

// Equivalent conditions, each with a leading bit that occurs in no other.
std::vector<Condition> solved(const std::vector<Condition>& conditions) {
  std::vector<Condition> rows;
  for (Condition c : conditions) {
    for (const Condition& row : rows)
      if (c.mask & leading(row.mask)) c.mask ^= row.mask, c.value ^= row.value;
    if (!c.mask) continue;
    for (Condition& row : rows)
      if (row.mask & leading(c.mask)) row.mask ^= c.mask, row.value ^= c.value;
    rows.push_back(c);
  }
  return rows;
}

// Representatives of all vectors modulo `spanned`, with even parity against `preferred` where
// that is possible, and with the parities asked for by `conditions`.
Walk complement(int bits, const std::vector<int64_t>& spanned, const std::vector<int64_t>& preferred,
                const std::vector<Condition>& conditions) {
  std::vector<int64_t> hard, masks = preferred;
  for (const Condition& c : conditions) hard.push_back(c.mask);
  masks.insert(masks.end(), hard.begin(), hard.end());
  Span span;
  for (int64_t v : spanned) span.add(v);
  std::vector<int64_t> chosen;
  for (int64_t v : kernel(masks, bits))
    if (span.add(v)) chosen.push_back(v);
  for (int64_t v : kernel(hard, bits))
    if (span.add(v)) chosen.push_back(v);
  int64_t base = 0;
  for (const Condition& row : solved(conditions))
    if (row.value) base ^= leading(row.mask);
  // Make the preferred parities of the base even too, moving inside the allowed directions.
  for (int64_t mask : preferred)
    if (parity(base & mask))
      for (int64_t v : spanned) {
        bool alone = parity(v & mask);
        for (int64_t other : preferred) alone &= other == mask || !parity(v & other);
        for (int64_t other : hard) alone &= !parity(v & other);
        if (alone) {
          base ^= v;
          break;
        }
      }
  return walk_over(chosen, base);
}

struct Local {  // a rotation in the coordinates of a block
  int number;
  int64_t x, z;
  int exchange;
  bool odd;  // real rotations: x and z anticommute
};

Pass single(const Program& program, const Local& local, int bits, int inner) {
  const Rotation& rotation = program.rotations[local.number];
  Pass pass;
  pass.rotations[0] = local.number;
  pass.x[0] = local.x;
  pass.exchange = local.exchange;
  std::vector<Condition> whole;
  int64_t low = (int64_t(1) << inner) - 1;
  for (Condition c : rotation.conditions) {
    // Conditions whose lane parts depend on earlier ones become conditions on vectors alone.
    for (size_t k = 0; k < pass.lanes.size(); k++)
      if (c.mask & leading(pass.lane_masks[k])) {
        c.mask ^= pass.lanes[k].mask << inner | pass.lane_masks[k];
        c.value ^= pass.lanes[k].value;
      }
    if (!(c.mask & low)) {
      whole.push_back({c.mask >> inner, c.value});
      continue;
    }
    pass.lanes.push_back({c.mask >> inner, c.value});
    pass.lane_masks.push_back(int(c.mask & low));
  }
  std::vector<int64_t> spanned, preferred;
  if (local.x) spanned.push_back(local.x);
  bool settled = parity(local.x & local.z);
  if (settled) preferred.push_back(local.z);
  pass.walk = complement(bits, spanned, preferred, whole);
  if (local.z) {
    bool even = !parity(pass.walk.base & local.z);
    for (int64_t step : pass.walk.steps) even &= !parity(step & local.z);
    if (!even) pass.sign = local.z;
  }
  pass.plain = !pass.exchange && !pass.sign && pass.lanes.empty() && local.x;
  return pass;
}

// Two rotations can share a pass if neither turns the other's sign.
bool together(const Program& program, const Local& a, const Local& b) {
  const Rotation &p = program.rotations[a.number], &q = program.rotations[b.number];
  if (p.imaginary != q.imaginary || !p.conditions.empty() || !q.conditions.empty()) return false;
  if (a.exchange || b.exchange || !a.x || !b.x || a.x == b.x) return false;
  if (parity(a.x & b.z) || parity(b.x & a.z)) return false;
  auto settled = [](const Local& l) { return !l.z || parity(l.x & l.z); };
  return settled(a) && settled(b);
}

std::vector<Pass> passes(const Program& program, const std::vector<Local>& locals, int bits,
                         int inner) {
  std::vector<Pass> made;
  for (size_t k = 0; k < locals.size();) {
    // The longest run of mutually compatible rotations, cut to four, two or one.
    size_t end = k + 1;
    Span span;
    span.add(locals[k].x);
    auto fits = [&](const Local& next) {
      for (size_t i = k; i < end; i++)
        if (!together(program, locals[i], next)) return false;
      return true;
    };
    while (end < locals.size() && end < k + 4 && fits(locals[end]) && span.add(locals[end].x)) end++;
    int count = end - k >= 4 ? 4 : end - k >= 2 ? 2 : 1;
    if (count == 1) {
      made.push_back(single(program, locals[k], bits, inner));
    } else {
      Pass pass;
      pass.count = count;
      std::vector<int64_t> spanned, preferred;
      for (int i = 0; i < count; i++) {
        pass.rotations[i] = locals[k + i].number;
        spanned.push_back(pass.x[i] = locals[k + i].x);
        if (locals[k + i].z) preferred.push_back(locals[k + i].z);
      }
      pass.walk = complement(bits, spanned, preferred, {});
      made.push_back(pass);
    }
    k += count;
  }
  return made;
}

Frame whole_frame(const Program& program, const std::vector<int>& items, int outer, int inner) {
  Frame frame;
  frame.size = outer;
  std::vector<Local> locals;
  int64_t low = (int64_t(1) << inner) - 1;
  for (int number : items) {
    const Rotation& r = program.rotations[number];
    locals.push_back({number, r.x >> inner, r.z >> inner, int(r.x & low), bool(parity(r.x & r.z))});
  }
  frame.passes = passes(program, locals, outer, inner);
  return frame;
}

// A block spanned by the vector masks of some rotations, enlarged to `block` dimensions.
Frame block_frame(const Program& program, const std::vector<int>& items, int outer, int inner,
                  int block) {
  Frame frame;
  frame.whole = false;
  int64_t low = (int64_t(1) << inner) - 1;
  std::vector<int64_t> basis;  // full masks: vector part and lane part
  Span span;
  for (int number : items) {
    int64_t x = program.rotations[number].x;
    if (span.add(x >> inner)) basis.push_back(x);
  }
  for (int k = 0; k < outer && int(basis.size()) < block; k++)
    if (span.add(int64_t(1) << k)) basis.insert(basis.begin(), int64_t(1) << (k + inner));
  frame.size = int(basis.size());
  for (int64_t t = 0; t < int64_t(1) << frame.size; t++) {
    int64_t full = 0;
    for (int k = 0; k < frame.size; k++)
      if (t >> k & 1) full ^= basis[k];
    frame.offsets.push_back(full >> inner);
    frame.exchanges.push_back(int(full & low));
  }
  std::vector<int64_t> vectors;
  for (int64_t b : basis) vectors.push_back(b >> inner);
  frame.walk = complement(outer, vectors, {}, {});
  std::vector<Local> locals;
  for (int number : items) {
    const Rotation& r = program.rotations[number];
    Local local{number, 0, 0, 0, bool(parity(r.x & r.z))};
    for (int64_t t = 0; t < int64_t(1) << frame.size; t++)
      if (frame.offsets[t] == r.x >> inner) {
        local.x = t;
        local.exchange = int(r.x & low) ^ frame.exchanges[t];
      }
    for (int k = 0; k < frame.size; k++) local.z |= int64_t(parity(r.z & basis[k])) << k;
    locals.push_back(local);
  }
  frame.passes = passes(program, locals, frame.size, inner);
  return frame;
}

}  // namespace

Program read_program(const int64_t* code, const double* reals) {
  Reader in{code, reals};
  Program p;
  p.wires = in.number();
  p.arrays = in.number();
  p.parameters.resize(in.next());
  for (auto& parameter : p.parameters) parameter = {in.number(), in.next()};
  auto affine = [&in](auto& sum) {
    sum.constant = in.real();
    sum.terms.resize(in.next());
    for (auto& term : sum.terms) {
      term.parameter = in.number();
      term.coefficient = in.real();
    }
  };
  p.products.resize(in.next());
  for (auto& product : p.products) {
    product.resize(in.next());
    for (auto& factor : product) affine(factor);
  }
  p.angles.resize(in.next());
  for (auto& angle : p.angles) affine(angle);
  p.links.resize(in.next());
  for (auto& l : p.links) {
    l.bit = in.number();
    l.letter = in.number();
    l.sign = in.number();
    l.angle = in.number();
  }
  p.phases.resize(in.next());
  for (auto& phase : p.phases) {
    phase.mask = in.next();
    phase.angle = in.number();
  }
  p.rotations.resize(in.next());
  for (auto& r : p.rotations) {
    r.x = in.next();
    r.z = in.next();
    r.imaginary = in.next();
    r.sign = in.number();
    r.angle = in.number();
    r.conditions.resize(in.next());
    for (auto& c : r.conditions) {
      c.mask = in.next();
      c.value = in.number();
    }
  }
  p.steps.resize(in.next());
  for (auto& step : p.steps) {
    step.diagonal = in.next();
    step.items.resize(in.next());
    for (auto& item : step.items) item = in.number();
  }
  p.words.resize(in.next());
  for (auto& w : p.words) {
    w.x = in.next();
    w.z = in.next();
    w.turns = in.number();
  }
  p.flips.resize(p.wires);
  for (auto& flip : p.flips) flip = in.next();
  p.origin = in.next();
  return p;
}

Schedule make_schedule(const Program& program, int inner, int block) {
  Schedule schedule;
  schedule.inner = inner;
  schedule.outer = program.wires - inner;
  for (const Step& step : program.steps) {
    Stage stage;
    stage.diagonal = step.diagonal;
    if (step.diagonal) {
      stage.phases = step.items;
      schedule.stages.push_back(stage);
      continue;
    }
    if (schedule.outer <= block) {
      stage.frames.push_back(whole_frame(program, step.items, schedule.outer, inner));
      schedule.stages.push_back(stage);
      continue;
    }
    // Cut the rotations into blocks; those with conditions visit the state itself.
    std::vector<int> group;
    Span span;
    auto flush = [&] {
      if (!group.empty())
        stage.frames.push_back(block_frame(program, group, schedule.outer, inner, block));
      group.clear();
      span = Span();
    };
    for (int number : step.items) {
      const Rotation& r = program.rotations[number];
      if (!r.conditions.empty()) {
        flush();
        stage.frames.push_back(whole_frame(program, {number}, schedule.outer, inner));
        continue;
      }
      Span wider = span;
      wider.add(r.x >> inner);
      if (int(wider.rows.size()) > block) {
        flush();
        wider = Span();
        wider.add(r.x >> inner);
      }
      span = wider;
      group.push_back(number);
    }
    flush();
    schedule.stages.push_back(stage);
  }
  return schedule;
}

}  // namespace borromean
