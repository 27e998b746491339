"""A search that is kept goes on with the same data, splits, estimator and scoring, and with no other."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from greyhound.display import how_to_continue
from greyhound.errors import StudyError
from greyhound.integrations.sklearn import GreyhoundSearchCV
from greyhound.integrations.sklearn.fingerprint import fingerprint
from greyhound.integrations.sklearn.folds import Folds
from greyhound.integrations.sklearn.spaces import translate
from greyhound.storage import study_names
from greyhound.study import Study

IRIS = load_iris(return_X_y=True)
SPACE = {"C": (1e-3, 1e3, "log-uniform")}


def search(storage, estimator=None, space=None, **options):
    options = {"n_trials": 3, "cv": 3, "random_state": 0, "race": False, **options}
    return GreyhoundSearchCV(estimator or SVC(), space or SPACE, storage=str(storage), **options)


def table(fitted):
    return fitted.cv_results_["mean_test_score"].tolist()


def began(fitted):
    return [trial.started for trial in fitted.study_.trials]


def test_each_outer_fold_of_a_cross_validation_is_a_search_of_its_own_that_goes_on(tmp_path):
    file = tmp_path / "nested.db"
    options = {"cv": KFold(3, shuffle=True, random_state=0), "return_estimator": True}
    kept = cross_validate(search(file), *IRIS, **options)
    alone = cross_validate(search(file).set_params(storage=None), *IRIS, **options)
    assert [table(each) for each in kept["estimator"]] == [table(each) for each in alone["estimator"]]
    assert kept["test_score"].tolist() == alone["test_score"].tolist()
    again = cross_validate(search(file), *IRIS, **options, n_jobs=2)
    assert [table(each) for each in again["estimator"]] == [table(each) for each in kept["estimator"]]
    assert [len(Study.load(file, name).trials) for name in study_names(file)] == [3, 3, 3]


def test_what_scores_depend_on_makes_another_search(tmp_path):
    X, y = IRIS
    file = tmp_path / "search.db"
    first = search(file).fit(X, y)
    others = [
        search(file).fit(X + 1e-9, y),
        search(file).fit(X, y % 2),
        search(file).fit(X, y, sample_weight=np.arange(150) + 1.0),
        search(file, SVC(class_weight="balanced")).fit(X, y),
        search(file, LogisticRegression(max_iter=1000)).fit(X, y),
        search(file, scoring="f1_macro").fit(X, y),
        search(file, scoring=make_scorer(fbeta_score, beta=2, average="macro")).fit(X, y),
        search(file, scoring=make_scorer(fbeta_score, beta=3, average="macro")).fit(X, y),
        search(file, scoring=lambda model, X, y: model.score(X, y)).fit(X, y),
        search(file, scoring=lambda model, X, y: -model.score(X, y)).fit(X, y),
        search(file, cv=4).fit(X, y),
        search(file, cv=KFold(3, shuffle=True, random_state=0)).fit(X, y),
        search(file, error_score=-1.0).fit(X, y),
        search(file, return_train_score=True).fit(X, y),
        search(file, random_state=1).fit(X, y),
    ]
    assert len({each.study_.name for each in [first, *others]}) == 1 + len(others)
    assert began(search(file).fit(X.copy(), y)) == began(first)
    more = search(file, n_trials=5, space={"C": (1e-4, 1e4, "log-uniform")}, sampler="random").fit(X, y)
    assert began(more)[:3] == began(first)
    assert len(more.study_.trials) == 5


def test_what_choices_stand_for_makes_another_search(tmp_path):
    def fitted(scaler):
        pipeline = Pipeline([("scale", StandardScaler()), ("model", SVC())])
        space = {"scale": [scaler, MinMaxScaler()], "model__C": stats.norm(5, 1)}
        return search(tmp_path / "search.db", pipeline, space).fit(*IRIS)

    first = fitted(StandardScaler())
    assert began(fitted(StandardScaler())) == began(first)
    assert fitted(StandardScaler(with_mean=False)).study_.name != first.study_.name


def test_a_study_name_that_was_given_holds_one_search(tmp_path):
    X, y = IRIS
    file = tmp_path / "search.db"
    first = search(file, study_name="mine").fit(X, y)
    assert began(search(file, study_name="mine").fit(X, y)) == began(first)
    with pytest.raises(
        StudyError, match="study 'mine' was searched with other data, splits, estimator, scoring or random_state"
    ):
        search(file, study_name="mine").fit(X, y % 2)
    Study.load(file, "mine").close()
    assert study_names(file) == ["mine"]
    assert how_to_continue(first.study_).startswith("run the program again")


def test_a_search_is_the_same_in_every_process_and_however_its_data_were_looked_at():
    program = textwrap.dedent(
        """
        import numpy as np, pandas as pd
        from scipy import sparse
        from sklearn.metrics import make_scorer
        from sklearn.preprocessing import FunctionTransformer
        from greyhound.integrations.sklearn import translate
        from greyhound.integrations.sklearn.fingerprint import fingerprint
        from greyhound.integrations.sklearn.folds import Folds

        def near(y, guess, words=frozenset({"a", "b", "c"})):
            return float(str(y[0]) in {"u", "v", "w"} or len(words))

        def told(X):
            made = FunctionTransformer(lambda X: X, kw_args={"words": {"x", "y", "z"}})
            return fingerprint(Folds(made, translate({"C": [1, 2, 3]}), X, X, [], make_scorer(near), [], [], np.nan,
                                     False, {}, {}))

        frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
        matrix = sparse.csr_matrix(np.eye(3))
        print(told(frame), told(matrix))
        frame["a"].mean(), frame.iloc[[0]], frame.describe(), frame.columns.is_unique
        matrix.has_canonical_format
        print(told(frame), told(matrix), told(frame.copy()))
        """
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    frame, matrix = texts[0][:2]
    assert frame != matrix
    assert texts[0][2:] == [frame, matrix, frame]


def told(X):
    return fingerprint(Folds(SVC(), translate(SPACE), X, None, [], None, [], [], np.nan, False, {}, {}))


def test_tables_and_matrices_are_told_apart_by_their_values():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    changed = [frame.rename(columns={"a": "c"}), frame.assign(a=[1.0, 3.0]), frame.assign(b=["x", "z"]), frame.iloc[:1]]
    matrices = [sparse.csr_matrix(np.eye(3)), sparse.csr_matrix(2 * np.eye(3)), np.eye(3), np.eye(4)]
    words = [np.array(["x", "y"], dtype=object), np.array(["x", "z"], dtype=object)]
    assert len({told(X) for X in [frame, *changed, *matrices, *words]}) == 11
    assert told(sparse.csr_matrix(np.eye(3))) == told(sparse.csc_matrix(np.eye(3)))
    assert told(np.asfortranarray(IRIS[0])) == told(IRIS[0])


def test_a_search_that_nothing_can_tell_from_others_is_not_kept(tmp_path):
    def score(model, X, y, lines=(line for line in "ab")):
        return 1.0

    with pytest.raises(StudyError, match="a search is kept only where its data, estimator and scoring can be pickled"):
        search(tmp_path / "search.db", scoring=score).fit(*IRIS)
