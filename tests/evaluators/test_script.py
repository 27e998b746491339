"""Tuning a script: what it is given, how it is heard, and that no process of it is left over."""

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound import terminations
from greyhound.errors import EvaluationError, MissingExtraError
from greyhound.evaluators import checkpoint, script
from greyhound.evaluators.script import Script
from greyhound.jobs import Answer, Job
from greyhound.trial import TrialState, Verdict

STOP = Answer(Verdict.STOP)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Writes a script into the current folder and gives the evaluator that runs it."""
    monkeypatch.chdir(tmp_path)

    def write(text, *arguments, **options):
        Path("train.py").write_text(textwrap.dedent(text))
        return Script(("train.py", *arguments), **options)

    return write


def has_ended(pid):
    """Whether the process is gone, or dead and only not yet reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ends(pid, within=5.0):
    until = time.monotonic() + within
    while not has_ended(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# What a script is given

ARGUMENTS = """
    import json, sys
    print(json.dumps({"score": 1}))
    json.dump(sys.argv[1:], open("argv.json", "w"))
"""


def argv(evaluator, job, line):
    outcome = evaluator(job, line)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    return json.loads(Path("argv.json").read_text())


def test_parameters_become_flags(program, job, line):
    params = {"lr": 1e-05, "layers": 3, "kind": "adam", "nesterov": True, "amp": False, "sizes": (8, 16)}
    assert argv(program(ARGUMENTS, "--epochs", "9"), job(params=params), line) == [
        "--epochs", "9", "--lr", "1e-05", "--layers", "3", "--kind", "adam", "--nesterov", "true", "--amp", "false",
        "--sizes", "[8, 16]",
    ]  # fmt: skip


READS_FLAGS = """
    import argparse, json
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", required=True)
    json.dump(parser.parse_args().x, open("argv.json", "w"))
    print(json.dumps({"score": 1}))
"""


@pytest.mark.parametrize("text", ["-x", "--flag", "-", "-1e-05", "", "a b", "-a b", "--x=1", "{lr}"])
def test_a_text_reaches_a_script_that_reads_flags_with_argparse(text, program, job, line):
    assert argv(program(READS_FLAGS), job(params={"x": text}), line) == text


@pytest.mark.parametrize("template", [(), ("--x", "{x}")])
@pytest.mark.parametrize("number", [-1e-05, -5e-324, -1.5e300, -0.5, -2, 1e-05, None])
def test_a_number_reaches_a_script_that_reads_flags_with_argparse(number, template, program, job, line):
    told = argv(program(READS_FLAGS, *template), job(params={"x": number}), line)
    assert (told == "") if number is None else type(number)(told) == number


def test_no_shell_is_between(program, job, line):
    text = "a b; echo $HOME \"'`id`\\ * ü\n--x"
    assert argv(program(ARGUMENTS), job(params={"x": text}), line) == ["--x", text]
    assert argv(program(ARGUMENTS, "{x}", "--x={x}"), job(params={"x": text}), line) == [text, f"--x={text}"]


def test_a_template_takes_what_belongs_to_the_trial(program, job, line, tmp_path):
    words = ("optim.lr={lr}", "--seed", "{seed}", "{trial}/{max_steps}", "{directory}", "{params_json}", "{{lr}}")
    assert argv(program(ARGUMENTS, *words), job(params={"lr": 0.1}, max_steps=9), line) == [
        "optim.lr=0.1", "--seed", "7", "3/9", str(tmp_path / "trial"), '{"lr": 0.1}', "{lr}",
    ]  # fmt: skip


def test_a_command_that_names_no_parameter_has_them_all_appended(program, job, line, tmp_path):
    evaluator = program(ARGUMENTS, "--out", "{directory}", "--seed={seed}")
    assert argv(evaluator, job(params={"lr": 0.1, "kind": "sgd"}), line) == [
        "--out", str(tmp_path / "trial"), "--seed=7", "--lr", "0.1", "--kind", "sgd",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["{momentum}", "{params_json}"])
def test_nothing_is_appended_to_a_template(word, program, job, line):
    told = argv(program(ARGUMENTS, "-v", word), job(params={"kind": "adam"}), line)
    assert "--kind" not in told


def test_a_template_that_leaves_parameters_out_is_warned_of():
    with pytest.warns(UserWarning, match=r"command: no word of it holds \{kind\}, \{lr\}, so"):
        Script((sys.executable, "{width}", "{seed}")).check(["lr", "width", "kind"])
    for words in (["{lr}", "{width}"], ["{lr}", "{params_json}"], ["{seed}"], []):
        Script((sys.executable, *words)).check(["lr", "width"])


def test_doubled_braces_are_braces_without_a_placeholder_too(program, job, line):
    assert argv(program(ARGUMENTS, '{{"a": 1}}'), job(params={}), line) == ['{"a": 1}']


def test_words_of_parameters_that_a_configuration_does_not_have_are_left_out(program, job, line):
    words = ("--kind", "{kind}", "--momentum", "{momentum}", "--beta={beta}", "--amp", "--lr", "{lr}", "--verbose")
    assert argv(program(ARGUMENTS, *words), job(params={"kind": "sgd", "lr": 0.1}), line) == [
        "--kind", "sgd", "--amp", "--lr", "0.1", "--verbose",
    ]  # fmt: skip


def test_a_flag_without_a_value_is_there_where_its_parameter_is_true(program, job, line):
    words = ("--fast", "{--amp}", "{-v}", "--kind", "{--compile}", "{--missing}")
    params = {"amp": True, "v": True, "compile": False}
    assert argv(program(ARGUMENTS, *words), job(params=params), line) == ["--fast", "--amp", "-v", "--kind"]
    Script((sys.executable, *words)).check(["amp", "v", "compile", "missing"])
    with pytest.raises(EvaluationError, match=r"unknown placeholder \{amp\}"):
        Script((sys.executable, "{--amp}")).check(["lr"])


def test_a_flag_for_a_parameter_that_is_not_true_or_false_fails_in_a_sentence(program, job, line):
    outcome = program(ARGUMENTS, "{--lr}")(job(params={"lr": 0.1}), line)
    assert outcome.state is TrialState.FAILED
    assert "{--lr} is a flag for a parameter that is true or false; lr is '0.1'" in outcome.error


plain = st.text(st.characters(codec="utf-8", exclude_characters="{}\0"), min_size=1, max_size=8)


@given(
    params=st.dictionaries(st.sampled_from("abcd"), st.integers() | st.floats(min_value=0) | plain),
    template=st.lists(
        plain.filter(lambda word: not word.startswith("-")) | st.sampled_from(["{a}", "{b}", "{c}", "{d}"]), max_size=8
    ),
)
def test_a_template_is_filled_word_by_word_whatever_the_words(params, template):
    expected = []
    for word in template:
        if not word.startswith("{"):
            expected.append(word)
        elif word[1] in params:
            expected.append(str(params[word[1]]))
    words = Script((sys.executable, "{seed}{x}", *template)).words(Job(3, {**params, "x": 0}, 7))
    assert words == [sys.executable, "70", *expected]


def test_steps_that_a_study_does_not_have_are_not_passed_on():
    evaluator = Script((sys.executable, "--epochs={max_steps}", "--lr={lr}"))
    evaluator.check(["lr"], 9)
    with pytest.raises(EvaluationError, match=r"\{max_steps\} is the length of a full training.*give --max-steps"):
        evaluator.check(["lr"])
    Script((sys.executable, "{max_steps}")).check(["max_steps"])


def test_an_unknown_placeholder_is_told_with_those_there_are():
    evaluator = Script((sys.executable, "--lr={lr}", "{sed}", "{{free}}"))
    with pytest.raises(
        EvaluationError, match=r"unknown placeholder \{sed\} in '\{sed\}'; there are \{lr\}, .*\{seed\}"
    ):
        evaluator.check(["lr"])
    Script((sys.executable, "--lr={lr}", "{seed}")).check(["lr"])


@pytest.mark.parametrize(
    ("command", "error"),
    [((), "the command is empty"), (("",), "the command is empty"),
     (("gone.py",), r"gone\.py: there is no such script"),
     (("no-such-program", "x"), "no-such-program: there is no such program")],
)  # fmt: skip
def test_a_command_that_cannot_run_is_told_before_any_trial(command, error):
    with pytest.raises(EvaluationError, match=error):
        Script(command)


def test_a_script_s_surroundings_are_its_caller_s(program, job, line, monkeypatch):
    monkeypatch.setenv("MY_DATA", "/data")
    evaluator = program(
        """
        import json, os, sys
        assert os.environ["MY_DATA"] == "/data" and os.path.exists("train.py") and sys.stdin.read() == ""
        print(json.dumps({"score": 1}))
        """
    )
    assert evaluator(job(), line).state is TrialState.COMPLETED


def test_the_parameters_can_be_asked_for_inside_of_the_script(program, job, line):
    evaluator = program("import greyhound\ngreyhound.report(1, score=greyhound.params()['x'] * 2)", "--none={seed}")
    assert evaluator(job(params={"x": 0.25}), line).state is TrialState.COMPLETED
    assert line.reports == [(1, {"score": 0.5})]


# The three ways to be heard

PRINTS = """
    import json, sys
    for step in range(1, 7):
        print("epoch", step, "of 6")
        print(json.dumps({"step": step, "score": step / 10}))
"""
REPORTS = """
    import greyhound
    for step in range(1, 7):
        greyhound.report(step, score=step / 10)
"""
LOGS = """
    import os
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    def log(folder="runs/" + str(os.getpid()), steps=range(1, 7), tag="val/score", pid=None):
        writer = EventFileWriter(folder)
        for step in steps:
            value = Summary.Value(tag=tag, simple_value=step / 8)
            writer.add_event(Event(step=step, summary=Summary(value=[value])))
        writer.close()
    log()
"""


@pytest.mark.parametrize("text", [PRINTS, REPORTS])
def test_reports_arrive_by_lines_of_json_and_by_the_reporting_call(text, program, job, line):
    outcome = program(text)(job(until=4), line)
    assert (outcome.state, outcome.error) == (TrialState.COMPLETED, None)
    assert line.reports == [(step, {"score": step / 10}) for step in range(1, 7)]
    assert line.waited == 1


def test_reports_arrive_by_lines_for_people_on_either_stream(program, job, line):
    text = """
        import sys
        print("done: 100%", end="\\r")  # a progress bar on its way
        for step in range(1, 7):
            print(f"Epoch {step}", end="\\r")
            print(f"  5/10 acc={step / 100:.3f}", end="\\r", flush=True)
            print(f"Validation accuracy:  {step / 10:.3f}", file=[sys.stdout, sys.stderr][step % 2], flush=True)
    """
    outcome = program(text, lines=("validation accuracy: {score}", "acc={score}"))(job(until=4), line)
    assert (outcome.state, outcome.error) == (TrialState.COMPLETED, None)
    assert sorted(metrics["score"] for _, metrics in line.reports) == [step / 10 for step in range(1, 7)]
    assert [step for step, _ in line.reports] == [1, 2, 3, 4, 5, 6]


def test_what_a_script_prints_behind_its_last_step_is_final(program, job, line):
    text = """
        for step in range(1, 4):
            print("epoch", step, "loss", 1 / step)
        print("test loss 0.75")
    """
    outcome = program(text, lines=("epoch {epoch} loss {score}", "test loss {test}"))(job(max_steps=3), line)
    assert (outcome.state, outcome.metrics) == (TrialState.COMPLETED, {"test": 0.75})
    assert [step for step, _ in line.reports] == [1, 2, 3]


@pytest.mark.parametrize("lines", [(), ("epoch {epoch} of 6",)])
def test_lines_of_a_pattern_do_not_replace_those_of_json(lines, program, job, line):
    assert program(PRINTS, lines=lines)(job(), line).state is TrialState.COMPLETED
    assert line.reports == [(step, {"score": step / 10}) for step in range(1, 7)]


def test_a_line_that_names_no_metric_is_told_before_any_trial():
    with pytest.raises(EvaluationError, match="line 'accuracy: 1' names no metric"):
        Script((sys.executable,), lines=("accuracy: 1",))


def test_reports_arrive_by_event_files_of_tensorboard(program, job, line):
    outcome = program(LOGS, tensorboard="runs")(job(), line)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert [(step, metrics["score"]) for step, metrics in line.reports] == [(step, step / 8) for step in range(1, 7)]
    assert line.reports[0][1]["val/score"] == 1 / 8


def test_event_files_in_the_trial_s_own_folder_are_found(program, job, line):
    text = LOGS.replace("log()\n", "import sys\n    log(sys.argv[1])\n")
    task = job()
    outcome = program(text, "{directory}", tensorboard="{directory}")(task, line)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert len(line.reports) == 6
    assert list(task.directory.glob("events.out.tfevents.*"))


def test_event_files_of_a_child_are_found_in_the_trial_s_own_folder_but_none_of_an_earlier_run(program, job, make_line):
    text = LOGS.replace("log()\n", "import sys\n    log(sys.argv[1])\n")
    program(text)
    behind_a_shell = Script(("sh", "-c", f"{sys.executable} train.py {{directory}}; true"), tensorboard="{directory}")
    for _ in range(2):
        line = make_line()
        assert behind_a_shell(job(), line).state is TrialState.COMPLETED
        assert [step for step, _ in line.reports] == [1, 2, 3, 4, 5, 6]


def test_event_files_of_other_processes_are_not_taken_for_the_script_s(program, job, line):
    """Other trials may write into the same folder, and earlier runs did."""
    text = LOGS.replace('"runs/" + str(os.getpid())', '"runs"')
    evaluator = program(text, tensorboard="runs")
    subprocess.run([sys.executable, "train.py"], check=True)
    assert evaluator(job(), line).state is TrialState.COMPLETED
    assert len(line.reports) == 6


def test_a_scalar_of_tensorboard_may_have_any_name(program, job, line):
    text = LOGS.replace(
        "value = Summary", "other = Summary.Value(tag='train/step', simple_value=1)\n            value = Summary"
    )
    outcome = program(text.replace("[value]", "[value, other]"), tensorboard="runs")(job(), line)
    assert outcome.state is TrialState.COMPLETED


def test_a_scalar_that_is_no_objective_is_told_to_the_study(program, job, line):
    outcome = program(LOGS + "    log(tag='latency', steps=[9])\n", tensorboard="runs")(job(), line)
    told = {name for _, metrics in line.reports for name in metrics} | set(outcome.metrics)
    assert "latency" in told


def test_watching_tensorboard_needs_its_extra(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'greyhound-tune\[tensorboard\]'"):
        program("", tensorboard="runs")


def test_reports_arrive_while_the_script_runs(program, job, make_line):
    """The script goes on only once the test has heard it."""

    class Hearing(make_line):
        def send(self, message):
            super().send(message)
            Path("heard").touch()

    line = Hearing()
    outcome = program(
        """
        import os, time
        print('{"step": 1, "score": 0.5}')
        until = time.monotonic() + 10
        while not os.path.exists("heard") and time.monotonic() < until:
            time.sleep(0.01)
        print('{"step": 2, "score": %d}' % os.path.exists("heard"))
        """
    )(job(), line)
    assert outcome.state is TrialState.COMPLETED
    assert line.reports == [(1, {"score": 0.5}), (2, {"score": 1.0})]


def test_an_epoch_is_a_step_and_a_line_without_either_is_the_result(program, job, line):
    outcome = program(
        """
        print('{"epoch": 1, "score": 0.5, "note": "good", "flag": true}')
        print('{"score": 0.75, "size": 3}')
        """
    )(job(), line)
    assert line.reports == [(1, {"score": 0.5})]
    assert (outcome.state, outcome.metrics) == (TrialState.COMPLETED, {"score": 0.75, "size": 3.0})


def test_a_last_line_needs_no_line_break(program, job, line):
    program("""import sys\nsys.stdout.write('{"step": 1, "score": 0.5}')""")(job(), line)
    assert line.reports == [(1, {"score": 0.5})]


ODD_LINES = [
    "{}", "{broken", "{'score': 1}", '{"step": null, "score": "high"}', '{"step": -1, "score": 0.5}',
    '{"step": 1.5, "score": 0.5}', '{"step": NaN, "score": 0.5}', '{"step": 1, "score": null}',
    '{"score": {"deep": 1}}', "[" * 100_000, "ü" * 300_000, "",
]  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(ODD_LINES, id="odd"),
        pytest.param(['{"step": Infinity, "score": 0.5}'], id="an infinite step"),
        pytest.param(['{"step": 1e300, "score": 0.5}'], id="a huge step"),
        pytest.param(['{"count": 1' + 400 * "0" + "}"], id="more digits than a float takes"),
        pytest.param(['{"count": 1' + 5000 * "0" + "}"], id="more digits than an int is read with"),
        pytest.param(['{"a":' + "[" * 3000 + "]" * 3000 + "}"], id="deep"),
        pytest.param(['{"step": 1, "self": 0.5}'], id="a name that Python uses"),
    ],
)
def test_no_line_of_output_keeps_a_script_from_its_result(lines, program, job, line):
    Path("output.txt").write_text("\n".join([*lines, '{"score": 0.25}']), encoding="utf-8")
    outcome = program("import sys\nsys.stdout.write(open('output.txt', encoding='utf-8').read())")(job(), line)
    assert (outcome.state, outcome.metrics["score"]) == (TrialState.COMPLETED, 0.25)


