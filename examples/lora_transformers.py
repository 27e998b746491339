"""Fine-tune a Transformers classifier by LoRA: the Trainer's own search, with pauses, on all devices.

The model is tiny and its weights are random, so nothing is downloaded; in your project `model_init` loads a
pretrained one with from_pretrained. The task: which half of a sequence has the larger sum?
"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import greyhound as gh
from greyhound.integrations.transformers import hyperparameter_search, preset

VOCABULARY, LENGTH = 32, 8


class Halves(torch.utils.data.Dataset):
    def __init__(self, count, seed):
        self.tokens = torch.randint(0, VOCABULARY, (count, LENGTH), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, at):
        left, right = self.tokens[at].chunk(2)
        return {"input_ids": self.tokens[at], "labels": int(left.sum() > right.sum())}


def model_init():
    torch.manual_seed(0)  # the same weights for all trials, as pretrained ones would be
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


def main(n_trials=20, epochs=9, **options):
    arguments = TrainingArguments(
        output_dir="lora", num_train_epochs=epochs, eval_strategy="epoch", report_to="none", use_cpu=True
    )
    trainer = Trainer(
        model_init=model_init, args=arguments, train_dataset=Halves(512, 0), eval_dataset=Halves(256, 1),
        compute_metrics=accuracy,
    )  # fmt: skip
    space = gh.Space({**preset(lora=True).parameters, "learning_rate": gh.Float(1e-3, 1e-1, log=True, default=1e-2)})
    options = {"storage": "lora.db", **options}
    best = hyperparameter_search(trainer, space, n_trials, "maximize", lora={"task_type": "SEQ_CLS"}, **options)
    print(f"{best.objective:.1%} in trial {best.run_id} with {best.hyperparameters}")
    return best


if __name__ == "__main__":
    main()
