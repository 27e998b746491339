"""The reference page says what the commands say."""

from pathlib import Path

from greyhound.cli.docs import STUDY_FILE, reference
from greyhound.cli.studyfile import read_study_file
from greyhound.evaluators.script import Script


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text() == reference(), "run: python -m greyhound.cli.docs > docs/cli.md"


def test_an_example_stands_on_one_line():
    assert not [line for line in reference().splitlines() if line.startswith("--")]


def test_the_example_of_a_study_file_hands_every_parameter_on(folder):
    (folder / "study.yaml").write_text(STUDY_FILE.partition("```yaml\n")[2].partition("```")[0])
    settings = read_study_file(Path("study.yaml"))
    Script(tuple(settings["command"])).check(settings["space"].names)
