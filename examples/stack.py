"""Many small networks, alike in shape, trained at once, each by its own lr, momentum, weight_decay and smoothing."""

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from mnist import data

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).to(DEVICE)


class Stack:
    """Their weights lie in one tensor for each layer. options: of each the values, (networks,)."""

    def __init__(self, networks):
        self.bare = build()
        self.weights, _ = stack_module_state([build().requires_grad_(False) for _ in range(networks)])
        self.velocity = {name: torch.zeros_like(stacked) for name, stacked in self.weights.items()}
        names = ("lr", "momentum", "weight_decay", "smoothing")
        self.options = {name: torch.zeros(networks, device=DEVICE) for name in names}
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
