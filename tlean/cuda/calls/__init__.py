"""Calls of kernels: launches with their arguments packed."""
