/* A libnccl.so.2 without GPUs: its ranks are processes of one machine that meet in shared memory, and what it sums is memory of the host, as
   the device memory of tests/cuda_emulation is. It has the C calls that nccl4py makes for tlean/distributed/nccl.py.

   It is stricter than NCCL: ranks that call different things get ncclInvalidUsage, and a rank that waits for a minute ncclRemoteError.
   It is simpler: a sum is complete when the call returns, while NCCL puts it into the stream.

   FAKE_NCCL_FAIL=ncclAllReduce:2 makes that call fail, the second time it is made from then on. FAKE_NCCL_LOG names a file that gets a line for each call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define CALL EXPORTED ncclResult_t

typedef enum { SUCCESS = 0, SYSTEM = 2, INTERNAL = 3, ARGUMENT = 4, USAGE = 5, REMOTE = 6 } ncclResult_t;
typedef struct { char internal[128]; } ncclUniqueId;
enum { FLOAT32 = 7, FLOAT64 = 8, SUM = 0 };
enum { RANKS = 8, CHUNK = 1 << 16, QUEUED = 1024, PATIENCE = 60 };

/* What a rank is about to do; all ranks have to be about to do the same. */
typedef struct { uint64_t count; int dtype, op; } Asked;

typedef struct {
    atomic_int joined, arrived, turn;
    Asked asked[RANKS];
    _Alignas(64) char data[RANKS][CHUNK];
} Shared;

typedef struct {
    int ranks, rank, device;
    Shared *shared;
} *ncclComm_t;

typedef struct { const void *from; void *to; Asked asked; ncclComm_t comm; void *stream; } Sum;

static _Thread_local struct { int depth, queued; ncclResult_t failed; Sum sums[QUEUED]; } group;

/* Faults and the log. */

static ncclResult_t enter(const char *call, const char *format, ...) {
    const char *log = getenv("FAKE_NCCL_LOG"), *fail = getenv("FAKE_NCCL_FAIL");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) {
        va_list values;
        va_start(values, format);
        fprintf(file, "%s ", call);
        vfprintf(file, format, values);
        fputc('\n', file);
        va_end(values);
        fclose(file);
    }
    static char asked[64];
    static int made;
    if (strncmp(asked, fail ? fail : "", sizeof asked - 1)) made = 0, snprintf(asked, sizeof asked, "%s", fail ? fail : "");
    size_t n = strlen(call);
    if (!fail || strncmp(fail, call, n) || (fail[n] && fail[n] != ':')) return SUCCESS;
    return ++made == (fail[n] ? atoi(fail + n + 1) : 1) ? SYSTEM : SUCCESS;
}

/* The driver that the process has loaded. */
static int driver(const char *name, void *argument) {
    int (*function)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, name);
    return function ? function(argument) : 801;
}

static int wait_until(atomic_int *value, int wanted) {
    for (time_t begun = time(NULL); atomic_load(value) != wanted; sched_yield())
        if (time(NULL) - begun > PATIENCE) return 0;
    return 1;
}

static int barrier(ncclComm_t comm) {
    int turn = atomic_load(&comm->shared->turn);
    if (atomic_fetch_add(&comm->shared->arrived, 1) + 1 < comm->ranks) return wait_until(&comm->shared->turn, turn + 1);
    atomic_store(&comm->shared->arrived, 0);
    atomic_store(&comm->shared->turn, turn + 1);
    return 1;
}

/* Sums. */

#define ADD(type)                                                                             \
    for (size_t i = 0; i < bytes / sizeof(type); i++) {                                       \
        type total = ((type *)shared->data[0])[i];                                            \
        for (int r = 1; r < comm->ranks; r++) total += ((type *)shared->data[r])[i];          \
        ((type *)to)[i] = total;                                                              \
    }

