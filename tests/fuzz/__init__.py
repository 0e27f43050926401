"""The program fuzzer: programs drawn from the registry's samples, run in every way that the library has, and compared.

`python -m tests.fuzz --help` says how to run it. A new record is fuzzed without a change here, by its samples.

    program   what a program is: inputs, steps, outputs, as plain data
    draw      programs drawn from the registry;  options: of their calls;  networks: convolutional nets, attention, perceptrons
    own       the user's own ops in them;  guests: ops whose kernels are given to `tl.register_kernels`
    scenarios whole programs, and what is done with each
    faces     the ways to run one;  lockstep: trainers, sessions, doors;  checks: what must agree;  oracle: the reference and its tolerance
    exported  programs as C beside their plans;  rounding: how far two computations of a program may be apart
    transforms nested transformations, `vmap`, and captured values that change between calls
    isolate   child processes with a time limit;  shrink: the smallest program that still fails;  script: it as a stand-alone file
    job       many programs on several processes, with a report
"""
