/* The integers of instructions that hold others: written by tlean/compiler/chain_code.py, read by the modules of this folder.
 *
 * A fused group: its header; its sums; its stretched inputs; its ops; the operands to fetch ahead; the runs, which together do what the ops
 * do, on whole strips. A run is 0 and the place of an op among the integers, or a number of steps and the steps. Behind an op or a step follow its operands. An
 * operand is input k as k, output k as CHAIN_OUTPUT + k, slot k as CHAIN_SLOT + k, the value of sum k as CHAIN_SUM + k, and input k as a scalar
 * as CHAIN_SCALAR + k; a stretched input that begins at integer k as CHAIN_REPEATED + k; input or output k of elements of another size as
 * CHAIN_SIZED + CHAIN_BYTES · the size + k or CHAIN_OUTPUT + k.
 *
 * A kernel with an epilogue: its header, the kernel's integers, the group. Outputs, inputs and floats likewise: the kernel's, then the
 * group's. The group reads the kernel's result as one of its inputs.
 */
#ifndef TLEAN_CHAIN_ABI_H
#define TLEAN_CHAIN_ABI_H
/* Of the header: elements of a block, of a run of `reduce_sum` and of a strip; addresses of `reduce_sum`, of what starts a run and of what writes
 * stretched inputs out; where the operands to fetch ahead begin, and the ops; elements of a part of a segment, and the
 * kernel that sums parts. */
enum {
    CHAIN_ELEMENTS, CHAIN_ITEMSIZE, CHAIN_BLOCK, CHAIN_OPS, CHAIN_SLOTS, CHAIN_SUMS, CHAIN_SEGMENT, CHAIN_REDUCE_SUM,
    CHAIN_FETCHED_AT, CHAIN_FETCHED, CHAIN_RUNS, CHAIN_MACHINE, CHAIN_STRIP, CHAIN_OPS_AT, CHAIN_STRETCHED, CHAIN_ROOM, CHAIN_STRETCHER,
    CHAIN_WIDTH, CHAIN_TILE, CHAIN_SHARE, CHAIN_VALUES, CHAIN_ADD_ROWS, CHAIN_PART, CHAIN_SUM_PART,
    CHAIN_SIZE
};
/* An input that is repeated along axes; their sizes and strides follow, the outermost first. ROW: its pattern of LENGTH elements is written out
 * once for a range of blocks, ROOM elements behind the slots. POINTER: blocks end where runs of LENGTH elements do, and each reads the input
 * where it is. BLOCK: an op writes it out for each block. COLUMN: so does it, but where it is a step: runs of one value fill the registers of a
 * strip, which has at most two of them. OFFSET: a part of consecutive elements, which begins ROOM elements on and is read where it is. RANGE is no
 * input: the group writes a value to output INPUT, from element ROOM on; the axes behind the first are those of a box there in rows of
 * consecutive elements, which begins as many elements on as the size of the first says, whose stride is the size of the output; what is not in the box
 * becomes that of input LENGTH - 1, or zeros. */
enum { STRETCHED_INPUT, STRETCHED_KIND, STRETCHED_ROOM, STRETCHED_LENGTH, STRETCHED_AXES, STRETCHED_SIZE };
enum { STRETCHED_BLOCK, STRETCHED_ROW, STRETCHED_POINTER, STRETCHED_COLUMN, STRETCHED_OFFSET, STRETCHED_RANGE };
/* A sum is of value VALUE, to output OUTPUT, by a kernel. With rows a thread takes SHARE of them, a segment of `reduce_sum`'s tree, TILE at a
 * time. FLOATS is the place of the first: of a sum its divisor. An op is a loop's address; or 0: spread the number at its operand; or CHAIN_STRETCH:
 * write its stretched operand out, unless that is its target. */
enum { CHAIN_SUM_OUTPUT, CHAIN_SUM_FLOATS, CHAIN_SUM_VALUE, CHAIN_SUM_KIND, CHAIN_SUM_KERNEL, CHAIN_SUM_SIZE };
/* What is summed: everything; or, where WIDTH is the length of a row, rows or columns. A LOGSUMEXP is one of rows. */
enum { CHAIN_TOTAL, CHAIN_ROW_SUMS, CHAIN_COLUMN_SUMS, CHAIN_LOGSUMEXP };
enum { CHAIN_OP_LOOP, CHAIN_OP_FLOATS, CHAIN_OP_TARGET, CHAIN_OP_OPERANDS, CHAIN_OP_SIZE };
enum { CHAIN_STEP_ADDRESS, CHAIN_STEP_FLOATS, CHAIN_STEP_OPERANDS, CHAIN_STEP_SIZE };
enum { CHAIN_OUTPUT = 1 << 20, CHAIN_SLOT = 1 << 21, CHAIN_SUM = 1 << 22, CHAIN_SCALAR = 1 << 23, CHAIN_REPEATED = 1 << 24 };
enum { CHAIN_SIZED = 1 << 27, CHAIN_BYTES = 1 << 22 };
enum { CHAIN_STRETCH = 1 };
/* Operands of an op; steps of a run, the last one included. */
enum { CHAIN_MOST_OPERANDS = 8, CHAIN_MOST_STEPS = 64 };

/* The kernel's entry (`tl_producer`), and how many of the outputs, inputs, ints and floats are its. */
enum { EPILOGUE_ENTRY, EPILOGUE_OUTPUTS, EPILOGUE_INPUTS, EPILOGUE_INTS, EPILOGUE_FLOATS, EPILOGUE_SIZE };

/* An optimiser's step whose gradient is an outer product: the addresses of its kernel and of the loop of `scale`. */
enum { OUTER_KERNEL, OUTER_SCALE, OUTER_ROWS, OUTER_COLUMNS, OUTER_ITEMSIZE, OUTER_STATES, OUTER_SIZE, OUTER_MOST_STATES = 5 };
#endif
