"""The file fuzzer: each reader gets files that were damaged, and answers with what was in them or with a DataError that names the file."""
