"""Tune a scikit-learn pipeline: which scaler, which model, and each model's own hyperparameters.

Bad candidates are given up after a few folds. The search lies in a file: run it again and it goes on. Needs
scikit-learn.
"""

from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from greyhound.integrations.sklearn import GreyhoundSearchCV

PIPELINE = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
SPACE = [
    {
        "scale": [StandardScaler(), QuantileTransformer(n_quantiles=50)],
        "model": [LogisticRegression(max_iter=500)],
        "model__C": (1e-4, 1e3, "log-uniform"),
    },
    {
        "model": [HistGradientBoostingClassifier(random_state=0)],
        "model__learning_rate": (0.02, 0.5, "log-uniform"),
        "model__max_iter": (10, 60),
        "model__max_leaf_nodes": (4, 32, "log-uniform"),
    },
]


def main(n_trials=30, n_jobs=2, folder=Path("demo")):
    folder.mkdir(exist_ok=True)
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    search = GreyhoundSearchCV(
        PIPELINE, SPACE, n_trials=n_trials, cv=5, n_jobs=n_jobs, random_state=0, storage=str(folder / "pipeline.db")
    ).fit(X, y)
    fits = search.cv_results_["n_splits_done"].sum()
    print(f"{len(search.cv_results_['params'])} candidates, {fits} fits; the best: {search.best_params_}")
    print(f"cross-validated {search.best_score_:.4f}, on data it never saw {search.score(X_test, y_test):.4f}")
    print(f"report: {search.study_.write_report(folder / 'pipeline.html')}")
    return search


if __name__ == "__main__":
    main()
