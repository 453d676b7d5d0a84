// The plain C interface: a plan is made once and run often. Compiled once per instruction set:
// BORROMEAN_TARGET names it, BORROMEAN_BYTES is its vector width.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>

#include "sweep.h"

#define BORROMEAN_QUOTED(name) #name
#define BORROMEAN_STRING(name) BORROMEAN_QUOTED(name)

namespace {

using borromean::Call;
using borromean::Plan;

// Workspaces that wait for their next use: fresh memory costs more than small trees do.
class Shelf {
 public:
  ~Shelf() {
    for (auto& [size, space] : free) std::free(space);
  }
  double* take(size_t size) {
    {
      std::lock_guard<std::mutex> guard(lock);
      for (size_t k = 0; k < free.size(); k++)
        if (free[k].first >= size) {
          double* found = free[k].second;
          used.push_back(free[k]);
          free.erase(free.begin() + std::ptrdiff_t(k));
          return found;
        }
    }
    size_t bytes = (size * sizeof(double) + 4095) / 4096 * 4096;
    auto* made = static_cast<double*>(std::aligned_alloc(4096, bytes));
    if (!made) throw std::bad_alloc();
    std::lock_guard<std::mutex> guard(lock);
    used.push_back({bytes / sizeof(double), made});
    return made;
  }
  void give(double* space) {
    std::lock_guard<std::mutex> guard(lock);
    for (size_t k = 0; k < used.size(); k++)
      if (used[k].second == space) {
        free.push_back(used[k]);
        used.erase(used.begin() + std::ptrdiff_t(k));
        break;
      }
    while (free.size() > most || (free.size() > 1 && bytes() > kept)) {  // the smallest goes
      size_t least = 0;
      for (size_t k = 1; k < free.size(); k++)
        if (free[k].first < free[least].first) least = k;
      std::free(free[least].second);
      free.erase(free.begin() + std::ptrdiff_t(least));
    }
  }

