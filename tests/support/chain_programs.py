"""The program of a fused group among the integers of an instruction."""

from __future__ import annotations

from tlean._core.plan import chain, epilogue
from tlean.compiler.chain_code import ChainCode
from tlean.compiler.target import Step


def start_of(step: Step) -> int | None:
    """Where the program of an instruction's group begins; None for one that has no group."""
    if step.code == epilogue.ADDRESS:
        return epilogue.EPILOGUE_SIZE + step.ints[epilogue.EPILOGUE_INTS]
    return 0 if step.code == chain.ADDRESS else None


def program_of(step: Step) -> ChainCode:
    """The program of an instruction's group."""
    return ChainCode.decode(step.ints[start_of(step) :])
