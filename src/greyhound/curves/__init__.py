"""Learning curves: how they will go on.

    mean, quantiles = forecast(curve, 52)

An ensemble of parametric families and grey models, weighted by evidence (`ensemble`); the other curves of the study and
the configurations correct it (`shared`). `study` applies it to a history.
"""

from greyhound.curves.ensemble import FAMILIES
from greyhound.curves.forecasting import LEVELS, Forecast, forecast

__all__ = ["FAMILIES", "LEVELS", "Forecast", "forecast"]
