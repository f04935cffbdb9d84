"""The guide for admins of UCS: the German one says what the English one says, and what they name is there."""

import configparser
import re
from importlib.metadata import entry_points

import pytest

from tests.support.protos import ROOT
from tests.support.ucr import PACKAGE, UCS

ENGLISH, GERMAN = ((UCS / name).read_text(encoding="utf-8") for name in ("README.md", "README.de.md"))
BOTH = pytest.mark.parametrize("text", [ENGLISH, GERMAN], ids=["en", "de"])
# Of mtpolicyctl itself.
OWN_COMMANDS = {"show-config"}


def commands(text: str) -> list[str]:
    """The lines of the code blocks, without what is said of them in the language of the guide."""
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line.partition("#")[0].rstrip() for block in blocks for line in block.splitlines()]


def test_both_have_the_same_commands_in_the_same_order() -> None:
    """From the installation to the removal."""
    assert commands(GERMAN) == commands(ENGLISH)
    steps = [
        "univention-install univention-mtpolicyd",
        "univention-mtpolicyd-activate --observe",
        "mtpolicyctl report --since 7d",
        "ucr set mtpolicyd/countrymode=enforce mtpolicyd/quotamode=enforce",
        "univention-remove univention-mtpolicyd",
    ]
    assert [line for line in commands(ENGLISH) if line in steps] == steps


def test_both_have_the_same_parts() -> None:
    """Headings, rows of tables, paragraphs of their own, links."""
    for pattern in (r"^#+ ", r"^\| ", r"^\*\*", r"\]\((?!README)[^)]+\)"):
        english, german = (re.findall(pattern, text, re.MULTILINE) for text in (ENGLISH, GERMAN))
        assert german == english, pattern


@BOTH
def test_what_is_named_is_there(text: str) -> None:
    """Variables and commands."""
    described = configparser.ConfigParser(interpolation=None)
    described.read(UCS / f"debian/{PACKAGE}.univention-config-registry-variables", encoding="utf-8")
    known = {point.name for point in entry_points(group="mtpolicyd.commands")} | OWN_COMMANDS

    variables = set(re.findall(r"(?<![a-z-])mtpolicyd/[a-z]+", text))
    assert len(variables) > 10
    assert variables <= set(described.sections())
    assert set(re.findall(r"mtpolicyctl ([a-z-]+)", text)) <= known


def test_units_that_a_document_names_are_there() -> None:
    """Those of the runbooks, too, which are read when something is down."""
    units = {path.name for place in ("systemd", "ucs") for path in (ROOT / "deploy" / place).iterdir()}
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *UCS.glob("*.md")]
    text = "".join(path.read_text(encoding="utf-8") for path in documents)
    named = set(re.findall(r"univention-mtpolicyd[a-z-]*\.(?:service|socket|timer|target)", text))

    assert named
    assert named <= units
