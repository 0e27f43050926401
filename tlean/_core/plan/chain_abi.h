/* The integers of instructions that hold others: written by tlean/compiler/chain_code.py, read by the modules of this folder.
 *
 * A fused group: its header; its sums; its ops; the operands to fetch ahead; the runs, which together do what the ops do, on whole strips. A
 * run is 0 and the place of an op among the integers, or a number of steps and the steps. Behind an op or a step follow its operands. An
 * operand is input k as k, output k as CHAIN_OUTPUT + k, slot k as CHAIN_SLOT + k, the value of sum k as CHAIN_SUM + k, and input k as a scalar
 * as CHAIN_SCALAR + k.
 *
 * A kernel with an epilogue: its header, the kernel's integers, the group. Outputs, inputs and floats likewise: the kernel's, then the
 * group's. The group reads the kernel's result as one of its inputs.
 */
#ifndef TLEAN_CHAIN_ABI_H
#define TLEAN_CHAIN_ABI_H
enum {
    CHAIN_ELEMENTS,
    CHAIN_ITEMSIZE,
    CHAIN_BLOCK,         /* elements of a block */
    CHAIN_OPS,
    CHAIN_SLOTS,
    CHAIN_SUMS,
    CHAIN_SEGMENT,       /* elements that `reduce_sum` adds up in one run */
    CHAIN_REDUCE_SUM,    /* its address */
    CHAIN_FETCHED_AT,    /* where the operands to fetch ahead begin */
    CHAIN_FETCHED,
    CHAIN_RUNS,
    CHAIN_MACHINE,       /* the address that starts a run */
    CHAIN_STRIP,         /* elements of a strip */
    CHAIN_HEADER
};
enum { CHAIN_SUM_OUTPUT, CHAIN_SUM_FLOATS /* the first: the divisor */, CHAIN_SUM_SIZE };
enum { CHAIN_OP_LOOP /* an address; 0: spread the scalar operand */, CHAIN_OP_FLOATS, CHAIN_OP_TARGET, CHAIN_OP_OPERANDS, CHAIN_OP_SIZE };
enum { CHAIN_STEP_ADDRESS, CHAIN_STEP_FLOATS, CHAIN_STEP_OPERANDS, CHAIN_STEP_SIZE };
enum { CHAIN_OUTPUT = 1 << 20, CHAIN_SLOT = 1 << 21, CHAIN_SUM = 1 << 22, CHAIN_SCALAR = 1 << 23 };
enum { CHAIN_MOST_STEPS = 64 /* of a run, the last one included */, CHAIN_MOST_OPERANDS = 8 /* of an op */ };

/* The kernel's entry (`tl_producer`), and how many of the outputs, inputs, ints and floats are its. */
enum { EPILOGUE_ENTRY, EPILOGUE_OUTPUTS, EPILOGUE_INPUTS, EPILOGUE_INTS, EPILOGUE_FLOATS, EPILOGUE_HEADER };

/* An optimiser's step whose gradient is an outer product: the addresses of its kernel and of the loop of `scale`. */
enum { OUTER_KERNEL, OUTER_SCALE, OUTER_ROWS, OUTER_COLUMNS, OUTER_ITEMSIZE, OUTER_STATES, OUTER_HEADER, OUTER_MOST_STATES = 5 };
#endif
