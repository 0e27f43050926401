"""Programs and arrays of other libraries, and programs as files."""
