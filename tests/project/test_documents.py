"""The documents say what the code does."""

import re

from chassis.config import CONFIG
from chassis.ctl import settings_example, settings_table
from chassis.settings import declarations, registered
from tests.support.protos import ROOT


def test_the_settings_table_in_the_readme_is_current() -> None:
    """It is the output of `mtpolicyctl settings`."""
    readme = (ROOT / "README.md").read_text()

    assert "\n".join(settings_table()) in readme


def test_the_example_of_the_settings_file_is_current() -> None:
    """It is the output of `mtpolicyctl settings --toml`."""
    example = (ROOT / "deploy/settings.example.toml").read_text()

    assert example == "\n".join(settings_example()) + "\n"


def test_every_setting_that_a_document_names_exists() -> None:
    """No document speaks of a setting that was renamed."""
    names = {item.name for item in declarations(registered().values())} | {CONFIG}
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
    ]
    spoken = {
        name for document in documents for name in re.findall(r"MTPOLICYD_[A-Z_]+[A-Z]", document.read_text())
    }

    assert {name for name in spoken - names if not name.startswith("MTPOLICYD_TEST_")} == set()


def test_every_metric_and_event_that_the_readme_names_exists() -> None:
    """What the admin is told to look for is there."""
    readme = (ROOT / "README.md").read_text()
    sources = "".join(
        path.read_text()
        for package in ("chassis", "frontend", "decision", "quota")
        for path in ROOT.glob(f"{package}/**/*.py")
    )
    metrics = set(re.findall(r"\bmtpolicyd_([a-z_]+)", readme))
    events = set(re.findall(r"\bevent=([a-z_]+)", readme))

    assert len(metrics) > 10
    assert len(events) > 10
    assert {name for name in metrics | events if f'"{name}"' not in sources} == set()


def test_lock_files_name_no_registry() -> None:
    """Whoever installs chooses where from; the hashes say what."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"index-url|find-links|https?://|file://", text)


def test_every_package_of_the_tests_has_an_init_file() -> None:
    """A folder `tests/unit/frontend` without one would hide the real `frontend`."""
    folders = {path.parent for path in ROOT.glob("tests/**/*.py")}

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_has_a_unit_test_of_its_name() -> None:
    """Except what only joins others, which the integration tests run."""
    joins = {"__init__", "__main__", "app", "interface", "errors"}
    modules = [
        path.relative_to(ROOT)
        for package in ("chassis", "frontend", "decision", "quota", "admin", "bench")
        for path in ROOT.glob(f"{package}/**/*.py")
        if path.stem not in joins
    ]

    assert [
        str(module)
        for module in modules
        if not (ROOT / "tests/unit" / module.with_name(f"test_{module.name}")).exists()
    ] == []


def test_every_module_for_ucs_has_a_test_of_its_name() -> None:
    """Except what only speaks with UCR, systemd or Postfix, which tests/ucs does with all of them."""
    speaks = {"__init__", "covering", "deployment", "firewall", "in_force", "places", "postfix", "proving"}
    speaks |= {"compose", "registry", "systemd", "telling"}
    modules = {path.stem for path in ROOT.glob("deploy/ucs/mtpolicyd_ucs/*.py")}
    tests = [*ROOT.glob("tests/unit/mtpolicyd_ucs/test_*.py"), *ROOT.glob("tests/ucs/test_*.py")]

    assert modules - speaks - {path.stem.removeprefix("test_") for path in tests} == set()
