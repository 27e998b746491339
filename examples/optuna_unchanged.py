"""An objective written for Optuna, as it is: in Optuna's loop with our sampler, then in ours with two workers.

Needs optuna and scikit-learn.
"""

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

import greyhound as gh
from greyhound.integrations.optuna import GreyhoundSampler


def objective(trial):
    if trial.suggest_categorical("model", ["forest", "neighbours"]) == "forest":
        model = RandomForestClassifier(
            n_estimators=trial.suggest_int("trees", 5, 40),
            max_depth=trial.suggest_int("depth", 2, 16, log=True),
            random_state=0,
        )
    else:
        model = KNeighborsClassifier(
            trial.suggest_int("k", 1, 40), weights=trial.suggest_categorical("w", ["uniform", "distance"])
        )
    return cross_val_score(model, *load_breast_cancer(return_X_y=True), cv=3).mean()


def main(trials=20, workers=2):
    theirs = optuna.create_study(sampler=GreyhoundSampler(seed=0), direction="maximize")
    theirs.optimize(objective, n_trials=trials)
    print(f"in Optuna's loop:  {theirs.best_value:.4f} with {theirs.best_params}")
    ours = gh.tune(objective, maximize="value", budget=f"{trials} trials", workers=workers, progress=False)
    print(f"in Greyhound's:    {ours.best.metrics['value']:.4f} with {dict(ours.best.params)}")
    return theirs, ours


if __name__ == "__main__":
    main()
