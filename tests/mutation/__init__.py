"""Mutation testing of the compiler: small faults put into its modules one at a time, each of which the tests must notice.

    python -m tests.mutation --help

`mutants` makes the faults, `exempt` names places where a change changes no result, `overlay` holds a copy of the package with one fault in
it, `job` draws mutants, runs the stages of tests on each and writes the report.
"""