@pytest.mark.parametrize("step", ["-1", "1.5", "NaN", "Infinity", "null", '"3"', "true"])
def test_a_line_with_a_step_that_is_none_is_no_result(step, program, job, line):
    outcome = program(f"""print('{{"step": {step}, "score": 0.5}}')""")(job(), line)
    assert (outcome.state, line.reports) == (TrialState.FAILED, [])


def test_a_metric_of_a_script_may_have_any_name(program, job, line):
    text = """
        import greyhound
        print('{"step": 1, "score": 0.5, "self": 1, "value": 2, "trial": 3}')
        greyhound.report(2, score=0.6, self=1, value=2, epoch=3)
    """
    assert program(text)(job(), line).state is TrialState.COMPLETED
    assert line.reports == [
        (1, {"score": 0.5, "self": 1.0, "value": 2.0, "trial": 3.0}),
        (2, {"score": 0.6, "self": 1.0, "value": 2.0, "epoch": 3.0}),
    ]


def test_output_that_is_no_text_is_passed_over(program, job, line):
    outcome = program(
        """
        import os
        os.write(1, bytes(range(256)) * 1000 + b'\\n{"score": 0.25}\\n')
        """
    )(job(), line)
    assert outcome.metrics == {"score": 0.25}


def test_what_the_script_prints_goes_to_the_trial_s_log(program, job, line, capsys):
    program("import sys\nprint('{\"score\": 1}')\nprint('epoch 1')\nprint('careful', file=sys.stderr)")(job(), line)
    told = capsys.readouterr()
    assert told.out == '{"score": 1}\nepoch 1\n'
    assert told.err == "careful\n"


