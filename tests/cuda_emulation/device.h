/* CUDA C on the host. A block's threads are fibers: each runs until it returns or waits at a barrier, and then another one gets its turn.
 * A fiber whose thread has returned goes on with the next thread, so that a kernel without barriers needs one stack.
 * With a seed in TLEAN_EMULATED_SEED threads begin and go on in a pseudo-random order. With TLEAN_CHECKED, checker.cpp looks at each access. */
#ifndef TLEAN_EMULATED_DEVICE_H
#define TLEAN_EMULATED_DEVICE_H
#include <ucontext.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>
#include "special.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static /* one block at a time */
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };

namespace emulated {

enum { STACK_BYTES = 256 << 10, MOST_THREADS = 1024 };
#define TL_ALWAYS inline __attribute__((always_inline))

/* A barrier of a block or of a warp: it opens when every thread of it waits or has returned. */
struct Gate {
    unsigned threads, waiting, returned;
    unsigned long opened;
    void open_if_all_wait() {
        if (waiting && waiting + returned == threads) {
            waiting = 0;
            opened++;
        }
    }
};

/* What the lanes of a warp show each other. */
struct Warp {
    Gate gate;
    double value[32];
    float a[32][4], b[32][2];
};

struct Fiber {
    ucontext_t state;
    std::vector<char> stack = std::vector<char>(STACK_BYTES);
    dim3 thread;
    unsigned number;    /* of the thread in the block */
    const Gate *before; /* where it waits, if it does */
    unsigned long passed;
};

/* The block that is running. */
struct Block {
    dim3 grid, size, index;
    unsigned begun;
    Gate gate;
    Warp warps[32];
    void (*body)(void *);
    void *arguments;
    size_t argument_bytes;
    ucontext_t scheduler;
    unsigned order[MOST_THREADS]; /* in which the threads begin */
    unsigned number;              /* of the block in the grid */
    unsigned epoch;               /* how many of the block's barriers have opened */
};
inline Block block;
inline Fiber *running = nullptr;
inline std::vector<Fiber *> fibers;
inline uint64_t order_state = getenv("TLEAN_EMULATED_SEED") ? strtoull(getenv("TLEAN_EMULATED_SEED"), nullptr, 10) * 0x9E3779B97F4A7C15ull : 0;

inline unsigned random_below(unsigned n) {
    order_state ^= order_state << 13, order_state ^= order_state >> 7, order_state ^= order_state << 17;
    return (unsigned)(order_state % n);
}

#ifdef TLEAN_CHECKED
/* Whether a kernel's own code runs: only its accesses are looked at. */
inline bool in_kernel = false;
void check_launch(const char *kernel);
void check_wait(const Gate &gate, const void *site);
void check_atomic(void *at, unsigned size, const void *site);
struct Outside { /* the emulation's own code */
    __attribute__((no_sanitize("thread"))) Outside() { in_kernel = false; }
    __attribute__((no_sanitize("thread"))) ~Outside() { in_kernel = true; }
};
#else
inline void check_launch(const char *) {}
inline void check_wait(const Gate &, const void *) {}
inline void check_atomic(void *, unsigned, const void *) {}
struct Outside { Outside() {} };
inline bool in_kernel;
#endif

/* Not inlined: the checker knows a barrier by where it was called. */
__attribute__((noinline)) inline void wait(Gate &gate) {
    const Outside outside;
    Fiber *self = running;
    check_wait(gate, __builtin_return_address(0));
    if (&gate == &block.gate && gate.waiting + gate.returned + 1 == gate.threads) block.epoch++;
    self->passed = gate.opened;
    gate.waiting++;
    gate.open_if_all_wait();
    while (self->passed == gate.opened) {
        self->before = &gate;
        swapcontext(&self->state, &block.scheduler);
        self->before = nullptr;
    }
}
TL_ALWAYS Warp &warp() { return block.warps[running->number / 32]; }

__attribute__((noinline)) inline void show(const void *mine, size_t size) {
    const Outside outside;
    memcpy(&warp().value[running->number % 32], mine, size);
}
__attribute__((noinline)) inline void look(void *found, size_t size, unsigned lane) {
    const Outside outside;
    memcpy(found, &warp().value[lane < warp().gate.threads ? lane : running->number % 32], size);
}

/* What `lane` shows. All lanes of the warp take part. */
template <class T> TL_ALWAYS T shown_by(T mine, unsigned lane) {
    show(&mine, sizeof mine);
    wait(warp().gate);
    T found;
    look(&found, sizeof found, lane);
    wait(warp().gate);
    return found;
}

inline void run_threads() {
    while (block.begun < block.gate.threads) {
        const unsigned i = running->number = block.order[block.begun++];
        running->thread = {i % block.size.x, i / block.size.x % block.size.y, i / block.size.x / block.size.y};
        in_kernel = true;
        block.body(block.arguments);
        in_kernel = false;
        for (Gate *gate : {&block.gate, &warp().gate}) {
            gate->returned++;
            gate->open_if_all_wait();
        }
    }
    setcontext(&block.scheduler);
}

inline void resume(Fiber *fiber, bool afresh) {
    running = fiber;
    if (afresh) {
        fiber->before = nullptr;
        getcontext(&fiber->state);
        fiber->state.uc_stack.ss_sp = fiber->stack.data();
        fiber->state.uc_stack.ss_size = fiber->stack.size();
        fiber->state.uc_link = nullptr;
        makecontext(&fiber->state, run_threads, 0);
    }
    swapcontext(&block.scheduler, &fiber->state);
}

inline void run_block() {
    const unsigned threads = block.size.x * block.size.y * block.size.z;
    block.begun = block.epoch = 0;
    for (unsigned i = 0; i < threads; i++) block.order[i] = i;
    if (order_state)
        for (unsigned i = threads; i > 1; i--) std::swap(block.order[i - 1], block.order[random_below(i)]);
    block.gate = {threads};
    for (unsigned w = 0; 32 * w < threads; w++) block.warps[w].gate = {threads - 32 * w < 32 ? threads - 32 * w : 32};
    size_t used = 0;
    while (block.begun < threads) {
        if (used == fibers.size()) fibers.push_back(new Fiber);
        resume(fibers[used++], true);
    }
    while (block.gate.returned < threads) {
        bool moved = false;
        const size_t first = order_state ? random_below((unsigned)used) : 0;
        for (size_t k = 0; k < used; k++) {
            Fiber *fiber = fibers[(first + k) % used];
            if (fiber->before && fiber->passed != fiber->before->opened) {
                moved = true;
                resume(fiber, false);
            }
        }
        if (!moved) {
            fprintf(stderr, "emulated device: the threads of block %u wait for each other forever\n", block.index.x);
            abort();
        }
    }
}

/* The parameters as a launch buffer holds them: each at the next multiple of its alignment. */
template <class T> T take(const char *buffer, size_t &at) {
    at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
    T value;
    memcpy((void *)&value, buffer + at, sizeof value);
    at += sizeof value;
    return value;
}

template <class... P> void launch(const char *name, void (*kernel)(P...), const char *buffer, const unsigned *geometry) {
    size_t at = 0;
    std::tuple<void (*)(P...), std::tuple<P...>> call{kernel, std::tuple<P...>{take<P>(buffer, at)...}};
    block.arguments = &call;
    block.argument_bytes = sizeof call;
    block.number = 0;
    block.body = [](void *given) {
        auto &found = *static_cast<decltype(call) *>(given);
        std::apply(std::get<0>(found), std::get<1>(found));
    };
    block.grid = {geometry[0], geometry[1], geometry[2]};
    block.size = {geometry[3], geometry[4], geometry[5]};
    check_launch(name);
    for (unsigned z = 0; z < block.grid.z; z++)
        for (unsigned y = 0; y < block.grid.y; y++)
            for (unsigned x = 0; x < block.grid.x; x++) {
                block.index = {x, y, z};
                run_block();
                block.number++;
            }
}

} // namespace emulated

