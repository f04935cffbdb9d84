"""docs/admin.md says what the commands print."""

from pathlib import Path

from tests.support.admin_document import DOCUMENT, Scenario, commands, files, shape


def test_the_outputs_of_the_night_guide_are_real(tmp_path: Path) -> None:
    """In the order of the document; but for times, ids and the like."""
    text = DOCUMENT.read_text()
    with Scenario(tmp_path) as scenario:
        for name, content in files(text).items():
            (tmp_path / name).write_text(content)
        found = [(command, scenario.run(command.text)) for command in commands(text.splitlines())]

    assert len(found) > 15
    for command, output in found:
        assert shape(output) == shape(command.output), command.text
