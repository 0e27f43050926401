"""The hot face of the eager backend: references, shape checks, allocation and recording without Python in between."""
from libc.stdint cimport int64_t

from tlean._core.arena cimport TLBuffer
from tlean._core.array cimport AnyTensor, ShapeInfo
from tlean._core.refs cimport RefBase
from tlean._core.eager.instance cimport Instance
from tlean._core.tape cimport TapeStore

cpdef bint recording() noexcept


cdef class OpInfo:
    cdef readonly str name
    cdef readonly tuple option_names
    cdef object record
    cdef dict defaults
    cdef int n_in
    cdef bytes kinds                        # what each input is (KIND_*); of a variadic op none is anything special
    cdef unsigned long long optional_mask   # the same of the first inputs, for calls that are `slotted`
    cdef bint variadic
    cdef tuple numbers          # the inputs that may be integers alone, by place
    cdef bint slotted           # its calls are found again by `slot_of`
    cdef int seed_index
    cdef dict instances         # of an op that is not registered: they live with its record


cdef class EagerCore:
    cdef readonly TapeStore store
    cdef TapeStore spare        # an empty one, with room: what the tape before `reset_tape` was
    cdef public dict _uses      # of a session: node id -> (the parameter that it read, its version then)
    cdef readonly int code
    cdef readonly unsigned long long generation
    cdef public bint check_numerics
    cdef public int thread_cap
    cdef int mode
    cdef bint plain_operators   # no subclass overrides the methods that the operators call
    cdef public unsigned long long stream_position
    cdef public object session_seed
    cdef object __weakref__
    cdef TensorRef new_leaf(self, AnyTensor value, bint requires_grad, object name)
    cdef TensorRef own_ref(self, object value, OpInfo op, int k)
    cdef AnyTensor integer_value(self, object value, bint boolean, OpInfo op, int k, tuple args)
    cdef TensorRef finish(
        self, Instance inst, int n, TLBuffer** ins, int64_t* parents, bint requires_grad, bint record, object name
    )
    cdef int run_capped(self, Instance inst, TLBuffer** ins, TLBuffer** value, TLBuffer** res) except -1
    cdef look_for_nonfinite(self, Instance inst, TLBuffer* value, TLBuffer** kept, int n, int64_t* parents)
    cdef call1(self, OpInfo op, object a, object name)
    cdef call2(self, OpInfo op, object a, object b, object name)
    cdef call(self, OpInfo op, tuple args, tuple values, object name)
    cdef object call_any(self, OpInfo op, tuple args, tuple values, object name)
    cdef void remember(self, OpInfo op, tuple infos, tuple values, Instance inst) noexcept


cdef class TensorRef(RefBase):
    cdef readonly EagerCore ops
    cdef int64_t node
    cdef unsigned long long generation
    cdef ShapeInfo info
    cdef int code
    cdef AnyTensor held
    cdef object __weakref__
