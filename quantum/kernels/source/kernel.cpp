// The plain C interface: circuits are made once and run often. Compiled once per instruction set:
// BORROMEAN_TARGET names it, BORROMEAN_BYTES is its vector width.
#include <map>
#include <mutex>
#include <cstring>
#include <new>

#include "call.h"
#include "program.h"

#include "sweep.h"

#define BORROMEAN_QUOTED(name) #name
#define BORROMEAN_STRING(name) BORROMEAN_QUOTED(name)

namespace {

using BORROMEAN_TARGET::lanes_of;

int lanes(bool wide) { return wide ? lanes_of<double> : lanes_of<float>; }

struct Circuit {
  borromean::Program program;
  std::mutex lock;
  std::map<int, borromean::Schedule> schedules;
  BORROMEAN_TARGET::Pool<float> singles;
  BORROMEAN_TARGET::Pool<double> doubles;
};

// How many of the lowest wires the lanes hold when there are few rows.
int inner_for(const Circuit& circuit, int lanes, int64_t rows) {
  int inner = 0;
  while ((2 << inner) <= lanes && (int64_t(lanes) >> (inner + 1)) >= rows &&
         inner + 1 < circuit.program.wires)
    inner++;
  return inner;
}

const borromean::Schedule& schedule_for(Circuit& circuit, bool wide, int64_t rows) {
  int inner = inner_for(circuit, lanes(wide), rows), outer = circuit.program.wires - inner;
  // Up to 2^12 vectors the state itself is visited, larger ones in blocks of 2^7 or 2^8.
  int block = outer <= 12 ? 12 : outer % 8 == 0 ? 8 : 7;
  std::lock_guard<std::mutex> guard(circuit.lock);
  auto found = circuit.schedules.find(inner);
  if (found == circuit.schedules.end())
    found = circuit.schedules
                .emplace(inner, borromean::make_schedule(circuit.program, inner, block))
                .first;
  return found->second;
}

}  // namespace

extern "C" {

const char* borromean_target() { return BORROMEAN_STRING(BORROMEAN_TARGET); }

// Whether this machine has the instructions of a target.
int borromean_supports(const char* name) {
  (void)name;
#if defined(__x86_64__) || defined(__i386__)
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  if (!std::strcmp(name, "avx2"))
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi");
#endif
  return !std::strcmp(name, "portable");
}

void* borromean_create(const int64_t* code, const double* reals) {
  try {
    auto* circuit = new Circuit;
    circuit->program = borromean::read_program(code, reals);
    return circuit;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void borromean_destroy(void* circuit) { delete static_cast<Circuit*>(circuit); }

// Bytes of the saved final states.
int64_t borromean_saved_bytes(void* handle, int wide, int64_t sets, int64_t rows) {
  auto& circuit = *static_cast<Circuit*>(handle);
  int count = lanes(wide), inner = inner_for(circuit, count, rows);
  int64_t width = count >> inner, blocks = (rows + width - 1) / width;
  int64_t size = int64_t(1) << (circuit.program.wires - inner);
  return sets * blocks * size * count * 2 * (wide ? 8 : 4);
}

// One run. The numbers are: circuit, double precision, states, sets, rows, arrays, backward, threads,
// addresses of output, cotangent and final states, then for every array its address, that of its
// gradient, its stride over sets, over rows, and its size. Returns 1 where memory ran out.
int borromean_run(const int64_t* n) {
  try {
    auto& circuit = *reinterpret_cast<Circuit*>(n[0]);
    bool wide = n[1], backward = n[6];
    int64_t count = n[5];
    const int64_t *arrays = n + 11, *gradients = arrays + count, *sets = gradients + count,
                  *rows = sets + count, *sizes = rows + count;
    if (backward)
      for (int64_t k = 0; k < count; k++)
        std::memset(reinterpret_cast<void*>(gradients[k]), 0, size_t(sizes[k]) * (wide ? 8 : 4));
    borromean::Call call{n[3],
                         n[4],
                         reinterpret_cast<const void* const*>(arrays),
                         sets,
                         rows,
                         reinterpret_cast<void* const*>(gradients),
                         reinterpret_cast<void*>(n[8]),
                         reinterpret_cast<const void*>(n[9]),
                         reinterpret_cast<void*>((n[10] + 63) / 64 * 64),
                         n[2] != 0};
    const borromean::Schedule& schedule = schedule_for(circuit, wide, call.rows);
    if (wide)
      BORROMEAN_TARGET::run<double>(circuit.doubles, circuit.program, schedule, call, backward,
                                    int(n[7]));
    else
      BORROMEAN_TARGET::run<float>(circuit.singles, circuit.program, schedule, call, backward,
                                   int(n[7]));
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
}
