/* The driver's model: what the files of the emulated libcuda share. One lock is held in every call. */
#ifndef TLEAN_EMULATED_DRIVER_H
#define TLEAN_EMULATED_DRIVER_H
#include <cuda.h>
#include <time.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define DRIVER EXPORTED CUresult

namespace emulated {

typedef std::function<void()> Work;
typedef std::vector<Work> Graph;
struct Stream;

/* A place in a stream's queue: passed once so many of its operations are done. */
struct Point {
    std::shared_ptr<Stream> stream;
    uint64_t number = 0;
    bool passed() const;
};

struct Context {
    int device = 0;
    CUresult lost = CUDA_SUCCESS; /* an asynchronous fault: every later call answers with it */
    std::shared_ptr<Stream> legacy;
};

struct Capture {
    std::thread::id owner;
    bool spoilt = false;
    Graph graph;
};

struct Operation {
    Work work;
    std::vector<Point> after;
};

struct Stream {
    Context *context = nullptr;
    bool blocking = true, legacy = false;
    std::deque<Operation> queue;
    uint64_t queued = 0, done = 0;
    std::unique_ptr<Capture> capture;
};

struct Event {
    Point point;
    timespec time = {};
    bool captured = false;
};

struct Allocation {
    size_t size;
    Context *context;
    std::vector<unsigned char> written; /* by byte, where the checker needs it */
};

extern std::recursive_mutex lock;
typedef std::unique_lock<std::recursive_mutex> Locked;

/* Contexts. */
Context *current_context();

/* Streams. A handle is looked up each time, so that one that was destroyed is an invalid one. */
std::shared_ptr<Stream> stream_of(CUstream handle);
const std::vector<std::shared_ptr<Stream>> &streams();
CUresult queue(CUstream handle, Work work, std::vector<Point> after = {});
CUresult spoil(Stream &stream);
bool this_thread_captures();
void run_until(const Point &point);
void run_everything(Context *context);
/* The host waits: other threads get their turn first. */
void wait_for(const Point &point, Locked &locked);
void wait_for_everything(Context *context, Locked &locked);
/* Some of the queued work happens. */
void drift();
Point last_of(const std::shared_ptr<Stream> &stream);
unsigned random_below(unsigned n);

/* Memory. */
bool within(CUdeviceptr p, size_t n, const Context *context);
/* Whether an address lies in memory that the context must not touch: another context's, or given back. */
bool forbidden(CUdeviceptr p, const Context *context);
void mark_written(CUdeviceptr p, size_t n, const unsigned char *as = nullptr);
std::vector<unsigned char> written_of(CUdeviceptr p, size_t n);

}  // namespace emulated
#endif
