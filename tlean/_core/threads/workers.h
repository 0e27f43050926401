/* A pool of threads that share the chunks of one job at a time.
 *
 * Chunks are claimed one by one, so a thread that the system does not run just now costs nothing: the others, the caller first, take its
 * chunks. The caller waits only for chunks that are under way. Between jobs a worker watches for the next one for a few microseconds, then
 * sleeps.
 *
 * A job's chunks may use scratch memory without asking whether there is any: the caller has asked for its own before, and a worker takes
 * part only with as much as the caller has (`ready`). Where the system has none for it, the others do its chunks.
 *
 * A worker may look at a job only between `entered`+1 and `entered`−1, and only if it saw `open` after the increment; the caller closes the
 * job and then waits until no thread is inside. Both sides use sequentially consistent operations, so one of them sees the other.
 */
#ifndef TLEAN_POOL_H
#define TLEAN_POOL_H
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "kernel.h"
#include "threads/platform.h"

typedef void (*tl_chunk_fn)(void *, Py_ssize_t);

enum { TL_MOST_WORKERS = 255, TL_WATCH = 4000 };

static struct {
    tl_mutex mutex;                   /* of sleeping and waking */
    tl_condition wake;
    atomic_flag busy;                 /* one job at a time; a second caller works alone */
    atomic_ulong generation;          /* counts jobs */
    atomic_int open, entered, sleeping;
    atomic_llong next;
    int workers;                      /* started */
    int wanted;                       /* workers that take part in the job */
    tl_chunk_fn fn;
    int (*ready)(const size_t *);     /* whether this thread has scratch memory of these sizes, or gets it now */
    size_t scratch[TL_SLOTS];         /* what the caller has */
    void *context;
    Py_ssize_t chunks;
} tl_pool = {.busy = ATOMIC_FLAG_INIT};

static _Thread_local int tl_inside = 0;

static void tl_claim(void) {
    for (;;) {
        long long i = atomic_fetch_add(&tl_pool.next, 1);
        if (i >= tl_pool.chunks) return;
        tl_pool.fn(tl_pool.context, (Py_ssize_t)i);
    }
}

static tl_thread_result TL_THREAD_CALL tl_worker(void *argument) {
    int index = (int)(intptr_t)argument;
    unsigned long seen = 0;
    tl_inside = 1;
    for (;;) {
        unsigned long now = atomic_load(&tl_pool.generation);
        for (int k = 0; now == seen && k < TL_WATCH; k++) {
            tl_relax();
            now = atomic_load(&tl_pool.generation);
        }
        if (now == seen) {
            tl_mutex_lock(&tl_pool.mutex);
            atomic_fetch_add(&tl_pool.sleeping, 1);
            while ((now = atomic_load(&tl_pool.generation)) == seen) tl_condition_wait(&tl_pool.wake, &tl_pool.mutex);
            atomic_fetch_sub(&tl_pool.sleeping, 1);
            tl_mutex_unlock(&tl_pool.mutex);
        }
        seen = now;
        atomic_fetch_add(&tl_pool.entered, 1);
        if (atomic_load(&tl_pool.open) && index < tl_pool.wanted && tl_pool.ready(tl_pool.scratch)) tl_claim();
        atomic_fetch_sub(&tl_pool.entered, 1);
    }
    return 0;
}

/* Runs the job on up to `threads` threads, the caller among them. `ready` and `scratch`: see above. */
static void tl_share(tl_chunk_fn fn, void *context, Py_ssize_t chunks, int threads, int (*ready)(const size_t *), const size_t *scratch) {
    if (threads > chunks) threads = (int)chunks;
    if (threads - 1 > TL_MOST_WORKERS) threads = TL_MOST_WORKERS + 1;
    if (threads < 2 || tl_inside || atomic_flag_test_and_set(&tl_pool.busy)) {
        for (Py_ssize_t i = 0; i < chunks; i++) fn(context, i);
        return;
    }
    while (tl_pool.workers < threads - 1) {
        if (!tl_thread_start(tl_worker, (void *)(intptr_t)tl_pool.workers)) break;      /* fewer threads, the same results */
        tl_pool.workers++;
    }
    tl_pool.fn = fn;
    tl_pool.ready = ready;
    memcpy(tl_pool.scratch, scratch, sizeof(tl_pool.scratch));
    tl_pool.context = context;
    tl_pool.chunks = chunks;
    tl_pool.wanted = threads - 1;
    atomic_store(&tl_pool.next, 0);
    atomic_store(&tl_pool.open, 1);
    atomic_fetch_add(&tl_pool.generation, 1);
    if (atomic_load(&tl_pool.sleeping)) {
        tl_mutex_lock(&tl_pool.mutex);
        tl_condition_wake_all(&tl_pool.wake);
        tl_mutex_unlock(&tl_pool.mutex);
    }
    tl_inside = 1;
    tl_claim();
    tl_inside = 0;
    atomic_store(&tl_pool.open, 0);
    for (int k = 0; atomic_load(&tl_pool.entered); k++) {
        if (k < 2000) tl_relax();
        else tl_yield();
    }
    atomic_flag_clear(&tl_pool.busy);
}

/* At the beginning, and in a forked child: there are no workers there, and locks may have been held by threads that are gone. */
static void tl_pool_begin(void) {
    tl_mutex_init(&tl_pool.mutex);
    tl_condition_init(&tl_pool.wake);
    atomic_flag_clear(&tl_pool.busy);
    atomic_store(&tl_pool.open, 0);
    atomic_store(&tl_pool.entered, 0);
    atomic_store(&tl_pool.sleeping, 0);
    tl_pool.workers = 0;
    tl_inside = 0;
}
#endif
