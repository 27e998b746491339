"""Hyperparameter search for scikit-learn: an estimator that searches when it is fitted.

search = GreyhoundSearchCV(SVC(), {"C": (1e-3, 1e3, "log-uniform")}, n_trials=50).fit(X, y)
search.best_params_, search.predict(X_new)
"""

from greyhound._lazy import require

require("sklearn", "sklearn")

from greyhound.integrations.sklearn.race import Race  # noqa: E402
from greyhound.integrations.sklearn.search import GreyhoundSearchCV  # noqa: E402
from greyhound.integrations.sklearn.spaces import Translation, translate  # noqa: E402

__all__ = ["GreyhoundSearchCV", "Race", "Translation", "translate"]
