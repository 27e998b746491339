"""GreyhoundSearchCV as scikit-learn's users use a search."""

import json
import pickle
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import BayesianRidge, LogisticRegression, SGDClassifier
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

import greyhound as gh
from greyhound.errors import SpaceError, StudyError
from greyhound.integrations.sklearn import GreyhoundSearchCV, translate
from greyhound.trial import TrialState

IRIS = load_iris(return_X_y=True)


def search(estimator=None, space=None, **options):
    options = {"n_trials": 6, "cv": 3, "random_state": 0, **options}
    return GreyhoundSearchCV(
        estimator or DecisionTreeClassifier(random_state=0), space or {"max_depth": (1, 6)}, **options
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "tuned",
    [
        search(n_trials=2),
        search(BayesianRidge(), {"lambda_1": (1e-7, 1e-5, "log-uniform")}, n_trials=2, cv=2),
        search(GaussianNB(), [{"var_smoothing": [1e-9, 1e-8]}, {"var_smoothing": [1e-7]}], n_trials=2, passes=2),
    ],
    ids=["tree", "regressor", "passes"],
)
def test_scikit_learns_own_checks_pass(tuned):
    check_estimator(tuned, on_skip=None)


def test_results_have_all_that_a_grid_search_has_and_the_same_numbers():
    scoring = {"acc": "accuracy", "f1": "f1_macro"}
    grid = {"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]}
    options = {"scoring": scoring, "refit": "f1", "return_train_score": True, "cv": 4}
    theirs = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, **options).fit(*IRIS)
    ours = search(None, grid, n_trials=6, sampler="grid", race=False, **options).fit(*IRIS)
    assert set(theirs.cv_results_) <= set(ours.cv_results_)
    order = [ours.cv_results_["params"].index(params) for params in theirs.cv_results_["params"]]
    for name, expected in theirs.cv_results_.items():
        got = ours.cv_results_[name]
        if name != "params" and "time" not in name:
            if not name.startswith("param_"):
                assert got.dtype == expected.dtype, name
            assert np.ma.getdata(got)[order].tolist() == pytest.approx(np.ma.getdata(expected).tolist()), name
    assert ours.best_score_ == pytest.approx(theirs.best_score_)
    assert ours.score(*IRIS) == theirs.score(*IRIS)
    assert ours.multimetric_
    assert set(ours.scorer_) == {"acc", "f1"}


def test_parameters_that_a_candidate_does_not_have_are_masked():
    space = gh.Space(
        algorithm=gh.Categorical(["brute", "kd_tree"]), leaf_size=gh.Int(5, 50, when={"algorithm": "kd_tree"})
    )
    found = search(KNeighborsClassifier(), space, n_trials=8).fit(*IRIS).cv_results_
    for params, leaf_size in zip(found["params"], found["param_leaf_size"], strict=True):
        assert (leaf_size is np.ma.masked) == (params["algorithm"] == "brute")


def test_every_way_to_write_a_space():
    class Draws:
        def rvs(self, random_state=None):
            return int(np.random.default_rng(random_state).integers(3))

    scalers = [StandardScaler(), MinMaxScaler(), "passthrough"]
    found = translate(
        {
            "a": stats.uniform(1, 2),
            "b": stats.loguniform(1e-3, 1e3),
            "c": stats.randint(1, 9),
            "d": stats.norm(5, 0.1),
            "e": stats.poisson(3),
            "f": (1, 10),
            "g": (0.5, 2.0),
            "h": (1e-6, 1.0, "log-uniform"),
            "i": [1, 10, 100],
            "j": ["one", "two"],
            "k": scalers,
            "l": Draws(),
            "m": np.linspace(0, 1, 5),
            "n": gh.Int(0, 3),
            "o": [(5,), (5, 5)],
            "p": [True, False],
        }
    )
    kinds = {
        "abdegh": "float",
        "cfn": "int",
        "ilm": "ordinal",
        "jkop": "categorical",
    }
    assert all(found.space[name].kind == kind for names, kind in kinds.items() for name in names)
    assert found.space["b"].log
    assert found.space["h"].log
    assert (found.space["a"].low, found.space["a"].high) == (1.0, 3.0)
    assert (found.space["c"].low, found.space["c"].high) == (1, 8)
    low = found.params(found.space.decode([0.0] * len(found.space)))
    high = found.params(found.space.decode([1.0] * len(found.space)))
    assert 4.6 < low["d"] < 5 < high["d"] < 5.4
    assert (low["e"], type(high["e"])) == (0, int)
    assert (low["k"], high["k"]) == (scalers[0], "passthrough")


