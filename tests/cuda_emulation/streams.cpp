// Streams, events and graphs of the emulated driver. A stream is a queue: what is queued happens when something waits for it, or, with a seed in
// TLEAN_EMULATED_SEED, at pseudo-random moments before. Streams overtake each other as far as the driver's rules let them.
#include "driver.h"

#include <unistd.h>

#include <cstdlib>

namespace emulated {

std::recursive_mutex lock;

namespace {
std::vector<std::shared_ptr<Stream>> every_stream;
std::map<CUstream, std::shared_ptr<Stream>> by_handle;
unsigned long waits = 0, queries = 0;

uint64_t seed() {
    static const uint64_t given = getenv("TLEAN_EMULATED_SEED") ? strtoull(getenv("TLEAN_EMULATED_SEED"), nullptr, 10) : 0;
    return given;
}

void run_first(const std::shared_ptr<Stream> &stream) {
    Operation next = std::move(stream->queue.front());
    stream->queue.pop_front();
    for (const Point &point : next.after) run_until(point);
    if (stream->context->lost == CUDA_SUCCESS && next.work) next.work();
    stream->done++;
}

bool usable(const Point &point) { return point.stream && !point.passed(); }
}  // namespace

bool Point::passed() const { return !stream || stream->done >= number; }

unsigned random_below(unsigned n) {
    static uint64_t state = seed() * 0x9E3779B97F4A7C15ull + 88172645463325252ull;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return unsigned(state % n);
}

std::shared_ptr<Stream> new_stream(Context *context, bool blocking) {
    auto made = std::make_shared<Stream>();
    made->context = context;
    made->blocking = blocking;
    every_stream.push_back(made);
    return made;
}

const std::vector<std::shared_ptr<Stream>> &streams() { return every_stream; }

std::shared_ptr<Stream> stream_of(CUstream handle) {
    Context *context = current_context();
    if (handle == nullptr || handle == CU_STREAM_LEGACY) {
        if (!context) return nullptr;
        if (!context->legacy) (context->legacy = new_stream(context, true))->legacy = true;
        return context->legacy;
    }
    if (handle == CU_STREAM_PER_THREAD) {
        thread_local std::map<Context *, std::shared_ptr<Stream>> own;
        if (!context) return nullptr;
        if (!own[context]) own[context] = new_stream(context, true);
        return own[context];
    }
    auto found = by_handle.find(handle);
    return found == by_handle.end() ? nullptr : found->second;
}

Point last_of(const std::shared_ptr<Stream> &stream) { return {stream, stream->queued}; }

CUresult spoil(Stream &stream) {
    stream.capture->spoilt = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

bool this_thread_captures() {
    for (auto &stream : every_stream)
        if (stream->capture && stream->capture->owner == std::this_thread::get_id()) {
            stream->capture->spoilt = true;
            return true;
        }
    return false;
}

CUresult queue(CUstream handle, Work work, std::vector<Point> after) {
    drift();
    auto stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->context->lost) return stream->context->lost;
    if (stream->capture) {
        for (const Point &point : after)
            if (usable(point)) return spoil(*stream), CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
        if (work) stream->capture->graph.push_back(std::move(work));
        return CUDA_SUCCESS;
    }
    // The legacy stream and the blocking ones wait for each other.
    if (stream->legacy) {
        for (auto &other : every_stream)
            if (other->context == stream->context && other->blocking && other != stream) {
                if (other->capture) {
                    other->capture->spoilt = true;
                    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
                }
                after.push_back(last_of(other));
            }
    } else if (stream->blocking && stream->context->legacy) {
        after.push_back(last_of(stream->context->legacy));
    }
    stream->queue.push_back({std::move(work), std::move(after)});
    stream->queued++;
    return CUDA_SUCCESS;
}

void run_until(const Point &point) {
    while (!point.passed()) run_first(point.stream);
}

void run_everything(Context *context) {
    for (size_t k = 0; k < every_stream.size(); k++)
        if (!context || every_stream[k]->context == context) run_until(last_of(every_stream[k]));
}

void drift() {
    if (!seed()) return;
    for (unsigned k = random_below(3); k > 0 && !every_stream.empty(); k--) {
        auto stream = every_stream[random_below(unsigned(every_stream.size()))];
        if (!stream->queue.empty()) run_first(stream);
    }
}

namespace {
void let_others(Locked &locked) {
    waits++;
    locked.unlock();
    usleep(random_below(100));
    locked.lock();
}
}  // namespace

void wait_for(const Point &point, Locked &locked) {
    let_others(locked);
    run_until(point);
}

void wait_for_everything(Context *context, Locked &locked) {
    let_others(locked);
    run_everything(context);
}

}  // namespace emulated

using namespace emulated;

EXPORTED unsigned long emulated_waits() { return waits; }

// Streams -----------------------------------------------------------------------------------------------------------------