#define threadIdx (emulated::running->thread)
#define blockIdx (emulated::block.index)
#define blockDim (emulated::block.size)
#define gridDim (emulated::block.grid)
static TL_ALWAYS void __syncthreads() { emulated::wait(emulated::block.gate); }

/* Among the lanes of a warp: all of them take part, whatever the mask says. */
static TL_ALWAYS void __syncwarp(unsigned = ~0u) { emulated::wait(emulated::warp().gate); }
template <class T> TL_ALWAYS T __shfl_sync(unsigned, T v, int lane, int width = 32) {
    const unsigned own = emulated::running->number % 32;
    return emulated::shown_by(v, own / width * width + (unsigned)lane % width);
}
template <class T> TL_ALWAYS T __shfl_xor_sync(unsigned, T v, int mask, int = 32) {
    return emulated::shown_by(v, (emulated::running->number % 32) ^ (unsigned)mask);
}
template <class T> TL_ALWAYS T __shfl_down_sync(unsigned, T v, unsigned by, int width = 32) {
    const unsigned own = emulated::running->number % 32;
    return emulated::shown_by(v, own % width + by < (unsigned)width ? own + by : own);
}
template <class T> TL_ALWAYS T __shfl_up_sync(unsigned, T v, unsigned by, int width = 32) {
    const unsigned own = emulated::running->number % 32;
    return emulated::shown_by(v, own % width >= by ? own - by : own);
}

