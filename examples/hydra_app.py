"""A Hydra application, tuned by a multirun; without -m it trains once, with its own configuration.

    python hydra_app.py -m hydra/sweeper=greyhound hydra.sweeper.maximize=accuracy hydra.sweeper.max_steps=9 \
        hydra.sweeper.budget="30 trials" 'lr=tag(log, interval(1e-4, 1e-1))' 'width=tag(log, interval(16, 256))' \
        'optimizer=choice(sgd, adamw)'
"""

from dataclasses import dataclass

import hydra
import torch
from hydra.core.config_store import ConfigStore
from sklearn.datasets import load_digits
from torch import nn

import greyhound as gh
from greyhound.integrations.hydra import current_trial


@dataclass
class Config:
    lr: float = 1e-3
    width: int = 64
    optimizer: str = "adamw"
    epochs: int = 9
    seed: int = 0


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(config_path=None, config_name="config", version_base="1.3")
def main(cfg: Config) -> float:
    torch.set_num_threads(1)
    torch.manual_seed(cfg.seed)
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    learn, validate = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).split([1200, 597])
    model = nn.Sequential(nn.Linear(64, cfg.width), nn.ReLU(), nn.Linear(cfg.width, 10))
    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    optimizer = kinds[cfg.optimizer](model.parameters(), lr=cfg.lr)
    trial = current_trial()  # None where Hydra runs the application alone
    start = trial.checkpoint(model=model, optimizer=optimizer) if trial else 0
    right = 0.0
    for epoch in range(start, cfg.epochs):
        for batch in learn[torch.randperm(1200)].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            right = (model(images[validate]).argmax(1) == labels[validate]).float().mean().item()
        gh.report(epoch + 1, accuracy=right)  # the side channel: pauses or ends the job early
    return right


if __name__ == "__main__":
    main()
