"""The API fuzzer: every public callable is called with hostile arguments, and answers with a value or with an error of tlean.

A call is text, made from a seed and a number alone, and runs in a child process: what crashes, hangs or raises anything else is found.
"""
