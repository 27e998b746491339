"""Grey system theory: forecasts, relations and rankings from very few, noisy points. Needs numpy only.

    from greyhound import grey

    model = grey.GM11().fit([2.874, 3.278, 3.337, 3.390, 3.679])
    model.a, model.b                    # parameters by their standard names
    model.fitted, model.residuals       # of the length of the series
    model.predict(2)                    # the next two values
    grey.check(model).grade             # how well it fits, 1 to 5

    grey.best_model(series).model       # the one that forecasts what was left out best
    grey.Metabolic(grey.DGM11(), 5)     # any model on a moving window
    grey.extrapolate([64, 128, 256, 512], [3e-3, 2.1e-3, 1.4e-3, 1e-3], at=4096)
    grey.forecast_curve(accuracies, 20, family="gm11", limits=(0, 1))
    grey.rank([[0.91, 12.0], [0.93, 30.0]], goals=["larger", "smaller"])

Every series is equally spaced in time, oldest first. Whatever cannot be used raises `GreyError`.

Source: Deng, Control problems of grey systems, Systems & Control Letters 1, 1982; each file names its own.
"""

from greyhound.errors import GreyError
from greyhound.grey.base import Model, accumulate
from greyhound.grey.buffer import weaken
from greyhound.grey.checks import (
    Check,
    Grade,
    admissible,
    check,
    class_ratios,
    mape,
    small_error_probability,
    translation,
    variance_ratio,
)
from greyhound.grey.curves import FAMILIES, CurveForecast, forecast_curve
from greyhound.grey.discrete import DGM11, NDGM, NGM
from greyhound.grey.extrapolation import Candidate, Extrapolation, extrapolate
from greyhound.grey.fractional import FGM11
from greyhound.grey.gm import GM11
from greyhound.grey.multivariate import GM0N, GM1N
from greyhound.grey.relational import (
    Ranking,
    absolute_degree,
    deng_coefficients,
    deng_grade,
    larger_better,
    nominal_better,
    rank,
    relative_degree,
    smaller_better,
    synthetic_degree,
)
from greyhound.grey.rolling import Metabolic, Rolling
from greyhound.grey.selection import CANDIDATES, Best, best_model, leave_last_out
from greyhound.grey.verhulst import Verhulst

__all__ = [
    "CANDIDATES",
    "DGM11",
    "FAMILIES",
    "FGM11",
    "GM0N",
    "GM1N",
    "GM11",
    "NDGM",
    "NGM",
    "Best",
    "Candidate",
    "Check",
    "CurveForecast",
    "Extrapolation",
    "Grade",
    "GreyError",
    "Metabolic",
    "Model",
    "Ranking",
    "Rolling",
    "Verhulst",
    "absolute_degree",
    "accumulate",
    "admissible",
    "best_model",
    "check",
    "class_ratios",
    "deng_coefficients",
    "deng_grade",
    "extrapolate",
    "forecast_curve",
    "larger_better",
    "leave_last_out",
    "mape",
    "nominal_better",
    "rank",
    "relative_degree",
    "small_error_probability",
    "smaller_better",
    "synthetic_degree",
    "translation",
    "variance_ratio",
    "weaken",
]
