"""The inputs of a compiled step that is repeated: gathered without a line of Python for each parameter.

A `BoundStep` remembers how the last step found its parameters and its optimiser's states. As long as all of it is as it was, the next step
takes them from there; if anything differs, the step is prepared from the beginning and bound again.
"""
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport Py_EQ, PyObject, PyObject_RichCompareBool

from tlean._core.array cimport AnyTensor


cdef class BoundStep:
    """A step's parameters and states, with what must still hold of them.

    Args:
        params: all parameters: the first inputs of the plan.
        moved: the positions of those that the step moves.
        states: for each of these its states, as the optimiser keeps them; None where it keeps none.
        groups: for each of these the number of its group. Parameters of a group move by the same numbers at the same step.
        inputs: how many inputs of the caller's come after the parameters. After these come, for each that moves, its states and the numbers
            of its step.
    """
    cdef list params, flags, moved, states, groups
    cdef list template          # the inputs of the plan: the states are in their places
    cdef list places            # of the numbers of each step, by position in `moved`
    cdef Py_ssize_t n_groups
    cdef int code               # the dtype of the parameters

    def __init__(self, list params, list positions, list states, list groups, Py_ssize_t inputs):
        cdef AnyTensor t = params[positions[0]]._tensor
        self.params, self.states, self.groups = params, states, groups
        self.flags = [p.requires_grad for p in params]
        self.moved = [params[k] for k in positions]
        self.template = [None] * (len(params) + inputs)
        self.places = []
        for kept in states:
            self.template += kept or ()
            self.places.append(len(self.template))
            self.template.append(None)
        self.n_groups = max(groups) + 1
        self.code = t.code

    def counts(self, dict steps, dict moments):
        """How many steps the parameters of each group have taken, or None where the step is to be prepared from the beginning.

        Args:
            steps, moments: what the optimiser keeps by parameter.
        """
        cdef Py_ssize_t k, group
        cdef AnyTensor t
        cdef PyObject* kept
        cdef PyObject* count
        cdef list made = [None] * self.n_groups
        for k in range(len(self.params)):
            if self.params[k].requires_grad is not self.flags[k]:
                return None
        for k in range(len(self.moved)):
            p = self.moved[k]
            t = p._tensor
            t.check()
            # The plan writes to its memory, which must be held by nothing else.
            if t.code != self.code or t.buffer.refs != 1 or t.buffer.size_class < 0:
                return None
            kept, count = PyDict_GetItem(moments, p), PyDict_GetItem(steps, p)
            if kept == NULL:
                if self.states[k] is not None:
                    return None
            elif count == NULL or <object>kept is not self.states[k]:
                # States without a count are of no step that succeeded.
                return None
            taken = 0 if count == NULL else <object>count
            group = self.groups[k]
            if made[group] is None:
                made[group] = taken
            elif made[group] is not taken and not PyObject_RichCompareBool(made[group], taken, Py_EQ):
                return None
        return made

    def tensors(self, list inputs, list vectors):
        """All inputs of the plan: parameters as they are now, these inputs, the states, and for each group the numbers of its step."""
        cdef Py_ssize_t k, n = len(self.params)
        cdef list made = self.template.copy()
        for k in range(n):
            made[k] = self.params[k]._tensor
        for k in range(len(inputs)):
            made[n + k] = inputs[k]
        for k in range(len(self.places)):
            made[self.places[k]] = vectors[self.groups[k]]
        return made
