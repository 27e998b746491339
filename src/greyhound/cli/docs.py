"""The reference of the command line, written from the commands themselves.

python -m greyhound.cli.docs > docs/cli.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from greyhound.cli import studyfile
from greyhound.cli.app import app

_HEAD = """# Command line

`greyhound COMMAND --help` says the same. STUDY is a study file (`train.db`), a database URL, or the
`study.yaml` that it was made from.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the study ended and no trial has a usable value |
| 2 | wrong usage or input |
| 3 | the study file or database cannot be used |
| 4 | the training cannot be run, or failed on every worker |
| 130 | interrupted by Ctrl-C or SIGTERM; `greyhound resume` goes on |

A study goes on when nobody reads any more what it prints, as after `| head`, where closing its terminal did not end
it (`disown`, `setsid`), where the disk of the file that it prints into is full, and where it was started without
standard streams (`<&- >&- 2>&-`). What the encoding of the output lacks is escaped, as in `\\u2192`.
"""

STUDY_FILE = """## Study files

What `greyhound run` takes as flags may stand in a file: `greyhound run study.yaml`. Flags given beside it win.
Paths count from the file, and without `storage` the study is kept beside it: `study.db` for `study.yaml`. Unknown
keys, values of the wrong kind and what is wrong in its space are told with their line.

```yaml
space:                                   # or the name of a file that holds it
  lr: {type: float, low: 1e-5, high: 1e-1, log: true, default: 1e-3}
  batch_size: {type: ordinal, values: [16, 32, 64, 128], default: 32}
  optimizer: {type: categorical, choices: [sgd, adamw], default: adamw}
  momentum: {type: float, low: 0.0, high: 0.99, default: 0.9, when: {optimizer: sgd}}
  constraints: {small batches need small rates: "batch_size >= 32 or lr < 0.01"}
command: >-
  python train.py --lr {lr} --batch-size {batch_size} --optimizer {optimizer} --momentum {momentum} --out {directory}
maximize: accuracy
budget: 2h
max_steps: 30
```

| key | value |
| --- | --- |
"""

_SCRIPTS = """## How a script tells its metrics

- It prints lines of JSON: `{"step": 3, "accuracy": 0.91}` (or `"epoch"`) while it trains; a line without a step holds
  final metrics.
- Or it calls `greyhound.report(3, accuracy=0.91)`, which also ends it when its trial is paused or stopped. Run by
  hand, that prints the line of JSON.
- Or it prints lines for people, on standard output or error, and `--line` says what they look like: copy one, or a
  part of it, and write names in braces where its numbers stand. `--line 'Average loss: {loss}, Accuracy: {correct}/'`
  reads `Test set: Average loss: 0.0412, Accuracy: 9874/10000 (99%)`. `{}` is anything between, `{{` and `}}` are
  braces. `{epoch}` or `{step}` is the step, of its own line and those behind it; where none is named, steps are
  counted: name what is printed once in a step then. Of a progress bar the last state counts.
- Or it writes TensorBoard scalars into the folder given by `--tensorboard`; those of processes that it starts count
  where that is, or lies in, `{directory}`.

With `--max-steps` its steps are those of the study. Give it its length, as by `-- --epochs {max_steps}`: one that
trains past it is ended there, but its learning rate was planned for another length.

Every parameter is appended as `--name value`, unless the command says itself where parameters go: `{name}` is a
parameter, `{params_json}` all of them. Then only those that it names reach the script, and a warning tells which it
leaves out. `{seed}`, `{trial}`, `{max_steps}`, `{fold}`, `{folds}`, `{repeat}` and `{directory}` (the trial's own
folder) may stand in any command, as in `greyhound run train.py -- --out {directory}`; `{{` and `}}` are braces. Words
of parameters that a configuration does not have are left out together with the flag before them. A script that keeps
its own checkpoint in `{directory}` goes on from it when its trial is resumed; another starts over. One that is paused
is ended by SIGTERM, once it has left the files there alone for half a second: so it has saved what it measured. Any
program can be tuned by its command, `greyhound run train --command './train.sh {lr}'`; TARGET then only names the
study file. In Python a script is tuned by `gh.tune(gh.Script(("train.py", "--epochs", "9")), space, …)`.

A script that writes to a fixed place, such as `checkpoint.pt` in the current folder, has all trials write there, and
takes up another trial's checkpoint if it looks for one. Run it in the trial's own folder, with links to what it reads
from its own:

    greyhound run train --space space.yaml --minimize loss --line 'valid loss {loss}' \\
        --command 'sh -c "cd {directory} && ln -sfn $OLDPWD/data data && exec python $OLDPWD/train.py --lr {lr}"'

One that takes its parameters from a file is started by a few lines that write it, tuned in its place:

```python
# not run here: config.yaml and train.py are yours
import subprocess, sys, yaml
import greyhound

folder = sys.argv[1]  # greyhound run run.py … -- {directory}
config = yaml.safe_load(open("config.yaml"))
config["optimizer"].update(greyhound.params())
yaml.safe_dump(config, open(f"{folder}/config.yaml", "w"))
sys.exit(subprocess.call([sys.executable, "train.py", "--config", f"{folder}/config.yaml"]))
```

Values are written so that `argparse` takes them: a negative number without an exponent (`-0.00001`), a text that
begins with `-` as `--name=value` (in a template write `--name={name}` yourself), truth values as `true` and `false`,
`None` as an empty word, a list as JSON (`[8, 16]`, to be read with `type=json.loads`). Mind that `argparse`'s
`type=bool` takes every word but an empty one for True: write `type=lambda word: word == "true"`. A flag without a
value (`action="store_true"`) is written `{--amp}` in the command: `--command 'python train.py --lr {lr} {--amp}'` has
`--amp` where the parameter `amp` is true, and nothing where it is false. A script that reads words as Python does
wants `{type: categorical, choices: ["True", "False"]}`. An appended flag has its parameter's name: for `--batch-size`
call it `batch-size`, or write `-- --batch-size {batch_size}`, with all others. What is the same for all trials stands
in the command itself, as in `greyhound run train.py … -- --epochs 9`; a space holds what is searched.
"""


def reference() -> str:
    """The page, in Markdown."""
    import typer.main

    group: Any = typer.main.get_command(app)
    parts = [_HEAD]
    for name, command in group.commands.items():
        parts.append("\n".join(_command(name, command)) + "\n")
    keys = "".join(f"| `{key}` | {wanted} |\n" for key, (wanted, _) in studyfile.KEYS.items())
    return "\n".join([*parts, STUDY_FILE + keys, _SCRIPTS])


def _command(name: str, command: Any) -> Iterator[str]:
    text, _, example = inspect.cleandoc(command.callback.__doc__).partition("\n\nExample: ")
    yield f"## greyhound {name}\n\n{' '.join(text.split())}\n\n    {' '.join(example.split())}\n"
    yield "| argument or option | |\n| --- | --- |"
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
        else:
            shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
        yield f"| `{shown}` | {parameter.help} |"


if __name__ == "__main__":
    print(reference(), end="")
