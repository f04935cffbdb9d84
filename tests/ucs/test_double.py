"""The double does what is known of the real UCR."""

from pathlib import Path

from tests.support.ucr import Ucr

MODULE = """
def postinst(config_registry, changes):
    with open({log!r}, "a") as log:
        log.write(repr(sorted(changes.items())) + "\\n")
"""


def test_layers_beat_each_other(ucr: Ucr) -> None:
    """A policy of the directory beats what was set by hand, and is beaten by force."""
    layers = [[], ["--ldap-policy"], ["--schedule"], ["--force"]]
    for number, layer in enumerate(layers):
        ucr("set", *layer, f"test/value={number}")
        assert ucr("get", "test/value").stdout == f"{number}\n"
    for number, layer in reversed(list(enumerate(layers))):
        assert ucr("get", "test/value").stdout == f"{number}\n"
        ucr("unset", *layer, "test/value")
    assert ucr("get", "test/value", check=False).returncode == 1


def test_a_question_mark_sets_only_what_is_not_set(ucr: Ucr) -> None:
    """As maintainer scripts do."""
    ucr("set", "test/value?1")
    ucr("set", "test/value?2")

    assert ucr("get", "test/value").stdout == "1\n"


def test_a_value_in_the_place_of_a_variable_is_executed(ucr: Ucr) -> None:
    """That is the hole which a template must not have: variables come first, then code."""
    ucr.template("etc/careless", "value: @%@test/value@%@\n", variables="test/.*")
    ucr("set", "test/value=@!@print(6 * 7)@!@")

    assert (ucr.root / "etc/careless").read_text() == "value: 42\n\n"


def test_what_code_prints_is_executed_too(ucr: Ucr) -> None:
    """The result is looked through from its beginning."""
    ucr.template("etc/careless", '@!@\nprint(configRegistry.get("test/value"))\n@!@', variables="test/.*")
    ucr("set", "test/value=@!@print(6 * 7)@!@")

    assert (ucr.root / "etc/careless").read_text().strip() == "42"


def test_the_forms_of_changes(ucr: Ucr, tmp_path: Path) -> None:
    """Pairs on set; values, of names that nobody has, on commit; patterns for names on register."""
    log = tmp_path / "log"
    ucr.template("etc/file", "text\n", variables="test/.*\nPostinst: test.py")
    (ucr.root / "etc/univention/templates/modules/test.py").write_text(MODULE.format(log=str(log)))

    ucr("set", "test/value=1")
    ucr("commit", "/etc/file")
    ucr("register", "etc-file")

    assert log.read_text().splitlines() == [
        "[('test/value', (None, '1'))]",
        "[('test/0', None), ('test/1', None), ('test/2', None), ('test/3', None)]",
        "[('test/.*', None)]",
    ]


def test_an_exception_of_a_module_ends_the_command(ucr: Ucr) -> None:
    """What is set is set; what was still to be called is not."""
    ucr.template("etc/file", "text\n", variables="test/.*\nPostinst: test.py")
    module = ucr.root / "etc/univention/templates/modules/test.py"
    module.write_text("def postinst(config_registry, changes):\n    raise ValueError\n")

    assert ucr("set", "test/value=1", check=False).returncode == 1
    assert ucr("get", "test/value").stdout == "1\n"


def test_types_only_warn(ucr: Ucr) -> None:
    """What does not fit is stored."""
    told = ucr("set", "mtpolicyd/debug=9", "mtpolicyd/countrymode=sometimes").stderr

    assert "mtpolicyd/debug: 9 is not between 0 and 4" in told
    assert "mtpolicyd/countrymode: 'sometimes' does not match" in told
    assert ucr("get", "mtpolicyd/debug").stdout == "9\n"
