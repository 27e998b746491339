"""What a worker does for one candidate: fit and score it on one fold after another, or pass by pass.

Each fold is a step of the training that Greyhound tunes: it is reported, may be the last (racing), and is not
done twice where a search is taken up again. With `passes` a step is a pass over the data by `partial_fit`, of
the models of all folds.
"""

from __future__ import annotations

import contextlib
import pickle
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object, process_routing
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_method_params

from greyhound.errors import StudyError
from greyhound.evaluators.live import LiveTrial
from greyhound.integrations.sklearn.spaces import Translation


@dataclass
class Folds:
    """A training function for trials of a search.

    splits: pairs of train and test indices. scorer: from (estimator, X, y) to a number or a dict of them.
    error_score: the score of a fit that failed, or "raise". objectives: metrics of which the mean over the folds
    is reported under their own names; names: all metrics, as far as they are known. passes: None, or how many
    passes of `partial_fit` a training has. kept: whether finished
    folds, or half-trained models, go into a checkpoint. config: scikit-learn's settings, which hold in every worker;
    by default those of the process that makes this.
    """

    estimator: Any
    translation: Translation
    X: Any
    y: Any
    splits: Sequence[tuple[Any, Any]]
    scorer: Any
    objectives: Sequence[str]
    names: Sequence[str]
    error_score: Any
    return_train_score: bool
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    passes: int | None = None
    kept: bool = False
    config: Mapping[str, Any] = field(default_factory=get_config)

    def __call__(self, trial: LiveTrial) -> None:
        """Train and report a trial. An exception of the estimator's passes where error_score is "raise"."""
        with config_context(**self.config):
            if self.passes is None:
                self._fold_by_fold(trial)
            else:
                self._pass_by_pass(trial)

    def metric_names(self) -> list[str]:
        """The names of the metrics that scoring gives, of the estimator as it is on the first fold.

        "score" alone where that cannot be fitted or scored.
        """
        model, metrics = _Model(self, {}, 0), dict[str, float]()
        with contextlib.suppress(Exception):  # a candidate that can be fitted will tell
            model.fit()
            model.score(metrics)
        prefix = "split0_test_"
        return [key.removeprefix(prefix) for key in metrics if key.startswith(prefix)] or ["score"]

    def explain(self, configuration: Mapping[str, Any]) -> None:
        """Go through all folds of a configuration here, to raise what a worker met.

        ValueError where no fold could be fitted, as scikit-learn's searches raise it.
        """
        failures: list[Exception] = []
        for fold in range(len(self.splits)):
            model = _Model(self, configuration, fold)
            try:
                model.go_on() if self.passes is not None else model.fit()
            except Exception as error:
                if self.error_score == "raise":
                    raise
                failures.append(error)
                continue
            model.score({})
        if len(failures) == len(self.splits):
            raise ValueError(f"All the fits failed: {type(failures[0]).__name__}: {failures[0]}") from failures[0]
        if failures:
            raise failures[0]

    def _fold_by_fold(self, trial: LiveTrial) -> None:
        metrics: dict[str, float] = {}
        start = trial.checkpoint(scores=_Scores(metrics)) if self.kept else 0
        for fold in range(start, len(self.splits)):
            model = _Model(self, trial.params, fold)
            self._measured(trial, model, metrics, model.fit)
            trial.report_metrics(fold + 1, {**metrics, **self._means(metrics)})

    def _pass_by_pass(self, trial: LiveTrial) -> None:
        metrics: dict[str, float] = {}
        models = [_Model(self, trial.params, fold) for fold in range(len(self.splits))]
        start = trial.checkpoint(models=_Models(models)) if self.kept else 0
        for step in range(start, self.passes or 0):
            for model in models:
                self._measured(trial, model, metrics, model.go_on)
            trial.report_metrics(step + 1, {**metrics, **self._means(metrics)})

    def _measured(self, trial: LiveTrial, model: _Model, metrics: dict[str, float], train: Any) -> None:
        """Train and score a model; its split's scores and times are written into `metrics`."""
        begin = time.perf_counter()
        try:
            train()
            fitted = time.perf_counter()
            model.score(metrics)
        except Exception:
            if self.error_score == "raise":
                raise
            fitted = time.perf_counter()
            trial.set_user_attr("fit failed", traceback.format_exc(limit=-3))
            parts = ("test", "train") if self.return_train_score else ("test",)
            metrics.update(
                {f"split{model.fold}_{part}_{name}": self.error_score for name in self.names for part in parts}
            )
        key = f"split{model.fold}_fit_time"
        before = metrics.get(key, 0.0) if self.passes is not None else 0.0
        metrics[key] = before + fitted - begin
        metrics[f"split{model.fold}_score_time"] = time.perf_counter() - fitted

    def _means(self, metrics: Mapping[str, float]) -> dict[str, float]:
        means = {}
        for name in self.objectives:
            end = f"_test_{name}"
            values = [value for key, value in metrics.items() if key.startswith("split") and key.endswith(end)]
            if not values:
                raise StudyError(f"scoring gives no {name!r}; name by refit= one of the metrics that it gives.")
            means[name] = fmean(values)
        return means


