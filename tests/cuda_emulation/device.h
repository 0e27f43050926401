/* CUDA C on the host. A block's threads are fibers: each runs until it returns or waits at a barrier, and then another one gets its turn.
 * A fiber whose thread has returned goes on with the next thread, so that a kernel without barriers needs one stack. */
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

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __shared__ static /* one block at a time */

struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };

namespace emulated {

enum { STACK_BYTES = 256 << 10 };

struct Fiber {
    ucontext_t state;
    std::vector<char> stack = std::vector<char>(STACK_BYTES);
    dim3 thread;
    unsigned long passed; /* the barrier that it waits for */
    bool waits;
};

/* The block that is running. */
struct Block {
    dim3 grid, size, index;
    unsigned threads, begun, returned, waiting;
    unsigned long barriers;
    void (*body)(void *);
    void *arguments;
    ucontext_t scheduler;
};
inline Block block;
inline Fiber *running = nullptr;
inline std::vector<Fiber *> fibers;

/* Threads that have returned hold nobody up. */
inline void open_barrier_if_all_wait() {
    if (block.waiting && block.waiting + block.returned == block.threads) {
        block.waiting = 0;
        block.barriers++;
    }
}

inline void wait_for_all() {
    Fiber *self = running;
    self->passed = block.barriers;
    block.waiting++;
    open_barrier_if_all_wait();
    while (self->passed == block.barriers) {
        self->waits = true;
        swapcontext(&self->state, &block.scheduler);
        self->waits = false;
    }
}

inline void run_threads() {
    while (block.begun < block.threads) {
        const unsigned i = block.begun++;
        running->thread = {i % block.size.x, i / block.size.x % block.size.y, i / block.size.x / block.size.y};
        block.body(block.arguments);
        block.returned++;
        open_barrier_if_all_wait();
    }
    setcontext(&block.scheduler);
}

inline void resume(Fiber *fiber, bool afresh) {
    running = fiber;
    if (afresh) {
        fiber->waits = false;
        getcontext(&fiber->state);
        fiber->state.uc_stack.ss_sp = fiber->stack.data();
        fiber->state.uc_stack.ss_size = fiber->stack.size();
        fiber->state.uc_link = nullptr;
        makecontext(&fiber->state, run_threads, 0);
    }
    swapcontext(&block.scheduler, &fiber->state);
}

inline void run_block() {
    block.threads = block.size.x * block.size.y * block.size.z;
    block.begun = block.returned = block.waiting = 0;
    size_t used = 0;
    while (block.begun < block.threads) {
        if (used == fibers.size()) fibers.push_back(new Fiber);
        resume(fibers[used++], true);
    }
    while (block.returned < block.threads) {
        bool moved = false;
        for (size_t i = 0; i < used; i++)
            if (fibers[i]->waits && fibers[i]->passed != block.barriers) {
                moved = true;
                resume(fibers[i], false);
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

template <class... P> void launch(void (*kernel)(P...), const char *buffer, const unsigned *geometry) {
    size_t at = 0;
    std::tuple<void (*)(P...), std::tuple<P...>> call{kernel, std::tuple<P...>{take<P>(buffer, at)...}};
    block.arguments = &call;
    block.body = [](void *given) {
        auto &found = *static_cast<decltype(call) *>(given);
        std::apply(std::get<0>(found), std::get<1>(found));
    };
    block.grid = {geometry[0], geometry[1], geometry[2]};
    block.size = {geometry[3], geometry[4], geometry[5]};
    for (unsigned z = 0; z < block.grid.z; z++)
        for (unsigned y = 0; y < block.grid.y; y++)
            for (unsigned x = 0; x < block.grid.x; x++) {
                block.index = {x, y, z};
                run_block();
            }
}

} // namespace emulated

#define threadIdx (emulated::running->thread)
#define blockIdx (emulated::block.index)
#define blockDim (emulated::block.size)
#define gridDim (emulated::block.grid)
static inline void __syncthreads() { emulated::wait_for_all(); }

/* What the driver's library finds for a kernel. */
#define EMULATED_KERNEL(name) \
    extern "C" void emulated_##name(const char *buffer, const unsigned *geometry) { emulated::launch(name, buffer, geometry); }
#endif
