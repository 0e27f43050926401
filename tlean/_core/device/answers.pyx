"""What it takes to reach a device's driver through the package cuda.bindings: its functions as calls that raise, for the package answers
each with a tuple, its status first; and a pool of memory.

All of it is of C, as PyCUDA's is: no line of Python, and so no signal's handler, comes between two calls (`commit.run_calls`).
"""
from cpython.buffer cimport PyBUF_ANY_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject

cdef extern from "Python.h":
    object PyObject_Call(object function, object arguments, PyObject* keywords)


cdef tuple _with_memory(tuple arguments, Py_ssize_t k):
    # Argument k, an array of the host, as its address, with its bytes before the last argument. The package itself would take an array
    # without axes for a number.
    cdef Py_buffer view
    cdef list found = list(arguments)
    PyObject_GetBuffer(arguments[k], &view, PyBUF_ANY_CONTIGUOUS)
    found[k] = <size_t>view.buf
    found.insert(len(found) - 1, view.len)
    PyBuffer_Release(&view)
    return tuple(found)


cdef class Call:
    """A function of the package: it gives what the package answers after the status, or None.

    Args:
        function: the package's.
        failed: makes the exception for the function and a status that is not 0.
        first: arguments that come before those of a call.
        sized: which of a call's arguments is an array of the host: its bytes are counted, as the last argument but one; -1 for none.
    """

    cdef object function, failed
    cdef tuple first
    cdef Py_ssize_t sized

    def __init__(self, function, failed, tuple first=(), Py_ssize_t sized=-1):
        self.function, self.failed, self.first, self.sized = function, failed, first, sized

    def __call__(self, *arguments):
        if self.sized >= 0:
            arguments = _with_memory(arguments, self.sized)
        answer = PyObject_Call(self.function, self.first + arguments if self.first else arguments, NULL)
        if int(answer[0]) != 0:
            raise self.failed(self.function, answer[0])
        return answer[1] if len(answer) > 1 else None


cdef class Kernel:
    """A kernel that a call queues: (grid, block, packed arguments, bytes of shared memory, stream).

    Args:
        function: the package's cuLaunchKernel.
        failed: as for `Call`.
        handle: of the kernel.
    """

    cdef object function, failed, handle

    def __init__(self, function, failed, handle):
        self.function, self.failed, self.handle = function, failed, handle

    def __call__(self, tuple grid, tuple block, bytearray packed, shared, stream):
        cdef size_t size = len(packed)
        # What cuda.h calls CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE and _END.
        cdef void* extra[5]
        extra[0], extra[1], extra[2], extra[3], extra[4] = <void*>1, <char*>packed, <void*>2, &size, NULL
        answer = self.function(
            self.handle, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, stream, 0, <size_t><void*>extra
        )
        if int(answer[0]) != 0:
            raise self.failed(self.function, answer[0])


cdef class Pooled:
    """Memory of a pool, given back when nothing refers to it. An int is its address."""

    cdef Pool pool
    cdef readonly object address
    cdef Py_ssize_t size

    def __int__(self):
        return self.address

    def free(self):
        """Give it back; the context is current."""
        if self.pool is not None:
            self.pool.take_back(self)

    def __del__(self):
        if self.pool is not None:
            self.pool.take_back(self)


cdef class Pool:
    """The memory of one context, by size: what is given back is handed out again where the same size is needed.

    Args:
        allocate: gives an address of so many bytes of the driver's.
        release: takes an address back.
        exhausted: what `allocate` raises where no memory is left.
    """

    cdef object allocate_, release, exhausted
    cdef dict held
    cdef bint holding
    cdef readonly Py_ssize_t managed_bytes, active_bytes

    def __init__(self, allocate, release, exhausted):
        self.allocate_, self.release, self.exhausted = allocate, release, exhausted
        self.held = {}
        self.holding = True

    @staticmethod
    def rounded(Py_ssize_t size):
        """The bytes of the memory that a request of this size gets: a multiple of 512, and at most a sixteenth more than is needed then."""
        cdef Py_ssize_t step = 512
        while step * 32 <= size:
            step *= 2
        return (size + step - 1) // step * step

    def allocate(self, Py_ssize_t size):
        """Memory of so many bytes at least. Raises: what the driver raises where none is left, what the pool held included."""
        cdef Pooled made = Pooled.__new__(Pooled)
        made.size = Pool.rounded(size)
        addresses = self.held.get(made.size)
        if addresses:
            made.address = addresses.pop()
        else:
            try:
                made.address = int(self.allocate_(made.size))
            except self.exhausted:
                self.free_held()
                made.address = int(self.allocate_(made.size))
            self.managed_bytes += made.size
        made.pool = self
        self.active_bytes += made.size
        return made

    cdef int take_back(self, Pooled memory) except -1:
        memory.pool = None
        self.active_bytes -= memory.size
        self.held.setdefault(memory.size, []).append(memory.address)
        if not self.holding:
            self.free_held()
        return 0

    def free_held(self):
        """Give what is not in use back to the driver."""
        for size, addresses in self.held.items():
            while addresses:
                self.release(addresses.pop())
                self.managed_bytes -= size

    def stop_holding(self):
        """The same, from now on at once."""
        self.holding = False
        self.free_held()
