// One run of a circuit over all rows, forward or backward, for one real type.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "call.h"
#include "passes.h"

namespace BORROMEAN_TARGET {

using borromean::Angle;
using borromean::Call;
using borromean::Factor;
using borromean::Frame;
using borromean::Link;
using borromean::Product;
using borromean::Program;
using borromean::Rotation;
using borromean::Schedule;
using borromean::Stage;
using borromean::Term;
using borromean::Word;

template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : count_(std::max<int64_t>(count, 1)) {
    constexpr size_t align = std::max<size_t>(64, alignof(T));
    size_t bytes = (size_t(count_) * sizeof(T) + align - 1) / align * align;
    data_ = static_cast<T*>(std::aligned_alloc(align, bytes));
    if (!data_) throw std::bad_alloc();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() { return data_; }
  T& operator[](int64_t k) { return data_[k]; }
  void clear() { std::memset(static_cast<void*>(data_), 0, size_t(count_) * sizeof(T)); }

 private:
  int64_t count_;
  T* data_;
};

template <class T>
struct Line {
  Vec<T> lanes;
};

template <class T>
class Lines : public Buffer<Line<T>> {  // vectors of lanes
 public:
  using Buffer<Line<T>>::Buffer;
  Vec<T>* get() { return &Buffer<Line<T>>::get()->lanes; }
  Vec<T>& operator[](int64_t k) { return get()[k]; }
};

template <class T>
struct HalfAngle {
  Vec<T> value, c, s;
};

template <class T>
static inline void add_conjugate_product(Pair<T>& sum, const Pair<T>& a, const Pair<T>& b) {
  sum.re += a.re * b.re + a.im * b.im;
  sum.im += a.re * b.im - a.im * b.re;
}

template <class T>
static inline Pair<T> product(const Pair<T>& a, const Pair<T>& b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class T>
class Sweep {
  static constexpr int V = lanes_of<T>;
  using Lane = Vec<T>;
  using Lanes = Wide<T>;
  struct WideLine {
    Lanes lanes;
  };

 public:
  Sweep(const Program& program, const Schedule& schedule, const Call& call)
      : p_(program),
        plan_(schedule),
        rows_(call.rows),
        inner_(schedule.inner),
        width_(V >> schedule.inner),
        size_(int64_t(1) << schedule.outer),
        blocks_((call.rows + width_ - 1) / width_),
        state_(size_),
        table_(size_),
        values_(int64_t(program.parameters.size())),
        products_(int64_t(program.products.size())),
        angles_(int64_t(program.angles.size())),
        turns_(int64_t(program.rotations.size())),
        weights_(int64_t(program.rotations.size())),
        slopes_(int64_t(program.rotations.size())),
        scales_(int64_t(schedule.stages.size())),
        left_(int64_t(schedule.stages.size())) {
    for (const auto& parameter : p_.parameters)
      varies_.push_back(call.row_strides[parameter.array] != 0);
    for (const Product& product : p_.products) {
      bool any = false;
      for (const Factor& factor : product)
        for (const auto& term : factor.terms) any |= bool(varies_[term.parameter]);
      varies_.push_back(any);
    }
    for (const Angle& angle : p_.angles) {
      bool any = false;
      for (const auto& term : angle.terms) any |= varies_[term.parameter];
      angle_varies_.push_back(any);
    }
    for (const Rotation& r : p_.rotations) steady_ &= !angle_varies_[r.angle];
    bool lanes = false;
    for (const Stage& stage : plan_.stages) {
      bool any = inner_ > 0;
      for (int k : stage.phases) any |= bool(angle_varies_[p_.phases[k].angle]);
      in_lanes_.push_back(any && stage.diagonal);
      lanes |= in_lanes_.back();
    }
    compact_ = std::max<int64_t>(int64_t(1) << p_.wires, V);
    for (size_t k = 0; k < plan_.stages.size(); k++) {
      bool kept = plan_.stages[k].diagonal && !in_lanes_[k];
      diagonals_.push_back(kept ? std::make_unique<Buffer<T>>(2 * compact_) : nullptr);
    }
    if (lanes) diagonal_lanes_ = std::make_unique<Lines<T>>(2 * size_);
    high_ = (plan_.outer + 1) / 2;
    low_ = plan_.outer - high_;
    top_ = std::make_unique<Buffer<Pair<T>>>(int64_t(1) << high_);
    bottom_ = std::make_unique<Buffer<Pair<T>>>(int64_t(1) << low_);
    wires_ = std::make_unique<Buffer<Pair<T>>>(2 * p_.wires);
    largest_ = 0;
    for (const Stage& stage : plan_.stages)
      for (const Frame& frame : stage.frames)
        if (!frame.whole) largest_ = std::max(largest_, int64_t(1) << frame.size);
    if (largest_) block_ = std::make_unique<Buffer<Pair<T>>>(2 * largest_);
    for (int l = 0; l < V; l++) lane_bits_[l] = l & ((1 << inner_) - 1);
  }

  // Whether a call can be run by this sweep, made for an earlier one.
  bool fits(const Schedule& schedule, const Call& call) const {
    if (&schedule != &plan_ || call.rows != rows_) return false;
    for (size_t k = 0; k < p_.parameters.size(); k++)
      if (bool(varies_[k]) != (call.row_strides[p_.parameters[k].array] != 0)) return false;
    return true;
  }
  void take(const Call& call) { call_ = call; }
  bool small() const { return size_ * int64_t(sizeof(Pair<T>)) <= (1 << 18); }

  // Shared parameters' gradients of the set that was swept last (threads share one set).
  const std::vector<double>& shared() const { return shared_; }
  int64_t blocks() const { return blocks_; }

  void forward(int64_t set, int64_t from, int64_t to) {
    open_set(set);
    if (steady_) settle(false);
    for (int64_t block = from; block < to; block++) {
      open_block(set, block);
      if (!steady_) settle(false);
      if (block == from) build_diagonals();
      start();
      for (size_t k = 0; k < plan_.stages.size(); k++) stage_forward(int(k));
      if (call_.saved)
        std::memcpy(saved(set, block), state_.get(), size_t(size_) * sizeof(Pair<T>));
      call_.states ? write_states(set, block) : write_words(set, block);
    }
  }

  void backward(int64_t set, int64_t from, int64_t to) {
    if (!other_) {
      other_ = std::make_unique<Buffer<Pair<T>>>(size_);
      collected_ = std::make_unique<Lines<T>>(p_.values());
      for (size_t k = 0; k < plan_.stages.size(); k++)
        sums_.push_back(diagonals_[k] ? std::make_unique<Buffer<T>>(compact_) : nullptr);
    }
    for (auto& sum : sums_)
      if (sum) sum->clear();
    shared_.assign(size_t(p_.values()), 0.0);
    open_set(set);
    if (steady_) settle(true);
    slopes_.clear();
    for (int64_t block = from; block < to; block++) {
      open_block(set, block);
      if (!steady_) settle(true);
      if (block == from) build_diagonals();
      collected_->clear();
      std::memcpy(state_.get(), saved(set, block), size_t(size_) * sizeof(Pair<T>));
      call_.states ? read_states(set, block) : read_words(set, block);
      for (int k = int(plan_.stages.size()) - 1; k >= 0; k--) stage_backward(k);
      finish_start();
      if (!steady_) collect_rotations();
      collect_products(true);
      write_rows(set, block);
    }
    if (steady_) collect_rotations();
    for (size_t k = 0; k < plan_.stages.size(); k++)
      if (sums_[k]) collect_phases(plan_.stages[k], sums_[k]->get());
    collect_products(false);
  }

 private:
  // ---------------------------------------------------------------- parameters

  const T* array(int which, int64_t set) const {
    return static_cast<const T*>(call_.arrays[which]) + set * call_.set_strides[which];
  }
  Pair<T>* saved(int64_t set, int64_t block) const {
    return static_cast<Pair<T>*>(call_.saved) + (set * blocks_ + block) * size_;
  }
  int64_t row_of(int64_t block, int lane) const { return block * width_ + (lane >> inner_); }

  void open_set(int64_t set) {
    for (size_t k = 0; k < p_.parameters.size(); k++)
      if (!varies_[k])
        values_[k] = spread<T>(array(p_.parameters[k].array, set)[p_.parameters[k].position]);
    multiply(false);
    evaluate(false);
  }

  void open_block(int64_t set, int64_t block) {
    bool any = false;
    for (size_t k = 0; k < p_.parameters.size(); k++) {
      if (!varies_[k]) continue;
      any = true;
      int which = p_.parameters[k].array;
      const T* data = array(which, set) + p_.parameters[k].position;
      for (int l = 0; l < V; l++) {
        int64_t row = std::min(row_of(block, l), call_.rows - 1);
        values_[k][l] = data[row * call_.row_strides[which]];
      }
    }
    if (!any) return;
    multiply(true);
    evaluate(true);
  }

  // Angles are computed in double precision: a float has few digits left behind many turns.
  Lanes value_of(int64_t place) {
    int64_t product = place - int64_t(p_.parameters.size());
    return product < 0 ? __builtin_convertvector(values_[place], Lanes) : products_[product].lanes;
  }

  template <class Sum>
  Lanes value_of(const Sum& sum) {
    Lanes out = Lanes{} + sum.constant;
    for (const auto& term : sum.terms) out += value_of(int64_t(term.parameter)) * term.coefficient;
    return out;
  }

  void multiply(bool varying) {
    for (size_t k = 0; k < p_.products.size(); k++) {
      if (bool(varies_[p_.parameters.size() + k]) != varying) continue;
      Lanes product = Lanes{} + 1.0;
      for (const Factor& factor : p_.products[k]) product *= value_of(factor);
      products_[int64_t(k)].lanes = product;
    }
  }

  void evaluate(bool varying) {
    for (size_t k = 0; k < p_.angles.size(); k++) {
      if (bool(angle_varies_[k]) != varying) continue;
      const Angle& angle = p_.angles[k];
      HalfAngle<T>& half = angles_[k];
      if (varying) {
        half.value = __builtin_convertvector(turned(0.5 * value_of(angle)), Lane);
        circle<T>(half.value, half.s, half.c);
      } else {
        double sum = value_of(angle)[0];
        half.value = spread<T>(T(turned(Lanes{} + 0.5 * sum)[0]));
        half.c = spread<T>(T(std::cos(0.5 * sum)));
        half.s = spread<T>(T(std::sin(0.5 * sum)));
      }
    }
  }

  // Without whole turns, where T has fewer digits than they cost.
  static Lanes turned(Lanes angle) {
    if constexpr (sizeof(T) == sizeof(double)) return angle;
    constexpr double magic = 6755399441055744.0, turn = 6.283185307179586;
    Lanes turns = (angle * (1.0 / turn) + magic) - magic;
    return angle - turns * turn;
  }

  Lane signs(int64_t mask) const {  // (-1)^parity of the lanes' bits under the mask
    Lane out = spread<T>(1);
    if (inner_)
      for (int l = 0; l < V; l++)
        if (parity(mask & lane_bits_[l])) out[l] = -1;
    return out;
  }

  static bool smaller(Lane v, T limit) {
    bool any = false;
    for (int l = 0; l < V; l++) any |= std::fabs(v[l]) < limit;
    return any;
  }

  // Decides which rotations leave their cosine out, and where the product of those left out enters
  // again: in a later rotation or diagonal, so that the state is exact at the end.
  void settle(bool back) {
    Lane debt = spread<T>(1);
    bool uniform = true;
    int last = -1;
    auto visit = [&](Lane before, int number, bool probe) {
      const Rotation& r = p_.rotations[number];
      if (!r.conditions.empty() && probe) return;
      if (probe) {
        last = number;
        return;
      }
      const HalfAngle<T>& half = angles_[r.angle];
      Lane sign = signs(r.z) * T(r.sign), s = sign * (back ? -half.s : half.s);
      Turn<T>& t = turns_[number];
      weights_[number] = sign * before * before;
      if (!r.conditions.empty()) {
        t = {half.c, s, false};
      } else if (number == last || smaller(half.c, T(0x1p-10)) || smaller(debt, T(0x1p-30))) {
        t = {half.c * debt, s * debt, false};
        debt = spread<T>(1);
        uniform = true;
      } else {
        t = {spread<T>(1), s / half.c, true};
        debt *= half.c;
        uniform &= !angle_varies_[r.angle];
      }
    };
    for (int probe = 1; probe >= 0; probe--)
      for (size_t i = 0; i < plan_.stages.size(); i++) {
        size_t k = back ? plan_.stages.size() - 1 - i : i;
        const Stage& stage = plan_.stages[k];
        if (stage.diagonal) {
          if (probe) continue;
          scales_[k] = spread<T>(1);
          left_[k] = spread<T>(1);
          if ((uniform && steady_) || in_lanes_[k]) {
            scales_[k] = debt;
            debt = spread<T>(1);
            uniform = true;
          } else {
            left_[k] = debt;
          }
          continue;
        }
        int frames = int(stage.frames.size());
        for (int f = 0; f < frames; f++) {
          const Frame& frame = stage.frames[back ? frames - 1 - f : f];
          int passes = int(frame.passes.size());
          for (int q = 0; q < passes; q++) {
            const Pass& pass = frame.passes[back ? passes - 1 - q : q];
            // Slopes of the first two are taken before both, those of the others after that.
            Lane before = debt;
            for (int i = 0; i < pass.count; i++) {
              if (i == 2) before = debt;
              visit(before, pass.rotations[i], probe);
            }
          }
        }
      }
  }

  // ---------------------------------------------------------------- diagonals

  // exp(-i sum of phases) as two rows of `count` vectors; the lanes hold `inner` bits.
  void build(const Stage& stage, Lane* re, Lane* im, int64_t count, int bits, int inner, Lane scale) {
    std::memset(static_cast<void*>(re), 0, size_t(count) * sizeof(Lane));
    for (int k : stage.phases) {
      const auto& phase = p_.phases[k];
      Lane value = angles_[phase.angle].value;
      for (int l = 0; l < V; l++)
        if (parity(phase.mask & l & ((1 << inner) - 1))) value[l] = -value[l];
      re[phase.mask >> inner] += value;
    }
    hadamard<T>(re, bits);
    for (int64_t u = 0; u < count; u++) {
      Lane s, c;
      circle<T>(re[u], s, c);
      re[u] = c * scale;
      im[u] = -s * scale;
    }
  }

  int compact_inner() const {
    int inner = 0;
    while ((2 << inner) <= V && inner < p_.wires) inner++;
    return inner;
  }

  void build_diagonals() {
    for (size_t k = 0; k < plan_.stages.size(); k++) {
      if (!diagonals_[k]) continue;
      int inner = compact_inner();
      Lane* re = reinterpret_cast<Lane*>(diagonals_[k]->get());
      build(plan_.stages[k], re, re + compact_ / V, compact_ / V, p_.wires - inner, inner,
            scales_[k]);
    }
  }

  void collect_phases(const Stage& stage, T* sums) {
    int inner = compact_inner();
    hadamard<T>(reinterpret_cast<Lane*>(sums), p_.wires - inner);
    for (int k : stage.phases) {
      const auto& phase = p_.phases[k];
      const T* group = sums + (phase.mask >> inner) * V;
      double sum = 0;
      for (int l = 0; l < 1 << inner; l++) sum += parity(phase.mask & l) ? -group[l] : group[l];
      for (const auto& term : p_.angles[phase.angle].terms)
        shared_[term.parameter] += sum * term.coefficient;
    }
  }

  // ---------------------------------------------------------------- stages

  void stage_forward(int k) {
    const Stage& stage = plan_.stages[k];
    if (stage.diagonal) {
      if (in_lanes_[k]) {
        Lane* re = diagonal_lanes_->get();
        build(stage, re, re + size_, size_, plan_.outer, inner_, scales_[k]);
        diagonal_forward<T, true>(state_.get(), (T*)re, (T*)(re + size_), size_);
      } else {
        T* re = diagonals_[k]->get();
        diagonal_forward<T, false>(state_.get(), re, re + compact_, size_);
      }
      return;
    }
    for (const Frame& frame : stage.frames) run_frame<false>(frame);
  }

  void stage_backward(int k) {
    const Stage& stage = plan_.stages[k];
    if (!stage.diagonal) {
      for (int f = int(stage.frames.size()) - 1; f >= 0; f--) run_frame<true>(stage.frames[f]);
      return;
    }
    if (!in_lanes_[k]) {
      T* re = diagonals_[k]->get();
      diagonal_backward<T, false>(state_.get(), other_->get(), re, re + compact_, sums_[k]->get(),
                                  size_, left_[k] * left_[k]);
      return;
    }
    Lane* re = diagonal_lanes_->get();
    build(stage, re, re + size_, size_, plan_.outer, inner_, scales_[k]);
    diagonal_backward<T, true>(state_.get(), other_->get(), (T*)re, (T*)(re + size_),
                               (T*)table_.get(), size_, spread<T>(1));
    hadamard<T>(table_.get(), plan_.outer);
    for (int i : stage.phases)
      distribute(p_.phases[i].angle,
                 table_[p_.phases[i].mask >> inner_] * signs(p_.phases[i].mask));
  }

  template <bool Backward>
  void run_frame(const Frame& frame) {
    if (frame.whole) {
      run_passes<Backward>(frame, state_.get(), Backward ? other_->get() : nullptr, 0);
      return;
    }
    int64_t size = int64_t(1) << frame.size, r = frame.walk.base, count = frame.walk.count();
    Pair<T>*a = block_->get(), *b = a + largest_;
    for (int64_t k = 1;; k++) {
      move<false>(frame, state_.get(), a, r, size);
      if (Backward) move<false>(frame, other_->get(), b, r, size);
      run_passes<Backward>(frame, a, b, r);
      move<true>(frame, state_.get(), a, r, size);
      if (Backward) move<true>(frame, other_->get(), b, r, size);
      if (k == count) break;
      r ^= frame.walk.steps[__builtin_ctzll(k)];
    }
  }

  template <bool Back>
  void move(const Frame& frame, Pair<T>* whole, Pair<T>* block, int64_t r, int64_t size) {
    const int64_t* offsets = frame.offsets.data();
    for (int64_t t = 0; t < size; t++) {
      Pair<T>& far = whole[r ^ offsets[t]];
      Pair<T> value = Back ? block[t] : far;
      if (inner_ && frame.exchanges[t]) value = exchanged<T>(value, frame.exchanges[t]);
      (Back ? far : block[t]) = value;
    }
  }

  template <bool Imaginary, bool Bare, bool Backward>
  void run_several(const Pass& pass, Pair<T>* a, Pair<T>* b, const Turn<T>* f, Lane* found) {
    if (pass.count == 1) {
      Backward ? plain_backward<T, Imaginary, Bare>(a, b, pass, f[0], found[0])
               : plain_forward<T, Imaginary, Bare>(a, pass, f[0]);
    } else if (pass.count == 2) {
      Backward ? double_backward<T, Imaginary, Bare>(a, b, pass, f[0], f[1], found[0], found[1])
               : double_forward<T, Imaginary, Bare>(a, pass, f[0], f[1]);
    } else {
      Backward ? quadruple_backward<T, Imaginary, Bare>(a, b, pass, f, found)
               : quadruple_forward<T, Imaginary, Bare>(a, pass, f);
    }
  }

  template <bool Backward>
  void run_passes(const Frame& frame, Pair<T>* a, Pair<T>* b, int64_t r) {
    int passes = int(frame.passes.size());
    for (int k = 0; k < passes; k++) {
      const Pass& pass = frame.passes[Backward ? passes - 1 - k : k];
      bool imaginary = p_.rotations[pass.rotations[0]].imaginary, bare = true;
      int negative[4];
      Turn<T> f[4];
      Lane found[4] = {};
      for (int i = 0; i < pass.count; i++) {
        int number = pass.rotations[i];
        negative[i] = parity((p_.rotations[number].z >> inner_) & r);
        f[i] = turns_[number];
        if (negative[i]) f[i].s = -f[i].s;
        bare &= f[i].bare;
      }
      if (pass.count == 1 && !pass.plain) {
        int number = pass.rotations[0];
        auto run = imaginary ? single<T, true, Backward> : single<T, false, Backward>;
        run(a, b, pass, turns_[number], inner_, negative[0], slopes_[number]);
        continue;
      }
      if (imaginary)
        bare ? run_several<true, true, Backward>(pass, a, b, f, found)
             : run_several<true, false, Backward>(pass, a, b, f, found);
      else
        bare ? run_several<false, true, Backward>(pass, a, b, f, found)
             : run_several<false, false, Backward>(pass, a, b, f, found);
      if (Backward)
        for (int i = 0; i < pass.count; i++)
          slopes_[pass.rotations[i]] += negative[i] ? -found[i] : found[i];
    }
  }

  // ---------------------------------------------------------------- gradients of parameters

  void distribute(int angle, Lane slope) { scatter(p_.angles[angle].terms, slope); }

  void scatter(const std::vector<Term>& terms, Lane slope) {
    for (const auto& term : terms) {
      if (varies_[term.parameter])
        (*collected_)[term.parameter] += slope * T(term.coefficient);
      else
        shared_[term.parameter] += double(total<T>(slope)) * term.coefficient;
    }
  }

  void collect_rotations() {
    for (size_t k = 0; k < p_.rotations.size(); k++)
      distribute(p_.rotations[k].angle, slopes_[k] * weights_[k]);
    slopes_.clear();
  }

  // The product rule, from products to the parameters in their factors.
  void collect_products(bool varying) {
    for (size_t k = 0; k < p_.products.size(); k++) {
      size_t place = p_.parameters.size() + k;
      if (bool(varies_[place]) != varying) continue;
      const Product& product = p_.products[k];
      for (size_t own = 0; own < product.size(); own++) {
        Lanes others = Lanes{} + 1.0;
        for (size_t m = 0; m < product.size(); m++)
          if (m != own) others *= value_of(product[m]);
        if (varying) {
          Lane slope = __builtin_convertvector(others, Lane) * (*collected_)[int64_t(place)];
          scatter(product[own].terms, slope);
        } else {
          for (const auto& term : product[own].terms)
            shared_[term.parameter] += shared_[place] * others[0] * term.coefficient;
        }
      }
    }
  }

  void write_rows(int64_t set, int64_t block) {
    for (size_t k = 0; k < p_.parameters.size(); k++) {
      if (!varies_[k]) continue;
      int which = p_.parameters[k].array;
      T* data = static_cast<T*>(call_.gradients[which]) + set * call_.set_strides[which] +
                p_.parameters[k].position;
      for (int l = 0; l < V; l++)
        if (row_of(block, l) < call_.rows)
          data[row_of(block, l) * call_.row_strides[which]] += (*collected_)[k][l];
    }
  }

  // ---------------------------------------------------------------- product state

  void turn_wire(Pair<T>* v, const Link& link, bool back) {
    const HalfAngle<T>& half = angles_[link.angle];
    Lane s = half.s * T(back ? -link.sign : link.sign);
    if (link.letter == 0) {
      turn<T, true, false>(v[0], v[1], half.c, s);
    } else if (link.letter == 1) {
      turn<T, false, false>(v[0], v[1], half.c, s);
    } else {
      v[0] = product<T>(v[0], {half.c, -s});
      v[1] = product<T>(v[1], {half.c, s});
    }
  }

  void prepare_wires() {
    wires_->clear();
    for (int k = 0; k < p_.wires; k++) (*wires_)[2 * k].re = spread<T>(1);
    for (const Link& link : p_.links) turn_wire(&(*wires_)[2 * link.bit], link, false);
  }

  Pair<T> lane_product(int without) {
    Pair<T> all = {spread<T>(1), Lane{}};
    for (int k = 0; k < inner_; k++) {
      if (k == without) continue;
      Pair<T> chosen = {};
      for (int l = 0; l < V; l++) {
        chosen.re[l] = (*wires_)[2 * k + (l >> k & 1)].re[l];
        chosen.im[l] = (*wires_)[2 * k + (l >> k & 1)].im[l];
      }
      all = product<T>(all, chosen);
    }
    return all;
  }

  void expand(Pair<T>* out, int from, int count, Pair<T> first) {
    out[0] = first;
    for (int k = 0; k < count; k++) {
      const Pair<T>* v = &(*wires_)[2 * (from + count - 1 - k)];
      for (int64_t j = (int64_t(1) << k) - 1; j >= 0; j--) {
        Pair<T> s = out[j];
        out[2 * j + 1] = product<T>(s, v[1]);
        out[2 * j] = product<T>(s, v[0]);
      }
    }
  }

  void start() {
    prepare_wires();
    Pair<T> one = {spread<T>(1), Lane{}};
    expand(top_->get(), inner_ + low_, high_, one);
    expand(bottom_->get(), inner_, low_, inner_ ? lane_product(-1) : one);
    const Pair<T>*hi = top_->get(), *lo = bottom_->get();
    Pair<T>* out = state_.get();
    int64_t count = int64_t(1) << low_;
    for (int64_t h = 0; h < int64_t(1) << high_; h++) {
      Pair<T> p = hi[h];
      for (int64_t l = 0; l < count; l++) *out++ = product<T>(p, lo[l]);
    }
  }

  // Given the slopes with respect to a product of `count` wires from `from` on, those of each wire.
  void contract(Pair<T>* slope, int from, int count, Pair<T>* found) {
    Buffer<Pair<T>> prefix(int64_t(1) << std::max(count - 1, 0));
    for (int k = 0; k < count; k++) {  // the lowest wire first
      int rest = count - 1 - k;
      expand(prefix.get(), from + k + 1, rest, {spread<T>(1), Lane{}});
      const Pair<T>* v = &(*wires_)[2 * (from + k)];
      Pair<T>* g = found + 2 * (from + k);
      for (int64_t j = 0; j < int64_t(1) << rest; j++) {
        add_conjugate_product<T>(g[0], prefix[j], slope[2 * j]);
        add_conjugate_product<T>(g[1], prefix[j], slope[2 * j + 1]);
        Pair<T> next = {};
        add_conjugate_product<T>(next, v[0], slope[2 * j]);
        add_conjugate_product<T>(next, v[1], slope[2 * j + 1]);
        slope[j] = next;
      }
    }
  }

  void finish_start() {
    if (p_.links.empty()) return;
    prepare_wires();
    Pair<T> one = {spread<T>(1), Lane{}}, inside = inner_ ? lane_product(-1) : one;
    expand(top_->get(), inner_ + low_, high_, one);
    expand(bottom_->get(), inner_, low_, inside);
    int64_t count = int64_t(1) << low_, tops = int64_t(1) << high_;
    Buffer<Pair<T>> high_slope(tops), low_slope(count), found(2 * p_.wires);
    low_slope.clear();
    found.clear();
    const Pair<T>* at = other_->get();
    for (int64_t h = 0; h < tops; h++) {
      Pair<T> p = (*top_)[h], sum = {};
      for (int64_t l = 0; l < count; l++, at++) {
        add_conjugate_product<T>(low_slope[l], p, *at);
        add_conjugate_product<T>(sum, (*bottom_)[l], *at);
      }
      high_slope[h] = sum;
    }
    contract(high_slope.get(), inner_ + low_, high_, found.get());
    if (inner_) {
      expand(bottom_->get(), inner_, low_, one);
      Pair<T> lanes = {};
      for (int64_t l = 0; l < count; l++) {
        add_conjugate_product<T>(lanes, (*bottom_)[l], low_slope[l]);
        Pair<T> scaled = {};
        add_conjugate_product<T>(scaled, inside, low_slope[l]);
        low_slope[l] = scaled;
      }
      for (int k = 0; k < inner_; k++) {
        Pair<T> own = {};
        add_conjugate_product<T>(own, lane_product(k), lanes);
        for (int l = 0; l < V; l++) {
          found[2 * k + (l >> k & 1)].re[l] = own.re[l];
          found[2 * k + (l >> k & 1)].im[l] = own.im[l];
        }
      }
    }
    contract(low_slope.get(), inner_, low_, found.get());
    for (int k = int(p_.links.size()) - 1; k >= 0; k--) {
      const Link& link = p_.links[k];
      Pair<T>*v = &(*wires_)[2 * link.bit], *g = &found[2 * link.bit];
      Lane slope_of = link.letter == 0   ? slope<T, true>(g[0], g[1], v[0], v[1])
                      : link.letter == 1 ? slope<T, false>(g[0], g[1], v[0], v[1])
                                         : (g[0].re * v[0].im - g[0].im * v[0].re) -
                                               (g[1].re * v[1].im - g[1].im * v[1].re);
      distribute(link.angle, slope_of * T(link.sign));
      turn_wire(v, link, true);
      turn_wire(g, link, true);
    }
  }

  // ---------------------------------------------------------------- answers

  Lane row_lanes(const T* data, int64_t stride, int64_t block) const {
    Lane out = {};
    for (int l = 0; l < V; l++)
      if (row_of(block, l) < call_.rows) out[l] = data[row_of(block, l) * stride];
    return out;
  }

  // The sum over the lanes of each row.
  Lane row_sums(Lane v) const {
    Lane out = {};
    for (int l = 0; l < V; l++) out[l & ~((1 << inner_) - 1)] += v[l];
    for (int l = 0; l < V; l++) out[l] = out[l & ~((1 << inner_) - 1)];
    return out;
  }

  // Of each row's state: 1 but for rounding. Gates that occur often are rounded alike each time, so
  // that what is lost adds up; answers are divided by this.
  Lane squared_norm() {
    Lane sums[8] = {};
    const Pair<T>* state = state_.get();
    for (int64_t u = 0; u < size_; u++)
      sums[u & 7] += state[u].re * state[u].re + state[u].im * state[u].im;
    return row_sums(((sums[0] + sums[1]) + (sums[2] + sums[3])) +
                    ((sums[4] + sums[5]) + (sums[6] + sums[7])));
  }

  void write_words(int64_t set, int64_t block) {
    int64_t count = int64_t(p_.words.size());
    Lane norm = {};
    bool known = false;
    T* out = static_cast<T*>(call_.output) + set * call_.rows * count;
    for (int64_t k = 0; k < count;) {
      int64_t x = p_.words[k].x, end = k;
      while (end < count && p_.words[end].x == x) end++;
      for (int odd = 0; odd < (x ? 2 : 1); odd++) {
        bool any = false;
        for (int64_t i = k; i < end; i++) any |= (p_.words[i].turns & 1) == odd;
        if (!any) continue;
        overlaps(x, odd);
        hadamard<T>(table_.get(), plan_.outer);
        if (!known) norm = x ? squared_norm() : row_sums(table_[0]);
        known = true;
        for (int64_t i = k; i < end; i++) {
          const Word& w = p_.words[i];
          if ((w.turns & 1) != odd) continue;
          Lane v = row_sums(table_[w.z >> inner_] * signs(w.z)) / norm;
          T sign = w.turns == 1 || w.turns == 2 ? T(-1) : T(1);
          for (int l = 0; l < V; l += 1 << inner_) {
            if (row_of(block, l) >= call_.rows) break;
            out[row_of(block, l) * count + i] = sign * v[l];
          }
        }
      }
      k = end;
    }
  }

  // conj(state[j ^ x]) state[j]: its real part, or its imaginary part if odd.
  void overlaps(int64_t x, bool odd) {
    int64_t xu = x >> inner_;
    int exchange = int(x & ((1 << inner_) - 1));
    const Pair<T>* state = state_.get();
    for (int64_t u = 0; u < size_; u++) {
      Pair<T> a = state[u], b = state[u ^ xu];
      if (exchange) b = exchanged<T>(b, exchange);
      table_[u] = odd ? b.re * a.im - b.im * a.re : b.re * a.re + b.im * a.im;
    }
  }

  void read_words(int64_t set, int64_t block) {
    int64_t count = int64_t(p_.words.size());
    const T* in = static_cast<const T*>(call_.cotangent) + set * call_.rows * count;
    Pair<T>*other = other_->get(), *state = state_.get();
    if (!count || p_.words[0].x) other_->clear();
    for (int64_t k = 0; k < count;) {
      int64_t x = p_.words[k].x, end = k;
      while (end < count && p_.words[end].x == x) end++;
      int64_t xu = x >> inner_;
      int exchange = int(x & ((1 << inner_) - 1));
      for (int odd = 0; odd < (x ? 2 : 1); odd++) {
        bool any = false;
        for (int64_t i = k; i < end; i++) any |= (p_.words[i].turns & 1) == odd;
        if (!any) continue;
        table_.clear();
        for (int64_t i = k; i < end; i++) {
          const Word& w = p_.words[i];
          if ((w.turns & 1) != odd) continue;
          Lane g = row_lanes(in + i, count, block) * signs(w.z);
          table_[w.z >> inner_] += w.turns >= 2 ? -g : g;
        }
        hadamard<T>(table_.get(), plan_.outer);
        if (!x) {
          for (int64_t u = 0; u < size_; u++) {
            Lane d = table_[u];
            other[u] = {d * state[u].re, d * state[u].im};
          }
          continue;
        }
        for (int64_t u = 0; u < size_; u++) {
          Lane d = table_[u];
          Pair<T> a = state[u];
          Pair<T> b = odd ? Pair<T>{-d * a.im, d * a.re} : Pair<T>{d * a.re, d * a.im};
          if (exchange) b = exchanged<T>(b, exchange);
          other[u ^ xu].re += b.re;
          other[u ^ xu].im += b.im;
        }
      }
      k = end;
    }
  }

  // Physical index of the logical basis state l, one after the other.
  template <class Visit>
  void for_states(Visit visit) {
    std::vector<int64_t> steps;
    int64_t all = 0, j = p_.origin, count = int64_t(1) << p_.wires;
    for (int64_t flip : p_.flips) steps.push_back(all ^= flip);
    for (int64_t l = 0;;) {
      visit(l, j >> inner_, int(j & ((1 << inner_) - 1)));
      if (++l == count) break;
      j ^= steps[__builtin_ctzll(l)];
    }
  }

  void write_states(int64_t set, int64_t block) {
    int64_t count = int64_t(1) << p_.wires;
    T* out = static_cast<T*>(call_.output) + set * call_.rows * count * 2;
    Lane scale = squared_norm();
    for (int l = 0; l < V; l++) scale[l] = 1 / std::sqrt(scale[l]);
    for_states([&](int64_t l, int64_t u, int a) {
      for (int w = 0; w < width_; w++) {
        int64_t row = block * width_ + w;
        if (row >= call_.rows) break;
        int lane = (w << inner_) + a;
        out[(row * count + l) * 2] = state_[u].re[lane] * scale[lane];
        out[(row * count + l) * 2 + 1] = state_[u].im[lane] * scale[lane];
      }
    });
  }

  void read_states(int64_t set, int64_t block) {
    int64_t count = int64_t(1) << p_.wires;
    const T* in = static_cast<const T*>(call_.cotangent) + set * call_.rows * count * 2;
    other_->clear();
    for_states([&](int64_t l, int64_t u, int a) {
      for (int w = 0; w < width_; w++) {
        int64_t row = block * width_ + w;
        if (row >= call_.rows) break;
        (*other_)[u].re[(w << inner_) + a] = T(0.5) * in[(row * count + l) * 2];
        (*other_)[u].im[(w << inner_) + a] = T(0.5) * in[(row * count + l) * 2 + 1];
      }
    });
  }

  const Program& p_;
  const Schedule& plan_;
  int64_t rows_;
  Call call_{};
  int inner_, width_;
  int64_t size_, blocks_;
  Buffer<Pair<T>> state_;
  Lines<T> table_, values_;
  Buffer<WideLine> products_;
  Buffer<HalfAngle<T>> angles_;
  Buffer<Turn<T>> turns_;
  Lines<T> weights_, slopes_, scales_, left_;
  std::vector<char> varies_, angle_varies_, in_lanes_;
  bool steady_ = true;
  int64_t compact_ = 0, largest_ = 0;
  int high_ = 0, low_ = 0;
  int lane_bits_[V] = {};
  std::vector<std::unique_ptr<Buffer<T>>> diagonals_, sums_;
  std::unique_ptr<Lines<T>> diagonal_lanes_, collected_;
  std::unique_ptr<Buffer<Pair<T>>> top_, bottom_, wires_, block_, other_;
  std::vector<double> shared_;
};

// Sweeps that have run and wait for the next call: small circuits are called often.
template <class T>
class Pool {
 public:
  std::unique_ptr<Sweep<T>> take(const Program& program, const Schedule& schedule,
                                 const Call& call) {
    std::unique_ptr<Sweep<T>> found;
    {
      std::lock_guard<std::mutex> guard(lock_);
      for (auto& sweep : idle_)
        if (sweep && sweep->fits(schedule, call)) {
          found = std::move(sweep);
          break;
        }
    }
    if (!found) found = std::make_unique<Sweep<T>>(program, schedule, call);
    found->take(call);
    return found;
  }
  void give(std::unique_ptr<Sweep<T>> sweep) {
    if (!sweep->small()) return;
    std::lock_guard<std::mutex> guard(lock_);
    for (auto& place : idle_)
      if (!place) {
        place = std::move(sweep);
        return;
      }
    idle_[next_++ % 4] = std::move(sweep);
  }

 private:
  std::mutex lock_;
  std::unique_ptr<Sweep<T>> idle_[4];
  unsigned next_ = 0;
};

// Threads take whole sets, or blocks of rows if there is one set. Sums are added in a fixed order.
template <class T>
static void run(Pool<T>& pool, const Program& program, const Schedule& schedule, const Call& call,
                bool backward, int threads) {
  int width = lanes_of<T> >> schedule.inner;
  int64_t blocks = (call.rows + width - 1) / width;
  int64_t units = call.sets > 1 ? call.sets : blocks;
  // A thread costs about as much as this many vectors times operations.
  double work_load = double(call.sets) * double(blocks) * double(program.rotations.size() + 4) *
                     double(int64_t(1) << schedule.outer);
  if (work_load < 2e5) threads = 1;
  int64_t workers = std::max<int64_t>(1, std::min<int64_t>(threads, units));
  std::vector<std::vector<double>> sums(workers);
  std::vector<char> failed(workers, 0);
  auto add = [&](int64_t set, const std::vector<double>& shared) {
    for (size_t k = 0; k < program.parameters.size(); k++) {
      int which = program.parameters[k].array;
      if (call.row_strides[which]) continue;
      T* data = static_cast<T*>(call.gradients[which]) + set * call.set_strides[which];
      data[program.parameters[k].position] += T(shared[k]);
    }
  };
  auto work = [&](int64_t worker) {
    try {
      int64_t from = units * worker / workers, to = units * (worker + 1) / workers;
      std::unique_ptr<Sweep<T>> own = pool.take(program, schedule, call);
      Sweep<T>& sweep = *own;
      if (call.sets > 1) {
        for (int64_t set = from; set < to; set++) {
          backward ? sweep.backward(set, 0, blocks) : sweep.forward(set, 0, blocks);
          if (backward) add(set, sweep.shared());
        }
      } else {
        backward ? sweep.backward(0, from, to) : sweep.forward(0, from, to);
        if (backward) sums[worker] = sweep.shared();
      }
      pool.give(std::move(own));
    } catch (const std::bad_alloc&) {
      failed[worker] = 1;
    }
  };
  std::vector<std::thread> others;
  int64_t started = 1;
  try {
    for (; started < workers; started++) others.emplace_back(work, started);
  } catch (const std::system_error&) {  // no more threads to be had: this one does the rest
  }
  work(0);
  for (int64_t k = started; k < workers; k++) work(k);
  for (auto& thread : others) thread.join();
  for (char bad : failed)
    if (bad) throw std::bad_alloc();
  if (backward && call.sets == 1)
    for (auto& sum : sums) add(0, sum);
}

}  // namespace BORROMEAN_TARGET
