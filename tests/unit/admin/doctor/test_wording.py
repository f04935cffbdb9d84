"""The sentences, in both languages."""

import ast
import re
from pathlib import Path

import pytest

from admin.doctor import wording
from admin.doctor.clients import KINDS
from admin.doctor.wording import language, sentence, term, words

DOCUMENT = Path(wording.__file__).parents[2] / "docs" / "doctor.md"


def test_both_languages_say_the_same_things() -> None:
    """With the same details."""
    english, german = words("en"), words("de")

    assert list(english) == list(german) == ["findings", "terms", "errors"]
    for table in english:
        assert list(english[table]) == list(german[table])
        for name, text in english[table].items():
            assert set(re.findall(r"\{[0-9]\}", text)) == set(
                re.findall(r"\{[0-9]\}", german[table][name])
            ), name


def test_whatever_the_doctor_may_say_has_a_sentence() -> None:
    """And no sentence is left over: what the sources name, as it is or behind `unknown_` and `verdict_`."""
    said: set[str] = set()
    findings: set[str] = set()
    errors: set[str] = set()
    for path in Path(wording.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said |= {node.value, f"unknown_{node.value}", f"verdict_{node.value}"}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
                findings |= {first} if node.func.id == "Finding" and isinstance(first, str) else set()
                raised = node.func.id in ("OptionError", "PostfixMissing")
                errors |= {first} if raised and isinstance(first, str) else set()
    said |= {kind.name for kind in KINDS}

    assert findings - {""} <= set(words("en")["findings"]) <= said
    assert errors == set(words("en")["errors"])
    assert set(words("en")["terms"]) <= said


@pytest.mark.parametrize(
    ("variables", "wanted", "found"),
    [
        ({}, "", "en"),
        ({"LANG": "de_DE.UTF-8"}, "", "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "", "en"),
        ({"LANG": "C"}, "de", "de"),
        ({"LANG": "fr_FR"}, "", "en"),
    ],
)
def test_the_locale_chooses(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: str, found: str
) -> None:
    """Unless a language is named."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert language(wanted) == found


def test_details_are_taken_as_they_are() -> None:
    """Braces in them mean nothing."""
    assert "{9}" in sentence("ucr_unread", "en", ("{9}",))
    assert term("covered", "de") == "abgedeckt"


def test_the_document_lists_all_findings() -> None:
    """In the words of the output, in their order."""
    lines = DOCUMENT.read_text().splitlines()
    first = lines.index("## Findings") + 6
    rows = [f"| `{name}` | {' '.join(text.split())} |" for name, text in words("en")["findings"].items()]

    assert lines[first : lines.index("", first)] == rows
