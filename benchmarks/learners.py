"""Conditional spaces for search benchmarks: scikit-learn's learners on small data sets, trained in earnest.

`svm` chooses a kernel and what that one has; `forest` a kind of forest, and how it grows; `any` one of six learners
and its parameters. Data: 300 rows of scikit-learn's breast cancer and diabetes, and of the first function of Friedman
1991. The loss is that of three-fold cross-validation: the share of errors, or 1 − R² where numbers are predicted.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import greyhound as gh

DATA = ("breast_cancer", "diabetes", "friedman")
REFERENCE = {
    "svm/breast_cancer": (0.02000, 0.13000),
    "svm/diabetes": (0.47418, 1.02522),
    "svm/friedman": (0.14654, 0.97826),
    "forest/breast_cancer": (0.02333, 0.06333),
    "forest/diabetes": (0.51496, 0.61302),
    "forest/friedman": (0.25878, 0.56208),
    "any/breast_cancer": (0.02000, 0.07333),
    "any/diabetes": (0.47101, 0.67529),
    "any/friedman": (0.14984, 0.53186),
}
"""Of each task the lowest and the median loss of 1,000 random configurations."""


def loss_on(data: str, make: Callable[[Mapping[str, Any], bool], Any]) -> Callable[[Mapping[str, Any]], float]:
    """The loss of a learner on a data set. make: the learner of a configuration, for classes or (True) for numbers."""

    def loss(params: Mapping[str, Any]) -> float:
        from sklearn.model_selection import cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        X, y = _data(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = make_pipeline(StandardScaler(), make(params, data != "breast_cancer"))
            return 1.0 - float(cross_val_score(pipeline, X, y, cv=3).mean())

    return loss


@functools.cache
def _data(name: str) -> Any:
    import numpy as np
    from sklearn import datasets

    if name == "friedman":
        return datasets.make_friedman1(300, noise=1.0, random_state=0)
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:300]
    return X[rows], y[rows]


def svm_space() -> gh.Space:
    return gh.Space(
        kernel=gh.Categorical(["linear", "poly", "rbf", "sigmoid"]),
        C=gh.Float(1e-4, 1e4, log=True),
        gamma=gh.Float(1e-5, 1e2, log=True, when={"kernel": ["rbf", "sigmoid"]}),
        coef0=gh.Float(-2.0, 2.0, when={"kernel": ["poly", "sigmoid"]}),
        degree=gh.Int(2, 5, when={"kernel": "poly"}),
        tol=gh.Float(1e-5, 1e-1, log=True),
    )


def svm(params: Mapping[str, Any], numbers: bool) -> Any:
    from sklearn.svm import SVC, SVR

    return (SVR if numbers else SVC)(max_iter=5000, **params)


def forest_space() -> gh.Space:
    return gh.Space(
        kind=gh.Categorical(["forest", "extra"]),
        bootstrap=gh.Bool(),
        max_samples=gh.Float(0.1, 1.0, when={"bootstrap": True}),
        max_features=gh.Float(0.02, 1.0),
        min_samples_leaf=gh.Int(1, 60, log=True),
        limit=gh.Categorical(["none", "depth", "leaves"]),
        max_depth=gh.Int(1, 15, when={"limit": "depth"}),
        max_leaf_nodes=gh.Int(2, 200, log=True, when={"limit": "leaves"}),
    )


def forest(params: Mapping[str, Any], numbers: bool) -> Any:
    from sklearn import ensemble

    options = {name: value for name, value in params.items() if name not in ("kind", "limit")}
    name = {"forest": "RandomForest", "extra": "ExtraTrees"}[params["kind"]]
    kind = getattr(ensemble, f"{name}{'Regressor' if numbers else 'Classifier'}")
    return kind(n_estimators=10, random_state=0, **options)


def any_space() -> gh.Space:
    def when(learner: str) -> dict[str, str]:
        return {"learner": learner}

    return gh.Space({
        "learner": gh.Categorical(["linear", "tree", "extra", "neighbours", "svm", "boosting"]),
        "linear.alpha": gh.Float(1e-5, 1e2, log=True, when=when("linear")),
        "linear.l1_ratio": gh.Float(0.0, 1.0, when=when("linear")),
        "tree.max_depth": gh.Int(1, 20, when=when("tree")),
        "tree.ccp_alpha": gh.Float(1e-5, 1e-1, log=True, when=when("tree")),
        "tree.min_samples_leaf": gh.Int(1, 60, log=True, when=when("tree")),
        "extra.n_estimators": gh.Int(5, 30, log=True, when=when("extra")),
        "extra.max_features": gh.Float(0.02, 1.0, when=when("extra")),
        "extra.min_samples_leaf": gh.Int(1, 60, log=True, when=when("extra")),
        "neighbours.n_neighbors": gh.Int(1, 60, log=True, when=when("neighbours")),
        "neighbours.weights": gh.Categorical(["uniform", "distance"], when=when("neighbours")),
        "neighbours.p": gh.Float(1.0, 5.0, when=when("neighbours")),
        "svm.kernel": gh.Categorical(["linear", "poly", "rbf"], when=when("svm")),
        "svm.C": gh.Float(1e-4, 1e4, log=True, when=when("svm")),
        "svm.gamma": gh.Float(1e-5, 1e2, log=True, when={"svm.kernel": "rbf"}),
        "svm.degree": gh.Int(2, 5, when={"svm.kernel": "poly"}),
        "boosting.n_estimators": gh.Int(5, 40, log=True, when=when("boosting")),
        "boosting.learning_rate": gh.Float(1e-2, 1.0, log=True, when=when("boosting")),
        "boosting.max_depth": gh.Int(1, 6, when=when("boosting")),
        "boosting.subsample": gh.Float(0.1, 1.0, when=when("boosting")),
        "boosting.max_features": gh.Float(0.05, 1.0, when=when("boosting")),
    })  # fmt: skip


def any_learner(params: Mapping[str, Any], numbers: bool) -> Any:
    from sklearn import ensemble, linear_model, neighbors, tree

    name = params["learner"]
    options = {key.split(".")[1]: value for key, value in params.items() if key != "learner"}
    ending = "Regressor" if numbers else "Classifier"
    if name == "svm":
        return svm(options, numbers)
    if name == "neighbours":
        return getattr(neighbors, f"KNeighbors{ending}")(**options)
    if name == "linear":
        return getattr(linear_model, f"SGD{ending}")(penalty="elasticnet", random_state=0, **options)
    kinds = {"tree": "DecisionTree", "extra": "ExtraTrees", "boosting": "GradientBoosting"}
    return getattr(tree if name == "tree" else ensemble, f"{kinds[name]}{ending}")(random_state=0, **options)


FAMILIES = {"svm": (svm_space, svm), "forest": (forest_space, forest), "any": (any_space, any_learner)}
