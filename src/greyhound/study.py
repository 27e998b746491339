"""A study: space, sampler, scheduler and journal, driven by ask and tell.

`ask` hands out a trial to train, new or one to resume; `report` takes what it measured on the way
and returns the verdict; `tell` ends it. That is all there is: `tune` is this loop with workers. A
study keeps nothing that its journal does not say, so it can be closed or killed at any moment and
opened again, by several processes at once. Threads, and forks of a process, may share a study.
"""

from __future__ import annotations

import json
import operator
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from greyhound import choosing, judging, replay, samplers, schedulers, spending, strategy
from greyhound import events as ev
from greyhound.analysis import ranking
from greyhound.budget import Budget
from greyhound.callbacks import Callback
from greyhound.errors import SpaceError, StudyError
from greyhound.evaluators.direct import Direct
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.reporting import checked
from greyhound.evaluators.reporting import number as as_number
from greyhound.evolution import why_not
from greyhound.files import Files
from greyhound.history import History
from greyhound.jobs import Answer, Choice, Constraint, Job, Note, Progress
from greyhound.records import Records
from greyhound.session import Session, in_turn
from greyhound.settings import (
    Settings,
    check_configuration,
    check_continues,
    continued,
    goals,
    plain_configuration,
    read_audit,
    read_devices,
    read_folder,
    read_limits,
    read_max_steps,
    read_objectives,
    read_seed,
    read_test,
)
from greyhound.space import Space, parameter_from_dict
from greyhound.storage import Journal, folder_beside, open_journal, shown, study_names
from greyhound.trial import FAILED_STATES, Params, Trial, TrialState, Verdict
from greyhound.values import counted, show

if TYPE_CHECKING:
    import pandas as pd

    from greyhound.analysis.audit import Audit
    from greyhound.analysis.finals import Finals


