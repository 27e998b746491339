"""One trial over several processes: DistributedDataParallel, tuned. On CPU by gloo, on GPUs by NCCL."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import greyhound as gh
from greyhound.integrations.torch import distributed

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3),
    width=gh.Int(16, 256, log=True, default=64),
    dropout=gh.Float(0.0, 0.6, default=0.2),
)


def data():
    images, labels = load_digits(return_X_y=True)
    everything = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    return torch.utils.data.random_split(everything, [1200, 597], torch.Generator().manual_seed(0))


def train(trial):
    torch.manual_seed(trial.seed + trial.rank)  # dropout differs between ranks
    width, device = trial.params["width"], trial.device
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(trial.params["dropout"]), nn.Linear(width, 10))
    model = DistributedDataParallel(network.to(device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.params["lr"])
    start = trial.checkpoint(model=model, optimizer=optimizer)
    learn, validate = data()
    sampler = DistributedSampler(learn, seed=trial.seed)
    for epoch in range(start, trial.max_steps):
        sampler.set_epoch(epoch)
        model.train()
        for images, labels in DataLoader(learn, 32, sampler=sampler):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
        model.eval()
        right = torch.zeros(2, device=device)
        with torch.no_grad():
            for images, labels in DataLoader(validate, 256, sampler=DistributedSampler(validate, shuffle=False)):
                right += torch.stack([(model(images.to(device)).argmax(1) == labels.to(device)).sum(),
                                      torch.tensor(len(labels), device=device)])  # fmt: skip
        torch.distributed.all_reduce(right)  # rank 0 reports what all ranks found
        trial.report(epoch + 1, accuracy=right[0] / right[1])


def main(budget="+2m", max_steps=9, processes=2, **options):
    options = {"storage": "ddp.db", "workers": 1, **options}
    gpus = min(processes, torch.cuda.device_count()) or 1
    study = gh.tune(
        distributed(train, processes), SPACE, maximize="accuracy", max_steps=max_steps, budget=budget,
        gpus_per_trial=gpus, **options,
    )  # fmt: skip
    print(f"{study.best.metrics['accuracy']:.1%} with {study.best.params}")
    return study


if __name__ == "__main__":
    main()