def test_values_that_a_list_repeats_are_tried_once():
    space = {"max_depth": np.linspace(1, 3, 6).astype(int), "max_features": [1, 1.0, 1]}
    assert translate(space).space["max_depth"] == gh.Ordinal([1, 2, 3])
    tuned = search(None, space, n_trials=20).fit(*IRIS)
    tried = {(params["max_depth"], type(params["max_features"])) for params in tuned.cv_results_["params"]}
    assert len(tried) == len(tuned.cv_results_["params"]) == 6


def test_distributions_without_arguments_are_read_as_they_are():
    given = {"a": stats.rv_discrete(values=([1, 5, 8.5], [0.2, 0.3, 0.5])), "b": stats.uniform, "c": stats.norm}
    found = translate(given)
    drawn = [found.params(found.space.decode([unit] * 3)) for unit in np.linspace(0, 1, 50)]
    assert {(params["a"], type(params["a"])) for params in drawn} == {(1, int), (5, int), (8.5, float)}
    assert found.space["b"] == gh.Float(0.0, 1.0)
    assert -3.2 < drawn[0]["c"] < 0 < drawn[-1]["c"] < 3.2


def test_a_list_of_spaces_keeps_what_was_said_of_parameters():
    given = {
        "a": gh.Float(0.1, 1.0, log=True, default=0.5, prior=(0.3, 0.9)),
        "b": gh.Int(0, 8, step=2, prior=4),
        "c": gh.Categorical(["x", "y"], weights=[3, 1]),
        "d": gh.Ordinal([1, 5], prior=5),
        "e": gh.Bool(prior=True),
    }
    found = translate([given, {"a": [1, 2]}]).space
    for name, parameter in given.items():
        kept = {key: value for key, value in found[f"0: {name}"].to_dict().items() if key != "when"}
        assert kept == parameter.to_dict()
        assert found[f"0: {name}"].when == {"subspace": (0,)}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"C": "ten"}, r"C: must be a list of values, a distribution of scipy, or \(low, high\); got 'ten'"),
        ({"C": (1, 10, "normal")}, "C: the third entry of a range is 'uniform' or 'log-uniform'; got 'normal'"),
        ("C", "write a dict of distributions or lists"),
    ],
)
def test_a_space_that_cannot_be_read_is_told_in_a_sentence(space, message):
    with pytest.raises(SpaceError, match=message):
        translate(space)


def test_pipelines_with_alternatives_for_their_steps():
    pipeline = Pipeline([("scale", "passthrough"), ("model", LogisticRegression())])
    space = [
        {"scale": [StandardScaler(), MinMaxScaler()], "model": [GaussianNB()], "model__var_smoothing": (1e-9, 1e-1)},
        {"model": [DecisionTreeClassifier()], "model__max_depth": [1, 2, 3]},
    ]
    tuned = search(pipeline, space, n_trials=10).fit(*IRIS)
    assert tuned.score(*IRIS) > 0.9
    models = {type(params["model"]) for params in tuned.cv_results_["params"]}
    assert models == {GaussianNB, DecisionTreeClassifier}
    assert not hasattr(space[0]["model"][0], "classes_")  # what the user gave is left alone


