"""The share of the budget that `tune` keeps for the finals, and what it buys."""

import random

import pytest

import greyhound as gh
from greyhound.errors import StudyError
from greyhound.finals import begin, fit, reserve
from greyhound.study import Study

SPACE = gh.Space(x=gh.Float(0.0, 1.0, default=0.5), y=gh.Float(0.0, 1.0, default=0.5))
QUIET = {"progress": False, "sampler": "random", "workers": "serial", "maximize": "score"}


def noisy(trial):
    return trial.params["x"] + random.Random(f"{trial.seed} {trial.params}").gauss(0, 0.01)


@pytest.mark.parametrize(
    ("runs", "sizes"), [(5, (0, 0)), (6, (1, 3)), (9, (2, 3)), (12, (2, 4)), (20, (3, 5)), (30, (5, 5)), (99, (5, 5))]
)
def test_seeds_come_before_finalists(runs, sizes):
    assert fit(runs, 5, 5) == sizes
    assert (sizes[0] + 1) * sizes[1] <= max(runs, 0) or sizes == (0, 0)


def test_a_fifth_of_the_trials_is_kept_for_the_finals():
    study = gh.tune(noisy, SPACE, budget="40 trials", **QUIET)
    assert study.history.searched == 32
    assert len(study.history.replicates) == 8  # one finalist and the default, on four seeds
    assert len(study.trials) == 40
    assert "is better than the default" in study.finals(1, 4).verdict


def test_small_budgets_and_spaces_without_a_default_are_left_to_the_search():
    assert len(gh.tune(noisy, SPACE, budget="29 trials", **QUIET).history.replicates) == 0
    free = gh.Space(x=gh.Float(0.0, 1.0))
    assert len(gh.tune(noisy, free, budget="40 trials", **QUIET).history.replicates) == 0
    assert gh.tune(noisy, SPACE, budget="40 trials", finals=False, **QUIET).history.searched == 40


def test_wanted_finals_are_taken_out_of_the_trials():
    study = gh.tune(noisy, SPACE, budget="12 trials", finals={"top": 1, "seeds": 2}, **QUIET)
    assert (study.history.searched, len(study.history.replicates)) == (8, 4)
    with pytest.raises(StudyError, match="take 30 of the budget's 12 trials"):
        gh.tune(noisy, SPACE, budget="12 trials", finals=True, **QUIET)
    with pytest.raises(StudyError, match="finals: write"):
        gh.tune(noisy, SPACE, budget="12 trials", finals="yes", **QUIET)


def test_the_same_program_again_trains_nothing_more(tmp_path):
    options = {"budget": "40 trials", "storage": tmp_path / "s.db", **QUIET}
    before = len(gh.tune(noisy, SPACE, **options).trials)
    assert len(gh.tune(noisy, SPACE, **options).trials) == before == 40


def test_what_is_not_given_again_is_kept(tmp_path):
    options = {"storage": tmp_path / "s.db", **QUIET}
    gh.tune(noisy, SPACE, budget="40 trials, 1h", **options).close()
    with gh.tune(noisy, SPACE, **options) as study:
        assert str(study.settings.whole_budget) == "1 h, 40 trials"
        assert len(study.trials) == 40
    with gh.tune(noisy, SPACE, budget="+10 trials", **options) as study:
        assert str(study.settings.whole_budget) == "1 h, 42 trials", "counted from the 32 that the search had"


def test_time_that_buys_no_finals_goes_back_to_the_search():
    """Each trial costs 30 of 100 seconds."""
    now = [1000.0]
    study = Study(SPACE, maximize="score", budget="100s", clock=lambda: now[0], sampler="random")
    plan = reserve(study, "auto", "100s")
    assert study.settings.budget.seconds == 80

    def search():
        while (trial := study.ask()) is not None:
            now[0] += 30
            study.tell(trial, score=trial.params["x"])

    search()
    assert study.history.searched == 3
    assert begin(study, plan, slots=1)
    assert study.settings.budget.seconds == 100
    search()
    assert (study.history.searched, len(study.history.replicates)) == (4, 0)
    assert not begin(study, plan, slots=1)


def test_finals_after_tune_run_by_themselves():
    study = gh.tune(noisy, SPACE, budget="6 trials", **QUIET)
    found = study.finals(top=2, seeds=3)
    assert found.complete
    assert len(study.trials) == 6 + 9


def test_the_report_tells_the_finals_and_the_held_out_metric(tmp_path):
    def train(trial):
        return {"score": noisy(trial), "unseen": 0.123}

    study = gh.tune(train, SPACE, budget="12 trials", finals={"top": 2, "seeds": 2}, test="unseen", **QUIET)
    page = study.write_report(tmp_path / "report.html").read_text()
    found = study.finals(2, 2)
    assert found.verdict[1:] in page
    assert "0.123" in page
    assert "Finals: is the winner real?" in page
