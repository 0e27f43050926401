/* What differs between operating systems and processors: memory, threads, the clock, what the processor has. Nothing else in this tree
 * calls the system.
 *
 * There are three implementations: POSIX, with what Linux has beside; Windows; and ISO C11 alone, which TLEAN_ISO_C chooses and CI builds,
 * so that what is not portable stays in here.
 */
#ifndef TLEAN_PLATFORM_H
#define TLEAN_PLATFORM_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>
#elif defined(TLEAN_ISO_C)
#include <threads.h>
#include <time.h>
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#endif

#define TL_HUGE ((size_t)2 << 20)

/* Memory ------------------------------------------------------------------------------------------------------------------ */

/* Bytes at a multiple of `align`, a power of 2; NULL where there are none. From TL_HUGE on, huge pages are asked for. */
static inline void *tl_aligned_new(size_t align, size_t nbytes) {
    void *p = NULL;
#if defined(_WIN32)
    p = _aligned_malloc(nbytes, align);
#elif defined(TLEAN_ISO_C)
    p = aligned_alloc(align, (nbytes + align - 1) / align * align);
#else
    if (posix_memalign(&p, align, nbytes)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (align >= TL_HUGE) madvise(p, nbytes, MADV_HUGEPAGE);
#endif
#endif
    return p;
}

static inline void tl_aligned_free(void *p) {
#if defined(_WIN32)
    _aligned_free(p);
#else
    free(p);
#endif
}

/* The memory that the machine has; 4 GiB where the system does not say. */
static inline size_t tl_physical_memory(void) {
#if defined(_WIN32)
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    if (GlobalMemoryStatusEx(&status)) return (size_t)status.ullTotalPhys;
#elif !defined(TLEAN_ISO_C) && defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && size > 0) return (size_t)pages * (size_t)size;
#endif
    return (size_t)4 << 30;
}

/* The clock --------------------------------------------------------------------------------------------------------------- */

/* Nanoseconds from some beginning. */
static inline int64_t tl_nanoseconds(void) {
#if defined(_WIN32)
    static int64_t frequency = 0;
    LARGE_INTEGER ticks;
    if (frequency == 0) {
        QueryPerformanceFrequency(&ticks);
        frequency = ticks.QuadPart;
    }
    QueryPerformanceCounter(&ticks);
    return ticks.QuadPart / frequency * 1000000000 + ticks.QuadPart % frequency * 1000000000 / frequency;
#elif defined(TLEAN_ISO_C)
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

/* Threads ----------------------------------------------------------------------------------------------------------------- */

#if defined(_WIN32)
typedef SRWLOCK tl_mutex;
typedef CONDITION_VARIABLE tl_condition;
static inline void tl_mutex_init(tl_mutex *m) { InitializeSRWLock(m); }
static inline void tl_mutex_lock(tl_mutex *m) { AcquireSRWLockExclusive(m); }
static inline void tl_mutex_unlock(tl_mutex *m) { ReleaseSRWLockExclusive(m); }
static inline void tl_condition_init(tl_condition *c) { InitializeConditionVariable(c); }
static inline void tl_condition_wait(tl_condition *c, tl_mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void tl_condition_wake_all(tl_condition *c) { WakeAllConditionVariable(c); }
static inline void tl_yield(void) { SwitchToThread(); }
typedef DWORD tl_thread_result;
#define TL_THREAD_CALL WINAPI
#elif defined(TLEAN_ISO_C)
typedef mtx_t tl_mutex;
typedef cnd_t tl_condition;
static inline void tl_mutex_init(tl_mutex *m) { mtx_init(m, mtx_plain); }
static inline void tl_mutex_lock(tl_mutex *m) { mtx_lock(m); }
static inline void tl_mutex_unlock(tl_mutex *m) { mtx_unlock(m); }
static inline void tl_condition_init(tl_condition *c) { cnd_init(c); }
static inline void tl_condition_wait(tl_condition *c, tl_mutex *m) { cnd_wait(c, m); }
static inline void tl_condition_wake_all(tl_condition *c) { cnd_broadcast(c); }
static inline void tl_yield(void) { thrd_yield(); }
typedef int tl_thread_result;
#define TL_THREAD_CALL
#else
typedef pthread_mutex_t tl_mutex;
typedef pthread_cond_t tl_condition;
static inline void tl_mutex_init(tl_mutex *m) { pthread_mutex_init(m, NULL); }
static inline void tl_mutex_lock(tl_mutex *m) { pthread_mutex_lock(m); }
static inline void tl_mutex_unlock(tl_mutex *m) { pthread_mutex_unlock(m); }
static inline void tl_condition_init(tl_condition *c) { pthread_cond_init(c, NULL); }
static inline void tl_condition_wait(tl_condition *c, tl_mutex *m) { pthread_cond_wait(c, m); }
static inline void tl_condition_wake_all(tl_condition *c) { pthread_cond_broadcast(c); }
static inline void tl_yield(void) { sched_yield(); }
typedef void *tl_thread_result;
#define TL_THREAD_CALL
#endif

/* Start a detached thread; 0 where there is none to be had. */
static inline int tl_thread_start(tl_thread_result (TL_THREAD_CALL *run)(void *), void *argument) {
#if defined(_WIN32)
    HANDLE thread = CreateThread(NULL, 0, run, argument, 0, NULL);
    if (thread == NULL) return 0;
    CloseHandle(thread);
    return 1;
#elif defined(TLEAN_ISO_C)
    thrd_t thread;
    if (thrd_create(&thread, run, argument) != thrd_success) return 0;
    thrd_detach(thread);
    return 1;
#else
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int failed = pthread_create(&thread, &detached, run, argument);
    pthread_attr_destroy(&detached);
    return !failed;
#endif
}

/* A function that runs when a thread ends, in that thread, for threads that set a value other than NULL. */
#if defined(_WIN32)
typedef DWORD tl_thread_key;
typedef void (WINAPI *tl_thread_end)(void *);
#define TL_THREAD_END WINAPI
static inline void tl_thread_key_new(tl_thread_key *key, tl_thread_end end) { *key = FlsAlloc(end); }
static inline void tl_thread_key_set(tl_thread_key key, void *value) { FlsSetValue(key, value); }
#elif defined(TLEAN_ISO_C)
typedef tss_t tl_thread_key;
typedef void (*tl_thread_end)(void *);
#define TL_THREAD_END
static inline void tl_thread_key_new(tl_thread_key *key, tl_thread_end end) { tss_create(key, end); }
static inline void tl_thread_key_set(tl_thread_key key, void *value) { tss_set(key, value); }
#else
typedef pthread_key_t tl_thread_key;
typedef void (*tl_thread_end)(void *);
#define TL_THREAD_END
static inline void tl_thread_key_new(tl_thread_key *key, tl_thread_end end) { pthread_key_create(key, end); }
static inline void tl_thread_key_set(tl_thread_key key, void *value) { pthread_setspecific(key, value); }
#endif

/* The processor ----------------------------------------------------------------------------------------------------------- */

/* Between two looks at what another thread writes. */
static inline void tl_relax(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("yield");
#endif
}

/* What this processor and its operating system can run: 2 = AVX-512 (F, DQ, BW, VL), 1 = AVX2 with FMA, 0 = the base. */
static inline int tl_cpu_level(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl")) return 2;
    return 1;
#else
    return 0;
#endif
}

/* The last-level cache of the processor's first core: the kernel says. (sysconf counts what the whole machine has, of which a core sees a
 * part.) */
static inline int64_t tl_last_cache(void) {
    int64_t found = 0;
#if defined(__linux__)
    for (int level = 3; level >= 2 && found <= 0; level--) {
        char path[64];
        long kibibytes = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%ldK", &kibibytes) == 1) found = (int64_t)kibibytes << 10;
        fclose(file);
    }
#endif
    return found > 0 ? found : (int64_t)32 << 20;
}

/* glibc 2.34 moved the threads into its own library and gave them other names; the older ones, which it keeps, are those of every glibc. */
#if defined(TLEAN_GLIBC_2_28) && defined(__x86_64__)
#define TL_GLIBC "GLIBC_2.2.5"
#elif defined(TLEAN_GLIBC_2_28) && defined(__aarch64__)
#define TL_GLIBC "GLIBC_2.17"
#endif
#if defined(TL_GLIBC)
__asm__(".symver pthread_create,pthread_create@" TL_GLIBC);
__asm__(".symver pthread_key_create,pthread_key_create@" TL_GLIBC);
__asm__(".symver pthread_setspecific,pthread_setspecific@" TL_GLIBC);
#endif
#endif