/* One thread runs at a time. */
#define TL_ATOMIC(name, value) \
    template <class T> __attribute__((noinline, no_sanitize("thread"))) T name(T *at, T v) { \
        emulated::check_atomic(at, sizeof(T), __builtin_return_address(0)); \
        const T old = *at; \
        *at = value; \
        return old; \
    }
TL_ATOMIC(atomicAdd, old + v)
TL_ATOMIC(atomicExch, v)
TL_ATOMIC(atomicMax, v > old ? v : old)

/* Tensor cores: operands of 10 bits, products of a warp (the lanes' parts as in PTX's m16n8k8). */
static inline unsigned __float_as_uint(float v) { unsigned bits; memcpy(&bits, &v, 4); return bits; }
static inline float __uint_as_float(unsigned bits) { float v; memcpy(&v, &bits, 4); return v; }
static inline float rounded_to_tf32(float v) { return v == v ? __uint_as_float((__float_as_uint(v) + 0x1000) & ~0x1fffu) : v; }
__attribute__((noinline)) inline void show_operands(const float *a, const float *b) {
    const emulated::Outside outside;
    emulated::Warp &w = emulated::warp();
    memcpy(w.a[emulated::running->number % 32], a, sizeof w.a[0]);
    memcpy(w.b[emulated::running->number % 32], b, sizeof w.b[0]);
}
__attribute__((noinline)) inline void add_products(float *d) {
    const emulated::Outside outside;
    emulated::Warp &w = emulated::warp();
    const unsigned lane = emulated::running->number % 32, g = lane / 4, t = lane % 4;
    for (unsigned e = 0; e < 4; e++) {
        const unsigned column = 2 * t + e % 2;
        double sum = d[e];
        for (unsigned p = 0; p < 8; p++) sum += (double)w.a[4 * g + p % 4][e / 2 + p / 4 * 2] * w.b[4 * column + p % 4][p / 4];
        d[e] = (float)sum;
    }
}
static TL_ALWAYS void mma_tf32(float *d, const float *a, const float *b) {
    show_operands(a, b);
    emulated::wait(emulated::warp().gate);
    add_products(d);
    emulated::wait(emulated::warp().gate);
}

/* What the driver's library finds for a kernel. */
#define EMULATED_KERNEL(name) \
    extern "C" __attribute__((visibility("default"))) void emulated_##name(const char *buffer, const unsigned *geometry) { \
        emulated::launch(#name, name, buffer, geometry); \
    }
#endif