def test_a_report_behind_a_progress_bar_is_heard(program, job, line):
    program(
        """
        import sys
        sys.stdout.write('50% |##  |\\r{"step": 1, "score": 0.5}\\r100%|####|\\r{"step": 2, "score": 0.75}\\r\\n')
        """
    )(job(), line)
    assert line.reports == [(1, {"score": 0.5}), (2, {"score": 0.75})]


def test_progress_is_in_the_log_before_its_line_has_ended(program, job, line, monkeypatch):
    """The script goes on only once the test has seen it in the log."""

    class Log(io.StringIO):
        def write(self, text):
            if "50%" in text:
                Path("seen").touch()
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Log())
    evaluator = program(
        """
        import os, sys, time
        sys.stderr.write("\\r 50% |##  |")
        until = time.monotonic() + 10
        while not os.path.exists("seen") and time.monotonic() < until:
            time.sleep(0.01)
        print('{"score": %d}' % os.path.exists("seen"))
        """
    )
    assert evaluator(job(), line).metrics == {"score": 1.0}


def test_states_of_a_progress_bar_do_not_crowd_out_the_error(program, job, line):
    error = program(
        """
        import sys
        print("loading the data")
        for state in range(1000):
            sys.stderr.write(f"\\r{state} of 1000")
        sys.exit("\\nno such data set")
        """
    )(job(), line).error
    assert "loading the data" in error
    assert "500 of 1000" not in error
    assert error.endswith("the script ended with exit code 1: no such data set")


