"""Completion for shells: the command that prints it, and what the other commands' options complete to."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM, VARIABLE = "ta2net", "_TA2NET_COMPLETE"
"""The installed program, and the environment variable by which a shell asks it, as click names them."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that lets SHELL complete commands, options, formats and networks.

    \b
    Examples:
      eval "$(ta2net completion bash)"                                   # in ~/.bashrc
      eval "$(ta2net completion zsh)"                                    # in ~/.zshrc, after compinit
      ta2net completion fish > ~/.config/fish/completions/ta2net.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # click has all three
    click.echo(found(context.find_root().command, {}, PROGRAM, VARIABLE).source())


def formats(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of editors' formats; after a comma, those not named yet."""
    from ta2net.deliver.exports.registry import FORMATS

    before, comma, begun = incomplete.rpartition(",")
    named = before.split(",")
    help_of = {name: found.opens_in for name, found in FORMATS.items()}
    if not comma:
        help_of["all"] = "every format"
    return [
        CompletionItem(f"{before}{comma}{name}", help=what)
        for name, what in help_of.items()
        if name.startswith(begun) and name not in named
    ]


def networks(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of built-in networks; where none fits, files."""
    from ta2net.networks.built_in import names

    fitting = [CompletionItem(name, help="built in") for name in names() if name.startswith(incomplete)]
    return fitting or files(_context, _option, incomplete)


def files(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell itself lists."""
    return [CompletionItem(incomplete, type="file")]
