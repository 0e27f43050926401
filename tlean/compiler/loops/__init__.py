"""Loops: ops whose body is a separate program."""
