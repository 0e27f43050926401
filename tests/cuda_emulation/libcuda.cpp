// A libcuda.so.1 for machines without a GPU: what PyCUDA asks of the driver to run kernels that our stand-in for nvcc made.
// Everything is done at once, so streams have nothing to wait for. Device memory is the host's; copies are checked against the allocations.
#include <cuda.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#define DRIVER extern "C" __attribute__((visibility("default"))) CUresult

namespace {
const size_t TOTAL = size_t(1) << 30;
std::map<CUdeviceptr, size_t> allocations;
size_t in_use = 0;
std::vector<CUcontext> current;
int primary_context;

// A stream that records does not run what is queued on it.
typedef std::vector<std::function<void()>> Graph;
CUstream recording;
Graph *recorded;
bool spoilt;

bool records(CUstream stream) { return recording && stream == recording; }
// What must not happen while a stream records.
CUresult spoil() {
    spoilt = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

struct Module {
    void *library;
    int file;
};
typedef void (*Kernel)(const char *buffer, const unsigned *geometry);

bool within(CUdeviceptr p, size_t n) {
    auto next = allocations.upper_bound(p);
    if (next == allocations.begin()) return false;
    --next;
    return p + n <= next->first + next->second;
}

CUresult copy(void *to, const void *from, size_t n, bool allowed) {
    if (!allowed) return CUDA_ERROR_INVALID_VALUE;
    memmove(to, from, n);
    return CUDA_SUCCESS;
}

template <class T> CUresult fill(CUdeviceptr p, T value, size_t n, CUstream stream) {
    if (!within(p, n * sizeof(T))) return CUDA_ERROR_INVALID_VALUE;
    if (records(stream)) return recorded->push_back([=] { fill(p, value, n, nullptr); }), CUDA_SUCCESS;
    for (size_t i = 0; i < n; i++) reinterpret_cast<T *>(p)[i] = value;
    return CUDA_SUCCESS;
}
}  // namespace

// Devices -----------------------------------------------------------------------------------------------------------------

DRIVER cuInit(unsigned) { return CUDA_SUCCESS; }
DRIVER cuDriverGetVersion(int *version) { *version = CUDA_VERSION; return CUDA_SUCCESS; }
DRIVER cuDeviceGetCount(int *count) {
    const char *asked = getenv("TLEAN_EMULATED_DEVICES");
    *count = asked ? atoi(asked) : 1;
    return CUDA_SUCCESS;
}
DRIVER cuDeviceGet(CUdevice *device, int i) {
    int count;
    cuDeviceGetCount(&count);
    *device = i;
    return i >= 0 && i < count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
DRIVER cuDeviceGetName(char *name, int size, CUdevice) { snprintf(name, size, "host emulation"); return CUDA_SUCCESS; }
DRIVER cuDeviceTotalMem(size_t *bytes, CUdevice) { *bytes = TOTAL; return CUDA_SUCCESS; }
DRIVER cuDeviceComputeCapability(int *major, int *minor, CUdevice) { *major = 9; *minor = 0; return CUDA_SUCCESS; }
DRIVER cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice) {
    switch (which) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
DRIVER cuGetErrorString(CUresult, const char **text) { *text = "error of the host emulation"; return CUDA_SUCCESS; }
DRIVER cuGetErrorName(CUresult, const char **text) { *text = "HOST_EMULATION"; return CUDA_SUCCESS; }

// Contexts and streams ----------------------------------------------------------------------------------------------------

DRIVER cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) { *context = reinterpret_cast<CUcontext>(&primary_context); return CUDA_SUCCESS; }
DRIVER cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
DRIVER cuCtxPushCurrent(CUcontext context) { current.push_back(context); return CUDA_SUCCESS; }
DRIVER cuCtxPopCurrent(CUcontext *context) {
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = current.back();
    current.pop_back();
    return CUDA_SUCCESS;
}
DRIVER cuCtxGetCurrent(CUcontext *context) { *context = current.empty() ? nullptr : current.back(); return CUDA_SUCCESS; }
DRIVER cuCtxGetDevice(CUdevice *device) { *device = 0; return current.empty() ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS; }
DRIVER cuCtxAttach(CUcontext *context, unsigned) {
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *context = current.back();
    return CUDA_SUCCESS;
}
DRIVER cuCtxDetach(CUcontext) { return CUDA_SUCCESS; }
DRIVER cuCtxSynchronize() { return CUDA_SUCCESS; }
DRIVER cuStreamCreate(CUstream *stream, unsigned) { *stream = reinterpret_cast<CUstream>(new int); return CUDA_SUCCESS; }
DRIVER cuStreamDestroy(CUstream stream) { delete reinterpret_cast<int *>(stream); return CUDA_SUCCESS; }
DRIVER cuStreamSynchronize(CUstream stream) { return records(stream) ? spoil() : CUDA_SUCCESS; }
DRIVER cuStreamQuery(CUstream) { return CUDA_SUCCESS; }
DRIVER cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
DRIVER cuEventCreate(CUevent *event, unsigned) { *event = reinterpret_cast<CUevent>(new timespec); return CUDA_SUCCESS; }
DRIVER cuEventDestroy(CUevent event) { delete reinterpret_cast<timespec *>(event); return CUDA_SUCCESS; }
DRIVER cuEventRecord(CUevent event, CUstream) {
    clock_gettime(CLOCK_MONOTONIC, reinterpret_cast<timespec *>(event));
    return CUDA_SUCCESS;
}
DRIVER cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
DRIVER cuEventQuery(CUevent) { return CUDA_SUCCESS; }
DRIVER cuEventElapsedTime(float *milliseconds, CUevent first, CUevent last) {
    const auto *a = reinterpret_cast<timespec *>(first), *b = reinterpret_cast<timespec *>(last);
    *milliseconds = (b->tv_sec - a->tv_sec) * 1e3f + (b->tv_nsec - a->tv_nsec) * 1e-6f;
    return CUDA_SUCCESS;
}

// Memory ------------------------------------------------------------------------------------------------------------------

DRIVER cuMemAlloc(CUdeviceptr *p, size_t n) {
    if (recording) return spoil();
    if (n == 0) return CUDA_ERROR_INVALID_VALUE;
    void *found = nullptr;
    if (in_use + n > TOTAL || posix_memalign(&found, 256, n)) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(found, 0xCD, n);  // nobody may count on zeros
    *p = reinterpret_cast<CUdeviceptr>(found);
    allocations[*p] = n;
    in_use += n;
    return CUDA_SUCCESS;
}
DRIVER cuMemFree(CUdeviceptr p) {
    auto found = allocations.find(p);
    if (found == allocations.end()) return CUDA_ERROR_INVALID_VALUE;
    in_use -= found->second;
    allocations.erase(found);
    free(reinterpret_cast<void *>(p));
    return CUDA_SUCCESS;
}
DRIVER cuMemGetInfo(size_t *unused, size_t *total) { *total = TOTAL; *unused = TOTAL - in_use; return CUDA_SUCCESS; }
DRIVER cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t n, CUstream stream) {
    if (records(stream)) return spoil();
    return copy(reinterpret_cast<void *>(to), from, n, within(to, n));
}
DRIVER cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t n, CUstream stream) {
    if (records(stream)) return spoil();
    return copy(to, reinterpret_cast<const void *>(from), n, within(from, n));
}
DRIVER cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream) {
    if (records(stream)) return recorded->push_back([=] { cuMemcpyDtoDAsync(to, from, n, nullptr); }), CUDA_SUCCESS;
    return copy(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), n, within(to, n) && within(from, n));
}
DRIVER cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t n) { return cuMemcpyHtoDAsync(to, from, n, nullptr); }
DRIVER cuMemcpyDtoH(void *to, CUdeviceptr from, size_t n) { return cuMemcpyDtoHAsync(to, from, n, nullptr); }
DRIVER cuMemsetD32Async(CUdeviceptr p, unsigned value, size_t n, CUstream stream) { return fill(p, value, n, stream); }
DRIVER cuMemsetD8Async(CUdeviceptr p, unsigned char value, size_t n, CUstream stream) { return fill(p, value, n, stream); }

