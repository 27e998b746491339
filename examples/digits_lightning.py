"""Tune a LightningModule on scikit-learn's 8x8 digits: module, data and Trainer, in one call."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import greyhound as gh
from greyhound.integrations.lightning import checkpoint_file, tune_lightning


class Classifier(LightningModule):
    def __init__(self, lr=1e-3, width=64, dropout=0.2):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_accuracy", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)


class Digits(LightningDataModule):
    def __init__(self, batch_size=64):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage):
        images, labels = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
        split = torch.Generator().manual_seed(0)
        self.train_data, self.val_data = torch.utils.data.random_split(data, [0.7, 0.3], split)

    def train_dataloader(self):
        return DataLoader(self.train_data, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val_data, 256)


SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3),
    width=gh.Int(16, 256, log=True, default=64),
    dropout=gh.Float(0.0, 0.6, default=0.2),
    batch_size=gh.Ordinal([16, 32, 64, 128], default=64),
    gradient_clip_val=gh.Float(0.1, 10.0, log=True, default=1.0),
)


def main(budget="+2m", **options):
    options = {"max_steps": 9, "storage": "lightning.db", **options}
    study = tune_lightning(Classifier, Digits, SPACE, maximize="val_accuracy", budget=budget, **options)
    model = Classifier.load_from_checkpoint(checkpoint_file(study.best))
    print(f"{study.best.metrics['val_accuracy']:.1%} with {study.best.params}: {model.layers}")
    return study


if __name__ == "__main__":
    main()
