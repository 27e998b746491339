"""The ready spaces of pipelines: everything in them can be built and fitted, and a search over them works."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from threadpoolctl import threadpool_limits

import greyhound as gh
from greyhound.errors import SpaceError
from greyhound.integrations import pipelines
from greyhound.integrations.sklearn import GreyhoundSearchCV

READY = {"classifier": pipelines.classifier(seed=0), "regressor": pipelines.regressor(seed=0)}
DATA = {"classifier": load_iris(return_X_y=True), "regressor": load_diabetes(return_X_y=True)}


@pytest.fixture(autouse=True)
def _quiet():
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that converge badly: a search meets such
        yield


@pytest.mark.parametrize("task", READY)
def test_each_choice_with_the_ends_of_its_ranges_can_be_fitted(task):
    ready, (X, y) = READY[task], DATA[task]
    X, y = X[::3], y[::3]
    assert len(ready.space["model"].choices) >= 8
    default = ready.space.default()
    assert ready.space.validate(default) == default
    rng = np.random.default_rng(0)
    for step in ("scale", "select", "transform", "model"):
        for choice in ready.space[step].choices:
            for end in (0.1, 0.9):
                point = {name: parameter.decode(end) for name, parameter in ready.space.parameters.items()}
                point |= {name: ready.space[name].default for name in ("scale", "select", "transform", "model")}
                if step != "model":
                    point["model"] = "tree"
                point[step] = choice
                for name in point:
                    if name.endswith((".n_estimators", ".max_iter")):
                        point[name] = 20
                params = {name: point[name] for name in ready.space.active(point)}
                fitted = ready.build(params).fit(X, y)
                assert np.isfinite(fitted.predict(X).astype(float)).all()
    assert ready.build(ready.space.sample(rng)) is not ready.build(ready.space.default())


def test_hyperparameters_exist_only_where_their_model_was_chosen():
    ready = READY["classifier"]
    params = ready.params(ready.space.default())
    assert set(params) == {"scale", "select", "transform", "model"} | {
        f"model__{name.partition('.')[2]}" for name in ready.space if name.startswith("forest.")
    }
    built = ready.build({**ready.space.default(), "forest.n_estimators": 33})
    assert built.named_steps["model"].n_estimators == 33
    assert ready.estimator.named_steps["model"].n_estimators == 100


def test_some_families_only():
    ready = pipelines.regressor(["ridge", "neighbours"])
    assert ready.space["model"].choices == ("ridge", "neighbours")
    with pytest.raises(SpaceError, match="there is no model family 'xgboost'; there are forest, extra_trees"):
        pipelines.classifier(["xgboost"])
    with pytest.raises(SpaceError, match=r"model families are given in a list, as in \['lda'\]; got 'lda'"):
        pipelines.classifier("lda")


def test_a_search_over_pipelines():
    ready = pipelines.classifier(["tree", "lda", "neighbours", "naive_bayes"], seed=0)
    search = GreyhoundSearchCV(ready.estimator, ready, n_trials=14, cv=5, random_state=0).fit(*DATA["classifier"])
    assert search.best_score_ > 0.96
    assert search.study_.baseline.params["model"] == "tree"
    assert search.cv_results_["n_splits_done"].sum() < 14 * 5
    assert search.predict(DATA["classifier"][0][:3]).tolist() == [0, 0, 0]


def test_missing_values_are_imputed_and_a_training_of_ones_own_works():
    X, y = DATA["regressor"]
    X = X.copy()
    X[::7, 2] = np.nan
    ready = pipelines.regressor(["ridge", "elastic_net"], seed=0)

    def train(trial):
        return ready.build(trial.params).fit(X[:300], y[:300]).score(X[300:], y[300:])

    study = gh.tune(train, ready.space, maximize="r2", budget="12 trials", workers="serial", progress=False)
    assert study.best.metrics["r2"] > 0.4
    assert study.best.metrics["r2"] >= study.baseline.metrics["r2"]
