"""Loops: ops whose body is a program of its own."""
