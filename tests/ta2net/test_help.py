"""The command line as a manual: nothing missing, examples that parse, completion that completes."""

from __future__ import annotations

import shlex

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from ta2net.cli import main
from ta2net.commands.completion import PROGRAM, VARIABLE
from ta2net.commands.manual import SECTIONS, TOPICS
from ta2net.deliver.exports import FORMATS
from ta2net.evaluation.threshold import SENSITIVITIES
from ta2net.label.marks import FORMATS as MARKS
from ta2net.networks.built_in import DEFAULT, names

LISTED = [name for lines in SECTIONS.values() for name in lines]


def told(*arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--help"], terminal_width=80)
    assert done.exit_code == 0
    return done.output


def test_every_command_stands_in_the_manual_once():
    assert sorted(LISTED) == sorted(main.commands)
    page = told()
    for title in (*SECTIONS, *TOPICS):
        assert f"\n{title}:\n" in page
    assert "..." not in page.split("\nExamples:")[0].split("Usage:")[1].split("\n\n", 1)[1]
    assert max(map(len, page.splitlines())) <= 80


def examples() -> list[str]:
    """The lines below every command's Example(s), as a shell would run them."""
    found = []
    for name in LISTED:
        lines = told(name).splitlines()
        start = next(i for i, line in enumerate(lines) if line.strip() in ("Example:", "Examples:"))
        for line in lines[start + 1 :]:
            if not line.strip():
                break
            found += [part.strip() for part in line.split("&&")]
    return found


@pytest.mark.parametrize("line", [*examples(), *(line for line, _ in TOPICS["Examples"][:-1])])
def test_every_example_names_options_that_exist(line):
    words = shlex.split(line.split("#")[0].split(">")[0].removeprefix('eval "$(').rstrip().removesuffix(')"'))
    if words[0] not in ("ta2net", "ta2net-train"):
        return  # torchrun, python -m, xdg-open
    command = main.commands["train" if words[0] == "ta2net-train" else words.pop(1)]
    command.make_context(command.name, words[1:], resilient_parsing=False)


def test_choices_on_the_command_line_are_those_of_the_program():
    def choices(command: str, option: str) -> list[str]:
        (found,) = (one for one in main.commands[command].params if option in one.opts)
        assert isinstance(found.type, click.Choice)
        return list(found.type.choices)

    assert choices("predict", "--sensitivity") == list(SENSITIVITIES)
    assert choices("import", "--format") == list(MARKS)
    assert f"default: {DEFAULT}" in " ".join(told("predict").split())


def completed(*words: str) -> list[str]:
    found = BashComplete(main, {}, PROGRAM, VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


def test_completion_knows_commands_formats_and_networks():
    assert completed("exp") == ["export"]
    assert completed("predict", "--format", "") == [*FORMATS, "all"]
    assert completed("export", "--format", "audacity,re") == ["audacity,reaper", "audacity,resolve"]
    assert completed("predict", "--format", "srt,sr") == []
    assert completed("predict", "--checkpoint", "") == names()
    assert completed("predict", "--checkpoint", "./ne") == completed("label", "fi") == ["<file>"]
    assert completed("predict", "--sensitivity", "h") == ["high"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_the_program(shell):
    done = CliRunner().invoke(main, ["completion", shell], prog_name="python")
    assert done.exit_code == 0, done.output
    assert f"{VARIABLE}={shell}_complete" in done.output
    assert PROGRAM in done.output
