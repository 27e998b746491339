"""GreyhoundSearchCV: scikit-learn's search estimators, with our samplers, early stopping, workers and journal."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, _fit_context, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state, get_tags, indexable
from sklearn.utils.validation import _check_method_params

from greyhound import events as ev
from greyhound import schedulers
from greyhound.budget import Budget, parse_seconds
from greyhound.display import Quiet, make_display
from greyhound.errors import StudyError
from greyhound.evaluators.function import Function
from greyhound.executors import Executor
from greyhound.integrations.sklearn.fingerprint import fingerprint
from greyhound.integrations.sklearn.folds import Folds, can_go_on, check_fit_params, one_pass
from greyhound.integrations.sklearn.race import Race
from greyhound.integrations.sklearn.results import cv_results
from greyhound.integrations.sklearn.spaces import translate
from greyhound.storage import Journal, open_journal
from greyhound.study import Study
from greyhound.trial import FAILED_STATES, Trial, TrialState
from greyhound.tuning import drive, make_executor
from greyhound.values import show

if TYPE_CHECKING:
    from greyhound.history import History

_LEAST_FOLDS = 3


class GreyhoundSearchCV(BaseSearchCV):  # type: ignore[misc]
    """Search for an estimator's hyperparameters by cross-validation; once fitted it is the best estimator.

    Parameters
    ----------
    estimator : estimator
        What is tuned; a pipeline's parameters are named "step__parameter".
    space : greyhound.Space, dict, list of dicts, or None
        Where to search. In a dict each value is a list, a frozen distribution of scipy, a tuple (low, high) or
        (low, high, "log-uniform"), or a greyhound parameter. A list of dicts is searched in all of them.
    param_distributions : the same
        Another name for `space`, as in RandomizedSearchCV.
    n_trials : int or None
        How many candidates to try; None for as many as the budget allows.
    budget : str or None
        Besides, such as "10 min"; see `greyhound.Study`.
    scoring, n_jobs, refit, cv, verbose, error_score, return_train_score
        As in RandomizedSearchCV; n_jobs counts worker processes. With several metrics and refit=False, or a callable
        refit, all of them are objectives.
    sampler : str, dict or instance
        As in `greyhound.Study`.
    race : bool, str, dict or scheduler
        True gives a candidate up once the folds that are left can hardly make it the best (see Race); False tries
        all folds of all; else a scheduler, for which folds are steps. Races need one objective and three folds.
    passes : int or None
        Train by `partial_fit` for so many passes over the data, with early stopping by `asha`, or by `race` where
        that is a scheduler. The last fit on all data takes as many.
    callbacks : sequence of callables or None
        Each is called with (study, trial) when a trial has ended; the search ends when one returns True.
    trial_timeout : str, float or None
        The longest that a candidate may take, such as "2 min"; it is trained in a worker process then, also where
        n_jobs is 1.
    storage, study_name : str or None
        Keep the search in a file or database; fitting again with the same data, splits, estimator, scoring and
        random_state goes on with it. Without a study_name any other search is a study of its own in the same file,
        as are the outer folds of `cross_validate`; under a given study_name it is refused.
    random_state : int, RandomState or None
        Seeds the sampler.

    After `fit` there is all that RandomizedSearchCV has (`cv_results_`, `best_params_`, `best_estimator_`…), and
    `study_`.
    """

    def __init__(
        self,
        estimator: Any,
        space: Any = None,
        *,
        param_distributions: Any = None,
        n_trials: int | None = 50,
        budget: str | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        sampler: Any = "auto",
        race: Any = True,
        passes: int | None = None,
        callbacks: Sequence[Callable[[Study, Trial], Any]] | None = None,
        trial_timeout: str | float | None = None,
        storage: str | None = None,
        study_name: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.space = space
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.budget = budget
        self.sampler = sampler
        self.race = race
        self.passes = passes
        self.callbacks = callbacks
        self.trial_timeout = trial_timeout
        self.storage = storage
        self.study_name = study_name
        self.random_state = random_state
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None, **params: Any) -> GreyhoundSearchCV:
        """Search, then fit the best candidate on all data (unless refit=False); the estimator itself.

        X, y: the data; params: arguments for the estimator's fit, the scorer and the splitter, as in
        RandomizedSearchCV. ValueError where all fits failed, SpaceError or StudyError for a wrong argument.
        """
        if y is None and get_tags(self.estimator).target_tags.required:
            raise ValueError(f"{type(self.estimator).__name__} requires y to be passed, but the target y is None.")
        translation = translate(self._given_space())
        scorers, metric = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(splits)
        names, objectives = self._metrics(scorers, metric)
        passes = self._passes(routed.estimator.fit)
        folds = Folds(
            estimator=clone(self.estimator),
            translation=translation,
            X=X,
            y=y,
            splits=splits,
            scorer=scorers,
            objectives=objectives,
            names=names,
            error_score=self.error_score,
            return_train_score=self.return_train_score,
            fit_params=routed.estimator.fit,
            score_params=routed.scorer.score,
            passes=passes,
        )
        if callable(self.scoring) and (callable(self.refit) or not self.refit):
            folds.names = folds.objectives = folds.metric_names()
        context = None
        if hasattr(self, "_init_callback_context"):  # scikit-learn's own callbacks, from its version 1.9 on
            context = self._init_callback_context(max_subtasks=0)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y, metadata=None)
        self.study_ = self._search(folds)
        self._conclude(folds, scorers, metric)
        if self.refit:
            self._refit(X, y, routed.estimator.fit)
        if context is not None:
            context.call_on_fit_task_end(estimator=self, X=X, y=y, metadata=None)
        return self

    def __sklearn_tags__(self) -> Any:
        """What the estimator takes, the search takes."""
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("input_tags", "target_tags"):
            setattr(tags, name, deepcopy(getattr(inner, name)))
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Without the study, which holds files and locks; `cv_results_` says what came of it."""
        return {name: value for name, value in super().__getstate__().items() if name != "study_"}

    def _given_space(self) -> Any:
        if (self.space is None) == (self.param_distributions is None):
            raise StudyError("GreyhoundSearchCV: give the space to search, as space or as param_distributions.")
        return self.space if self.space is not None else self.param_distributions

    def _metrics(self, scorers: Any, metric: Any) -> tuple[list[str], list[str]]:
        """Names of the metrics, as far as they are known beforehand, and of the objectives among them."""
        several = list(getattr(scorers, "_scorers", ())) if not isinstance(self.scoring, str | None) else []
        if isinstance(self.refit, str) and (callable(self.scoring) or self.refit in several):
            return several or [self.refit], [self.refit]
        return (several, several) if several else (["score"], ["score"])

    def _search(self, folds: Folds) -> Study:
        callbacks: Any = self.callbacks or ()
        if not isinstance(callbacks, Iterable) or not all(map(callable, callbacks)):
            raise StudyError(f"callbacks: give a list of functions of a study and a trial; got {show(callbacks)}.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        steps = folds.passes or self.n_splits_
        scheduler = self._scheduler(steps, len(folds.objectives))
        folds.kept = self.storage is not None or not (scheduler == "none" or isinstance(scheduler, Race))
        budget = self._budget()
        fixed_seed = int(self.random_state) if isinstance(self.random_state, Integral) else None
        mark = fingerprint(folds, fixed_seed) if self.storage is not None else None
        study = Study(
            folds.translation.space,
            maximize=folds.objectives,
            sampler=self.sampler,
            scheduler=scheduler,
            max_steps=steps,
            budget=budget,
            seed=seed,
            storage=self._journal(mark) if mark is not None else None,
            name=self.study_name,
            target={"search": mark} if mark is not None else None,
        )
        jobs, timeout_s = effective_n_jobs(self.n_jobs), parse_seconds(self.trial_timeout, "trial_timeout")
        executor = make_executor(
            Function(folds),
            workers="serial" if jobs == 1 and timeout_s is None else jobs,
            gpus_per_trial=0,
            trial_timeout_s=timeout_s,
        )
        watch = _Watch(study, list(callbacks), self.verbose, raises=self.error_score == "raise")
        interrupted = False
        try:
            interrupted = drive(study, executor, watch)
        except _EnoughError:
            pass
        except _FailedError as failed:
            folds.explain(study.history.trial(failed.number).params)
            raise RuntimeError(failed.error) from None
        if interrupted:
            raise KeyboardInterrupt
        return study

    def _journal(self, mark: str) -> Journal:
        """The journal of the search with this fingerprint; StudyError where that of the name is another search's."""
        journal = open_journal(self.storage, self.study_name or f"search-{mark[:12]}")
        for event in journal.read(0):
            if isinstance(event, ev.Declared) and event.settings["target"].get("search") != mark:
                journal.close()
                raise StudyError(
                    f"{self.storage}: study {self.study_name!r} was searched with other data, splits, estimator, "
                    f"scoring or random_state; give another study_name or storage, or leave study_name out."
                )
        return journal

    def _passes(self, fit_params: Mapping[str, Any]) -> int | None:
        """How many passes over the data a training has, checked; None where it is not trained by passes."""
        wanted: Any = self.passes
        if wanted is None:
            return None
        if isinstance(wanted, bool) or not isinstance(wanted, Integral) or wanted < 1:
            raise StudyError(f"passes must be a whole number of at least 1, or None; got {wanted!r}.")
        if not can_go_on(self.estimator):
            raise StudyError(f"passes needs an estimator with partial_fit; {self.estimator!r} has none.")
        check_fit_params(self.estimator, fit_params)
        return int(wanted)

    def _scheduler(self, steps: int, objectives: int) -> Any:
        if not isinstance(self.race, bool | str | Mapping) and not hasattr(self.race, "traits"):
            raise StudyError(
                f"race must be True, False, the name of a scheduler, or one such as Race(alpha=0.1); got {self.race!r}."
            )
        if not isinstance(self.race, bool):
            return self.race
        if self.passes is not None:
            return schedulers.choose(steps, objectives) if self.race else "none"
        return Race() if self.race and objectives == 1 and steps >= _LEAST_FOLDS else "none"

    def _budget(self) -> Budget:
        budget = Budget() if self.budget is None else Budget.parse(self.budget)
        if self.n_trials is None:
            if budget.unlimited:
                raise StudyError("GreyhoundSearchCV: give n_trials, or a budget such as '10 min'.")
            return budget
        wanted: Any = self.n_trials
        if isinstance(wanted, bool) or not isinstance(wanted, Integral) or wanted < 1:
            raise StudyError(f"n_trials must be a whole number of at least 1, or None; got {self.n_trials!r}.")
        trials = int(self.n_trials) if budget.trials is None else min(int(self.n_trials), budget.trials)
        return Budget(seconds=budget.seconds, trials=trials, steps=budget.steps, device_seconds=budget.device_seconds)

    def _conclude(self, folds: Folds, scorers: Any, metric: Any) -> None:
        """Set the results of the search; warn of fits that failed, or raise where all did."""
        trials = [trial for trial in self.study_.trials if trial.reports or trial.state.final]
        broken = FAILED_STATES - {TrialState.DIVERGED}
        bad = [trial for trial in trials if trial.state in broken or "fit failed" in trial.attrs]
        if bad:
            why = bad[0].attrs.get("fit failed") or bad[0].error
            if len(bad) == len(trials):
                folds.explain(trials[0].params)
                raise ValueError(f"all {len(bad)} candidates failed to fit. The first:\n{why}")
            warnings.warn(
                f"{len(bad)} of {len(trials)} candidates failed to fit and count as error_score={self.error_score}. "
                f"The first:\n{why}",
                FitFailedWarning,
                stacklevel=3,
            )
        if not trials:
            raise ValueError("No fits were performed: the budget was spent before the first.")
        names = _measured(trials) or list(folds.names)
        several = getattr(scorers, "_scorers", None)
        single = several is None and names == ["score"]
        self.multimetric_ = not single
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(dict.fromkeys(names))
            metric = self.refit
        candidates = [folds.translation.params(trial.params) for trial in trials]
        results = cv_results(trials, candidates, names, self.n_splits_, self.return_train_score)
        if self.refit or single:
            self.best_index_ = int(self._select_best_index(self.refit, metric, results))
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        self.scorer_ = several if several is not None and self.multimetric_ else scorers
        self.cv_results_ = results

    def _refit(self, X: Any, y: Any, fit_params: dict[str, Any]) -> None:
        begin = time.time()
        estimator: BaseEstimator = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        if self.passes is not None:
            for _ in range(self.passes):
                one_pass(estimator, X, y, fit_params)
        elif y is not None:
            estimator.fit(X, y, **fit_params)
        else:
            estimator.fit(X, **fit_params)
        self.refit_time_ = time.time() - begin
        self.best_estimator_ = estimator
        if hasattr(estimator, "feature_names_in_"):
            self.feature_names_in_ = estimator.feature_names_in_


def _measured(trials: Sequence[Trial]) -> list[str]:
    """Names of the metrics that were measured on any fold, in the order in which they came."""
    found: dict[str, None] = {}
    for trial in trials:
        for key in trial.metrics:
            split, marker, name = key.partition("_test_")
            if marker and split.startswith("split"):
                found[name] = None
    return list(found)


class _EnoughError(Exception):
    """A callback ended the search."""


class _FailedError(Exception):
    """A candidate failed, and error_score is "raise"."""

    def __init__(self, number: int, error: str) -> None:
        super().__init__(error)
        self.number, self.error = number, error


class _Watch(Quiet):
    """What shows the search, calls the callbacks, and ends it where a failure is to be raised."""

    def __init__(self, study: Study, callbacks: Sequence[Callable[..., Any]], verbose: int, raises: bool) -> None:
        self._study, self._callbacks, self._raises = study, callbacks, raises
        self._inner = make_display("lines" if verbose else False)
        self._told: set[int] = {trial.number for trial in study.trials if trial.state.final}

    def update(self, history: History, executor: Executor) -> None:
        self._inner.update(history, executor)
        if not self._callbacks:
            return
        ended = history.numbers(TrialState.COMPLETED, TrialState.STOPPED, *FAILED_STATES)
        for number in sorted(set(ended) - self._told):
            self._told.add(number)
            answers = [callback(self._study, history.trial(number)) for callback in self._callbacks]
            if True in answers:
                raise _EnoughError

    def warn(self, text: str) -> None:
        self._inner.warn(text)

    def failed(self, number: int, state: TrialState, error: str) -> None:
        if self._raises:
            raise _FailedError(number, error)
        self._inner.failed(number, state, error)

    def finish(self, study: Study, interrupted: bool) -> None:
        self.update(study.history, None)  # type: ignore[arg-type]
