"""An objective as one writes it for Optuna, without a word of Greyhound: it asks its trial for all that there is."""

import os
import signal
from datetime import datetime
from pathlib import Path

import optuna


def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    y = trial.suggest_int("y", 1, 4) if x < 2 else 0
    assert trial.params == {"x": x, "y": y}
    assert trial.distributions == {
        "x": optuna.distributions.FloatDistribution(0.0, 1.0),
        "y": optuna.distributions.IntDistribution(1, 4),
    }
    assert trial.datetime_start <= datetime.now()
    assert isinstance(trial.relative_params, dict)
    trial.set_constraint("enough", 0.5 - x)  # kept where x is at least 0.5
    assert trial.constraints == {"enough": 0.5 - x}
    trial.set_user_attr("seen", looked_at(trial))
    assert set(trial.user_attrs) == {"seen"}
    return x + y


def looked_at(trial):
    """What the study says of itself, checked for sense."""
    study = trial.study
    assert study.direction == study.directions[0] == optuna.study.StudyDirection.MINIMIZE
    assert study.study_name == "given"
    assert study.user_attrs == {}
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    running = study.get_trials(states=[optuna.trial.TrialState.RUNNING])
    assert trial.number in [each.number for each in running]
    try:
        best = study.best_trial
    except ValueError:
        assert not any(each.constraints["enough"] <= 0 for each in complete)
        return [len(study.trials), None]
    # another worker may finish between two looks, by which the best can only fall
    assert study.best_value <= best.value
    kept = [each for each in study.trials if each.state.is_finished() and each.constraints["enough"] <= 0]
    assert study.best_value <= min(each.value for each in kept) <= best.value
    assert (best.value, best.params) in [(each.value, each.params) for each in kept]
    assert study.best_params in [each.params for each in study.trials]
    return [len(study.trials), best.value]


def dies_once(trial):
    """The same; the fifth trial kills its process, the first time, when it has set its constraint."""
    value = objective(trial)
    here = Path("died")
    if trial.number == 4 and not here.exists():
        here.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


if __name__ == "__main__":
    import greyhound as gh

    gh.tune(dies_once, storage="s.db", name="given", budget="8 trials", workers="serial", progress=False)
