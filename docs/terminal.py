"""Draws docs/terminal.svg: the live table of a study's first minute, replayed from its journal.

python docs/terminal.py demo/digits.db --at 60
"""

import argparse
import io
from pathlib import Path

from rich.console import Console

from greyhound.display import picture
from greyhound.executors import WorkerInfo
from greyhound.history import History
from greyhound.storage import open_journal
from greyhound.trial import TrialState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="a study file")
    parser.add_argument("--at", type=float, default=60.0, help="seconds after the study began")
    options = parser.parse_args()
    journal = open_journal(options.study)
    events = journal.read(0)
    journal.close()
    now = events[0].time + options.at
    history = History.of(event for event in events if event.time <= now)
    running = sorted(history.numbers(TrialState.RUNNING))
    workers = [WorkerInfo(f"w{at}", "cpu", number) for at, number in enumerate(running)]
    console = Console(record=True, width=104, file=io.StringIO())
    console.print(picture(history, workers, now))
    console.save_svg(str(Path(__file__).with_name("terminal.svg")), title="python examples/digits.py")


if __name__ == "__main__":
    main()
