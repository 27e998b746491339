"""Audit trials are few and random; what the scheduler would have made of them is replayed; the claims are honest."""

import json
import random

import pytest
from scipy.stats import binomtest
from tests.schedulers.histories import begun

from greyhound import events as ev
from greyhound.analysis.audit import AUDIT, Audit, Stopped, audit, binomial_interval
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.replay import stops
from greyhound.schedulers.asha import Asha
from greyhound.schedulers.full import Full
from greyhound.schedulers.median import Median
from greyhound.space import Float, Space
from greyhound.storage import Memory
from greyhound.study import Study
from greyhound.trial import Objective, TrialState, Verdict


def faithful(x, step):
    """Early values order the final ones."""
    return x * (1 - 0.8**step)


def late(x, step):
    """Who is slow ends best."""
    return (1 - x) * (1 - 0.5**step) + (2 * x if step > 12 else 0.0)


def study_of(curve, trials=60, share=0.2, scheduler="asha", metrics=None, **options):
    options = {"maximize": "score", "max_steps": 27, "sampler": "random", **options}
    study = Study(Space(x=Float(0.0, 1.0)), budget=trials, scheduler=scheduler, audit=share, **options)
    while (trial := study.ask()) is not None:
        for step in range(trial.step + 1, 28):
            told = {"score": curve(trial.params["x"], step), **(metrics(trial.params["x"]) if metrics else {})}
            if study.report(trial.number, step, **told) is not Verdict.CONTINUE:
                break
    return study


def test_audits_are_random_trials_trained_in_full_that_keep_to_their_share():
    study = study_of(faithful, trials=150)
    audits = [trial for trial in study.trials if trial.source == AUDIT]
    assert len(audits) >= 3
    assert all(trial.step == 27 and trial.state is TrialState.COMPLETED for trial in audits)
    assert sum(trial.step for trial in audits) <= 0.2 * study.history.total_steps + 27
    again = study_of(faithful, trials=150)
    assert [trial.source for trial in again.trials] == [trial.source for trial in study.trials]
    assert not any(trial.source == AUDIT for trial in study_of(faithful, share=0.0).trials)


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median", {"name": "median", "risk": 0.1}, "pbt"], ids=str)
def test_where_early_values_order_the_final_ones_no_stop_is_wrong(scheduler):
    found = study_of(faithful, trials=120, scheduler=scheduler).audit()
    assert found.audited >= 3
    assert found.wrong == 0
    if scheduler in ("asha", "hyperband"):
        assert len(found.stopped) >= 2, "most would have been left paused"


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_where_they_mislead_the_audit_says_so_and_what_it_cost(scheduler):
    study = study_of(late, trials=120, scheduler=scheduler)
    found = study.audit()
    assert found.wrong >= 1
    ends = {trial.number: trial.metrics["score"] for trial in study.history.completed}
    condemned = {each.trial for each in found.stopped}
    best = max(trial.metrics["score"] for trial in study.trials if trial.number not in condemned)
    assert found.cost == pytest.approx(max(ends[number] for number in condemned) - best)
    assert f"{found.wrong} of {len(found.stopped)} would have been wrong" in str(found)


def test_the_replay_stops_where_the_scheduler_would_have():
    """The median rule on a journal by hand: finished means at step 2 are 3, 5 and 7."""
    history = begun(max_steps=4)
    events = [
        ev.Declared(1.0, history.settings.to_json()),
        ev.Joined(1.0, "test", "host", 1, 1.0),
        *trained(0, [4.0, 2.0, 1.0, 1.0]),
        *trained(1, [6.0, 4.0, 1.0, 1.0]),
        *trained(2, [9.0, 5.0, 1.0, 1.0]),
        *trained(3, [9.0, 5.1, 0.5, 0.2], AUDIT),
        *trained(4, [9.0, 5.0, 4.0, 4.0], AUDIT),
    ]
    rule = Median(min_trials=3, interval=2)
    assert stops(events, rule) == {3: 2}, "trial 4 was at the median"
    assert stops(events, Full()) == {}
    found = audit(History.of(events), stops(events, rule))
    assert found == Audit(audited=2, stopped=(Stopped(3, 2, True, pytest.approx(0.8)),), left=0, steps=2)


def test_the_replay_promotes_a_paused_audit_when_it_is_due():
    history = begun(max_steps=3)
    events = [ev.Declared(1.0, history.settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)]
    events += trained(0, [1.0, 1.0, 1.0], AUDIT)
    for number, loss in enumerate((2.0, 3.0, 4.0), 1):
        events += trained(number, [loss], state=TrialState.PAUSED)
    asha = Asha(eta=3, min_steps=1)
    assert stops(events[:-6], asha) == {0: 1}, "of two it is not the best third"
    assert stops(events, asha) == {}, "of three it is"


def trained(number, losses, source="random", state=TrialState.COMPLETED):
    at = 10.0 * (number + 1)
    return [
        ev.Started(at, number, {"x": 0.5}, 1, source, "test", 4),
        *(ev.Reported(at + step, number, step, {"loss": loss}) for step, loss in enumerate(losses, 1)),
        ev.Ended(at + 9, number, state, {}, "test"),
    ]