def test_nested_cross_validation_and_workers():
    scores = cross_val_score(search(n_trials=3, cv=2), *IRIS, cv=3)
    assert scores.min() > 0.85
    one = search(n_trials=6, race=False).fit(*IRIS)
    two = search(n_trials=6, race=False, n_jobs=2, sampler="random").fit(*IRIS)
    assert len(two.cv_results_["params"]) == len(one.cv_results_["params"])
    assert two.best_score_ == pytest.approx(one.best_score_, abs=0.05)


def test_settings_of_scikit_learn_hold_in_worker_processes():
    columns = ColumnTransformer([("scale", MinMaxScaler(), ["pca0", "pca1"])])
    pipeline = make_pipeline(PCA(2), columns, DecisionTreeClassifier(random_state=0))
    with config_context(transform_output="pandas"):
        tuned = search(pipeline, {"decisiontreeclassifier__max_depth": [2, 3]}, n_jobs=2, error_score="raise")
        assert tuned.fit(*IRIS).best_score_ > 0.9


def test_racing_gives_up_what_cannot_win_and_finds_the_same_winner():
    X, y = make_classification(300, 10, n_informative=5, random_state=0)
    space = {"n_neighbors": (1, 150), "weights": ["uniform", "distance"]}
    raced, whole = (
        search(KNeighborsClassifier(), space, n_trials=30, cv=8, race=race, sampler="random").fit(X, y)
        for race in (True, False)
    )
    assert raced.best_params_ == whole.best_params_
    assert raced.best_score_ == pytest.approx(whole.best_score_)
    assert raced.cv_results_["n_splits_done"].sum() < 0.8 * 240
    stopped = raced.cv_results_["n_splits_done"] < 8
    assert raced.cv_results_["rank_test_score"][stopped].min() > raced.cv_results_["rank_test_score"][~stopped].max()
    assert np.isnan(raced.cv_results_["split7_test_score"][stopped]).all()
    assert np.isfinite(raced.cv_results_["mean_test_score"]).all()


def test_passes_stop_early_and_go_on_where_they_were():
    X, y = make_classification(300, 10, random_state=0)
    model = make_pipeline(StandardScaler(), SGDClassifier(random_state=0, learning_rate="constant", eta0=0.01))
    space = {"sgdclassifier__alpha": (1e-6, 10.0, "log-uniform")}
    made = [search(model, space, n_trials=12, passes=9, random_state=seed).fit(X, y) for seed in range(6)]
    steps = [trial.step for each in made for trial in each.study_.trials]
    assert max(steps) == 9
    assert sum(steps) < 2 / 3 * 9 * len(steps)
    tuned = made[0]
    unbroken = search(model, space, n_trials=12, passes=9, race=False).fit(X, y)
    for trial in tuned.study_.history.select(TrialState.COMPLETED):
        same = [each for each in unbroken.study_.trials if each.params == trial.params]
        assert all(each.metrics["score"] == trial.metrics["score"] for each in same)
    assert tuned.best_estimator_[-1].t_ == pytest.approx(9 * 300 + 1)


def test_passes_need_partial_fit():
    with pytest.raises(StudyError, match="passes needs an estimator with partial_fit"):
        search(passes=3).fit(*IRIS)


class Weighed(TransformerMixin, BaseEstimator):
    """Keeps the sum of the weights that it was fitted with."""

    def fit(self, X, y=None, sample_weight=None):
        self.weight_ = np.sum(sample_weight)
        return self

    def transform(self, X):
        return X


@pytest.mark.parametrize(
    ("classifier", "name"),
    [
        (MLPClassifier((4,), random_state=0), "alpha"),
        (MultiOutputClassifier(SGDClassifier(random_state=0)), "estimator__alpha"),
    ],
)
def test_passes_take_several_labels_a_sample(classifier, name):
    X, y = make_multilabel_classification(n_classes=3, random_state=0)
    tuned = search(classifier, {name: [1e-4, 1e-2]}, passes=2, error_score="raise").fit(X, y)
    assert tuned.predict(X).shape == y.shape


