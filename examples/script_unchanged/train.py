"""A training script that knows nothing of Greyhound: flags in, a line of JSON out. Tune it by

    greyhound run examples/script_unchanged/train.py --space examples/script_unchanged/space.yaml \\
        --maximize accuracy --max-steps 9 --budget "30 trials"

Needs scikit-learn.
"""

import argparse
import json

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=1e-4)
parser.add_argument("--eta0", type=float, default=0.01)
parser.add_argument("--penalty", default="l2")
parser.add_argument("--epochs", type=int, default=9)
options = parser.parse_args()

X, y = load_digits(return_X_y=True)
X, X_valid, y, y_valid = train_test_split(X / 16, y, random_state=0)
model = SGDClassifier(alpha=options.alpha, penalty=options.penalty, learning_rate="constant", eta0=options.eta0)
for epoch in range(options.epochs):
    model.partial_fit(X, y, classes=range(10))
    print(json.dumps({"step": epoch + 1, "accuracy": model.score(X_valid, y_valid)}))