class _Model:
    """The estimator of one candidate on one fold."""

    def __init__(self, job: Folds, configuration: Mapping[str, Any], fold: int) -> None:
        self.job, self.fold = job, fold
        self.train, self.test = job.splits[fold]
        self.params = job.translation.params(configuration)
        self.estimator: Any = None

    def fit(self) -> None:
        """Train it from the beginning."""
        estimator, X, y, params = self._begin()
        estimator.fit(X, y, **params) if y is not None else estimator.fit(X, **params)

    def go_on(self) -> None:
        """One pass more of `partial_fit`."""
        estimator, X, y, params = self._begin() if self.estimator is None else self._data()
        one_pass(estimator, X, y, params)

    def score(self, metrics: dict[str, float]) -> None:
        """Write the scores of this fold into `metrics`, as "split0_test_accuracy"."""
        job = self.job
        for part, indices in (("test", self.test), ("train", self.train)):
            if part == "test" or job.return_train_score:
                X, y = _safe_split(self.estimator, job.X, job.y, indices, self.train)
                params = _check_method_params(job.X, params=job.score_params, indices=indices)
                args = (self.estimator, X, y) if y is not None else (self.estimator, X)
                for name, value in named(job.scorer(*args, **params)).items():
                    if isinstance(value, str):  # the traceback of one of several scorers
                        value = job.error_score
                    metrics[f"split{self.fold}_{part}_{name}"] = float(value)

    def _begin(self) -> tuple[Any, Any, Any, dict[str, Any]]:
        self.estimator = clone(self.job.estimator).set_params(**clone(self.params, safe=False))
        return self._data()

    def _data(self) -> tuple[Any, Any, Any, dict[str, Any]]:
        X, y = _safe_split(self.estimator, self.job.X, self.job.y, self.train)
        return self.estimator, X, y, _check_method_params(self.job.X, params=self.job.fit_params, indices=self.train)


def one_pass(estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> None:
    """One pass of `partial_fit`; of a pipeline's last step, behind the others, which are fitted once.

    params: arguments for the estimator's fit; a pipeline's as its own fit takes them.
    """
    last = estimator
    if isinstance(estimator, Pipeline):
        last, before = estimator[-1], estimator[:-1]
        of_others, params = _of_steps(estimator, params)
        fresh = not hasattr(last, "n_features_in_")
        if len(before):
            X = before.fit_transform(X, y, **of_others) if fresh else before.transform(X)
    if is_classifier(last):
        last.partial_fit(X, y, classes=_classes(last, y), **params)
    else:
        last.partial_fit(X, y, **params) if y is not None else last.partial_fit(X, **params)


def _classes(classifier: Any, y: Any) -> Any:
    """The classes in y; a list of those of each column where the classifier trains a model a column."""
    if get_tags(classifier).target_tags.single_output:
        return unique_labels(y)
    return [unique_labels(column) for column in np.asarray(y).T]


def _of_steps(pipeline: Pipeline, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pipeline's arguments for fit: those of all steps but the last, and the last one's as that calls them."""
    name = pipeline.steps[-1][0]
    if get_config()["enable_metadata_routing"]:
        others = get_routing_for_object(pipeline[:-1]).consumes("fit_transform", params) if len(pipeline) > 1 else ()
        routed = process_routing(pipeline, "fit", **params)
        return {key: params[key] for key in others}, dict(routed[name].fit)
    mine = {key.removeprefix(f"{name}__"): value for key, value in params.items() if key.startswith(f"{name}__")}
    return {key: value for key, value in params.items() if not key.startswith(f"{name}__")}, mine


def check_fit_params(estimator: Any, params: Mapping[str, Any]) -> None:
    """StudyError where an argument for a pipeline's fit names no step of it."""
    if not isinstance(estimator, Pipeline) or get_config()["enable_metadata_routing"]:
        return
    steps = [name for name, _ in estimator.steps]
    for key in params:
        step, _, argument = key.partition("__")
        if step not in steps or not argument:
            raise StudyError(
                f"fit: {key!r} is for no step of the pipeline; write step__argument, as in {steps[-1]}__sample_weight."
            )


def can_go_on(estimator: Any) -> bool:
    """Whether there is a partial_fit to train on with."""
    return hasattr(estimator[-1] if isinstance(estimator, Pipeline) else estimator, "partial_fit")


def named(scores: Any) -> dict[str, Any]:
    """Scores by name; a single one is "score"."""
    return dict(scores) if isinstance(scores, Mapping) else {"score": scores}


class _Scores:
    """What was measured so far, kept in the checkpoint of a candidate that is trained fold by fold."""

    def __init__(self, metrics: dict[str, float]) -> None:
        self.metrics = metrics

    def state_dict(self) -> dict[str, float]:
        return dict(self.metrics)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.metrics.update(state)


class _Models:
    """The half-trained models of a candidate. scikit-learn keeps a model's state in no other form than a pickle."""

    def __init__(self, models: Sequence[_Model]) -> None:
        self.models = models

    def state_dict(self) -> dict[str, Any]:
        pickled = pickle.dumps([model.estimator for model in self.models])
        return {"pickled": np.frombuffer(pickled, np.uint8).copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for model, estimator in zip(self.models, pickle.loads(bytes(state["pickled"])), strict=True):
            model.estimator = estimator