static ncclResult_t all_reduce(const Sum *sum) {
    ncclComm_t comm = sum->comm;
    Shared *shared = comm->shared;
    if (driver("cuStreamSynchronize", sum->stream)) return ARGUMENT;
    shared->asked[comm->rank] = sum->asked;
    if (!barrier(comm)) return REMOTE;
    int same = 1;
    for (int r = 0; r < comm->ranks; r++) same &= !memcmp(&shared->asked[r], &sum->asked, sizeof(Asked));
    if (!barrier(comm)) return REMOTE;
    if (!same) return USAGE;
    size_t whole = sum->asked.count * (sum->asked.dtype == FLOAT32 ? 4 : 8);
    for (size_t at = 0; at < whole; at += CHUNK) {
        size_t bytes = whole - at < CHUNK ? whole - at : CHUNK;
        char *to = (char *)sum->to + at;
        memcpy(shared->data[comm->rank], (const char *)sum->from + at, bytes);
        if (!barrier(comm)) return REMOTE;
        if (sum->asked.dtype == FLOAT32) ADD(float) else ADD(double)
        if (!barrier(comm)) return REMOTE;
    }
    return SUCCESS;
}

CALL ncclAllReduce(const void *from, void *to, size_t count, int dtype, int op, ncclComm_t comm, void *stream) {
    ncclResult_t result = enter("ncclAllReduce", "%zu %d %d %d %p", count, dtype, op, from == to, stream);
    if (!result && (op != SUM || (dtype != FLOAT32 && dtype != FLOAT64) || !comm)) result = ARGUMENT;
    if (!result && group.depth && group.queued == QUEUED) result = INTERNAL;
    if (result) return group.failed = group.depth ? result : SUCCESS, result;
    Sum sum = {from, to, {count, dtype, op}, comm, stream};
    if (!group.depth) return all_reduce(&sum);
    group.sums[group.queued++] = sum;
    return SUCCESS;
}

CALL ncclGroupStart(void) {
    ncclResult_t result = enter("ncclGroupStart", "");
    if (!result) group.depth++;
    return result;
}

CALL ncclGroupEnd(void) {
    ncclResult_t result = enter("ncclGroupEnd", "");
    if (!group.depth) return USAGE;
    if (--group.depth) return result;
    /* A group with a call that failed does nothing. */
    if (!result) result = group.failed;
    for (int k = 0; k < group.queued && !result; k++) result = all_reduce(&group.sums[k]);
    group.queued = 0, group.failed = SUCCESS;
    return result;
}

/* Communicators. */

CALL ncclGetUniqueId(ncclUniqueId *id) {
    ncclResult_t result = enter("ncclGetUniqueId", "");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/fake-nccl-%d-%lld-%ld", (int)getpid(), (long long)now.tv_sec, now.tv_nsec);
    return result;
}

CALL ncclCommInitRankScalable(ncclComm_t *made, int ranks, int rank, int ids, const ncclUniqueId *id, const void *config) {
    ncclResult_t result = enter("ncclCommInitRankScalable", "%d %d", ranks, rank);
    if (result) return result;
    if (ids != 1 || config || ranks < 1 || ranks > RANKS || rank < 0 || rank >= ranks || id->internal[0] != '/') return ARGUMENT;
    int device, file = shm_open(id->internal, O_CREAT | O_RDWR, 0600);
    if (driver("cuCtxGetDevice", &device)) return ARGUMENT;
    if (file < 0 || ftruncate(file, sizeof(Shared))) return SYSTEM;
    Shared *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return SYSTEM;
    atomic_fetch_add(&shared->joined, 1);
    int all = wait_until(&shared->joined, ranks);
    shm_unlink(id->internal);
    if (!all) return REMOTE;
    *made = malloc(sizeof **made);
    (*made)->ranks = ranks, (*made)->rank = rank, (*made)->device = device, (*made)->shared = shared;
    return SUCCESS;
}

CALL ncclCommCount(ncclComm_t comm, int *count) { return *count = comm->ranks, SUCCESS; }
CALL ncclCommUserRank(ncclComm_t comm, int *rank) { return *rank = comm->rank, SUCCESS; }
CALL ncclCommCuDevice(ncclComm_t comm, int *device) { return *device = comm->device, SUCCESS; }

EXPORTED const char *ncclGetErrorString(ncclResult_t result) {
    static const char *texts[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error",
                                  "invalid argument", "invalid usage", "remote process exited or there was a network error"};
    return (unsigned)result < sizeof texts / sizeof *texts ? texts[result] : "unknown result code";
}
