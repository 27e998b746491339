"""Metrics in lines for people: such as public training scripts print."""

import math

import pytest

from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.printed import Pattern, Printed

MNIST = "Test set: Average loss: 0.0412, Accuracy: 9874/10000 (99%)"
LANGUAGE = "| end of epoch   3 | time: 12.34s | valid loss  5.23 | valid ppl   186.79"
NANO = "step 250: train loss 2.3012, val loss 2.4107"
BAR = " [=====>...]  Step: 52ms | Tot: 1s | Loss: 1.926 | Acc: 30.450% (3045/10000)   \b\b\b\b 100/100 "
EPISODE = "Episode 40\tLast reward: -12.00\tAverage reward: 14.71"
TABLE = "{'eval_loss': '0.6931', 'eval_accuracy': '5e-01', 'epoch': '1'}"


@pytest.mark.parametrize(
    ("pattern", "line", "numbers"),
    [
        ("Average loss: {loss}, Accuracy: {correct}/", MNIST, {"loss": 0.0412, "correct": 9874}),
        ("Accuracy: {}({percent}%)", MNIST, {"percent": 99}),
        ("end of epoch {epoch} |{}valid loss {valid/loss}", LANGUAGE, {"epoch": 3, "valid/loss": 5.23}),
        ("val loss {loss}", NANO, {"loss": 2.4107}),
        ("Acc: {acc}% ({}/10000)", BAR, {"acc": 30.45}),
        ("Last reward: {reward} Average reward: {mean}", EPISODE, {"reward": -12, "mean": 14.71}),
        ("'eval_accuracy': '{accuracy}'", TABLE, {"accuracy": 0.5}),
        ("{{'eval_loss': '{loss}'", TABLE, {"loss": 0.6931}),
        ("VALID LOSS{loss}", LANGUAGE, {"loss": 5.23}),
        ("Accuracy: {accuracy}%", MNIST, {}),
    ],
)
def test_a_pattern_finds_numbers_where_its_names_stand(pattern, line, numbers):
    assert Pattern(pattern).find(line) == numbers


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1.", ".5", "+2E-3"])
def test_a_number_may_be_written_in_any_usual_way(text):
    assert Pattern("loss {loss},").find(f"loss {text}, done") == {"loss": float(text)}


def test_a_loss_that_is_not_a_number_is_one_and_a_word_is_none():
    assert math.isnan(Pattern("loss {loss}").find("loss nan")["loss"])
    assert Pattern("loss {loss}").find("loss nano") == {}


@pytest.mark.parametrize(("text", "error"), [
    ("Accuracy: 98", "names no metric; write a name in braces where its number stands, as in 'Accuracy: {accuracy}'."),
    ("{} {{loss}}", "names no metric"),
    ("{loss} {loss}", "names a metric twice"),
])  # fmt: skip
def test_a_pattern_that_names_nothing_or_one_thing_twice_is_refused(text, error):
    with pytest.raises(EvaluationError) as told:
        Pattern(text)
    assert error in str(told.value)


def heard(patterns, *lines):
    printed = Printed([Pattern(each) for each in patterns])
    return [found for line in lines if (found := printed.hear(line)) is not None]


def test_a_step_holds_for_its_line_and_those_behind_it():
    lines = ("Train Epoch: 3 [0/60]\tLoss: 0.1", "Accuracy: 7/9", "Train Epoch: 4 [0/60]\tLoss: 0.1", "Accuracy: 8/9")
    told = heard(["Train Epoch: {epoch}", "Accuracy: {score}/"], *lines)
    assert told == [(3, {"score": 7}), (4, {"score": 8})]
    assert heard(["step {step}: train{}val loss {loss}"], NANO) == [(250, {"loss": 2.4107})]


def test_without_a_step_the_metric_that_is_found_most_often_counts_them():
    lines = ("loss 3", "accuracy 1", "loss 2", "accuracy 2", "test 9")
    assert heard(["loss {loss}", "accuracy {accuracy}", "test {test}"], *lines) == [
        (1, {"loss": 3}), (1, {"accuracy": 1}), (2, {"loss": 2}), (2, {"accuracy": 2}), (2, {"test": 9}),
    ]  # fmt: skip


@pytest.mark.parametrize("epoch", ["0.25", "-1", "nan", "inf"])
def test_a_step_that_is_no_whole_number_is_told_with_the_way_out(epoch):
    with pytest.raises(StudyError, match=r"printed epoch .* Write \{\} instead of \{epoch\}, and steps are counted"):
        heard(["epoch {epoch} loss {loss}"], f"epoch {epoch} loss 1")
