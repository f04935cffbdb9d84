"""What a template becomes."""

import re
import subprocess
import sys
from pathlib import Path

from .layers import ConfigRegistry

VARIABLE, CODE = "@%@", "@!@"
WARNING = "Warning: This file is auto-generated. Edit instead:"
BEFORE_THE_CODE = """
import univention.config_registry
configRegistry = univention.config_registry.ConfigRegistry()
configRegistry.load()
"""


def render(template: str, registry: ConfigRegistry, source: Path) -> str:
    """First all variables, then all code, each time from the beginning of what there is by then."""
    while parts := _split(template, VARIABLE):
        before, name, after = parts
        warning = re.fullmatch(r"UCRWARNING(?:_ASCII)?=(.*)", name)
        if warning:
            value = "\n".join(f"{warning[1]}{line}" for line in (WARNING, f"\t{source}"))
        else:
            value = registry.get(name) or ""
        template = before + value + after
    while parts := _split(template, CODE):
        before, code, after = parts
        template = before + _run(code) + after
    return template


def _split(text: str, mark: str) -> tuple[str, str, str] | None:
    found = text.split(mark, 2)
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable],
        input=BEFORE_THE_CODE + code + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=False,  # an error of the code is on standard error, and what it has printed is taken
    )
    return done.stdout
