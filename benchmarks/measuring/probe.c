/* The machine's limits: how many float32 FLOP/s a core's multiply-add units do, and what bandwidth each level of memory has.

     cc -O3 -march=native -pthread probe.c -o probe && ./probe 2

   prints one JSON object for 2 threads: "flops" (FLOP/s in all), and for every level its capacity (all cores in use) and the bytes per
   second that it reads, copies (counting both sides) and fills. Each figure is the best of several samples: a limit, not a mean. The
   arithmetic uses the widest vectors that the compiler was told of, the streams load and store them, with and without bypassing the caches. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#define STREAM(p, v) _mm512_stream_ps(p, (__m512)(v))
#elif defined(__AVX__)
enum { LANES = 8 };
#define STREAM(p, v) _mm256_stream_ps(p, (__m256)(v))
#else
enum { LANES = 4 };
#define STREAM(p, v) _mm_stream_ps(p, (__m128)(v))
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));

enum { MOST_THREADS = 64, SAMPLES = 9, CHAINS = 12, STEP = 4 * LANES };
static const double SAMPLE_SECONDS = 5e-3;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Jobs: one pass over a thread's own memory, or a fixed number of multiply-adds. */
typedef struct { float *a, *b; long n; } memory;
static volatile float sink;

static void multiply_add(memory *m) {
    vec sum[CHAINS], x, y;                       /* independent chains, enough to cover the latency */
    for (int l = 0; l < LANES; l++) { x[l] = 0.999f; y[l] = 1e-3f; }
    for (int c = 0; c < CHAINS; c++) sum[c] = y * (float)c;
    for (long k = 0; k < m->n; k++)
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * x + y;
    for (int c = 1; c < CHAINS; c++) sum[0] += sum[c];
    sink = sum[0][0];
}

static void load(memory *m) {
    vec s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    const vec *p = (const vec *)m->a, *end = (const vec *)(m->a + m->n);
    for (; p < end; p += 8) {
        s0 += p[0]; s1 += p[1]; s2 += p[2]; s3 += p[3];
        s4 += p[4]; s5 += p[5]; s6 += p[6]; s7 += p[7];
    }
    s0 += s1 + s2 + s3 + s4 + s5 + s6 + s7;
    sink = s0[0];
}

static void copy(memory *m) {
    for (long i = 0; i < m->n; i += STEP)
        for (int j = 0; j < 4; j++) *(vec *)(m->b + i + j * LANES) = *(const vec *)(m->a + i + j * LANES);
}

static void copy_past_caches(memory *m) {
    for (long i = 0; i < m->n; i += STEP)
        for (int j = 0; j < 4; j++) STREAM(m->b + i + j * LANES, *(const vec *)(m->a + i + j * LANES));
    _mm_sfence();
}

static void fill(memory *m) {
    vec one;
    for (int l = 0; l < LANES; l++) one[l] = 1;
    for (long i = 0; i < m->n; i += STEP)
        for (int j = 0; j < 4; j++) *(vec *)(m->a + i + j * LANES) = one;
}

static void fill_past_caches(memory *m) {
    vec one;
    for (int l = 0; l < LANES; l++) one[l] = 1;
    for (long i = 0; i < m->n; i += STEP)
        for (int j = 0; j < 4; j++) STREAM(m->a + i + j * LANES, one);
    _mm_sfence();
}

/* Threads that run one job at the same time. */
typedef void (*job)(memory *);
static struct { job run; memory own[MOST_THREADS]; long passes; int threads; pthread_barrier_t start, end; } shared;

static void work(memory *m) {
    for (long k = 0; k < shared.passes; k++) {
        shared.run(m);
        __asm__ volatile("" ::: "memory");
    }
}

static void *worker(void *own) {
    for (;;) {
        pthread_barrier_wait(&shared.start);
        if (!shared.run) return NULL;
        work(own);
        pthread_barrier_wait(&shared.end);
    }
}

static double once(void) {
    pthread_barrier_wait(&shared.start);
    double begun = now();
    work(&shared.own[0]);
    pthread_barrier_wait(&shared.end);
    return now() - begun;
}