// Kernels -----------------------------------------------------------------------------------------------------------------

DRIVER cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    auto *head = static_cast<const Elf64_Ehdr *>(image);
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) || head->e_machine != EM_X86_64) return CUDA_ERROR_INVALID_IMAGE;
    const size_t size = head->e_shoff + size_t(head->e_shnum) * head->e_shentsize;
    const int file = memfd_create("kernels", 0);
    if (file < 0 || write(file, image, size) != ssize_t(size)) return CUDA_ERROR_INVALID_IMAGE;
    void *library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "host emulation: %s\n", dlerror());
        close(file);
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *module = reinterpret_cast<CUmodule>(new Module{library, file});
    return CUDA_SUCCESS;
}
DRIVER cuModuleLoadData(CUmodule *module, const void *image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }
DRIVER cuModuleUnload(CUmodule module) {
    auto *found = reinterpret_cast<Module *>(module);
    dlclose(found->library);
    close(found->file);
    delete found;
    return CUDA_SUCCESS;
}
DRIVER cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    void *found = dlsym(reinterpret_cast<Module *>(module)->library, (std::string("emulated_") + name).c_str());
    *function = reinterpret_cast<CUfunction>(found);
    return found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
DRIVER cuFuncSetBlockShape(CUfunction, int, int, int) { return CUDA_SUCCESS; }
DRIVER cuFuncSetSharedSize(CUfunction, unsigned) { return CUDA_SUCCESS; }
DRIVER cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction) {
    *value = which == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}
