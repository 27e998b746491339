"""Notebooks: a real kernel runs cells whose functions train in worker processes."""

import re

import nbclient
import nbformat
import pytest

import greyhound as gh
from greyhound.study import Study

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def run_cells(tmp_path):
    def run(*cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
        return [cell.outputs for cell in notebook.cells]

    return run


def html(outputs):
    return "".join(output.data.get("text/html", "") for output in outputs if "data" in output)


@pytest.mark.slow
def test_functions_of_a_notebook_train_in_workers_and_the_display_is_live(run_cells):
    _, space, tuned, study, why = run_cells(
        """
        import os, functools
        import greyhound as gh

        SCALE = 2.0

        @functools.cache
        def scale():
            return SCALE

        def value(x):
            return scale() * x

        def train(trial):
            for step in range(1, trial.max_steps + 1):
                trial.report(step, score=value(trial.params["x"]), pid=os.getpid())
        """.replace("\n        ", "\n"),
        'space = gh.Space(x=gh.Float(0.0, 1.0, default=0.25), kind=gh.Categorical(["<b>", "c"], default="c"))\nspace',
        'study = gh.tune(train, space, maximize="score", max_steps=3, budget=6, workers=2, storage="study.db")',
        "study",
        "pids = {trial.metrics['pid'] for trial in study.trials}\n"
        "assert os.getpid() not in pids and 1 <= len(pids) <= 2\n"
        "print(study.trials[0].metrics['score'])",
    )
    assert "0 to 1" in html(space)
    assert "&lt;b&gt;" in html(space), "values are escaped"
    (display,) = [output for output in tuned if output.output_type == "display_data"]
    assert "6 trials: " in html([display]), "the one output is updated in place to the summary"
    assert "study.db" in html([display])
    assert not [output for output in tuned if output.output_type == "stream"]
    assert "best trials of 6" in html(study)
    assert why[0].text.strip() == "0.5"


def test_a_space_is_shown_in_words():
    space = gh.Space(
        lr=gh.Float(1e-5, 0.1, log=True, default=0.001),
        kind=gh.Categorical(["sgd", "adamw"]),
        momentum=gh.Float(0.0, 0.9, when={"kind": "sgd"}),
        layers=gh.Int(1, 9, step=2),
        flag=gh.Bool(),
        constraint={"small": "layers * lr < 0.5"},
    )
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", space._repr_html_())[1:]]
    assert rows == [
        ["lr", "float", "1e-05 to 0.1, by magnitude", "0.001", ""],
        ["kind", "categorical", "&#x27;sgd&#x27;, &#x27;adamw&#x27;", "", ""],
        ["momentum", "float", "0 to 0.9", "", "kind is &#x27;sgd&#x27;"],
        ["layers", "int", "1 to 9 by 2", "", ""],
        ["flag", "bool", "False, True", "", ""],
    ]
    assert "constraint: small" in space._repr_html_()


def test_a_study_shows_its_best_trials_first_or_its_front():
    study = Study({"x": gh.Float(0.0, 1.0)}, maximize="score", budget=12)
    assert "best trials of 0" in study._repr_html_()
    while (trial := study.ask()) is not None:
        study.tell(trial, score=trial.params["x"])
    numbers = [int(n) for n in re.findall(r"<tr><td[^>]*>(\d+)</td>", study._repr_html_())]
    best_first = sorted(range(12), key=lambda n: -study.trials[n].metrics["score"])
    assert numbers == best_first[:10]
    several = Study({"x": gh.Float(0.0, 1.0)}, maximize=["a", "b"], budget=5)
    while (trial := several.ask()) is not None:
        several.tell(trial, a=trial.params["x"], b=1 - trial.params["x"])
    assert "Pareto front of 5" in several._repr_html_()
