"""PyTorch: every state comes back; ranks start, pause, stop and fail together."""

import os
import signal
import threading
import time

import psutil
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

import greyhound as gh
from greyhound.errors import EvaluationError, TrialStopped
from greyhound.integrations.torch import Batches, distributed
from greyhound.trial import TrialState

torch.set_num_threads(1)
INPUTS = torch.linspace(-2, 2, 128).reshape(32, 4).sin()
TARGETS = INPUTS.sum(1, keepdim=True)
SCHEDULERS = {
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
    "cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20),
    "plateau": lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0),
    "warm-up": lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 3),
            torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
        ],
        [3],
    ),
    "milestones": lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=3),
            torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]),
        ],
        [3],
    ),
}
WRAPPERS = {
    "plain": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "parallel": torch.nn.DataParallel,
}


def network(dropout=0.3):
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)
    )


@pytest.mark.parametrize(
    ("schedule", "wrapper"),
    [
        ("cosine", "plain"),
        ("cycle", "compiled"),
        ("plateau", "parallel"),
        ("warm-up", "plain"),
        ("milestones", "plain"),
    ],
)
def test_a_paused_training_ends_bit_for_bit_as_an_unbroken_one(schedule, wrapper, train_in_parts):
    def train(trial):
        torch.manual_seed(trial.seed)
        model = WRAPPERS[wrapper](network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        scheduler = SCHEDULERS[schedule](optimizer)
        scaler = torch.amp.GradScaler("cpu", growth_interval=2)
        generator = torch.Generator().manual_seed(1)
        start = trial.checkpoint(
            model=model, optimizer=optimizer, scheduler=scheduler, scaler=scaler, generator=generator
        )
        for epoch in range(start, 6):
            for batch in torch.randperm(32, generator=generator).split(8):
                optimizer.zero_grad()
                loss = (model(INPUTS[batch]) - TARGETS[batch]).square().mean()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            scheduler.step(*([loss.item()] if schedule == "plateau" else []))
            trial.report(epoch + 1, score=loss, rate=optimizer.param_groups[0]["lr"], scale=scaler.get_scale())

    unbroken, _ = train_in_parts(train, {}, max_steps=6)
    broken, _ = train_in_parts(train, {}, pauses=[1, 4], max_steps=6)
    assert broken == unbroken


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_go_on_in_the_middle_of_an_epoch(workers, train_in_parts):
    def train(trial):
        seen = torch.zeros(10)
        batches = Batches(range(10), 3, seed=trial.seed, num_workers=workers)
        step = trial.checkpoint(batches=batches)
        while step < 8:
            for batch in batches:
                seen[batch] += 1
                step += 1
                trial.report(step, score=float(batch[0]), epoch=batches.epoch)
                if step == 8:
                    break

    unbroken, _ = train_in_parts(train, {}, max_steps=8)
    broken, _ = train_in_parts(train, {}, pauses=[2, 3, 6], max_steps=8)
    assert broken == unbroken
    assert [metrics["epoch"] for _, metrics in broken] == [0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_with_dropout_goes_on_bit_for_bit_in_the_middle_of_an_epoch(workers, train_in_parts):
    def train(trial):
        torch.manual_seed(trial.seed)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        examples = torch.utils.data.TensorDataset(INPUTS, TARGETS)
        batches = Batches(examples, 12, seed=trial.seed, num_workers=workers, drop_last=True)
        step = trial.checkpoint(model=model, optimizer=optimizer, batches=batches)
        while step < 5:
            for inputs, targets in batches:
                loss = (model(inputs) - targets).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                trial.report(step, score=loss)
                if step == 5:
                    break

    unbroken, _ = train_in_parts(train, {}, max_steps=5)
    broken, _ = train_in_parts(train, {}, pauses=[1, 2, 3], max_steps=5)
    assert broken == unbroken


@pytest.mark.parametrize(
    ("size", "drop_last", "sizes", "epoch"),
    [(2, False, [2, 1], 1), (4, False, [4, 1], 1), (4, True, [4], 1), (9, False, [9], 1), (5, True, [5], 2)],
)
def test_batches_of_another_size_go_on_in_the_epoch_and_come_to_its_end(size, drop_last, sizes, epoch):
    first, second = Batches(range(9), 3, seed=1), Batches(range(9), size, seed=1, drop_last=drop_last)
    taken = torch.cat([batch for _, batch in zip(range(2), first, strict=False)]).tolist()
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert ([len(batch) for batch in rest], second.epoch) == (sizes, epoch)
    assert drop_last or {*taken, *torch.cat(rest).tolist()} == set(range(9)), "nothing of the epoch is left out"


def test_batches_may_leave_out_the_last_and_take_no_sampler():
    batches = Batches(range(10), 3, drop_last=True)
    assert [len(batch) for batch in batches] == [3] * len(batches) == [3, 3, 3]
    assert batches.epoch == 1
    assert len(Batches(range(9), 3, drop_last=True)) == len(Batches(range(9), 3)) == 3
    with pytest.raises(EvaluationError, match="Batches: batch_sampler is not taken"):
        Batches(range(10), 3, batch_sampler=[[0]])


def test_an_epoch_of_batches_has_each_item_once_and_orders_differ():
    batches = Batches(range(10), 3, seed=1)
    first, second = (torch.cat(list(batches)).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    with pytest.raises(EvaluationError, match="batch_size must be at least 1"):
        Batches(range(3), 0)


# Several ranks


def ddp(trial):
    torch.set_num_threads(1)
    torch.manual_seed(trial.seed)
    model = DistributedDataParallel(network(dropout=0.0))
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"], momentum=0.9)
    torch.manual_seed(trial.seed + 1 + trial.rank)
    start = trial.checkpoint(model=model, optimizer=optimizer)
    for epoch in range(start, trial.max_steps):
        for batch in torch.randperm(32).split(8)[trial.rank :: trial.ranks]:
            optimizer.zero_grad()
            loss = (model(INPUTS[batch]) - TARGETS[batch]).square().mean()
            loss.backward()
            optimizer.step()
        sums = torch.stack([each.sum() for each in model.parameters()]).sum().reshape(1)
        everywhere = [torch.zeros(1) for _ in range(trial.ranks)]
        torch.distributed.all_gather(everywhere, sums)
        noise = torch.rand(1)
        torch.distributed.all_reduce(noise)
        trial.report(epoch + 1, score=loss, spread=max(everywhere) - min(everywhere), noise=noise)


def test_ranks_pause_and_go_on_together_bit_for_bit(train_in_parts):
    params = {"lr": 0.05}
    train = distributed(ddp, 2)
    unbroken, outcome = train_in_parts(train, params, max_steps=3)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    broken, _ = train_in_parts(train, params, pauses=[2], max_steps=3)
    assert broken == unbroken, "weights of rank 0 and random numbers of all ranks"
    assert all(metrics["spread"] == 0 for _, metrics in broken), "replicas stay alike"


def test_ranks_of_a_copy_train_at_one_rate_of_its_own(tmp_path):
    def train(trial):
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"])
        for step in range(trial.checkpoint(model=model, optimizer=optimizer), trial.max_steps):
            rates = [None, None]
            torch.distributed.all_gather_object(rates, optimizer.param_groups[0]["lr"])
            trial.report(step + 1, score=trial.number, first=rates[0], second=rates[1])

    study = gh.tune(
        distributed(train, 2), {"lr": gh.Float(0.01, 0.1)}, minimize="score", max_steps=3, budget=3, workers="serial",
        progress=False, sampler="random", scheduler={"name": "pbt", "population": 2, "share": 0.5, "resample": 0.0},
    )  # fmt: skip
    assert any(trial.parent is not None and trial.reports for trial in study.trials)
    for trial in study.trials:
        for report in trial.reports:
            assert report.metrics["first"] == report.metrics["second"] == pytest.approx(trial.params["lr"])


class PerRank:
    """Writes a file on each rank, of what it was last told."""

    said = ""

    def save_to(self, folder):
        (folder / str(torch.distributed.get_rank())).write_text(self.said)

    def load_from(self, folder):
        pass


@pytest.mark.parametrize("destroyed", [False, True])
def test_the_checkpoint_of_ranks_that_end_themselves_is_of_their_end(tmp_path, destroyed):
    def patient(trial):
        written, weights = PerRank(), network(dropout=0.0)
        trial.checkpoint(written=written, weights=weights)
        for step in range(1, 4):
            written.said = f"step {step}"
            trial.report(step, score=0.5)
        written.said = "the end"
        if destroyed:
            torch.distributed.destroy_process_group()
        return 0.25

    study = gh.tune(
        distributed(patient, 2), {"x": gh.Float(0, 1)}, minimize="score", max_steps=9, budget=1, workers="serial",
        progress=False, scheduler="none", checkpoints=tmp_path,
    )  # fmt: skip
    assert study.best.metrics["score"] == 0.25
    if not destroyed:  # else no rank can be asked to write any more
        assert {file.read_text() for file in tmp_path.rglob("written/?")} == {"the end"}


def test_an_error_of_any_rank_fails_the_trial_with_its_words(train_in_parts):
    def failing(trial):
        trial.report(1, score=0.0)
        if trial.rank == trial.params["rank"]:
            raise ValueError("a mistake of mine")
        torch.distributed.barrier()

    for rank in (0, 1):
        _, outcome = train_in_parts(distributed(failing, 2), {"rank": rank})
        assert outcome.state is TrialState.FAILED
        assert "a mistake of mine" in outcome.error
        assert "in failing" in outcome.error


def test_a_trial_of_which_a_rank_is_killed_is_lost_and_leaves_no_process(train_in_parts, tmp_path):
    def killed(trial):
        (tmp_path / str(trial.rank)).write_text(str(os.getpid()))
        trial.report(1, score=0.0)
        if trial.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        torch.distributed.barrier()

    _, outcome = train_in_parts(distributed(killed, 2), {})
    assert outcome.state is TrialState.LOST
    assert "rank 1 was killed by signal 9" in outcome.error
    assert not psutil.pid_exists(int((tmp_path / "1").read_text()))


def test_a_rank_that_is_killed_before_it_joins_the_others_is_not_waited_for(tmp_path):
    from greyhound.evaluators.function import Function
    from greyhound.jobs import Job

    def kill():
        ranks = []
        while not ranks:
            ranks = [child for child in psutil.Process().children() if "follow" in str(child.cmdline())]
        ranks[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    job = Job(3, {"lr": 0.05}, 7, max_steps=3, objectives=("score",), directory=tmp_path)
    outcome = Function(distributed(ddp, 2))(job, None)
    killer.join()
    assert outcome.state is TrialState.LOST
    assert "rank 1 was killed by signal 9" in outcome.error


def test_signals_for_the_coordinator_do_not_reach_a_rank(train_in_parts):
    def signalled(trial):
        if trial.rank == 1:
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does, to all processes of the terminal
            os.kill(os.getpid(), signal.SIGTERM)
        torch.distributed.barrier()
        trial.report(1, score=0.0)

    _, outcome = train_in_parts(distributed(signalled, 2), {})
    assert outcome.state is TrialState.COMPLETED, outcome.error


def test_a_worker_that_is_killed_takes_its_ranks_along_and_loses_nothing(tmp_path, train_in_parts):
    def killed_once(trial):
        if trial.rank == 1:
            (tmp_path / f"rank-{os.getpid()}").touch()

        class Watched:
            number, seed, rank, ranks = trial.number, trial.seed, trial.rank, trial.ranks
            params, max_steps, checkpoint = trial.params, trial.max_steps, trial.checkpoint

            def report(self, step, **metrics):
                trial.report(step, **metrics)
                if step == 2 and trial.rank == 0 and not (tmp_path / "killed").exists():
                    (tmp_path / "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        ddp(Watched())

    study = gh.tune(
        distributed(killed_once, 2), {"lr": gh.Float(0.01, 0.1, default=0.05)}, minimize="score", max_steps=3,
        budget=1, workers=1, progress=False, scheduler="none",
    )  # fmt: skip
    (trial,) = study.trials
    assert (trial.state, trial.restarts) == (TrialState.COMPLETED, 1), trial.error
    assert [report.step for report in trial.reports] == [1, 2, 3]
    plain = network()
    plain.load_state_dict(torch.load(study.best.checkpoint, weights_only=True)["objects"]["model"])
    for rank in tmp_path.glob("rank-*"):
        assert not psutil.pid_exists(int(rank.name.removeprefix("rank-")))


def test_what_rank_0_is_told_reaches_all_and_ranks_stop_together(tmp_path):
    from greyhound.evaluators.function import Function
    from greyhound.jobs import Answer, Job
    from greyhound.trial import Verdict

    class Stopping:
        def send(self, message):
            pass

        def answer(self, wait):
            return Answer(Verdict.STOP) if wait else None

    def train(trial):
        x = trial.suggest_float("x", 0, 1)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        try:
            trial.report(1, score=x if trial.rank == 0 else float("nan"))
        except TrialStopped:
            (tmp_path / f"stopped-{trial.rank}").write_text(f"{x} {kind} {trial.params['x']}")
            raise

    job = Job(0, {}, 3, until=1, objectives=("score",), define_by_run=True)
    assert Function(distributed(train, 2))(job, Stopping()).state is TrialState.STOPPED
    give_up = time.monotonic() + 30
    while not (tmp_path / "stopped-1").exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    assert (tmp_path / "stopped-0").read_text() == (tmp_path / "stopped-1").read_text()


def test_a_wrong_number_of_processes_is_refused():
    with pytest.raises(EvaluationError, match="processes must be a whole number of at least 1; got 0"):
        distributed(ddp, 0)
