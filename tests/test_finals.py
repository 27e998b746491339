"""The share of the budget that `tune` keeps for the finals, and what it buys."""

import random

import pytest

import greyhound as gh
from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.finals import begin, fit, kept, reserve
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


def study_of(budget, **options):
    return Study(SPACE, maximize="score", budget=budget, sampler="random", scheduler="none", **options)


def trained(study, plan):
    """How many trials the search has had and how many the finals, once nothing is left to train."""
    while True:
        while (trial := study.ask()) is not None:
            study.tell(trial, score=noisy(trial))
        if not begin(study, plan, slots=1):
            return study.history.searched, len(study.history.replicates)


def test_more_budget_is_shared_between_search_and_finals_as_the_first_was():
    study = study_of("41 trials, 1h")
    assert trained(study, reserve(study, "auto", "41 trials, 1h")) == (33, 8)
    plan = kept(study, "50 trials")
    assert str(plan.total) == str(study.settings.whole_budget) == "1 h, 83 trials"
    assert str(study.settings.budget) == "48 min, 73 trials"
    searched, replicates = trained(study, plan)
    assert searched == 73
    assert 8 < replicates <= 18


def test_more_budget_that_buys_no_finals_is_the_searchs():
    study = study_of("40 trials")
    assert trained(study, reserve(study, "auto", "40 trials")) == (32, 8)
    assert trained(study, kept(study, "10 trials")) == (42, 8)


def test_more_budget_beside_wanted_finals_is_the_searchs_and_as_many_follow():
    study = study_of("12 trials")
    assert trained(study, reserve(study, {"top": 1, "seeds": 2}, "12 trials")) == (8, 4)
    plan = kept(study, "30 trials")
    assert (plan.total.trials, plan.top, plan.seeds, plan.fixed) == (38, 1, 2, True)
    searched, replicates = trained(study, plan)
    assert (searched, kept(study)) == (38, plan)
    assert replicates in (4, 6), "the best changed or did not"


def test_wanted_finals_leave_one_trial_at_least():
    with pytest.raises(StudyError, match="take 4 of the budget's 4 trials"):
        reserve(study_of("4 trials"), {"top": 1, "seeds": 2}, "4 trials")
    study = study_of("5 trials")
    reserve(study, {"top": 1, "seeds": 2}, "5 trials")
    assert study.settings.budget.trials == 1


def test_a_budget_of_thirty_trials_is_worth_sharing():
    few, enough = study_of("29 trials"), study_of("30 trials")
    assert reserve(few, "auto", "29 trials") is None
    assert few.settings.budget.trials == 29
    plan = reserve(enough, "auto", "30 trials")
    assert (plan.total.trials, enough.settings.budget.trials) == (30, 24)


@pytest.mark.parametrize(("slots", "asked_for"), [(2, 6), (4, 12)])
def test_as_many_finals_are_asked_for_as_the_time_left_and_the_longest_training_allow(slots, asked_for):
    """Of 100 seconds 18 are left: for three trainings of 6 seconds, the longest, at once on each slot."""
    now = [1000.0]
    study = study_of("100s", clock=lambda: now[0])
    plan = reserve(study, "auto", "100s")
    for seconds in (2, 6, 2, 72):
        trial = study.ask()
        now[0] += seconds
        study.tell(trial, **({"failed": "it hung"} if seconds > 6 else {"score": trial.params["x"]}))
    assert study.ask() is None
    assert begin(study, plan, slots)
    assert len(study.history.replicates_due) == asked_for
    now[0] += 17.0
    assert begin(study, plan, slots), "what was begun goes on, though time is short"
    assert (len(study.history.replicates_due), study.settings.budget.seconds) == (asked_for, 80)


def test_device_time_buys_as_many_finals_however_many_train_at_once():
    now = [1000.0]
    study = study_of(Budget(device_seconds=100.0), clock=lambda: now[0])
    plan = reserve(study, "auto", None)
    while (trial := study.ask()) is not None:
        now[0] += 3.0
        study.tell(trial, score=trial.params["x"])
    assert begin(study, plan, slots=8)
    assert len(study.history.replicates_due) == 6, "of 19 seconds"


def test_where_nothing_was_found_the_search_goes_on_to_the_end_of_the_budget():
    study = study_of("40 trials")
    plan = reserve(study, "auto", "40 trials")

    def search():
        while (trial := study.ask()) is not None:
            study.tell(trial, failed="no data")

    search()
    assert study.history.searched == 32
    assert begin(study, plan, slots=1)
    search()
    assert (study.history.searched, begin(study, plan, slots=1)) == (40, False)


def test_a_search_that_spent_the_time_of_the_finals_too_ends():
    now = [1000.0]
    study = study_of("100s", clock=lambda: now[0])
    plan = reserve(study, "auto", "100s")
    while (trial := study.ask()) is not None:
        now[0] += 50.0
        study.tell(trial, score=trial.params["x"])
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
