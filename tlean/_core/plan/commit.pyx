"""Changes of Python objects that become real together: what a step counts and where its new values are.

A step writes arrays by a kernel and counts by Python. Between two lines of Python an exception may come (Ctrl-C, no memory), so the lines
that would count are noted in a `Commit` before the step, and the code that runs the kernels carries them out in the same call. Nothing
interrupts that: signals wait until the interpreter goes on. A device's kernels are calls of its driver that are noted likewise; as those
are functions of C, there is no line of Python between the first of them and the last change.
"""
from cpython.dict cimport PyDict_Contains, PyDict_DelItem, PyDict_SetItem
from cpython.object cimport PyObject, PyObject_DelAttr

from tlean._core.array cimport AnyTensor
from tlean._core.array import shared

cdef extern from "Python.h":
    int PyObject_SetAttr(object target, object name, object value) except -1
    object PyObject_Call(object function, object arguments, PyObject* keywords)

cdef object _unset = object()


def run_calls(calls):
    """Make calls, (function, arguments) each, one after the other: where the functions are of C, no signal's handler comes between."""
    for function, arguments in calls:
        PyObject_Call(function, arguments, NULL)


def enclosed(flagged, name, begin, call, end):
    """`begin()`, `call()`, and `end()` whatever the call did, with attribute `name` of `flagged` True meanwhile.

    Returns: what `begin()` answers if that is not 0, and then nothing else was called; else what `end()` does.
    Raises: what `call()` does, once `end()` was called.
    """
    status = begin()
    if status:
        return status
    PyObject_SetAttr(flagged, name, True)
    try:
        call()
    finally:
        PyObject_SetAttr(flagged, name, False)
        status = end()
    return status


cdef class Commit:
    """Changes that become real together, and only if the call that they are given to succeeds."""

    def __cinit__(self):
        self.rows = []
        self.outputs = []
        self.fresh = []
        self.calls = []
        self.kept = []

    def set(self, target, key, value):
        """Note `target[key] = value` of a dict, or that attribute of another object."""
        cdef list rows = self.rows
        rows.append(target)
        rows.append(key)
        rows.append(value)

    def unset(self, target, key):
        """Note that this attribute of an object that is no dict goes."""
        self.rows += (target, key, _unset)

    def output(self, target, key, number):
        """The same as `set` where the value is output `number` of the plan, as a separate array."""
        self.rows += (target, key, None)
        self.outputs.append((len(self.rows) - 1, number))

    def count(self, params, dict steps):
        """Note one step more of each parameter in `steps`, and that its value is another."""
        cdef list rows = self.rows
        for p in params:
            rows += (steps, p, steps.get(p, 0) + 1, p, "_version", p._version + 1)

    def call(self, function, *arguments, instead=None):
        """Note a call of the driver to make before the changes become real.

        Args:
            function: of C, so that no signal's handler comes between.
            instead: calls to make where the answer is not 0, as a list of (function, arguments); without it the answer is not looked at.
        """
        self.calls.append((function, arguments, instead))

    def keep(self, thing):
        """Have this live as long as the calls do."""
        self.kept.append(thing)

    def require(self, bytearray verdict not None):
        """Note that the changes become real only if the first 8 of these bytes, which one of the calls fills, are zeros."""
        self.verdict = verdict

    def now(self, made=()):
        """Make the calls and carry the changes out; `made` are the outputs.

        Returns: whether they were carried out; False where the verdict refuses them.
        """
        self.prepare(list(made))
        if not self.launch():
            return False
        self.apply()
        return True

    cdef int prepare(self, list made) except -1:
        # All that may fail. What it changes (dicts get their new keys) is invisible before `apply` or `undo`.
        cdef Py_ssize_t k
        for k, number in self.outputs:
            value = made[number]
            self.rows[k] = shared(value) if type(value) is AnyTensor else value.shared()
        try:
            for k in range(0, len(self.rows), 3):
                target = self.rows[k]
                if type(target) is dict and not PyDict_Contains(target, self.rows[k + 1]):
                    self.fresh.append((target, self.rows[k + 1]))
                    PyDict_SetItem(target, self.rows[k + 1], None)
        except BaseException:
            self.undo()
            raise
        return 0

    cdef int launch(self) except -1:
        # A device's part: 1 if the changes are to become real, 0 if its verdict refuses them.
        cdef char* says
        cdef int k
        self.done = 0
        try:
            for function, arguments, instead in self.calls:
                answer = PyObject_Call(function, arguments, NULL)
                if instead is not None and answer != 0:
                    self.replaced = True
                    run_calls(instead)
                self.done += 1
        except BaseException:
            self.undo()
            raise
        if self.verdict is not None:
            says = self.verdict
            for k in range(8):
                if says[k]:
                    self.undo()
                    return 0
        return 1

    cdef int apply(self) except -1:
        # Every key and every attribute is there, so that nothing is allocated.
        cdef Py_ssize_t k
        self.fresh = []
        for k in range(0, len(self.rows), 3):
            if type(self.rows[k]) is dict:
                PyDict_SetItem(self.rows[k], self.rows[k + 1], self.rows[k + 2])
            elif self.rows[k + 2] is _unset:
                PyObject_DelAttr(self.rows[k], self.rows[k + 1])
            else:
                PyObject_SetAttr(self.rows[k], self.rows[k + 1], self.rows[k + 2])
        return 0

    cdef int undo(self) except -1:
        # Nothing happened: the keys that were made go again.
        for target, key in self.fresh:
            if PyDict_Contains(target, key):
                PyDict_DelItem(target, key)
        self.fresh = []
        return 0


cdef class Section:
    """A block of code that one thread at a time runs with a device's context current: the base class of the context.

    Entered and left by functions of C alone: a signal's handler comes before or after, so that the lock is always given back.
    """

    cdef public object lock         # may be taken again by the thread that has it
    cdef public int depth           # how often it is taken; the lock is this thread's, so above 0 means that the context is current here
    cdef public object lost         # why it can be entered no more, a text
    cdef public object module       # what `with` gives
    cdef public object push         # make the context current, and no longer
    cdef public object pop

    def if_free(self, action):
        """Call `action()` with the lock taken, or not at all where another thread has it."""
        if not self.lock.acquire(False):
            return
        try:
            action()
        finally:
            self.lock.release()

    def __enter__(self):
        if self.lost:
            raise self.unusable(None)
        self.lock.acquire()
        try:
            if self.depth == 0:
                self.push()
            self.depth += 1
        except BaseException as error:
            self.lock.release()
            if isinstance(error, self.error):
                raise self.unusable(error) from error
            raise
        return self.module

    def __exit__(self, kind, error, trace):
        found = None
        lock = self.lock
        if self.depth == 0:
            # What was entered was the parent's, before this process was forked.
            return
        try:
            if self.depth == 1 and error is not None and isinstance(error, self.error):
                found = self.fault(error)
        finally:
            self.depth -= 1
            try:
                if self.depth == 0:
                    self.pop()
            except BaseException as wrong:
                # What is lost may be gone to the point where it cannot be left.
                if not (self.lost and isinstance(wrong, self.error)):
                    raise
            finally:
                lock.release()
        if found is not None:
            raise found from error
