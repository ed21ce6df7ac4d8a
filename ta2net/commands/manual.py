"""``ta2net --help``: the commands by what they are for, then files, environment and exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from pipeline.errors import Group

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "For films": {
        "predict": "find the hits of videos, write them as CSV and for editors",
        "report": "show them on a page for each video: player, curve, moments",
        "export": "write hits as files that editors open",
        "dub": "make a preview that can be heard: a sound at each hit",
        "models": "list the networks that come with the program",
    },
    "For labels": {
        "label": "label videos by their own sound",
        "import": "take marks that were corrected in an editor over into labels",
    },
    "For research": {
        "train": "train on a flow store; go on after a stop",
        "evaluate": "judge a network, saved scores or any program's hits by labels",
        "summary": "print the headline figures of a metrics.json",
        "picture": "draw one row: its score curve, its surest hits",
        "describe": "count the parameters and the arithmetic of a network",
        "params": "write a parameter file from configurations",
    },
    "For files and stores": {
        "inspect": "say what is in a video, a flow store or a checkpoint",
        "validate": "check that a flow store is whole",
        "repair": "remove broken rows of a flow store, so that they are rebuilt",
    },
    "For the shell": {"completion": "print the script that completes commands and names"},
}
"""What each command is for, in a line; every command stands in one section."""

TOPICS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Examples": (
        ("ta2net predict film.mp4 --format audacity,resolve", "hits of a film, for editors too"),
        ("ta2net report takes/ --out pages", "a page to look at each film"),
        ("ta2net dub film.mp4 --hits hits/film/hits.csv --out dubbed.mp4", "hear them"),
        ("ta2net label drums/ --class drumming", "labels to train on, from sound"),
        ("ta2net COMMAND --help", "all about one command, with examples"),
    ),
    "Files": (
        ("params.yaml", "all settings of the pipeline; ta2net params writes it"),
        ("hits/NAME/", "what predict finds in NAME.mp4: hits.csv, scores.csv, ..."),
        ("labels/", "what label hears: labels.csv to train on, a page per video"),
        ("data/", "what the pipeline makes: catalog, flow store, run, ..."),
    ),
    "Environment": (
        ("CUDA_VISIBLE_DEVICES", "which GPUs may be used"),
        ("OMP_NUM_THREADS", "how many CPU threads one process may use"),
        ("AWS_ACCESS_KEY_ID, ...", "credentials for flow stores on object storage"),
    ),
    "Exit codes": (
        ("0", "done"),
        ("1", "a fault of the program"),
        ("2", "something you can mend, said in one message"),
    ),
}
"""What stands behind the commands."""


class Manual(Group):
    """A group of commands whose help is in sections."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands, a list for each section."""
        widest = max(len(name) for lines in SECTIONS.values() for name in lines)
        for title, lines in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, line in lines.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the topics."""
        for title, rows in TOPICS.items():
            with formatter.section(title):
                formatter.write_dl(list(rows))
        super().format_epilog(ctx, formatter)