def test_passes_take_the_arguments_of_a_pipelines_steps():
    X, y = make_classification(200, 6, random_state=0)
    space = {"sgdclassifier__alpha": [0.01]}
    options = {"n_trials": 1, "passes": 2, "error_score": "raise"}
    model = make_pipeline(Weighed(), SGDClassifier(random_state=0))
    weights, halves = np.where(y == 0, 1.0, 0.1), np.full(200, 0.5)
    alone = SGDClassifier(alpha=0.01, random_state=0)
    for _ in range(2):
        alone.partial_fit(X, y, classes=[0, 1], sample_weight=weights)

    given = {"sgdclassifier__sample_weight": weights, "weighed__sample_weight": halves}
    tuned = search(model, space, **options).fit(X, y, **given).best_estimator_
    assert tuned[0].weight_ == 100
    assert tuned[1].coef_.tolist() == alone.coef_.tolist()
    for wrong in ("sample_weight", "sgd__sample_weight", "sgdclassifier"):
        with pytest.raises(StudyError, match=f"'{wrong}' is for no step of the pipeline; write step__argument"):
            search(model, space, **options).fit(X, y, **{wrong: weights})
    with config_context(enable_metadata_routing=True):
        last = SGDClassifier(random_state=0).set_fit_request(sample_weight="w")
        routed = make_pipeline(Weighed().set_fit_request(sample_weight="v"), last)
        tuned = search(routed, space, **options).fit(X, y, w=weights, v=halves).best_estimator_
        assert tuned[0].weight_ == 100
        assert tuned[1].coef_.tolist() == alone.coef_.tolist()
        tuned = search(make_pipeline(last), space, **options).fit(X, y, w=weights).best_estimator_
        assert tuned[0].coef_.tolist() == alone.coef_.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 0}, "passes must be a whole number of at least 1, or None; got 0"),
        ({"passes": -1}, "passes must be a whole number of at least 1, or None; got -1"),
        ({"passes": 1.5}, "passes must be a whole number of at least 1, or None; got 1.5"),
        ({"passes": True}, "passes must be a whole number of at least 1, or None; got True"),
        (
            {"race": 0.1},
            r"race must be True, False, the name of a scheduler, or one such as .*; got 0\.1",
        ),
        ({"race": None}, "race must be True, False, the name of a scheduler"),
        ({"callbacks": print}, "callbacks: give a list of functions of a study and a trial; got <"),
        ({"callbacks": [3]}, r"callbacks: give a list of functions of a study and a trial; got \[3\]"),
    ],
)
def test_passes_races_and_callbacks_that_are_none_are_told_in_a_sentence(options, message):
    with pytest.raises(StudyError, match=message):
        search(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, **options).fit(*IRIS)
    assert search(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, passes=np.int64(2)).fit(*IRIS).best_score_ > 0.9


class Fragile(ClassifierMixin, BaseEstimator):
    def __init__(self, x=0.0):
        self.x = x

    def fit(self, X, y):
        if self.x > 0.5:
            raise ZeroDivisionError("x is too large")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_fits_that_fail():
    space = {"x": (0.0, 1.0)}
    with pytest.warns(FitFailedWarning, match="candidates failed to fit and count as error_score=nan(.|\n)*too large"):
        tuned = search(Fragile(), space, n_trials=8).fit(*IRIS)
    failed = np.isnan(tuned.cv_results_["mean_test_score"])
    assert 0 < failed.sum() < 8
    assert tuned.best_params_["x"] <= 0.5
    assert tuned.cv_results_["rank_test_score"][failed].min() > tuned.cv_results_["rank_test_score"][~failed].max()
    with pytest.warns(FitFailedWarning):
        tuned = search(Fragile(), space, n_trials=8, error_score=-1.0, race=False).fit(*IRIS)
    assert tuned.cv_results_["mean_test_score"].min() == -1.0
    with pytest.raises(ZeroDivisionError, match="x is too large"):
        search(Fragile(), space, n_trials=8, error_score="raise").fit(*IRIS)
    with pytest.raises(ValueError, match="All the fits failed: ZeroDivisionError: x is too large"):
        search(Fragile(), {"x": (0.6, 1.0)}).fit(*IRIS)


