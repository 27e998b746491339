"""A program written for Hyperopt: only the word behind `algo=` is new. Needs hyperopt and scikit-learn."""

import numpy as np
from hyperopt import STATUS_OK, Trials, fmin, hp, space_eval
from sklearn.datasets import load_wine
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import greyhound

SPACE = {
    "scaler": hp.choice("scaler", [StandardScaler(), MinMaxScaler(), "passthrough"]),
    "model": hp.choice(
        "model",
        [
            {"kind": "ridge", "alpha": hp.loguniform("alpha", np.log(1e-3), np.log(1e2))},
            {
                "kind": "svm",
                "C": hp.loguniform("svm_C", np.log(1e-2), np.log(1e2)),
                "kernel": hp.choice("kernel", ["rbf", "linear"]),
            },
        ],
    ),
}


def objective(config):
    options = {name: value for name, value in config["model"].items() if name != "kind"}
    kind = RidgeClassifier() if config["model"]["kind"] == "ridge" else SVC()
    pipeline = make_pipeline(config["scaler"], kind.set_params(**options))
    return {"loss": -cross_val_score(pipeline, *load_wine(return_X_y=True), cv=3).mean(), "status": STATUS_OK}


def main(max_evals=30):
    trials = Trials()
    best = fmin(
        objective, SPACE, algo=greyhound.suggest, max_evals=max_evals, trials=trials,
        rstate=np.random.default_rng(0), show_progressbar=False,
    )  # fmt: skip
    print(f"{-min(trials.losses()):.4f} right with {space_eval(SPACE, best)}")
    return space_eval(SPACE, best), trials


if __name__ == "__main__":
    main()
