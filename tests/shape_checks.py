"""Shape and type checks of the package's functions, on enough of their calls."""

import functools
import inspect

import jaxtyping

FIRST, EVERY = 20, 500
"""Calls of each function that are checked: the first ones, and one in so many of the later ones.

A check takes longer than a step of a tiny training, in which the same functions are called thousands
of times with the same shapes.
"""

_jaxtyped = jaxtyping.jaxtyped


def sampled(function=None, *, typechecker):
    """Replace ``jaxtyping.jaxtyped``: check the first calls of a function and a sample of the others."""
    if function is None:
        return functools.partial(sampled, typechecker=typechecker)
    if not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
        return _jaxtyped(function, typechecker=typechecker)
    calls, checked = 0, None

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal calls, checked
        calls += 1
        if calls > FIRST and calls % EVERY:
            return function(*args, **kwargs)
        if checked is None:  # most functions of a process are never called
            checked = _jaxtyped(function, typechecker=typechecker)
        return checked(*args, **kwargs)

    return call


def install(package: str) -> None:
    """Check the functions of a package that is imported from now on."""
    jaxtyping.jaxtyped = sampled
    jaxtyping.install_import_hook(package, "beartype.beartype")