@pytest.mark.parametrize("cuts", [[3], [5, 6], [12, 13, 14], list(range(1, 40))])
def test_lines_are_heard_however_they_are_cut(cuts):
    said, heard, log = "ü\r\none\rtwo\n\nthree\r\r\nfour".encode(), [], io.StringIO()
    lines = script._Lines(lambda line, stays: heard.append((line, stays)), log)
    for begin, end in itertools.pairwise([0, *cuts, len(said)]):
        if said[begin:end]:
            lines.take(said[begin:end])
    lines.take(b"")
    assert heard == [
        ("ü", True), ("one", False), ("two", True), ("", True), ("three", False), ("", True), ("four", True),
    ]  # fmt: skip
    assert log.getvalue() == said.decode() + "\n"


@pytest.mark.parametrize(
    "text",
    ["""print('{"step": 1, "value": 0.5}')""", "import greyhound\ngreyhound.report(1)",
     "import greyhound\ngreyhound.report(1, value=0.5)"],
)  # fmt: skip
def test_a_report_that_cannot_be_taken_fails_the_trial(text, program, job, line):
    outcome = program(text)(job(objectives=("score", "size")), line)
    assert outcome.state is TrialState.FAILED
    assert "score" in outcome.error


def test_a_report_of_a_negative_step_does_not_hang(program, job, line):
    outcome = program(
        """
        import greyhound, signal
        signal.alarm(1)
        greyhound.report(-1, score=0.5)
        """
    )(job(), line)
    assert outcome.state is TrialState.FAILED
    assert outcome.error.endswith("the step must be a whole number of at least 0; got -1.")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ('{"step": -1, "score": 0.5}', "greyhound.report: a report has a step and metrics; got "),
        ('{"score": 0.5}', "greyhound.report: a report has a step and metrics; got "),
        ("step 1", "greyhound.report: a report has a step and metrics; got "),
        ('{"step": 1}', "trial.report: there are no metrics; "),
    ],
)
def test_a_program_that_speaks_on_the_line_itself_is_told_what_it_said_wrong(said, error, program, job, line):
    outcome = program(
        f"""
        import os, socket
        line = socket.socket(fileno=int(os.environ["GREYHOUND_LINE"]))
        line.sendall(b'{said}\\n')
        open("answer", "w").write(line.recv(99).decode())
        """
    )(job(), line)
    assert outcome.state is TrialState.FAILED
    assert outcome.error.startswith(error)
    assert "\n" not in outcome.error
    assert Path("answer").read_text() == "stop\n", "it is answered, and left to end by itself"


