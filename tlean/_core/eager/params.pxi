# Parameters as a tape reads them.

cdef class ParamBase:
    """What the hot path reads of a parameter: the base class of `tlean.Param`, which says what the fields mean.

    The array on the host may be absent, while a device's is newer; `_tensor` then fetches it by the subclass's `_read_back`.
    """

    cdef AnyTensor tensor
    cdef public int64_t _version
    cdef public object name
    cdef public object requires_grad

    @property
    def _tensor(self):
        if self.tensor is None:
            self.tensor = self._read_back()
        return self.tensor

    @_tensor.setter
    def _tensor(self, AnyTensor value not None):
        self.tensor = value

    @_tensor.deleter
    def _tensor(self):
        self.tensor = None


def use(EagerCore self not None, p):
    """A leaf with the parameter's value. Used twice, its gradients are summed and it is updated once."""
    cdef ParamBase param
    cdef AnyTensor t
    cdef int64_t node
    if not isinstance(p, ParamBase):
        raise_error("NodeError", f"use: a Param is expected, got {type(p).__name__}")
    param = <ParamBase>p
    t = param.tensor
    if t is None:
        t = param._tensor
    if t.code != self.code:
        raise_error("DTypeError", f"use: the session computes in {self.dtype}, got {p!r}; cast it with cast({self.dtype!r})")
    t.check()
    flows = param.requires_grad
    if flows is None:
        flows = self.options.requires_grad_by_default
    if not recording():
        # An array of the reference's own: what it has read stays when the parameter gives its memory back.
        return new_ref(self, -1, t.info, t.code, tensor_from_buffer(buffer_incref(t.buffer), t.info, t.code))
    node = append_leaf(self.store, t, flows, param.name)
    self._uses[node] = (param, param._version)
    return new_ref(self, node, t.info, t.code, None)


def run_plan(run, plan, tensors, out_specs, int cap=0, changes=None):
    """Run a plan by `run(plan, tensors, out_specs)`, with the `changes` that belong to it if there are any; returns its outputs.

    A signal's handler runs between lines of Python, and there is none in here: the limit on threads is always lifted again.

    Args:
        cap: the most threads of this run; 0 for the library's number.
    """
    cdef int before = 0
    if cap:
        before = cap_threads(cap)
    try:
        return run(plan, tensors, out_specs) if changes is None else run(plan, tensors, out_specs, changes)
    finally:
        if cap:
            cap_threads(before)