def test_infinite_scores_rank_last():
    def score(tree, X, y):
        return -np.inf if tree.max_depth == 2 else tree.score(X, y)

    tuned = search(None, {"max_depth": [1, 2, 3]}, scoring=score, race=False).fit(*IRIS)
    assert tuned.best_params_ == {"max_depth": 3}
    ranks = dict(zip(tuned.cv_results_["param_max_depth"], tuned.cv_results_["rank_test_score"], strict=True))
    assert ranks == {3: 1, 1: 2, 2: 3}
    assert tuned.cv_results_["mean_test_score"].min() == -np.inf


def test_the_mean_of_a_candidate_is_nan_where_one_fold_failed():
    class Late(Fragile):
        def fit(self, X, y):
            self.x = self.x if len(X) < 100 else 0.0
            return super().fit(X, y)

    splits = [(np.arange(100), np.arange(100, 150)), (np.arange(90), np.arange(90, 150))]
    with pytest.warns(FitFailedWarning):
        tuned = search(Late(), {"x": [0.1, 0.9]}, cv=splits).fit(*IRIS)
    results = tuned.cv_results_
    failed = results["params"].index({"x": 0.9})
    assert results["n_splits_done"].tolist() == [2, 2]
    assert np.isfinite(results["split0_test_score"]).all()
    assert np.isnan(results["mean_test_score"]).tolist() == [at == failed for at in range(2)]
    assert results["rank_test_score"][failed] == 2


def test_several_metrics_without_a_choice_are_several_objectives():
    tuned = search(scoring=["accuracy", "f1_macro"], refit=False, n_trials=5).fit(*IRIS)
    assert [objective.metric for objective in tuned.study_.history.objectives] == ["accuracy", "f1_macro"]
    assert not hasattr(tuned, "best_params_")
    assert tuned.study_.front
    smallest = search(
        scoring=["accuracy", "f1_macro"], refit=lambda results: int(np.argmin(results["param_max_depth"])), n_trials=5
    ).fit(*IRIS)
    assert smallest.best_params_["max_depth"] == min(p["max_depth"] for p in smallest.cv_results_["params"])


def test_a_scoring_function_may_give_several_metrics():
    def both(estimator, X, y):
        right = float((estimator.predict(X) == y).mean())
        return {"right": right, "wrong": 1 - right}

    with pytest.raises(ValueError, match="scoring gives no 'score'; name by refit= one of the metrics that it gives"):
        search(scoring=both, n_trials=1).fit(*IRIS)
    tuned = search(scoring=both, refit="right").fit(*IRIS)
    assert tuned.best_score_ == tuned.cv_results_["mean_test_right"].max()
    assert "mean_test_wrong" in tuned.cv_results_
    tuned = search(scoring=both, refit=False).fit(*IRIS)
    assert [objective.metric for objective in tuned.study_.history.objectives] == ["right", "wrong"]
    assert tuned.multimetric_
    tuned = search(scoring=both, refit=lambda results: int(np.argmin(results["mean_test_wrong"]))).fit(*IRIS)
    assert tuned.best_index_ == tuned.cv_results_["mean_test_right"].argmax()
    assert not search(scoring=lambda tree, X, y: tree.score(X, y), refit=False).fit(*IRIS).multimetric_
    assert search(scoring=make_scorer(lambda y, guess: -float((y != guess).mean()))).fit(*IRIS).best_score_ > -0.1