def test_a_checkpoint_of_a_function_in_the_folder_fails_the_trial_with_the_way_out(program, job, line):
    class Weights:
        def state_dict(self):
            return {}

    checkpoint.save(job().directory, 1, {"model": Weights()})
    outcome = program("print('{\"score\": 1}')")(job(), line)
    assert outcome.state is TrialState.FAILED
    assert "remove the file to start over" in outcome.error


# How a script ends


def test_a_script_that_never_reports_fails_with_a_clear_sentence(program, job, line):
    outcome = program("print('done')")(job(), line)
    assert outcome.state is TrialState.FAILED
    assert outcome.error == (
        "the training ended without score, an objective of the study; it reported and returned nothing. "
        'A script tells metrics by printing lines such as {"step": 1, "score": 0.5}. Where it prints them in words of '
        "its own, give such a line, with {score} for the number: --line 'validation score: {score}', in Python lines=."
    )
    outcome = program("print('done')", lines=("score {score}",))(job(), line)
    assert outcome.error.endswith("No line that it printed told them by 'score {score}'.")
    assert "it told loss." in program("""print('{"loss": 1}')""")(job(), line).error


def test_an_exit_code_fails_the_trial_with_the_last_of_its_output(program, job, line):
    outcome = program(
        """
        import sys
        print('{"step": 1, "score": 0.5}')
        for number in range(100):
            print("line", number)
        sys.exit("no such data set")
        """
    )(job(), line)
    assert outcome.state is TrialState.FAILED
    said = outcome.error.splitlines()
    assert said[-1] == "the script ended with exit code 1: no such data set"
    assert "line 99" in said
    assert "line 0" not in said
    assert len(said) <= 50
    assert line.reports == [(1, {"score": 0.5})]


@pytest.mark.parametrize(("argument", "params", "advice"), [
    ("--batch-size", {"batch_size": 8}, "name batch_size as the script's flag is, or give its place in the command, "
     "as in '-- --flag {batch_size}'."),
    ("--x", {"x": 1, "y": 2}, "name y as the script's flag is"),
    ("--tied", {"tied": True}, "A flag that takes no value is written {--tied} in --command."),
])  # fmt: skip
def test_a_flag_that_the_script_does_not_know_is_told_with_what_to_write(argument, params, advice, program, job, line):
    text = f"""
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("{argument}", **({{"action": "store_true"}} if "{argument}" == "--tied" else {{}}))
        parser.parse_args()
    """
    outcome = program(text)(job(params=params), line)
    assert "unrecognized arguments: " in outcome.error.splitlines()[-1]
    assert advice in outcome.error.splitlines()[-1]


