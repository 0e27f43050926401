// Looks at every access of an emulated kernel. g++'s -fsanitize=thread calls a function at each load and store; these are ours, not libtsan's.
// Included behind the kernels of a family. Found are
//   races: two threads touch the same bytes, one of them writes, and no barrier of the block lies between; blocks have none in common,
//   accesses outside of the allocation (to the byte), or to memory of another device or given back,
//   addresses that are no multiple of what is loaded at once (-fsanitize=alignment),
//   reads of shared or device memory that was never written,
//   barriers and exchanges that not all threads reach at the same place, or that some have left by returning.
// Each finding is a line in the file that TLEAN_CHECK_LOG names, once for each pair of places in the source.
#include <dlfcn.h>
#include <unistd.h>

#include <set>
#include <string>
#include <unordered_map>

#define TL_PLAIN __attribute__((no_sanitize("thread")))
extern "C" __attribute__((visibility("hidden"))) char __bss_start[], _edata[], _end[];

namespace emulated {
namespace {

struct Access {
    const void *site = nullptr;
    unsigned block = 0, epoch = 0;
    short thread = -1;
    unsigned char bytes = 0; /* of the word, a bit each */
    bool atomic = false;
};

/* Four bytes: who wrote them last, and two of those who read them since. */
struct Word {
    Access write, read[2];
    unsigned written_in = ~0u; /* block that wrote the bytes below: shared memory starts afresh in each */
    unsigned char written = 0;
};

struct Page {
    uint64_t launch = 0;
    Word words[1024];
};

std::unordered_map<uint64_t, Page *> pages;
uint64_t launches = 0, last_number = ~0ull;
Page *last_page = nullptr;
const char *kernel_name = "";
typedef bool Find(unsigned long long, unsigned long long *, unsigned long long *, unsigned char **);
Find *find_allocation = nullptr;
unsigned long long low = 1, high = 0;
unsigned char *initialised = nullptr;
std::set<std::string> told;

Word &word_at(uint64_t address) {
    const uint64_t number = address >> 12;
    if (number != last_number) {
        Page *&page = pages[number];
        if (!page) page = new Page;
        last_number = number, last_page = page;
    }
    if (last_page->launch != launches) {
        for (Word &word : last_page->words) word = Word();
        last_page->launch = launches;
    }
    return last_page->words[(address & 4095) / 4];
}

std::string line_of(const void *site) {
    Dl_info info;
    if (!site || !dladdr(site, &info) || !info.dli_fname) return "?";
    const std::string self = "/proc/self", name = info.dli_fname;
    const std::string file = name.compare(0, self.size(), self) ? name : "/proc/" + std::to_string(getpid()) + name.substr(self.size());
    // The instruction before the one to return to, and where that was inlined.
    char command[400], text[400];
    const unsigned long offset = (unsigned long)((const char *)site - (const char *)info.dli_fbase) - 1;
    snprintf(command, sizeof command, "LD_PRELOAD= addr2line -s -i -e %s %#lx", file.c_str(), offset);
    std::string found;
    FILE *output = popen(command, "r");
    while (output && fgets(text, sizeof text, output)) {
        const std::string line = text;
        found += (found.empty() ? "" : " < ") + line.substr(0, line.find_first_of(" \n"));
    }
    if (output) pclose(output);
    return found;
}

void tell(const char *what, const void *site, uint64_t address, unsigned size, const Access *other = nullptr) {
    char key[300];
    snprintf(key, sizeof key, "%s %p %p", what, site, other ? other->site : nullptr);
    if (!told.insert(key).second) return;
    const char *path = getenv("TLEAN_CHECK_LOG");
    FILE *log = path ? fopen(path, "a") : stderr;
    fprintf(log, "%s: %s at %s, block (%u, %u, %u), thread %u, %u bytes at %#llx", what, kernel_name, line_of(site).c_str(), block.index.x,
            block.index.y, block.index.z, running ? running->number : 0, size, (unsigned long long)address);
    if (other) fprintf(log, "; the other: thread %d of block number %u at %s", other->thread, other->block, line_of(other->site).c_str());
    fprintf(log, "\n");
    if (path) fclose(log);
}

/* Whether an earlier access and this one are of two threads with nothing between. */
bool unordered(const Access &earlier, unsigned char bytes, bool atomic, bool shared) {
    if (earlier.thread < 0 || !(earlier.bytes & bytes) || (atomic && earlier.atomic)) return false;
    if (earlier.block != block.number) return !shared;
    return earlier.thread != (short)running->number && earlier.epoch == block.epoch;
}

bool inside(const void *p, const void *first, size_t size) { return p >= first && p < (const char *)first + size; }

/* Memory of the thread itself, of the emulation, and what a launch brings along. */
bool private_to_thread(const void *p) {
    return inside(p, running->stack.data(), running->stack.size()) || inside(p, running, sizeof *running) || inside(p, &block, sizeof block) ||
           inside(p, &running, sizeof running) || inside(p, &fibers, sizeof fibers) || inside(p, &in_kernel, sizeof in_kernel) ||
           inside(p, block.arguments, block.argument_bytes);
}

void access(void *p, unsigned size, bool write, bool atomic, const void *site) {
    if (private_to_thread(p)) return;
    const uint64_t address = (uint64_t)p;
    const bool shared = p >= (void *)__bss_start && p < (void *)_end;
    if (!shared && !(address >= low && address + size <= high)) {
        if (find_allocation && find_allocation(address, &low, &high, &initialised)) {
            if (address + size > high) tell("past the end of an allocation", site, address, size);
        } else {
            low = 1, high = 0;
            Dl_info info;
            // Constants of the kernel.
            if (!write && dladdr(p, &info) && info.dli_fbase) return;
            tell("outside of every allocation", site, address, size);
            return;
        }
    }
    for (uint64_t at = address; at < address + size;) {
        const uint64_t end = at / 4 * 4 + 4 < address + size ? at / 4 * 4 + 4 : address + size;
        const unsigned char bytes = (unsigned char)(((1u << (end - at)) - 1) << at % 4);
        Word &word = word_at(at);
        const Access now = {site, block.number, block.epoch, (short)running->number, bytes, atomic};
        if (shared && word.written_in != block.number) word.written_in = block.number, word.written = 0;
        if (write) {
            if (shared) word.written |= bytes;
            else if (initialised) memset(initialised + (at - low), 1, end - at);
        } else if (shared) {
            if (bytes & ~word.written) tell("uninitialised shared memory", site, at, size);
        } else if (initialised && at + (end - at) <= high) {
            for (uint64_t k = at; k < end; k++)
                if (!initialised[k - low]) {
                    tell("uninitialised device memory", site, at, size);
                    break;
                }
        }
        if (unordered(word.write, bytes, atomic, shared)) tell(write ? "race of two writes" : "race of a read with a write", site, at, size, &word.write);
        if (write) {
            for (const Access &read : word.read)
                if (unordered(read, bytes, atomic, shared)) tell("race of a write with a read", site, at, size, &read);
            word.write = now;
        } else {
            const Access &first = word.read[0];
            const bool again = first.block == now.block && first.epoch == now.epoch && first.thread != now.thread && first.thread >= 0;
            word.read[again] = now;
        }
        at = end;
    }
}

const void *gate_site[33];
}  // namespace

void check_launch(const char *kernel) {
    launches++;
    kernel_name = kernel;
    low = 1, high = 0;
    if (!find_allocation) find_allocation = (Find *)dlsym(RTLD_DEFAULT, "emulated_find");
}

void check_atomic(void *at, unsigned size, const void *site) {
    const Outside outside;
    access(at, size, true, true, site);
}

void check_wait(const Gate &gate, const void *site) {
    const bool whole = &gate == &block.gate;
    const unsigned which = whole ? 32 : running->number / 32;
    if (gate.returned) tell(whole ? "barrier that threads have left" : "exchange that lanes have left", site, 0, 0);
    if (!gate.waiting) gate_site[which] = site;
    else if (gate_site[which] != site) tell(whole ? "threads at different barriers" : "lanes at different exchanges", site, 0, 0);
}

}  // namespace emulated

