"""``ta2net --help``: the commands by what they are for, then files, environment and exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from pipeline.errors import Group

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "For films": {
        "predict": "find the hits of videos; write CSV and files for editors",
        "report": "find hits and show them on a web page for each video",
        "export": "write hits as files for editors",
        "dub": "put a sound at each hit of a video",
        "models": "list the networks that come with the program",
    },
    "For labels": {
        "label": "label videos by their own sound",
        "import": "turn marks corrected in an editor into labels",
    },
    "For research": {
        "train": "train on a flow store, or continue training",
        "evaluate": "evaluate a checkpoint, saved scores or any program's hits",
        "summary": "print the headline figures of a metrics.json",
        "picture": "draw the score curve and best hits of one row",
        "describe": "count the parameters and FLOP of a network",
        "params": "write a parameter file from configurations",
    },
    "For files and stores": {
        "inspect": "describe a video, a flow store or a checkpoint",
        "validate": "check that a flow store is complete and correct",
        "repair": "remove broken rows of a flow store",
    },
    "For the shell": {"completion": "print a script for completion in a shell"},
}
"""What each command is for, in a line; every command is in one section."""

TOPICS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Examples": (
        ("ta2net predict film.mp4 --format audacity,resolve", "find hits, also for editors"),
        ("ta2net report takes/ --out pages", "a web page for each film"),
        ("ta2net dub film.mp4 --hits hits/film/hits.csv --out dubbed.mp4", "hear the hits"),
        ("ta2net label drums/ --class drumming", "labels to train on, from sound"),
        ("ta2net COMMAND --help", "help on one command, with examples"),
    ),
    "Files": (
        ("params.yaml", "all settings of the pipeline; ta2net params writes it"),
        ("hits/NAME/", "results of predict for NAME.mp4: hits.csv, scores.csv, ..."),
        ("labels/", "results of label: labels.csv to train on, a page per video"),
        ("data/", "results of the pipeline: catalog, flow store, run, ..."),
    ),
    "Environment": (
        ("CUDA_VISIBLE_DEVICES", "the GPUs to use"),
        ("OMP_NUM_THREADS", "number of CPU threads of one process"),
        ("AWS_ACCESS_KEY_ID, ...", "credentials for flow stores on object storage"),
    ),
    "Exit codes": (
        ("0", "success"),
        ("1", "a bug in the program"),
        ("2", "an error you can fix; the message says how"),
    ),
}
"""What else a user should know."""


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
