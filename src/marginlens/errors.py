"""Base class of errors about a caller's input."""

__all__ = ["MarginLensError"]


class MarginLensError(ValueError):
    """Error about an argument, option or file; its message has the expected value.

    A bug of this package or of a library has another type, so that ``except MarginLensError`` does
    not hide it.

    Examples
    --------
    >>> import marginlens as ml
    >>> try:
    ...     ml.measure(5, "C5")
    ... except ml.MarginLensError as error:
    ...     print(error)
    expected a network, module, callable, logits or weights u, v, w, got int; for example
    ml.measure(model, 'C5')
    """