class Study:
    """A search for good hyperparameters that can be stopped and continued at any time.

    space: what to search, or a mapping of names to parameters; None where the training names its
    parameters itself (`trial.suggest_float` and so on). maximize, minimize: metric names, one or more in
    all; neither means to minimise "value". subject_to: limits on metrics, such as "latency_ms <= 5".
    sampler, scheduler: a name, {"name": ..., option: ...} or an instance. max_steps: length of a full
    training, at least 1. budget: "2h", "100 trials"…, totals of the study (see Budget); "+2h" counts from
    what it has spent so far. audit: the share of its steps, 0 to 0.5, for trials that are trained to their end
    whatever the scheduler says, to check it (see the method `audit`). seed: 0 or more; a study keeps the one
    that it was created with. warm_start: earlier studies (or their files) with the same first objective, to learn
    from; see `greyhound.warm`. storage: None (memory), a file name, a database URL, or a Journal. name: the
    study within its storage. checkpoints: folder for checkpoints and logs, by default beside the study file, for a
    database in the current folder; one that holds another study's is left as it is, and the next beside it with a
    number is taken.
    checkpoint_quota: the most that checkpoints may take, in bytes. target: how to make the evaluator again, for
    `greyhound resume`. callbacks: called with the history and each event that this process adds to it, such as the
    loggers of `greyhound.integrations.loggers`; one that returns True ends the search. test: a held-out metric that
    trainings report too, which the search never looks at and the report tells once, at the end. devices_per_trial:
    how many a training takes, or the share of one, by which a budget of device time counts. clock: gives Unix
    seconds.

    Opening an existing study continues it; a changed space is mapped, a changed goal is refused.
    Raises StudyError, SpaceError, BudgetError or StorageError where something is wrong, MissingExtraError where the
    sampler needs a library that is missing.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any] | None = None,
        *,
        maximize: str | Sequence[str] = (),
        minimize: str | Sequence[str] = (),
        subject_to: str | Sequence[str] = (),
        sampler: Any = "auto",
        scheduler: Any = "auto",
        max_steps: int | None = None,
        budget: Any = None,
        audit: float = 0.0,
        seed: int = 0,
        warm_start: Any = (),
        storage: str | Path | Journal | None = None,
        name: str | None = None,
        checkpoints: str | Path | None = None,
        checkpoint_quota: int | None = None,
        target: Mapping[str, Any] | None = None,
        callbacks: Sequence[Callback] = (),
        test: str | None = None,
        devices_per_trial: float = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        space = space if space is None or isinstance(space, Space) else Space(space)
        wanted = Settings(
            objectives=read_objectives(maximize, minimize),
            space=space,
            limits=read_limits(subject_to),
            seed=read_seed(seed),
            sampler=samplers.REGISTRY.describe(sampler),
            scheduler=schedulers.REGISTRY.describe(scheduler),
            max_steps=read_max_steps(max_steps),
            budget=Budget() if (more := _more(budget)) else Budget.parse(budget),
            audit=read_audit(audit),
            target=target or {},
            devices=read_devices(devices_per_trial),
        )
        wanted = replace(wanted, test=read_test(test, wanted.objectives, wanted.limits))
        if not isinstance(warm_start, list | tuple | None) or warm_start:
            from greyhound.warm import read_known

            wanted = replace(wanted, known=read_known(warm_start, space, wanted.objectives, wanted.limits))
        made = strategy.make_sampler(sampler), strategy.make_scheduler(scheduler, wanted)
        samplers.check_installed(made[0])
        self._setup(open_journal(storage, name), space, clock, checkpoints, checkpoint_quota, callbacks)
        self.sampler, self.scheduler = made
        self._declare(wanted)
        self._files.settle(self.history)
        if more:
            self.extend(more)

    @classmethod
    def load(
        cls,
        storage: str | Path | Journal,
        name: str | None = None,
        *,
        checkpoints: str | Path | None = None,
        checkpoint_quota: int | None = None,
        callbacks: Sequence[Callback] = (),
        clock: Callable[[], float] = time.time,
    ) -> Study:
        """An existing study with the settings in its journal. StorageError where there is none."""
        study = cls.__new__(cls)
        journal = open_journal(storage, name, create=False)
        study._setup(journal, None, clock, checkpoints, checkpoint_quota, callbacks)
        settings = study.history.settings
        if settings is None:
            raise StudyError(f"{storage}: the study was created but never declared; run it again from its program.")
        study._files.settle(study.history)
        study.sampler = strategy.make_sampler(settings.sampler)
        study.scheduler = strategy.make_scheduler(settings.scheduler, settings)
        return study

    def _setup(
        self,
        journal: Journal,
        space: Space | None,
        clock: Callable[[], float],
        checkpoints: str | Path | None,
        checkpoint_quota: int | None,
        callbacks: Sequence[Callback],
    ) -> None:
        rules = {} if space is None else space.constraints
        functions = {name: rule for name, rule in rules.items() if callable(rule)}
        self._session = Session(journal, functions, clock, callbacks)
        self._records = Records(self._session, self.name)
        self._clock = clock
        self._suggestions = choosing.Suggestions()
        folder = read_folder(checkpoints) if checkpoints is not None else folder_beside(journal)
        self._files = Files(folder, checkpoint_quota)
        self.trainer: Callable[[Study], Any] | None = None
        self.trained: Collection[int] = ()  # what `tune` has given to workers that have not returned it
        self._live: weakref.WeakValueDictionary[int, LiveTrial] = weakref.WeakValueDictionary()
        self._given: dict[int, str] = {}  # under which name the trials that were handed out here were claimed

    # Ask and tell

    @in_turn
    def ask(self) -> LiveTrial | None:
        """A trial to train: new, or one to resume; None where there is nothing to do now.

        None means either that every worker has to wait for the trials that run, or that the study is
        `finished`. Trials that were interrupted come first, then the default configuration, then what
        was enqueued, then what scheduler and sampler choose.
        """
        session = self._session
        owner = session.join()
        session.refresh()
        session.recover()
        while (wanted := self._choose()) is not None:
            if isinstance(wanted, schedulers.Stop):
                self._end(wanted.number, TrialState.STOPPED, {})
                continue
            claim = choosing.claim(self.history, self.scheduler, wanted, owner, self._clock())
            session.append(claim)
            if session.holds(claim.trial):  # else another process was first
                return self._hand_out(claim.trial)
        return None

    def report(self, trial: LiveTrial | Trial | int, step: int, /, **metrics: Any) -> Verdict:
        """Record metrics after `step` steps and say how the trial goes on; its checkpoint is saved first where due.

        CONTINUE: train on, towards max_steps. PAUSE: the trial is paused; `ask` may hand it out again later. STOP: it
        has ended: because it was stopped early, diverged (an objective is NaN or infinite), or reached
        max_steps, which completes it. A step that was reported before changes nothing, and a trial
        that is paused or has ended already stays so. PAUSE too where another process has taken the trial over,
        as happens to one that was silent for long.
        """
        number = self._number(trial)
        step, values = checked("study.report", step, metrics)
        if isinstance(trial, LiveTrial):
            trial.check_copied()
        if (live := self._trained_here(number)) is not None:
            live.keep(step, values)
        return self._report(number, step, values)

    def tell(
        self, trial: LiveTrial | Trial | int, value: Any = None, /, *, failed: str | None = None, **metrics: Any
    ) -> None:
        """End a trial: completed with these metrics (by default the last reported), or failed and why.

        value: the only objective's (or all objectives', in order), as a shorthand. A trial that its last
        report stopped stays stopped; one that it paused is completed by telling its metrics; completing
        one twice adds metrics to it. StudyError where an objective is missing.
        """
        if value is not None:
            metrics = {**metrics, **self._named(value)}
        judging.check_reason(failed)
        if failed is None and (live := self._trained_here(self._number(trial))) is not None:
            live.conclude(metrics)
        self.end(trial, TrialState.COMPLETED if failed is None else TrialState.FAILED, metrics, failed)

    @in_turn
    def end(
        self,
        trial: LiveTrial | Trial | int,
        state: TrialState,
        metrics: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """End a run of a trial in any state; `tell` in full.

        PAUSED puts a running trial back, to be taken up again before any other. LOST does so too, up to
        three times. A trial that is paused already stands safe at its checkpoint, and only COMPLETED
        changes that. Nothing changes one that another process has taken over.
        """
        number = self._number(trial)
        values = {name: as_number(told, f"metric {name!r}") for name, told in (metrics or {}).items()}
        if self._taken_over(number):
            return
        record = self.history.trial(number)
        if record.state.final:
            if changed := judging.told_later(record, state, values):
                self._session.append(ev.Ended(self._clock(), number, state, changed, record.owner))
            self._files.collect(self.history, number, self.trained)  # it went on behind the report that ended it
        elif record.state is TrialState.RUNNING or state is TrialState.COMPLETED:
            if state is TrialState.COMPLETED:
                state = judging.completion(self.history, record, values)
            self._end(number, state, values, error, "interrupted" if state is TrialState.PAUSED else None)

    @in_turn
    def enqueue(self, params: Mapping[str, Any], *, place: int | None = None) -> None:
        """Ask for a configuration to be tried soon; parameters left out take their defaults.

        A configuration may be asked for again and again: each is a replicate with its own seed. Those that the budget
        of trials has no room for wait until it has. Where the training names its parameters itself, one is drawn, with
        a warning, if the value here is none that it asks for.

        place: of what several programs ask for as they begin the study at once; the same configuration at the same
        place counts once.
        """
        check_configuration(params)
        self._session.join()
        if self.history.define_by_run:
            params = plain_configuration(params)
        else:
            params = self.history.space.validate(self.history.space.complete(dict(params)))
        self._session.append(ev.Enqueued(self._clock(), params, place=place))

    @in_turn
    def retry(self, trials: Sequence[int] | None = None) -> list[int]:
        """Put failed trials (all, or these) back, to go on from their checkpoints; their numbers."""
        self._session.join()
        failed = sorted(self.history.numbers(*FAILED_STATES))
        try:
            wanted = failed if trials is None else [self._number(trial) for trial in trials]
        except TypeError:
            raise StudyError(f"retry: give a list of trials or their numbers; got {show(trials)}.") from None
        for number in wanted:
            if number not in failed:
                raise StudyError(f"retry: trial {number} has not failed; failed are: {failed or 'none'}.")
        now, last = self._clock(), self.history.trial
        self._session.append(*(ev.Requeued(now, number, "retried", last(number).owner) for number in wanted))
        return wanted

    @in_turn
    def record(self, message: Note | Constraint | Choice) -> None:
        """Keep what a training said of its trial: attributes, a constraint, a parameter that it named itself.

        SpaceError where that parameter is of another kind in earlier trials.
        """
        now = self._clock()
        if isinstance(message, Note):
            self._session.append(ev.Noted(now, message.number, json.loads(json.dumps(dict(message.attrs)))))
        elif isinstance(message, Constraint):
            self._session.append(ev.Constrained(now, message.number, message.key, message.value))
        else:
            known = self.history.space.parameters.get(message.name)
            told = {} if known is not None and known.to_dict() == message.parameter else message.parameter
            self._session.append(ev.Suggested(now, message.number, message.name, message.value, told))
            trial, named = self.history.trial(message.number), parameter_from_dict(message.name, message.parameter)
            if message.name not in trial.params:
                raise SpaceError(f"{message.name}: {why_not(self.history.space[message.name], named)}")
            choosing.warn_of_another(trial, message.name, named)

    # What came of it

    @property
    def history(self) -> History:
        """The fold of the journal: what samplers and schedulers see."""
        return self._session.history

    @property
    def journal(self) -> Journal:
        """Where the study's events are kept."""
        return self._session.journal

    @property
    def storage(self) -> str | None:
        """The study's file or database as it may be printed; None where it is in memory."""
        url = getattr(self.journal, "url", None)
        return None if url is None else shown(url)

    @property
    def name(self) -> str:
        """The study's name within its storage."""
        return str(getattr(self.journal, "name", "study"))

    @property
    def only_one(self) -> bool:
        """Whether the storage holds no other study, so that the name need not be given."""
        url = getattr(self.journal, "url", None)
        return url is None or len(study_names(url)) == 1

    @property
    def strategy(self) -> str:
        """The sampler and, where it chooses by itself, what it chose and why, in one line."""
        return samplers.explain(self.sampler, self.sampler_name, self.history)

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number."""
        return self.history.trials

    @property
    @in_turn
    def best(self) -> Trial:
        """The trial with the best value of the only objective, its checkpoint's path filled in.

        Among trials that keep to the limits and did not fail, whether trained to the end or not.
        StudyError where there is none, or several objectives (see `front`).
        """
        if len(self.history.objectives) != 1:
            raise StudyError(f"the study has {len(self.history.objectives)} objectives; use study.front.")
        found = ranking.best(self.history)
        if found is None:
            raise StudyError(f"{ranking.why_none(self.history)}.")
        return self._files.with_checkpoint(found)

    @property
    @in_turn
    def front(self) -> list[Trial]:
        """The trials that no other beats in every objective (the Pareto front)."""
        return [self._files.with_checkpoint(trial) for trial in ranking.front(self.history)]

    @property
    @in_turn
    def baseline(self) -> Trial | None:
        """The default configuration's trial, which is tried first and trained in full; None without one."""
        found = ranking.baseline(self.history)
        return None if found is None else self._files.with_checkpoint(found)

    @property
    def finished(self) -> bool:
        """Whether `ask` will give nothing more: the budget is spent, or everything was tried."""
        return self.why_finished is not None

    @property
    def why_finished(self) -> str | None:
        """One sentence on why the study is finished, None while it is not."""
        return choosing.why_finished(self.history, self.settings, self.scheduler, self.spent)

    @property
    def spent(self) -> str | None:
        """Which budget of time or steps is used up, or that a callback ended the search, in a sentence; else None."""
        if self._session.ended:
            return "a callback ended the search"
        return spending.used_up(self.history, self._clock(), driven=self._session.owner is not None)

    @property
    def settings(self) -> Settings:
        """What the study declares."""
        if self.history.settings is None:
            raise StudyError("the study has not been declared.")
        return self.history.settings

    @property
    def sampler_name(self) -> str:
        """The sampler's name as the study was given it."""
        return strategy.sampler_name(self.settings)

    @property
    def scheduler_name(self) -> str:
        """The scheduler's name, "auto" resolved."""
        return strategy.scheduler_name(self.settings)

    @property
    def folder(self) -> Path:
        """Where checkpoints and logs are; a temporary folder, gone with the study, if it is in memory."""
        return self._files.folder

    def importance(self, method: str = "ped-anova", metric: str | None = None) -> dict[str, float]:
        """How much each hyperparameter matters: shares of 1, the most important first; all 0 if nothing is known.

        method: "ped-anova" (what it takes to be among the best tenth), "fanova" (what explains the variance;
        needs scikit-learn) or "grey" (what moves with the objective; for few trials). metric: which, where
        there are several objectives. StudyError where an argument is wrong. See `analysis.importance`.
        """
        from greyhound.analysis.importance import importance

        return importance(self.history, method, metric)

    def rank(self, weights: Mapping[str, float] | None = None) -> list[tuple[Trial, float]]:
        """The Pareto front by grey relational grade, in (0, 1], the recommended trial first.

        weights: of objectives by name, >= 0; those left out count 1. StudyError where the study has one
        objective, or a weight is wrong. The reason in a sentence: `analysis.recommend.recommend`.
        """
        from greyhound.analysis.recommend import rank

        return [(self._files.with_checkpoint(trial), grade) for trial, grade in rank(self.history, weights)]

    def audit(self) -> Audit:
        """How often early stopping was wrong and what it cost, as far as audit trials show; printed, in a sentence.

        Audit trials are a random part of all, trained to their end (see `audit` of the study). The journal is
        replayed to find out which of them the scheduler would have stopped, and at which step; what they came
        to says whether that would have been wrong.
        """
        from greyhound.analysis.audit import AUDIT, audit

        audited = any(trial.source == AUDIT for trial in self.history.trials)
        return audit(self.history, replay.stops(self.journal.read(0), self.scheduler) if audited else {})

    def finals(self, top: int = 5, seeds: int = 5) -> Finals | None:
        """Train the `top` best configurations and the default again on `seeds` fresh seeds, the same for all.

        Replicates that were trained before are not trained again. After `tune` the trainings run now; in a loop of
        ask and tell they are what `ask` hands out next, and a second call tells what came of them. Returns the
        finals as far as they are known, None where no seed has been trained by all. They are not in the budget.
        StudyError where there are several objectives, or no trial has a usable value. See `analysis.finals`.
        """
        from greyhound.analysis.finals import finals

        self.enqueue_finals(top, seeds)
        if self.history.replicates_open and self.trainer is not None:
            self.trainer(self)
        return finals(self.history)

    @in_turn
    def enqueue_finals(self, top: int = 5, seeds: int = 5) -> None:
        """Ask for the replicates of `finals` that there are not yet, seed by seed."""
        from greyhound.analysis.finals import missing

        self._session.join()
        self._session.refresh()
        now = self._clock()
        self._session.append(
            *(
                ev.Enqueued(now, dict(trial.params), seed, trial.number)
                for trial, seed in missing(self.history, top, seeds)
            )
        )

    def dataframe(self) -> pd.DataFrame:
        """A pandas data frame with a row a trial: number, state, params.*, metrics.*, times, seed, error."""
        from greyhound.analysis.table import dataframe

        return dataframe(self.history)

    def write_report(self, path: str | Path, commands: Sequence[str] = ()) -> Path:
        """Write all of it into one HTML file that opens without a network; its path.

        commands: how to go on with the study, as the report should tell. StudyError where it cannot be written, or
        where there is a database, such as the study's own.
        """
        from greyhound.analysis.report import write_report

        winner = ranking.best(self.history) if len(self.history.objectives) == 1 else None
        checkpoint = self._files.with_checkpoint(winner).checkpoint if winner is not None else None
        audit = str(self.audit()) if self.settings.audit else None
        return write_report(
            self.history,
            Path(path),
            title=self.name,
            commands=commands,
            checkpoint=checkpoint,
            strategy=self.strategy,
            scheduler=self.scheduler_name,
            audit=audit,
        )

    # For those who drive a study for long

    @in_turn
    def refresh(self) -> None:
        """Read what other processes wrote."""
        self._session.refresh()

    @in_turn
    def prepare(self) -> None:
        """Compute the next suggestion ahead, so that the next `ask` need not.

        The next `ask` that starts a new trial uses it, even if results have come in since.
        """
        if self.spent is None:
            self._suggestions.prepare(self.history, self.sampler)

    @in_turn
    def beat(self) -> None:
        """Tell other machines that this process lives, if it has been silent; `tune` does so by itself."""
        self._session.beat()

    def beating(self) -> AbstractContextManager[None]:
        """Beat from a thread for as long as this lasts, in a loop that may be silent for minutes; `tune` does so."""
        return self._session.beating()

    def flush(self) -> None:
        """Let callbacks finish what they write elsewhere; `tune` and `close` do so by themselves."""
        self._session.flush()

    @in_turn
    def extend(self, budget: Any) -> None:
        """Raise the study's budget by this much, counted from what it has spent so far."""
        self._leave_out_the_dead()
        spent = self.spent_so_far()
        raised = {name: spent[name] + amount for name, amount in Budget.parse(budget).to_json().items()}
        self.set_budget(replace(self.settings.budget, **raised))

    def spent_so_far(self) -> dict[str, float]:
        """What the study has spent, by the names of a budget's fields; the finals do not count as trials."""
        return spending.spent(self.history, self._clock())

    @in_turn
    def set_budget(self, budget: Any, finals: Mapping[str, Any] | None = None) -> None:
        """Replace the study's budget, a total. finals: what it is a share of, see Settings; by default of nothing."""
        self._redeclare(replace(self.settings, budget=Budget.parse(budget), finals=finals or {}))

    @in_turn
    def close(self) -> None:
        """Leave the study; trials that still run in this process are put back. Safe to call twice."""
        self._session.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise StudyError("a study cannot be sent to another process: open it there, by Study.load(storage, name).")

    def __repr__(self) -> str:
        return f"<Study: {goals(self.history.objectives)}; {counted(len(self.history), 'trial')}; {self.sampler_name}>"

    def _repr_html_(self) -> str:
        from greyhound.analysis.notebook import study_html

        return study_html(self.history, self.name)

    # Handing out

    def _choose(self) -> choosing.New | schedulers.Resume | schedulers.Stop | None:
        def suggest() -> Params | None:
            return self._suggestions.take(self.history, self.sampler)

        return choosing.choose(self.history, self.settings, self.scheduler, suggest, self.spent is not None)

    def _hand_out(self, number: int) -> LiveTrial:
        record = self.history.trial(number)
        folder, parent = self._files.begin(self.history, record)
        job = Job(
            number=number,
            params=dict(record.params),
            seed=record.seed,
            step=record.step,
            until=record.until,
            max_steps=self.history.max_steps,
            objectives=self._objective_names(),
            directory=folder,
            parent=parent,
            suggestions=record.proposed,
            define_by_run=self.history.define_by_run,
            study=self._records,
        )
        live = LiveTrial(job, Direct(self._answer, self.record))
        self._live[number] = live
        self._given[number] = record.owner
        return live

    def _answer(self, message: Progress) -> Answer:
        verdict = self._report(message.number, message.step, message.metrics)
        return Answer(verdict, self.history.trial(message.number).until)

    @in_turn
    def _report(self, number: int, step: int, values: Mapping[str, float]) -> Verdict:
        if self._taken_over(number):
            return Verdict.PAUSE
        record = self.history.trial(number)
        if record.state.final:
            return Verdict.STOP
        self._session.append(ev.Reported(self._clock(), number, step, values))
        if record.state is not TrialState.RUNNING or self._taken_over(number):
            return Verdict.PAUSE
        return self._judge(number)

    @in_turn
    def _trained_here(self, number: int) -> LiveTrial | None:
        """A trial that runs, as it was handed out here; None for another."""
        record = self.history.trial(number)
        runs = record.state is TrialState.RUNNING and record.owner == self._given.get(number)
        return self._live.get(number) if runs else None

    def _taken_over(self, number: int) -> bool:
        """Whether a trial that was handed out here went to another process, which took this one for dead."""
        if number not in self._given:
            return False
        self._session.catch_up()
        return self.history.trial(number).owner != self._given[number]

    # Judging and ending

    def _judge(self, number: int) -> Verdict:
        trial = self.history.trial(number)
        found = judging.judge(self.history, self.scheduler, trial, self.spent is not None)
        if found.end is not None:
            self._end(number, found.end, {}, requeue=found.requeue)
        elif found.until != trial.until:
            self._session.append(ev.Continued(self._clock(), number, found.until))
            if (live := self._live.get(number)) is not None:
                live.until = found.until
        return found.verdict

    def _end(
        self,
        number: int,
        state: TrialState,
        metrics: Mapping[str, float],
        error: str | None = None,
        requeue: str | None = None,
    ) -> None:
        now = self._clock()
        self._session.append(*judging.ending(self.history, now, number, state, metrics, error, requeue))
        self._files.collect(self.history, number, self.trained)

    # Settings

    def _declare(self, wanted: Settings) -> None:
        if self.history.settings is None:
            now, first = self._clock(), [params for each in wanted.known for params in each.first()]
            queued = [ev.Enqueued(now, params, place=place) for place, params in enumerate(first)]
            self._session.append(ev.Declared(now, wanted.to_json()), *queued)
        self._redeclare(continued(self.settings, wanted))  # another process may have been first

    def _redeclare(self, changed: Settings) -> None:
        if changed.to_json() != self.settings.to_json():
            self._leave_out_the_dead()
            self._session.append(ev.Declared(self._clock(), changed.to_json()))
            check_continues(self.settings, changed)  # void where another process declared it otherwise just before

    def _leave_out_the_dead(self) -> None:
        """Join where a process never left: it may have been killed, and the time since then is not the study's.

        Nor is it that of the trials which it had.
        """
        if any(not owner.left for owner in self.history.owners.values()):
            self._session.join()
            self._session.recover()

    def _number(self, trial: LiveTrial | Trial | int) -> int:
        number = getattr(trial, "number", trial)
        if not hasattr(number, "__index__"):
            raise StudyError(f"trial: give one that ask handed out, or its number; got {show(trial)}.")
        number = operator.index(number)
        if not 0 <= number < len(self.history):
            raise StudyError(f"there is no trial {number}; the study has {len(self.history)}.")
        return number

    def _named(self, value: Any) -> dict[str, Any]:
        """One value for each objective, by name."""
        names, values = self._objective_names(), list(value) if isinstance(value, tuple | list) else [value]
        if len(names) != len(values):
            raise StudyError(f"tell: expected a value for each of {', '.join(names)}; got {show(value)}.")
        return dict(zip(names, values, strict=True))

    def _objective_names(self) -> tuple[str, ...]:
        return tuple(objective.metric for objective in self.history.objectives)


def _more(budget: Any) -> str | None:
    """The budget behind a leading plus."""
    return budget.strip()[1:] if isinstance(budget, str) and budget.strip().startswith("+") else None
