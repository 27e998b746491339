"""A LightningCLI project that knows nothing of Greyhound."""

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
INPUTS = torch.linspace(-1, 1, 64).reshape(16, 4)
EXAMPLES = TensorDataset(INPUTS, INPUTS.sum(1))


class Line(LightningModule):
    """A linear regression; lr: its learning rate."""

    def __init__(self, lr: float = 0.1):
        super().__init__()
        self.lr = lr
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        return (self.layer(batch[0]).squeeze(1) - batch[1]).square().mean()

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self):
        return DataLoader(EXAMPLES, 4, shuffle=True)

    def val_dataloader(self):
        return DataLoader(EXAMPLES, 16)


if __name__ == "__main__":
    LightningCLI(Line, trainer_defaults={"enable_progress_bar": False, "enable_model_summary": False})