DRIVER cuStreamCreate(CUstream *handle, unsigned flags) {
    Locked locked(lock);
    Context *context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    auto made = new_stream(context, !(flags & CU_STREAM_NON_BLOCKING));
    *handle = reinterpret_cast<CUstream>(made.get());
    by_handle[*handle] = made;
    return CUDA_SUCCESS;
}
DRIVER cuStreamDestroy(CUstream handle) {
    // What was queued is still done.
    Locked locked(lock);
    return by_handle.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
DRIVER cuStreamSynchronize(CUstream handle) {
    Locked locked(lock);
    auto stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) return spoil(*stream);
    if (stream->legacy && queue(handle, nullptr)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    wait_for(last_of(stream), locked);
    return stream->context->lost;
}
DRIVER cuStreamQuery(CUstream handle) {
    Locked locked(lock);
    auto stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) return spoil(*stream);
    drift();
    // A caller that asks again and again gets to the end.
    if (++queries % 64 == 0 && !stream->queue.empty()) run_first(stream);
    if (stream->context->lost) return stream->context->lost;
    return last_of(stream).passed() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
DRIVER cuCtxSynchronize() {
    Locked locked(lock);
    Context *context = current_context();
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (this_thread_captures()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    wait_for_everything(context, locked);
    return context->lost;
}

// Events ------------------------------------------------------------------------------------------------------------------

namespace {
std::shared_ptr<Event> &event_of(CUevent handle) { return *reinterpret_cast<std::shared_ptr<Event> *>(handle); }
}  // namespace

DRIVER cuEventCreate(CUevent *handle, unsigned) {
    *handle = reinterpret_cast<CUevent>(new std::shared_ptr<Event>(new Event));
    return CUDA_SUCCESS;
}
DRIVER cuEventDestroy(CUevent handle) { delete &event_of(handle); return CUDA_SUCCESS; }
DRIVER cuEventRecord(CUevent handle, CUstream where) {
    Locked locked(lock);
    auto event = event_of(handle);
    auto stream = stream_of(where);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    event->captured = bool(stream->capture);
    if (event->captured) return CUDA_SUCCESS;
    const CUresult status = queue(where, [event] { clock_gettime(CLOCK_MONOTONIC, &event->time); });
    if (!status) event->point = last_of(stream);
    return status;
}
DRIVER cuStreamWaitEvent(CUstream where, CUevent handle, unsigned) {
    Locked locked(lock);
    auto event = event_of(handle);
    auto stream = stream_of(where);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured && !stream->capture) return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    return event->captured ? CUDA_SUCCESS : queue(where, nullptr, {event->point});
}
DRIVER cuEventSynchronize(CUevent handle) {
    Locked locked(lock);
    auto event = event_of(handle);
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    wait_for(event->point, locked);
    return event->point.stream ? event->point.stream->context->lost : CUDA_SUCCESS;
}
DRIVER cuEventQuery(CUevent handle) {
    Locked locked(lock);
    auto event = event_of(handle);
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    drift();
    if (event->point.passed()) return CUDA_SUCCESS;
    if (++queries % 64 == 0) run_first(event->point.stream);
    if (event->point.stream->context->lost) return event->point.stream->context->lost;
    return event->point.passed() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
DRIVER cuEventElapsedTime(float *milliseconds, CUevent first, CUevent last) {
    Locked locked(lock);
    if (!event_of(first)->point.passed() || !event_of(last)->point.passed()) return CUDA_ERROR_NOT_READY;
    const timespec &a = event_of(first)->time, &b = event_of(last)->time;
    *milliseconds = (b.tv_sec - a.tv_sec) * 1e3f + (b.tv_nsec - a.tv_nsec) * 1e-6f;
    return CUDA_SUCCESS;
}

// Graphs ------------------------------------------------------------------------------------------------------------------

namespace {
unsigned long graphs = 0;
typedef std::shared_ptr<Graph> Held;
Held &held(void *handle) { return *reinterpret_cast<Held *>(handle); }
}  // namespace

/* Graphs, and executable graphs, that have not been destroyed. */
EXPORTED unsigned long emulated_graphs() { return graphs; }

DRIVER cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    Locked locked(lock);
    if (getenv("TLEAN_EMULATED_NO_GRAPHS")) return CUDA_ERROR_NOT_SUPPORTED;
    auto stream = stream_of(handle);
    if (!stream || stream->legacy || stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->context->lost) return stream->context->lost;
    stream->capture.reset(new Capture);
    if (mode != CU_STREAM_CAPTURE_MODE_RELAXED) stream->capture->owner = std::this_thread::get_id();
    return CUDA_SUCCESS;
}
DRIVER cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    Locked locked(lock);
    auto stream = stream_of(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    *status = !stream->capture ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->capture->spoilt ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                        : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}
DRIVER cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    Locked locked(lock);
    auto stream = stream_of(handle);
    *graph = nullptr;
    if (!stream || !stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    auto capture = std::move(stream->capture);
    if (capture->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    graphs++;
    *graph = reinterpret_cast<CUgraph>(new Held(new Graph(std::move(capture->graph))));
    return CUDA_SUCCESS;
}
DRIVER cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph graph, unsigned long long) {
    Locked locked(lock);
    graphs++;
    *made = reinterpret_cast<CUgraphExec>(new Held(held(graph)));
    return CUDA_SUCCESS;
}
DRIVER cuGraphLaunch(CUgraphExec graph, CUstream stream) {
    Locked locked(lock);
    const Held steps = held(graph);
    return queue(stream, [steps] { for (auto &step : *steps) step(); });
}
DRIVER cuGraphExecDestroy(CUgraphExec graph) { Locked locked(lock); graphs--; delete &held(graph); return CUDA_SUCCESS; }
DRIVER cuGraphDestroy(CUgraph graph) { Locked locked(lock); graphs--; delete &held(graph); return CUDA_SUCCESS; }