def test_groups_and_weights_reach_the_splitter_and_the_fit():
    groups = np.arange(150) % 5
    tuned = search(cv=GroupKFold(5)).fit(*IRIS, groups=groups, sample_weight=np.ones(150))
    assert tuned.n_splits_ == 5
    assert search(PCA(), {"n_components": [1, 2, 3]}, cv=KFold(2)).fit(IRIS[0]).best_params_ == {"n_components": 3}


def test_callbacks_see_each_trial_and_may_end_the_search():
    seen = []

    def enough(study, trial):
        seen.append(trial.number)
        return len(seen) == 4

    tuned = search(n_trials=20, callbacks=[enough]).fit(*IRIS)
    assert seen == [0, 1, 2, 3]
    assert len(tuned.cv_results_["params"]) == 4


def test_a_fitted_search_pickles_and_the_same_seed_gives_the_same_search():
    tuned = search(sampler="gp", n_trials=10).fit(*IRIS)
    again = pickle.loads(pickle.dumps(tuned))
    assert (again.predict(IRIS[0]) == tuned.predict(IRIS[0])).all()
    assert search(sampler="gp", n_trials=10).fit(*IRIS).cv_results_["params"] == tuned.cv_results_["params"]


class Slow(Fragile):
    def fit(self, X, y):
        if self.x > 0.5:
            time.sleep(600)
        return super().fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_a_candidate_that_takes_too_long_is_cut_off():
    tuned = search(Slow(), {"x": [0.0, 1.0]}, n_trials=2, trial_timeout=2.0).fit(*IRIS)
    assert tuned.best_params_ == {"x": 0.0}
    assert set(tuned.cv_results_["trial_state"]) == {"completed", "timed out"}


def test_scikit_learns_own_callbacks_see_the_search():
    seen = []

    class Note:
        def setup(self, estimator, context):
            seen.append("setup")

        def on_fit_task_begin(self, *_, **__):
            seen.append("begin")

        def on_fit_task_end(self, *_, **__):
            seen.append("end")

        def teardown(self, estimator, context):
            seen.append("teardown")

    tuned = search(n_trials=2)
    if not hasattr(tuned, "set_callbacks"):
        pytest.skip("this scikit-learn has no callbacks")
    tuned.set_callbacks(Note()).fit(*IRIS)
    assert seen == ["setup", "begin", "end", "teardown"]


def test_a_budget_alone_will_do():
    assert len(search(n_trials=None, budget="4 trials").fit(*IRIS).cv_results_["params"]) == 4
    with pytest.raises(StudyError, match="give n_trials, or a budget"):
        search(n_trials=None).fit(*IRIS)


def test_a_killed_search_goes_on_where_it_was(tmp_path):
    program = textwrap.dedent(
        """
        import os, sys, json
        from sklearn.datasets import load_iris
        from sklearn.naive_bayes import GaussianNB
        from greyhound.integrations.sklearn import GreyhoundSearchCV

        class Mortal(GaussianNB):
            def fit(self, X, y):
                open("fits", "a").write(".")
                if os.path.getsize("fits") == int(sys.argv[1]):
                    os._exit(9)
                return super().fit(X, y)

        search = GreyhoundSearchCV(Mortal(), {"var_smoothing": (1e-9, 1e-1, "log-uniform")}, n_trials=6, cv=4,
                                   race=False, storage="search.db", random_state=0, refit=False)
        search.fit(*load_iris(return_X_y=True))
        print(json.dumps(search.cv_results_["mean_test_score"].tolist()))
        """
    )

    def run(dies_at):
        return subprocess.run(
            [sys.executable, "-c", program, str(dies_at)], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run(11).returncode == 9
    second = run(-1)
    assert second.returncode == 0, second.stderr
    assert len(json.loads(second.stdout)) == 6
    assert (tmp_path / "fits").stat().st_size <= 6 * 4 + 3  # at most the candidate that was cut off is done twice