 private:
  static constexpr size_t most = 16, kept = size_t(1) << 27;
  size_t bytes() const {
    size_t sum = 0;
    for (auto& [size, space] : free) sum += size * sizeof(double);
    return sum;
  }
  std::mutex lock;
  std::vector<std::pair<size_t, double*>> free, used;
};

Shelf shelf;

// Blocks of R rows, some of them in one go: their sums over rows are added in an order that does
// not depend on how many threads there are.
struct Portions {
  int64_t blocks, count, each;
  Portions(const Plan& plan, const Call& call, int lanes) : blocks((call.rows + lanes - 1) / lanes) {
    const bool sums = call.mode == borromean::Mode::sums;
    const int64_t most = std::max<int64_t>(1, std::min<int64_t>(16, (1 << 22) / (plan.width + 1)));
    each = sums ? (blocks + most - 1) / most : 1;
    count = (blocks + each - 1) / each;
  }
};

template <int R, bool Max>
void portions(const Plan& plan, const Call& call, const Portions& portions, double* sums,
              std::atomic<int64_t>& next) {
  using Sweep = BORROMEAN_TARGET::Sweep<R, Max>;
  double* space = shelf.take(Sweep::size(plan));
  Sweep sweep(plan, call, space);
  for (int64_t k; (k = next.fetch_add(1, std::memory_order_relaxed)) < portions.count;) {
    if (sums) sweep.sums = sums + k * plan.width;
    const int64_t end = std::min(portions.blocks, (k + 1) * portions.each);
    for (int64_t block = k * portions.each; block < end; block++)
      sweep.run(block * R, int(std::min<int64_t>(R, call.rows - block * R)));
  }
  shelf.give(space);
}

template <int R, bool Max>
void run(const Plan& plan, const Call& call, int threads) {
  const Portions parts(plan, call, R);
  std::vector<double> sums;
  if (call.mode == borromean::Mode::sums) sums.assign(size_t(parts.count * plan.width), 0.0);
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  auto work = [&] {
    try {
      portions<R, Max>(plan, call, parts, sums.empty() ? nullptr : sums.data(), next);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  };
  if (plan.work * call.rows < 200000) threads = 1;  // less than it takes to start another one
  std::vector<std::thread> helpers;
  for (int k = 1; k < threads && k < parts.count; k++) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  if (failed) throw std::bad_alloc();
  if (call.mode != borromean::Mode::sums) return;
  std::fill(call.marginals, call.marginals + plan.width, 0.0);
  for (int64_t k = 0; k < parts.count; k++)
    for (int64_t c = 0; c < plan.width; c++) call.marginals[c] += sums[size_t(k * plan.width + c)];
}

template <bool Max>
void run_lanes(const Plan& plan, const Call& call, int threads, int64_t lanes) {
  if (!lanes) lanes = call.rows == 1 ? 1 : call.rows <= 4 ? 4 : call.rows <= 8 ? 8 : 16;
  if (lanes == 1)
    run<1, Max>(plan, call, threads);
  else if (lanes == 4)
    run<4, Max>(plan, call, threads);
  else if (lanes == 8)
    run<8, Max>(plan, call, threads);
  else
    run<16, Max>(plan, call, threads);
}

}  // namespace

extern "C" {

const char* borromean_pgm_target() { return BORROMEAN_STRING(BORROMEAN_TARGET); }

// Whether this machine has the instructions of a target.
int borromean_pgm_supports(const char* name) {
  (void)name;
#if defined(__x86_64__) || defined(__i386__)
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (!std::strcmp(name, "avx2"))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return !std::strcmp(name, "portable");
}

void* borromean_pgm_create(const int64_t* code) {
  try {
    return new Plan(borromean::read_plan(code));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Cells that are visited per row.
int64_t borromean_pgm_work(const void* plan) { return static_cast<const Plan*>(plan)->work; }

void borromean_pgm_destroy(void* plan) { delete static_cast<Plan*>(plan); }

// Takes the tables that all rows share, one address each. Returns 1 where memory ran out.
int borromean_pgm_fill(void* plan, const int64_t* tables, int sparse) {
  try {
    borromean::fill(*static_cast<Plan*>(plan), reinterpret_cast<const double* const*>(tables),
                    sparse != 0);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// One run. The numbers are: plan, mode, rows, threads, lanes (0: chosen here), addresses of the
// logarithms, marginals and states, draws per row, addresses of the uniform numbers and of the weights; observed
// variables in one array: their count, the address of their numbers, that of the array and its
// strides; other observed and weighted variables: their counts, then for each of them its number,
// its address and its stride over rows; then address and stride of each table per row. Returns 1
// where memory ran out.
int borromean_pgm_run(const int64_t* n) {
  try {
    const Plan& plan = *reinterpret_cast<const Plan*>(n[0]);
    Call call{borromean::Mode(n[1]),
              n[2],
              reinterpret_cast<double*>(n[5]),
              reinterpret_cast<double*>(n[6]),
              reinterpret_cast<int64_t*>(n[7]),
              n[8],
              reinterpret_cast<const double*>(n[9]),
              reinterpret_cast<const double*>(n[10]),
              std::vector<borromean::Observed>(plan.cards.size()),
              {}};
    for (int64_t k = 0; k < n[11]; k++) {
      const int64_t variable = reinterpret_cast<const int64_t*>(n[12])[k];
      call.observed[size_t(variable)].states = reinterpret_cast<const int64_t*>(n[13]) + k * n[14];
      call.observed[size_t(variable)].stride = n[15];
    }
    const int64_t* next = n + 18;
    for (int64_t k = 0; k < n[16]; k++, next += 3) {
      call.observed[size_t(next[0])].states = reinterpret_cast<const int64_t*>(next[1]);
      call.observed[size_t(next[0])].stride = next[2];
    }
    for (int64_t k = 0; k < n[17]; k++, next += 3) {
      call.observed[size_t(next[0])].likelihoods = reinterpret_cast<const double*>(next[1]);
      call.observed[size_t(next[0])].row = next[2];
    }
    for (size_t k = 0; k < plan.rows.size(); k++, next += 2)
      call.tables.push_back({reinterpret_cast<const double*>(next[0]), next[1]});
    if (call.mode == borromean::Mode::best)
      run_lanes<true>(plan, call, int(n[3]), n[4]);
    else
      run_lanes<false>(plan, call, int(n[3]), n[4]);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // extern "C"