#define TL_SEEN(p, n, write) \
    if (emulated::in_kernel) { \
        const emulated::Outside outside; \
        emulated::access(p, n, write, false, __builtin_return_address(0)); \
    }
#define TL_SIZE(n) \
    extern "C" TL_PLAIN void __tsan_read##n(void *p) { TL_SEEN(p, n, false) } \
    extern "C" TL_PLAIN void __tsan_write##n(void *p) { TL_SEEN(p, n, true) } \
    extern "C" TL_PLAIN void __tsan_unaligned_read##n(void *p) { TL_SEEN(p, n, false) } \
    extern "C" TL_PLAIN void __tsan_unaligned_write##n(void *p) { TL_SEEN(p, n, true) } \
    extern "C" TL_PLAIN void __tsan_volatile_read##n(void *p) { TL_SEEN(p, n, false) } \
    extern "C" TL_PLAIN void __tsan_volatile_write##n(void *p) { TL_SEEN(p, n, true) }
TL_SIZE(1) TL_SIZE(2) TL_SIZE(4) TL_SIZE(8) TL_SIZE(16)
extern "C" TL_PLAIN void __tsan_read_range(void *p, unsigned long n) { TL_SEEN(p, (unsigned)n, false) }
extern "C" TL_PLAIN void __tsan_write_range(void *p, unsigned long n) { TL_SEEN(p, (unsigned)n, true) }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_vptr_update(void **, void *) {}
extern "C" void __tsan_vptr_read(void **) {}

// What -fsanitize=alignment calls.
struct UbPlace { const char *file; unsigned line, column; };
struct UbMismatch { UbPlace where; void *type; unsigned char log_alignment, kind; };
extern "C" TL_PLAIN void __ubsan_handle_type_mismatch_v1(UbMismatch *found, unsigned long address) {
    if (!emulated::in_kernel) return;
    const emulated::Outside outside;
    emulated::tell("address that is not aligned", __builtin_return_address(0), address, 1u << found->log_alignment);
}
