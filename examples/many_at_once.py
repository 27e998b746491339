"""Tune by training 32 small networks at once on one device, which one of them would hardly keep busy.

Each has a learning rate of its own; whoever is paused or ended makes room for the next. Needs torch and mlxtend.
"""

import greyhound as gh
from stack import Place, Stack

SPACE = gh.Space(
    lr=gh.Float(1e-3, 3.0, log=True, default=0.1),
    momentum=gh.Float(0.0, 0.99, default=0.9),
    weight_decay=gh.Float(1e-6, 1e-2, log=True, default=1e-4),
    smoothing=gh.Float(0.0, 0.3, default=0.0),
)


def main(budget="200 trials", at_once=32, storage="many_at_once.db"):
    stack = Stack(at_once)
    training = {}  # place: its trial
    with gh.Study(SPACE, maximize="accuracy", max_steps=9, budget=budget, storage=storage) as study:
        while not study.finished:
            for at in set(range(at_once)) - set(training):
                if (trial := study.ask()) is None:
                    break  # nothing to do now, until one of the others has gone further
                training[at] = trial
                trial.checkpoint(model=Place(stack, at, trial.params, trial.seed))
            stack.train_epoch()
            for (at, trial), accuracy in zip(training.copy().items(), stack.accuracy()[list(training)], strict=True):
                if study.report(trial, trial.step + 1, accuracy=accuracy) is not gh.Verdict.CONTINUE:
                    del training[at]
    print(f"{len(study.trials)} trials; the best, right on {study.best.metrics['accuracy']:.1%}: {study.best.params}")
    return study


if __name__ == "__main__":
    main()