def test_a_flag_in_a_template_gets_no_advice_on_appended_ones(program, job, line):
    text = "import argparse; argparse.ArgumentParser().parse_args()"
    outcome = program(text, "--x={x}")(job(), line)
    assert outcome.error.endswith("error: unrecognized arguments: --x=0.5")


def test_a_ruler_below_an_error_is_not_its_reason_and_of_ranks_the_first_to_fail_is(program, job, line):
    text = """
        import sys
        sys.exit("no such data set\\n=======")
    """
    assert program(text)(job(), line).error.endswith("ended with exit code 1: no such data set")
    text = """
        import sys
        sys.exit("[rank1]: ValueError: bad data\\n[rank0]: RuntimeError: rank 1 is gone\\nroot cause: see above\\n===")
    """
    assert program(text)(job(), line).error.endswith("ended with exit code 1: ValueError: bad data")


def test_the_traceback_of_a_script_is_in_its_error(program, job, line):
    error = program("def load():\n    raise ValueError('bad data')\nload()")(job(), line).error
    assert 'train.py", line 2, in load' in error
    assert error.endswith("the script ended with exit code 1: ValueError: bad data")


def test_a_script_that_was_killed_is_told_with_the_signal(program, job, line):
    outcome = program("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")(job(), line)
    assert (outcome.state, outcome.error) == (TrialState.FAILED, "the script was killed by signal 11")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')", "Tried to allocate 2 GiB"),
        ("raise MemoryError", "exit code 1: MemoryError"),
        ("import numpy\nnumpy.empty(2**58)", " and data type float64"),
        ("import sys\ntry:\n    bytes(2**62)\nexcept MemoryError as error:\n    raise SystemExit(repr(error))", "()"),
    ],
)  # fmt: skip
def test_a_script_that_ran_out_of_memory_is_told_apart(text, told, program, job, line):
    outcome = program(text)(job(), line)
    assert outcome.state is TrialState.OUT_OF_MEMORY
    assert outcome.error.endswith(told)


def test_a_script_that_speaks_of_memory_only_has_failed(program, job, line):
    outcome = program("except_MemoryError = 1\nraise ValueError('no MemoryError')")(job(), line)
    assert outcome.state is TrialState.FAILED


@pytest.mark.parametrize(("counts", "state"), [((3, 3), TrialState.LOST), ((3, 4), TrialState.OUT_OF_MEMORY)])
def test_a_script_that_the_system_killed_is_lost_or_had_no_memory_left(counts, state, program, job, line, monkeypatch):
    kills = iter(counts)
    monkeypatch.setattr(script, "memory_kills", lambda: next(kills))
    assert program("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")(job(), line).state is state


@pytest.mark.parametrize("text", ["""print('{"step": 1, "score": NaN}')""", """print('{"score": Infinity}')""",
                                  "import greyhound\ngreyhound.report(1, score=float('nan'))"])  # fmt: skip
def test_an_objective_that_is_no_finite_number_ends_the_script_as_diverged(text, program, job, line):
    assert program(text)(job(), line).state is TrialState.DIVERGED


