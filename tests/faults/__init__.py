"""What a step leaves behind when it fails: exceptions at every line, no memory at every allocation, long runs. `python -m tests.faults`."""
