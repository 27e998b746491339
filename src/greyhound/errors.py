"""Everything that Greyhound raises on purpose.

    GreyhoundError
    ├── SpaceError            a parameter, condition, constraint or configuration is wrong
    ├── StudyError            a study is used or configured wrongly
    │   └── BudgetError       a budget that cannot be read
    ├── StorageError          a study file or database cannot be used
    ├── CheckpointError       a checkpoint cannot be written or read
    ├── EvaluationError       a training function or script cannot be run at all
    ├── GreyError             a series that a grey model cannot use
    ├── CurveError            a learning curve that cannot be forecast
    └── MissingExtraError     an optional dependency is not installed

    TrialEnded (BaseException)
    ├── TrialPaused           the training stops here and may go on later
    └── TrialStopped          the training stops here for good

`TrialPaused` and `TrialStopped` are how `trial.report` leaves a training function. They derive
from `BaseException`, as `KeyboardInterrupt` does, so that an `except Exception` in a training
loop does not swallow them. `TrialPruned` is what an objective written for Optuna raises itself.
"""


class GreyhoundError(Exception):
    """The root of all errors that Greyhound raises for its user to read."""


class SpaceError(GreyhoundError, ValueError):
    """A parameter, condition, constraint or configuration is wrong."""


class StudyError(GreyhoundError):
    """A study is used or configured wrongly."""


class BudgetError(StudyError, ValueError):
    """A budget that cannot be read."""


class StorageError(GreyhoundError):
    """A study file or database cannot be used."""


class CheckpointError(GreyhoundError):
    """A checkpoint cannot be written or read."""


class EvaluationError(GreyhoundError):
    """A training function or script cannot be run at all."""


class GreyError(GreyhoundError, ValueError):
    """A series, an argument or a fit that a grey model cannot use; the message says what to give instead."""


class CurveError(GreyhoundError, ValueError):
    """A learning curve or an argument of its forecast is wrong."""


class MissingExtraError(GreyhoundError, ImportError):
    """An optional dependency is not installed; the message names the `pip install` that brings it."""


class TrialEnded(BaseException):
    """Leaves a training function because its trial is to go no further now."""


class TrialPaused(TrialEnded):
    """The training stops here, at its checkpoint, and may go on later."""


class TrialStopped(TrialEnded):
    """The training stops here for good."""


class TrialPruned(GreyhoundError):  # noqa: N818 (the name that objectives use)
    """Raised by an objective that ends itself after `trial.should_prune()` said so."""