def test_audits_that_were_interrupted_or_failed_are_borne():
    events = [ev.Declared(1.0, begun(max_steps=4).settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)]
    audited = trained(0, [4.0, 3.0, 2.0, 1.0], AUDIT)
    events += [*audited[:3], ev.Requeued(14.0, 0, "killed"), ev.Resumed(15.0, 0, "test", 4), *audited[3:]]
    events += trained(1, [5.0], AUDIT, TrialState.FAILED)
    assert stops(events, Asha(min_steps=1)) == {0: 1}
    assert audit(History.of(events), {0: 1}).audited == 1


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_what_a_step_is_told_in_parts_makes_no_other_audit(scheduler):
    """The real study judges a step when its objective is told, and so does the replay."""

    def audited(parts):
        study = Study(
            Space(x=Float(0.0, 1.0)), maximize="score", max_steps=27, budget=40, scheduler=scheduler, audit=0.5,
            sampler="random",
        )  # fmt: skip
        while (trial := study.ask()) is not None:
            for step in range(trial.step + 1, 28):
                score = faithful(trial.params["x"], step)
                told = [{"loss": 1.0}, {"score": score}] if parts else [{"loss": 1.0, "score": score}]
                verdicts = [study.report(trial, step, **part) for part in told]
                if verdicts[-1] is not Verdict.CONTINUE:
                    break
        return study.audit()

    assert audited(parts=True) == audited(parts=False)
    assert audited(parts=True).stopped


def test_an_audit_that_ended_by_itself_has_finished_in_the_replay_too():
    events = [ev.Declared(1.0, begun(max_steps=4).settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)]
    for number, losses in enumerate(([4.0, 2.0, 1.0], [6.0, 4.0, 1.0], [9.0, 5.0, 1.0], [9.0, 5.1, 4.0, 4.0])):
        events += trained(number, losses, AUDIT)
    assert stops(events, Median(min_trials=3, interval=2)) == {3: 2}


def test_with_several_objectives_a_stop_is_wrong_if_nothing_dominates_what_was_stopped():
    study = study_of(late, trials=120, minimize="size", metrics=lambda x: {"size": 1.0 + x})
    found = study.audit()
    assert found.stopped
    assert found.cost is None
    assert found.wrong == len(found.stopped), "each has a size of its own: all lie on the front"


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (1, 10), (7, 7), (3, 40)])
def test_the_interval_is_clopper_pearsons(hits, count):
    exact = binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert binomial_interval(hits, count, 0.95) == pytest.approx((exact.low, exact.high))


def test_the_interval_covers_what_it_says():
    rng, share = random.Random(0), 0.1
    covered = 0
    for _ in range(400):
        low, high = binomial_interval(sum(rng.random() < share for _ in range(30)), 30, 0.95)
        covered += low <= share <= high
    assert covered >= 0.95 * 400


def test_what_is_not_known_is_not_claimed():
    nothing = study_of(faithful, trials=5, share=0.0).audit()
    assert "no audit trial was trained to its end" in str(nothing)
    assert nothing.interval == (0.0, 1.0)
    assert "none would have been stopped" in str(Audit(2, (), 0, 0))
    few = Audit(4, tuple(Stopped(number, 3, False, 0.0) for number in range(4)), 96, 40)
    assert "0 of 4 would have been wrong (0%, with 95 % confidence 0% to 60%)" in str(few)
    assert "0 to 58 that would have ended better" in str(few)


def test_a_share_is_at_most_half():
    with pytest.raises(StudyError, match="audit must be a share of the steps"):
        study_of(faithful, share=0.9)


def test_the_share_is_kept_and_older_journals_have_none(tmp_path):
    study_of(faithful, trials=3, storage=tmp_path / "study.db").close()
    with Study.load(tmp_path / "study.db") as study:
        assert study.settings.audit == 0.2
    before = begun().settings.to_json()
    del before["audit"]
    assert History.of([ev.Declared(1.0, before)]).settings.audit == 0.0
    assert History.of([ev.Declared(1.0, before)]).objectives == (Objective("loss", False),)


def test_a_study_without_audit_trials_is_not_replayed():
    class Read(Memory):
        reads = 0

        def read(self, since):
            self.reads += 1
            return super().read(since)

    for share, reads in ((0.0, 0), (0.2, 1)):
        study = study_of(faithful, trials=30, share=share, storage=Read())
        before = study.journal.reads
        assert bool(study.audit().audited) == bool(share)
        assert study.journal.reads - before == reads


def test_the_command_line_and_the_report_tell_it(tmp_path):
    from typer.testing import CliRunner

    from greyhound.cli.app import app

    study = study_of(faithful, trials=80, storage=tmp_path / "study.db")
    told = str(study.audit())
    page = study.write_report(tmp_path / "report.html").read_text()
    assert told.split("(")[0] in page
    study.close()
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "study.db")])
    assert result.output.strip() == told
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "study.db"), "--json"])
    found = json.loads(result.output)
    assert found["wrong"] == 0
    assert found["audited"] >= 1
