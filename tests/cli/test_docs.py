"""The reference page says what the commands say."""

from pathlib import Path

from greyhound.cli.docs import reference


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text() == reference(), "run: python -m greyhound.cli.docs > docs/cli.md"


def test_an_example_stands_on_one_line():
    assert not [line for line in reference().splitlines() if line.startswith("--")]
