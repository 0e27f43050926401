# The reverse sweep: each node's traced backward, a plan, run straight into its parents' gradient slots.

cdef int sweep(
    TapeStore store, TLBuffer** slots, int64_t high, int64_t low, bint free_interior, int64_t seeded, const unsigned char* aside
) except -1:
    # Visits the nodes high-1 ... low that have a cotangent and need one; `seeded` is visited whatever its flag, those `aside` are not.
    cdef int64_t i
    cdef TLNode* nd
    for i in range(high - 1, low - 1, -1):
        if slots[i] == NULL or (aside != NULL and aside[i]):
            continue
        nd = node_at(store, i)
        if nd.n_in == 0 or not (nd.requires_grad or i == seeded):
            continue
        if nd.inst != NULL:
            step(store, i, slots[i], slots)
        elif nd.custom != NULL:
            step_custom(store, i, slots)
        if free_interior:
            buffer_decref(slots[i])
            slots[i] = NULL
    return 0


cdef inline size_t nbytes_of(TLNode* nd) noexcept:
    return (<ShapeInfo>nd.shape).size * itemsize_of(nd.dtype)


cdef int contribute(TapeStore store, int64_t p, TLBuffer* contribution, TLBuffer** slots) except -1:
    # Adds a contribution (borrowed) to the slot of node p; the first one is shared, not copied.
    cdef TLNode* nd
    if slots[p] == NULL:
        slots[p] = buffer_incref(contribution)
        return 0
    nd = node_at(store, p)
    slots[p] = own(slots[p], nbytes_of(nd))
    accumulate(nd.dtype, slots[p].data, contribution.data, (<ShapeInfo>nd.shape).size)
    return 0


cdef inline int place_contributions(
    TapeStore store, Plan plan, int n, const int64_t* parents, TLBuffer** slots, void** outs, TLBuffer** fresh, unsigned char* add
) except -1:
    # Where the plan writes its outputs: into a parent's slot, to be added there (`add`), or into a fresh buffer.
    cdef TLNode* parent
    cdef int64_t p
    cdef int k, j
    for k in range(n):
        p = parents[k]
        if plan.out_kind[k] != OUT_COMPUTED or p < 0:
            continue
        parent = node_at(store, p)
        if not parent.requires_grad:
            continue
        for j in range(k):
            if parents[j] == p:
                break
        else:
            j = k
        # Straight into the slot when this is the node's first contribution to that parent and the kernel can add; else by a temporary.
        if j == k and slots[p] != NULL and plan.out_writer[k] >= 0:
            slots[p] = own(slots[p], nbytes_of(parent))
            outs[k] = slots[p].data
            add[k] = 1
        else:
            fresh[k] = buffer_new(nbytes_of(parent))
            outs[k] = fresh[k].data
    return 0


cdef inline int hand_on(
    TapeStore store, int64_t at, Plan plan, TLBuffer* g, const int64_t* parents, TLBuffer** slots, TLBuffer** fresh
) except -1:
    # What the plan wrote apart from the slots, or only passes on.
    cdef TLNode* nd = node_at(store, at)
    cdef int k, j, n_res = (<Instance>nd.inst).n_res
    for k in range(nd.n_in):
        if fresh[k] != NULL:
            contribute(store, parents[k], fresh[k], slots)
        elif plan.out_kind[k] == OUT_INPUT and parents[k] >= 0 and node_at(store, parents[k]).requires_grad:
            j = plan.out_input[k]
            if j == 0:
                contribute(store, parents[k], g, slots)
            elif j == 1:
                contribute(store, parents[k], nd.value, slots)
            else:
                contribute(store, parents[k], inputs_of(nd)[j - 2 - n_res], slots)
    return 0


cdef int step(TapeStore store, int64_t at, TLBuffer* g, TLBuffer** slots) except -1:
    cdef TLNode* nd = node_at(store, at)
    cdef Instance inst = <Instance>nd.inst
    cdef int64_t* parents = parents_of(nd)
    cdef TLBuffer** inputs
    cdef int n = nd.n_in, k, status, n_ins
    cdef unsigned long long mask = 0
    cdef object beyond = 0      # the same of inputs from number 64 on, as an integer of any length
    cdef int64_t p
    cdef Plan plan
    cdef TLBuffer* scratch = NULL
    cdef void* near[4 * TL_NEAR]
    cdef void** ins
    cdef void** outs
    cdef TLBuffer** fresh
    cdef unsigned char* add
    cdef void* block = NULL
    if not inst.differentiable:
        return 0
    for k in range(n):
        p = parents[k]
        if p >= 0 and node_at(store, p).requires_grad:
            if k < 64:
                mask |= 1ull << k
            else:
                beyond |= (<object>1) << k
    if mask == 0 and not beyond:
        return 0
    plan = inst.vjp(mask) if n <= 64 else inst.vjp_of(beyond | mask)
    # Another thread may append to the tape whenever this one enters Python or runs without the GIL; then the nodes may move.
    nd = node_at(store, at)
    inputs = inputs_of(nd)
    n_ins = 2 + inst.n_res + n
    if n_ins + 4 * n <= 4 * TL_NEAR:
        ins = near
        memset(near, 0, (n_ins + 4 * n) * sizeof(void*))
    else:
        block = grab((n_ins + 4 * n) * sizeof(void*))
        ins = <void**>block
    outs = ins + n_ins
    fresh = <TLBuffer**>(outs + n)
    memcpy(fresh + n, parents_of(nd), n * sizeof(int64_t))
    parents = <int64_t*>(fresh + n)
    add = <unsigned char*>(parents + n)
    ins[0] = g.data
    ins[1] = nd.value.data
    for k in range(inst.n_res):
        ins[2 + k] = nd.res[k].data if nd.res[k] != NULL else NULL
    for k in range(n):
        ins[2 + inst.n_res + k] = inputs[k].data if inputs[k] != NULL else NULL
    try:
        place_contributions(store, plan, n, parents, slots, outs, fresh, add)
        if plan.n_instructions:
            if profiling:
                see(inst)
            if plan.scratch_bytes:
                scratch = buffer_new(plan.scratch_bytes)
            if plan.work > RELEASE_GIL_NS:
                with nogil:
                    status = plan_run(plan, ins, outs, add, <char*>scratch.data if scratch != NULL else NULL)
            else:
                status = plan_run(plan, ins, outs, add, <char*>scratch.data if scratch != NULL else NULL)
            check_status(plan, status)
        hand_on(store, at, plan, g, parents, slots, fresh)
    finally:
        for k in range(n):
            buffer_decref(fresh[k])
        buffer_decref(scratch)
        free(block)
    return 0
