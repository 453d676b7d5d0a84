// The plain C interface: circuits are made once and run often. Compiled once per instruction set:
// BORROMEAN_TARGET names it, BORROMEAN_BYTES is its vector width.
#include <cstdlib>
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
  if (const char* text = std::getenv("BB")) block = outer <= 12 ? 12 : std::atoi(text);
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

// 0, or 1 where memory ran out.
int borromean_run(void* handle, int wide, int backward, int states, int threads, int64_t sets,
                  int64_t rows, const void* const* arrays, const int64_t* set_strides,
                  const int64_t* row_strides, void* const* gradients, void* output,
                  const void* cotangent, void* saved) {
  try {
    auto& circuit = *static_cast<Circuit*>(handle);
    const borromean::Schedule& schedule = schedule_for(circuit, wide, rows);
    borromean::Call call{sets,      rows,   arrays,    set_strides, row_strides,
                         gradients, output, cotangent, saved,       states != 0};
    if (wide)
      BORROMEAN_TARGET::run<double>(circuit.doubles, circuit.program, schedule, call, backward != 0, threads);
    else
      BORROMEAN_TARGET::run<float>(circuit.singles, circuit.program, schedule, call, backward != 0, threads);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
}