ENDLESS = """
    import os, signal, sys, time
    def leave(*_):
        open("terminated", "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    open("pid", "w").write(str(os.getpid()))
    for step in range(1, 10**6):
        print('{"step": %d, "score": 0.5}' % step)
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.STOP, TrialState.STOPPED), (Verdict.PAUSE, TrialState.PAUSED)])
def test_a_script_that_is_to_go_no_further_is_terminated(verdict, state, program, job, make_line):
    outcome = program(ENDLESS)(job(until=3), make_line(lambda step: Answer(verdict)))
    assert (outcome.state, outcome.error) == (state, None)
    assert Path("terminated").exists(), "it could clean up"
    assert has_ended(int(Path("pid").read_text()))


@pytest.mark.parametrize(
    ("told", "max_steps", "state"),
    [
        ([{"step": 2, "score": 0.5}], 5, TrialState.PAUSED),
        ([{"step": 2, "score": 0.5}, {"score": 0.4}], 5, TrialState.PAUSED),
        ([{"step": 2, "score": 0.5}], None, TrialState.PAUSED),
        ([{"step": 5, "score": 0.5}], 5, TrialState.COMPLETED),
        ([{"score": 0.5}], 5, TrialState.COMPLETED),
        ([{"step": 2, "score": 0.5}, {"score": 0.4}], None, TrialState.COMPLETED),
    ],
)
def test_a_script_that_ends_because_all_were_told_to_has_not_finished(told, max_steps, state, program, job, line):
    evaluator = program(
        f"""
        import json, os, signal
        for metrics in {told}:
            print(json.dumps(metrics), flush=True)
        os.kill(os.getppid(), signal.SIGTERM)  # as Slurm does: to all processes of a job
        """
    )
    before = signal.signal(signal.SIGTERM, lambda *_: terminations.note())
    try:
        outcome = evaluator(job(max_steps=max_steps), line)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome.state is state


@pytest.mark.parametrize("text", [
    """
    import itertools, json
    for step in itertools.count(1):
        print(json.dumps({"step": step, "score": step / 10}), flush=True)
    """,
    """
    import itertools, greyhound
    for step in itertools.count(1):
        greyhound.report(step, score=step / 10)
    """,
])  # fmt: skip
def test_a_script_that_trains_past_the_study_s_steps_has_come_to_its_end(text, program, job, line):
    outcome = program(text)(job(max_steps=3), line)
    assert (outcome.state, outcome.error) == (TrialState.COMPLETED, None)
    assert line.reports == [(step, {"score": step / 10}) for step in (1, 2, 3)]


def test_a_script_that_has_not_told_its_objective_yet_may_go_on(program, job, line):
    text = """
        for step in range(1, 9):
            print('{"step": %d, "loss": 1.0}' % step, flush=True)
        print('{"score": 0.5}')
    """
    assert program(text)(job(max_steps=3), line).metrics == {"score": 0.5}


def test_a_script_that_is_paused_has_saved_what_it_began_to_save(program, job, make_line, monkeypatch):
    """As most do it prints what it measured, and saves then; SIGTERM ends it wherever it is."""
    monkeypatch.setattr(script, "_SAVES_WITHIN_S", 2.0)
    text = """
        import sys, time
        print('{"step": 1, "score": 0.5}', flush=True)
        with open(sys.argv[1] + "/state.pt", "wb", buffering=0) as file:
            for part in range(5):
                time.sleep(0.05)
                file.write(b"x")
        time.sleep(600)
    """
    task = job(until=1)
    task.directory.mkdir()
    outcome = program(text, "{directory}")(task, make_line(lambda step: Answer(Verdict.PAUSE)))
    assert outcome.state is TrialState.PAUSED
    assert (task.directory / "state.pt").read_bytes() == b"xxxxx"


def test_a_script_that_does_not_listen_is_killed(program, job, make_line, monkeypatch):
    monkeypatch.setattr(script, "_PATIENCE_S", 0.2)
    evaluator = program(ENDLESS.replace("signal.SIGTERM, leave", "signal.SIGTERM, signal.SIG_IGN"))
    assert evaluator(job(until=3), make_line(lambda step: STOP)).state is TrialState.STOPPED
    assert has_ended(int(Path("pid").read_text()))


def test_what_a_script_started_is_terminated_with_it(program, job, make_line):
    evaluator = program(
        """
        import subprocess, time
        child = subprocess.Popen(["sleep", "60"])
        open("child", "w").write(str(child.pid))
        print('{"step": 1, "score": 0.5}')
        time.sleep(60)
        """
    )
    begin = time.monotonic()
    assert evaluator(job(until=1), make_line(lambda step: STOP)).state is TrialState.STOPPED
    assert ends(int(Path("child").read_text()))
    assert time.monotonic() - begin < 8


def test_a_script_that_asks_ends_where_it_asked(program, job, make_line):
    evaluator = program(
        """
        import greyhound
        try:
            for step in range(1, 10):
                greyhound.report(step, score=0.5)
        finally:
            open("cleaned up", "w").write(str(step))
        """
    )
    outcome = evaluator(job(until=3), make_line(lambda step: STOP))
    assert (outcome.state, outcome.error) == (TrialState.STOPPED, None)
    assert Path("cleaned up").read_text() == "3"


def test_a_script_that_is_told_to_end_may_print_on(program, job, make_line, monkeypatch):
    monkeypatch.setattr(script, "_PATIENCE_S", 1.0)
    evaluator = program(
        """
        import greyhound
        try:
            greyhound.report(1, score=0.5)
        finally:
            print("x" * 500_000)
            open("cleaned up", "w").close()
        """
    )
    evaluator(job(until=1), make_line(lambda step: STOP))
    assert Path("cleaned up").exists()


def test_a_script_that_asks_again_while_it_ends_is_answered_again(program, job, make_line):
    evaluator = program(
        """
        import greyhound
        try:
            greyhound.report(1, score=0.5)
        finally:
            try:
                greyhound.report(2, score=0.5)
            finally:
                open("cleaned up", "w").close()
        """
    )
    line = make_line(lambda step: STOP)
    begin = time.monotonic()
    assert evaluator(job(until=1), line).state is TrialState.STOPPED
    assert Path("cleaned up").exists()
    assert time.monotonic() - begin < 8
    assert line.reports == [(1, {"score": 0.5})]


def test_what_a_script_says_while_it_ends_goes_to_the_log_alone(program, job, make_line, capsys):
    line = make_line(lambda step: STOP)
    text = ENDLESS.replace("sys.exit(0)", """print('{"step": 9, "score": NaN}')\n        sys.exit(0)""")
    assert program(text)(job(until=1), line).state is TrialState.STOPPED
    assert '{"step": 9, "score": NaN}\n' in capsys.readouterr().out
    assert line.reports == [(1, {"score": 0.5})]


def test_a_script_that_is_killed_where_it_asks_is_lost(program, job, line):
    evaluator = program(
        """
        import os, socket, signal
        line = socket.socket(fileno=int(os.environ["GREYHOUND_LINE"]))
        line.sendall(b'{"step": 1, "score": 0.5}\\n')
        line.recv(1, socket.MSG_PEEK)  # the answer is there, and stays unread
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    outcome = evaluator(job(), line)
    assert (outcome.state, outcome.error) == (TrialState.LOST, "the script was killed by signal 9")


