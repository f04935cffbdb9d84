"""The sentences, in both languages."""

import re

import pytest

from admin.doctor.wording import language, sentence, term, words


def test_both_languages_say_the_same_things() -> None:
    """With the same details."""
    english, german = words("en"), words("de")

    for table in ("findings", "terms"):
        assert list(english[table]) == list(german[table])
        for name, text in english[table].items():
            assert set(re.findall(r"\{[0-9]\}", text)) == set(
                re.findall(r"\{[0-9]\}", german[table][name])
            ), name


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
    assert "{9}" in sentence("milter", "en", ("{9}",))
    assert term("covered", "de") == "abgedeckt"
