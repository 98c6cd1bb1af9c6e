"""What MLflow runs of a registered model. A copy of this file lies in each of them, beside a copy of `trainers`.

Input: a table of recordings, all with a `path`, or all with a `waveform` (its samples) and its `sample_rate_hz`.
Output: a row each, with the probability of every emotion. A bad recording is told in one line, and none is then
answered. Whoever serves such a model over a network lets its clients name the server's files.
"""

from collections.abc import Iterator
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pandas import DataFrame

from trainers.errors import UserError
from trainers.predictor import Predictor, Recording


class EmotionModel(PythonModel):
    """MLflow's wrapping of a `Predictor`."""

    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor(context.artifacts["model"])

    def predict(
        self, context: PythonModelContext, model_input: DataFrame, params: dict[str, Any] | None = None
    ) -> DataFrame:
        del context, params
        found = self.predictor.predict(list(recordings(model_input)))
        return DataFrame(found, columns=list(self.predictor.emotions))


def recordings(table: DataFrame) -> Iterator[Recording]:
    """The recordings of a table; UserError where a row tells none."""
    if not {"path", "waveform"} & set(table.columns):
        raise UserError("give a DataFrame with a column path, or with columns waveform and sample_rate_hz")
    for place, row in enumerate(table.to_dict("records")):
        if isinstance(row.get("path"), str):
            yield row["path"]
        elif row.get("waveform") is not None and row.get("sample_rate_hz") is not None:
            yield row["waveform"], row["sample_rate_hz"]
        else:
            raise UserError(f"row {place} has neither a path nor a waveform with its sample_rate_hz")


set_model(EmotionModel())
