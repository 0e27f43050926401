"""Ops run at once: their instances, references and parameters."""