def test_a_resumed_script_starts_over_and_is_judged_only_at_the_next_milestone(program, job, line):
    outcome = program(PRINTS)(job(step=3, until=5), line)
    assert outcome.state is TrialState.COMPLETED
    assert [told.step for told in line.sent if told.waits] == [5]


def test_a_process_that_a_script_left_behind_does_not_keep_it_from_ending(program, job, line):
    evaluator = program(
        """
        import subprocess
        open("child", "w").write(str(subprocess.Popen(["sleep", "60"]).pid))
        print('{"score": 0.5}')
        """
    )
    begin = time.monotonic()
    try:
        assert evaluator(job(), line).metrics == {"score": 0.5}
        assert time.monotonic() - begin < 10
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(Path("child").read_text()), signal.SIGKILL)


def test_an_error_on_the_line_to_the_study_leaves_no_script_behind(program, job, make_line):
    class Torn(make_line):
        def send(self, message):
            raise ConnectionError("the study is gone")

    with contextlib.suppress(ConnectionError):
        program(ENDLESS)(job(), Torn())
    assert has_ended(int(Path("pid").read_text()))


@pytest.mark.parametrize("command", [["train.py"], ["sh", "-c", "python3 train.py; true"]], ids=["alone", "in a shell"])
@pytest.mark.parametrize("session", [False, True], ids=["of its session", "of another session"])
def test_a_script_dies_with_its_worker_and_so_does_what_it_started(command, session, program):
    program(
        f"""
        import os, subprocess, time
        child = subprocess.Popen(["sleep", "60"], start_new_session={session})
        open("new", "w").write(" ".join(map(str, [os.getppid(), os.getpid(), child.pid])))
        os.rename("new", "pids")
        time.sleep(60)
        """
    )
    worker = f"""
        from greyhound.evaluators.script import Script
        from greyhound.jobs import Job
        Script({command})(Job(3, {{}}, 7, objectives=("score",)), None)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(worker)])
    until = time.monotonic() + 20
    while not Path("pids").exists() and time.monotonic() < until:
        time.sleep(0.01)
    pids = [int(pid) for pid in Path("pids").read_text().split()]
    assert not any(has_ended(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(ends(pid) for pid in pids)


def test_a_script_that_cannot_be_started_is_told_in_a_sentence(job, line, tmp_path):
    empty = tmp_path / "train"
    empty.touch(mode=0o755)
    outcome = Script((str(empty),))(job(), line)
    assert (outcome.state, outcome.error) == (
        TrialState.FAILED,
        f"{empty}: cannot be started: Exec format error.",
    )


SAVES_BEHIND_A_SHELL = """
    import os, signal, sys, time
    def leave(*_):
        time.sleep(0.5)
        open("saved", "w").close()
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    open("pid", "w").write(str(os.getpid()))
    print('{"step": 1, "score": 0.5}', flush=True)
    time.sleep(60)
"""


def test_a_training_behind_a_shell_has_saved_when_its_trial_is_paused(program, job, make_line):
    program(SAVES_BEHIND_A_SHELL)
    behind = Script(("sh", "-c", "python3 train.py; true"))
    assert behind(job(until=1), make_line(lambda step: Answer(Verdict.PAUSE))).state is TrialState.PAUSED
    assert Path("saved").exists()
    assert has_ended(int(Path("pid").read_text()))


def test_a_training_behind_a_shell_that_does_not_listen_is_killed(program, job, make_line, monkeypatch):
    monkeypatch.setattr(script, "_PATIENCE_S", 0.2)
    program(SAVES_BEHIND_A_SHELL.replace("time.sleep(0.5)", "time.sleep(60)"))
    behind = Script(("sh", "-c", "python3 train.py; true"))
    assert behind(job(until=1), make_line(lambda step: STOP)).state is TrialState.STOPPED
    assert ends(int(Path("pid").read_text()))


@pytest.mark.parametrize(
    ("end", "state"),
    [("sys.exit(1)", TrialState.FAILED), ("os.kill(os.getpid(), signal.SIGKILL)", TrialState.LOST)],
)
def test_a_script_that_fails_leaves_nothing_behind(end, state, program, job, line):
    evaluator = program(
        f"""
        import os, signal, subprocess, sys
        open("child", "w").write(str(subprocess.Popen(["sleep", "60"]).pid))
        {end}
        """
    )
    assert evaluator(job(), line).state is state
    assert ends(int(Path("child").read_text()))


def test_ctrl_c_on_the_terminal_does_not_reach_the_script(program, job, line):
    """The terminal signals the processes of its own group only."""
    evaluator = program(
        """
        import json, os
        print(json.dumps({"score": float(os.getsid(0) == os.getpid() == os.getpgid(0))}))
        """
    )
    assert evaluator(job(), line).metrics == {"score": 1.0}


def test_a_run_leaves_no_open_files_behind(program, job, make_line):
    evaluator = program(PRINTS)
    evaluator(job(), make_line())
    before = psutil.Process().num_fds()
    for _ in range(3):
        evaluator(job(), make_line())
        evaluator(job(until=2), make_line(lambda step: STOP))
    assert psutil.Process().num_fds() == before
