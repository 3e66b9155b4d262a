"""Package description from the README; everything else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup


def description(readme: str) -> str:
    """README as a package index shows it, which has neither its pictures nor its other files.

    Parameters
    ----------
    readme
        Markdown text; of pictures with a relative address the caption stays, of links the text.
    """
    readme = re.sub(r"!\[([^\]]*)\]\((?!https?:)[^)]*\)", r"*(Figure: \1)*", readme)
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)[^)]*\)", r"\1", readme)


setup(
    long_description=description((Path(__file__).parent / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