DRIVER cuLaunchKernel(
    CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream, void **,
    void **extra
) {
    // A device's limits, and what a kernel here may use.
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || gx > 0x7fffffffu || gy > 65535 || gz > 65535 || shared)
        return CUDA_ERROR_INVALID_VALUE;
    const char *buffer = nullptr;
    size_t size = 0;
    for (void **entry = extra; entry && *entry != CU_LAUNCH_PARAM_END; entry += 2) {
        if (*entry == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = static_cast<const char *>(entry[1]);
        if (*entry == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *static_cast<const size_t *>(entry[1]);
    }
    if (!buffer) return CUDA_ERROR_NOT_SUPPORTED;
    const std::vector<unsigned> geometry = {gx, gy, gz, bx, by, bz};
    const auto kernel = reinterpret_cast<Kernel>(function);
    if (records(stream)) {
        const std::string kept(buffer, size);
        recorded->push_back([=] { kernel(kept.data(), geometry.data()); });
    } else {
        kernel(buffer, geometry.data());
    }
    return CUDA_SUCCESS;
}

// Graphs ------------------------------------------------------------------------------------------------------------------

DRIVER cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode) {
    if (getenv("TLEAN_EMULATED_NO_GRAPHS")) return CUDA_ERROR_NOT_SUPPORTED;
    if (recording) return CUDA_ERROR_ILLEGAL_STATE;
    recording = stream;
    recorded = new Graph;
    spoilt = false;
    return CUDA_SUCCESS;
}
DRIVER cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    if (!records(stream)) return CUDA_ERROR_ILLEGAL_STATE;
    recording = nullptr;
    *graph = nullptr;
    if (spoilt) {
        delete recorded;
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    *graph = reinterpret_cast<CUgraph>(recorded);
    return CUDA_SUCCESS;
}
DRIVER cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph graph, unsigned long long) {
    *made = reinterpret_cast<CUgraphExec>(new Graph(*reinterpret_cast<Graph *>(graph)));
    return CUDA_SUCCESS;
}
DRIVER cuGraphLaunch(CUgraphExec graph, CUstream) {
    for (auto &step : *reinterpret_cast<Graph *>(graph)) step();
    return CUDA_SUCCESS;
}
DRIVER cuGraphExecDestroy(CUgraphExec graph) { delete reinterpret_cast<Graph *>(graph); return CUDA_SUCCESS; }
DRIVER cuGraphDestroy(CUgraph graph) { delete reinterpret_cast<Graph *>(graph); return CUDA_SUCCESS; }
