"""The channel of a trial that is trained in the study's own process, by whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable

from greyhound.jobs import Answer, Choice, Constraint, Message, Note, Progress
from greyhound.trial import Verdict


class Direct:
    """Tells the study at once.

    report: takes a report and gives the answer. record: takes what else a training says of its trial.
    """

    def __init__(
        self, report: Callable[[Progress], Answer], record: Callable[[Note | Constraint | Choice], None]
    ) -> None:
        self._report = report
        self._record = record
        self._answer: Answer | None = None

    def send(self, message: Message) -> None:
        """Report or record it; the answer to a report is kept where the training waits for it or has to end."""
        if isinstance(message, Progress):
            answer = self._report(message)
            if message.waits or answer.verdict is not Verdict.CONTINUE:
                self._answer = answer
        elif isinstance(message, Note | Constraint | Choice):
            self._record(message)

    def answer(self, wait: bool) -> Answer | None:
        """The verdict on the last report."""
        answer, self._answer = self._answer, None
        return answer