/* Passes per second, all threads busy: the best of the samples. */
static double rate(job run, long n) {
    double best = 0;
    shared.run = run;
    for (int t = 0; t < shared.threads; t++) shared.own[t].n = n;
    for (shared.passes = 1; once() < SAMPLE_SECONDS && shared.passes < 1L << 40;) shared.passes *= 2;
    for (int s = 0; s < SAMPLES; s++) {
        double found = shared.passes / once();
        if (found > best) best = found;
    }
    return best;
}

static double larger(double a, double b) { return a > b ? a : b; }

/* Bytes of the data cache of a level of one core, as the kernel says; what the processor says of L3 may be the whole machine's. */
static double capacity(int level, double otherwise) {
    for (int k = 0; k < 8; k++) {
        char path[96], kind[16] = "";
        int found = 0;
        long kibibytes = 0;
        const char *parts[] = {"level", "type", "size"}, *forms[] = {"%d", "%15s", "%ldK"};
        void *into[] = {&found, kind, &kibibytes};
        for (int part = 0; part < 3; part++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", k, parts[part]);
            FILE *f = fopen(path, "r");
            if (!f) break;
            if (fscanf(f, forms[part], into[part]) != 1) found = 0;
            fclose(f);
        }
        if (found == level && kibibytes > 0 && strcmp(kind, "Instruction")) return kibibytes * 1024.0;
    }
    return otherwise;
}

int main(int argc, char **argv) {
    int T = argc > 1 ? atoi(argv[1]) : 1;
    if (T < 1 || T > MOST_THREADS) return fprintf(stderr, "usage: probe THREADS (1 to %d)\n", MOST_THREADS), 2;
    double l1 = capacity(1, 32 << 10), l2 = capacity(2, 1 << 20), l3 = capacity(3, 32 << 20), far = larger(4 * l3, 128 << 20);
    /* What all threads hold, and what of it a sample touches: clearly inside the level, clearly outside the one before. */
    struct { const char *name; double holds, touched; } levels[] = {
        {"L1", T * l1, T * l1 * 0.5}, {"L2", T * l2, T * l2 * 0.5}, {"L3", l3, larger(l3 * 0.25, 1.5 * T * l2)}, {"memory", 1e18, far}};
    for (int t = 0; t < T; t++) {
        size_t bytes = (size_t)far / T + (4 << 20);
        float **arrays[] = {&shared.own[t].a, &shared.own[t].b};
        for (int k = 0; k < 2; k++) {
            if (posix_memalign((void **)arrays[k], 2 << 20, bytes)) return fprintf(stderr, "probe: no memory\n"), 1;
            madvise(*arrays[k], bytes, MADV_HUGEPAGE);
            memset(*arrays[k], 0, bytes);
        }
    }
    shared.threads = T;
    pthread_barrier_init(&shared.start, NULL, T);
    pthread_barrier_init(&shared.end, NULL, T);
    pthread_t ids[MOST_THREADS];
    for (int t = 1; t < T; t++)
        if (pthread_create(&ids[t], NULL, worker, &shared.own[t])) return fprintf(stderr, "probe: no thread\n"), 1;

    const long adds = 1000;
    printf("{\"threads\": %d, \"flops\": %.4g, \"levels\": [", T, rate(multiply_add, adds) * adds * CHAINS * LANES * 2 * T);
    for (int k = 0; k < 4; k++) {
        long n = (long)(levels[k].touched / T / 4) / (8 * LANES) * (8 * LANES), half = n / 2 / STEP * STEP;
        int outside = k == 3;
        double read = rate(load, n) * n, copied = rate(copy, half) * half * 2, filled = rate(fill, n) * n;
        if (outside) {
            copied = larger(copied, rate(copy_past_caches, half) * half * 2);
            filled = larger(filled, rate(fill_past_caches, n) * n);
        }
        printf("%s{\"name\": \"%s\", \"bytes\": %.6g, \"read\": %.4g, \"copy\": %.4g, \"fill\": %.4g}", k ? ", " : "", levels[k].name,
               levels[k].holds, read * 4 * T, copied * 4 * T, filled * 4 * T);
    }
    printf("]}\n");
    shared.run = NULL;
    pthread_barrier_wait(&shared.start);
    for (int t = 1; t < T; t++) pthread_join(ids[t], NULL);
    return 0;
}
