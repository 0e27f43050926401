"""Changes of Python objects that become real together: what a step counts and where its new values are."""


cdef class Commit:
    cdef list rows              # target, key, value; and so on. A dict's item, or another object's attribute
    cdef list outputs           # (position of a value in rows, number of the plan's output that it is)
    cdef list fresh             # (dict, key) of the items that `prepare` made room for
    cdef list calls             # (function, arguments, calls to make instead): a device's part of the step
    cdef list kept
    cdef bytearray verdict      # what a device says of the step: anything but zeros refuses it
    cdef readonly Py_ssize_t done
    cdef readonly bint replaced

    cdef int prepare(self, list made) except -1
    cdef int launch(self) except -1
    cdef int apply(self) except -1
    cdef int undo(self) except -1
