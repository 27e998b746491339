"""Ready search spaces over whole scikit-learn pipelines: scaling, selection, transformation, and a dozen models.

    ready = pipelines.classifier()
    search = GreyhoundSearchCV(ready.estimator, ready, n_trials=100).fit(X, y)

or in a training of your own, `gh.tune(train, ready.space)`, with `ready.build(trial.params)`. Every choice brings its
own hyperparameters, which exist only where it was chosen; the default configuration is standard scaling and a
random forest as scikit-learn has it. Features have to be numbers; missing ones are imputed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greyhound._lazy import require

require("sklearn", "sklearn")

from sklearn import (  # noqa: E402
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    impute,
    kernel_approximation,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.base import clone  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402

from greyhound.errors import SpaceError  # noqa: E402
from greyhound.integrations.sklearn.spaces import Translation, conditional  # noqa: E402
from greyhound.space import Bool, Categorical, Float, Int, Parameter, Space  # noqa: E402

_MOST_ITERATIONS = 5000
"""Without a bound a support vector machine on unscaled features may train for hours."""

Choice = tuple[Any, Mapping[str, Parameter]]
"""An estimator (or "passthrough"), and its hyperparameters with their ranges."""


@dataclass(frozen=True)
class Pipelines(Translation):
    """A space of pipelines: `space`, for samplers; `estimator`, the default pipeline; and `build`.

    Where GreyhoundSearchCV takes a space it takes this too.
    """

    estimator: Any = None

    def build(self, configuration: Mapping[str, Any]) -> Any:
        """A pipeline of its own, not fitted, for a configuration of the space."""
        return clone(self.estimator).set_params(**clone(self.params(configuration), safe=False))


def classifier(models: Sequence[str] | None = None, *, seed: int | None = None) -> Pipelines:
    """Pipelines that end in a classifier. models: some of the families, by name; None for all.

    seed: the random_state of all that has one. SpaceError where a family is unknown.
    """
    return _pipelines(_chosen(_classifiers(), models), _selectors(feature_selection.f_classif, True), seed)


def regressor(models: Sequence[str] | None = None, *, seed: int | None = None) -> Pipelines:
    """Pipelines that end in a regressor; arguments as for `classifier`."""
    return _pipelines(_chosen(_regressors(), models), _selectors(feature_selection.f_regression, False), seed)


def _pipelines(models: Mapping[str, Choice], selectors: Mapping[str, Choice], seed: int | None) -> Pipelines:
    steps: dict[str, Mapping[str, Choice]] = {
        "scale": _scalers(),
        "select": selectors,
        "transform": _transformers(),
        "model": models,
    }
    defaults = {"scale": "standard", "select": "none", "transform": "none", "model": _first(models)}
    parameters: dict[str, Parameter] = {}
    names: dict[str, str | None] = {}
    meanings: dict[str, Any] = {}
    estimators = {
        step: {name: _seeded(choice, seed) for name, (choice, _) in choices.items()} for step, choices in steps.items()
    }
    for step, choices in steps.items():
        parameters[step] = Categorical(list(choices), default=defaults[step])
        meanings[step] = estimators[step].__getitem__
        for name, (_, options) in choices.items():
            for option, parameter in options.items():
                ours = f"{name}.{option}"
                parameters[ours] = conditional(parameter, {step: name})
                names[ours] = f"{step}__{option}"
    skeleton = [("impute", impute.SimpleImputer(strategy="median"))]
    skeleton += [(step, estimators[step][defaults[step]]) for step in steps]
    return Pipelines(Space(parameters), names, meanings, Pipeline(skeleton))


def _chosen(families: Mapping[str, Choice], wanted: Sequence[str] | None) -> Mapping[str, Choice]:
    if isinstance(wanted, str):
        raise SpaceError(f"model families are given in a list, as in [{wanted!r}]; got {wanted!r}.")
    for name in wanted or ():
        if name not in families:
            raise SpaceError(f"there is no model family {name!r}; there are {', '.join(families)}.")
    return {name: families[name] for name in (wanted or families)}


def _first(models: Mapping[str, Choice]) -> str:
    return "forest" if "forest" in models else next(iter(models))


def _seeded(estimator: Any, seed: int | None) -> Any:
    has_one = seed is not None and estimator != "passthrough" and "random_state" in estimator.get_params()
    return estimator.set_params(random_state=seed) if has_one else estimator


def _scalers() -> dict[str, Choice]:
    return {
        "none": ("passthrough", {}),
        "standard": (preprocessing.StandardScaler(), {}),
        "minmax": (preprocessing.MinMaxScaler(), {}),
        "robust": (preprocessing.RobustScaler(), {}),
        "power": (preprocessing.PowerTransformer(), {}),
        "quantile": (
            preprocessing.QuantileTransformer(n_quantiles=100),
            {"output_distribution": Categorical(["uniform", "normal"], default="normal")},
        ),
    }


def _selectors(score: Any, classifies: bool) -> dict[str, Choice]:
    trees = ensemble.ExtraTreesClassifier if classifies else ensemble.ExtraTreesRegressor
    return {
        "none": ("passthrough", {}),
        "percentile": (feature_selection.SelectPercentile(score), {"percentile": Int(5, 95, default=50)}),
        "importance": (
            feature_selection.SelectFromModel(trees(n_estimators=30, random_state=0)),
            {"threshold": Categorical(["0.25*mean", "0.5*mean", "mean", "1.5*mean"], default="mean")},
        ),
    }


def _transformers() -> dict[str, Choice]:
    return {
        "none": ("passthrough", {}),
        "pca": (decomposition.PCA(), {"n_components": Float(0.5, 0.999, default=0.95), "whiten": Bool(default=False)}),
        "nystroem": (
            kernel_approximation.Nystroem(),
            {"gamma": Float(1e-3, 10.0, log=True, default=0.1), "n_components": Int(20, 100, log=True, default=100)},
        ),
        "bins": (
            preprocessing.KBinsDiscretizer(encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
            {"n_bins": Int(3, 20, log=True, default=5)},
        ),
    }


def _trees() -> dict[str, Parameter]:
    return {
        "n_estimators": Int(20, 300, log=True, default=100),
        "max_features": Float(0.05, 1.0, default=0.5),
        "min_samples_leaf": Int(1, 20, log=True, default=1),
        "max_depth": Int(2, 40, log=True, default=40),
    }


def _tree() -> dict[str, Parameter]:
    return {
        "max_depth": Int(1, 30, log=True, default=30),
        "min_samples_leaf": Int(1, 50, log=True, default=1),
        "ccp_alpha": Float(1e-6, 0.1, log=True, default=1e-6),
    }


def _boosting() -> dict[str, Parameter]:
    return {
        "learning_rate": Float(0.01, 1.0, log=True, default=0.1),
        "max_iter": Int(10, 300, log=True, default=100),
        "max_leaf_nodes": Int(3, 63, log=True, default=31),
        "min_samples_leaf": Int(1, 60, log=True, default=20),
        "l2_regularization": Float(1e-6, 10.0, log=True, default=1e-6),
    }


def _neighbours() -> dict[str, Parameter]:
    return {
        "n_neighbors": Int(1, 60, log=True, default=5),
        "weights": Categorical(["uniform", "distance"], default="uniform"),
        "p": Categorical([1, 2], default=2),
    }


def _support_vectors() -> dict[str, Parameter]:
    return {
        "C": Float(1e-2, 1e3, log=True, default=1.0),
        "kernel": Categorical(["rbf", "linear", "sigmoid"], default="rbf"),
        "gamma": Float(1e-4, 10.0, log=True, default=0.1),
    }


def _perceptron() -> dict[str, Parameter]:
    return {
        "hidden_layer_sizes": Categorical([(32,), (100,), (32, 32), (100, 100)], default=(100,)),
        "alpha": Float(1e-6, 1.0, log=True, default=1e-4),
        "learning_rate_init": Float(1e-4, 3e-2, log=True, default=1e-3),
    }


def _classifiers() -> dict[str, Choice]:
    balance = {"class_weight": Categorical([None, "balanced"], default=None)}
    return {
        "forest": (ensemble.RandomForestClassifier(), {**_trees(), **balance}),
        "extra_trees": (ensemble.ExtraTreesClassifier(), {**_trees(), **balance}),
        "boosting": (ensemble.HistGradientBoostingClassifier(), {**_boosting(), **balance}),
        "tree": (tree.DecisionTreeClassifier(), {**_tree(), **balance}),
        "logistic": (linear_model.LogisticRegression(max_iter=300), {"C": _strength(), **balance}),
        "sgd": (
            linear_model.SGDClassifier(),
            {
                "loss": Categorical(["log_loss", "hinge", "modified_huber"], default="hinge"),
                "alpha": Float(1e-6, 1.0, log=True, default=1e-4),
                "l1_ratio": Float(0.0, 1.0, default=0.15),
                "penalty": Categorical(["l2", "elasticnet"], default="l2"),
            },
        ),
        "lda": (
            discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr"),
            {"shrinkage": Float(0.0, 1.0, default=0.0)},
        ),
        "naive_bayes": (naive_bayes.GaussianNB(), {"var_smoothing": Float(1e-10, 1.0, log=True, default=1e-9)}),
        "neighbours": (neighbors.KNeighborsClassifier(), _neighbours()),
        "svm": (svm.SVC(max_iter=_MOST_ITERATIONS), {**_support_vectors(), **balance}),
        "perceptron": (neural_network.MLPClassifier(early_stopping=True), _perceptron()),
    }


def _regressors() -> dict[str, Choice]:
    return {
        "forest": (ensemble.RandomForestRegressor(), _trees()),
        "extra_trees": (ensemble.ExtraTreesRegressor(), _trees()),
        "boosting": (ensemble.HistGradientBoostingRegressor(), _boosting()),
        "tree": (tree.DecisionTreeRegressor(), _tree()),
        "ridge": (linear_model.Ridge(), {"alpha": Float(1e-4, 1e4, log=True, default=1.0)}),
        "elastic_net": (
            linear_model.ElasticNet(max_iter=2000),
            {"alpha": Float(1e-4, 1e2, log=True, default=1.0), "l1_ratio": Float(0.0, 1.0, default=0.5)},
        ),
        "huber": (
            linear_model.HuberRegressor(max_iter=300),
            {"epsilon": Float(1.05, 3.0, default=1.35), "alpha": Float(1e-6, 10.0, log=True, default=1e-4)},
        ),
        "bayesian_ridge": (linear_model.BayesianRidge(), {}),
        "neighbours": (neighbors.KNeighborsRegressor(), _neighbours()),
        "svm": (
            svm.SVR(max_iter=_MOST_ITERATIONS),
            {**_support_vectors(), "epsilon": Float(1e-3, 1.0, log=True, default=0.1)},
        ),
        "perceptron": (neural_network.MLPRegressor(early_stopping=True), _perceptron()),
    }


def _strength() -> Parameter:
    return Float(1e-4, 1e4, log=True, default=1.0)
