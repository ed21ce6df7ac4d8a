"""Parameter files and their overlays: bombs, built objects, numbers that are none, nests without end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case
from tests.bad_input.tables import linked, pipe, written

READ = ("catalog",)
COMPOSE = ("params", "params.yaml", "--out", "composed.yaml")
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)  # fmt: skip
"""Nine levels of nine: 3.5e9 leaves when it is written out."""


def params(
    name: str, content: str | bytes, *says: str, command: tuple[str, ...] = READ, code: int = 2
) -> Case:
    """A params.yaml that is refused before any work starts."""
    return Case(
        f"params_{name}",
        written("params.yaml", content),
        command,
        (code,),
        (r"params\.yaml", *says) if code else says,
    )


def added(text: str) -> Callable[[Path], None]:
    """The good params.yaml with more text behind it."""

    def make(folder: Path) -> None:
        with (folder / "params.yaml").open("a", encoding="utf-8") as handle:
            handle.write(text)

    return make


CASES = (
    params("not_yaml", "train: {steps: [1\n", "not valid YAML"),
    params("tabs", "train:\n\tsteps: 1\n", "not valid YAML"),
    params("same_key_twice", "train: {steps: 1}\ntrain: {steps: 2}\n", "not valid YAML", "duplicate key"),
    params("two_documents", "train: {steps: 1}\n---\ntrain: {steps: 2}\n", "not valid YAML"),
    params("latin_1", "train: {dir: caf\xe9}\n".encode("latin-1"), "cannot be read as a text file"),
    params("nul", "train: {dir: a\0b}\n", "not valid YAML"),
    params("list", "- a\n- b\n", "expected sections"),
    params("number", "7\n", "expected sections"),
    params("binary", bytes(range(256)), "cannot be read as a text file"),
    params("of_2_MB", "# " + "x" * 2_000_000, "larger than"),
    params("bomb_as_section", BOMB + "train: *i\n", "aliases"),
    params("bomb_as_value", BOMB + "train: {dir: *i}\n", "aliases"),
    params("bomb_composed", BOMB + "train: {dir: *i}\n", "aliases", command=COMPOSE),
    params("contains_itself", "train: &t {dir: *t}\n", "aliases"),
    params("contains_itself_as_section", "train: &t {steps: 3, train: *t}\n", "aliases"),
    params("contains_itself_composed", "train: &t {aggregation: *t}\nmethod: &m {aggregation: *m}\n", command=COMPOSE),
    params("nested_40000_deep", "train: " + "[" * 40_000 + "]" * 40_000, "nested"),
    params("nested_maps", "train: " + "{a: " * 5_000 + "1" + "}" * 5_000, "nested"),
    params("python_object", "train: !!python/object/apply:os.system ['touch owned']\n", "not valid YAML"),
    params("python_name", "train: !!python/name:os.system\n", "not valid YAML"),
    params("own_tag", "train: !Secret {dir: x}\n", "not valid YAML"),
    params("binary_tag", "train: {dir: !!binary aGFsbG8=}\n", r"train\.dir"),
    params("binary_tag_broken", "train: {dir: !!binary '*'}\n", r"train\.dir"),
    params("impossible_date", "train: {dir: 2001-99-99}\n", "not valid YAML|train.dir"),
    params("date", "train: {dir: 2001-01-01}\n", r"train\.dir"),
    params("number_of_5000_digits", "train: {steps: " + "9" * 5000 + "}\n", "not valid YAML|train.steps"),
    params("number_of_300_digits", "train: {steps: " + "9" * 300 + "}\n", r"train\.steps"),
    params("nan", "optim: {lr: .nan}\n", r"optim\.lr: must be a finite number"),
    params("infinite", "optim: {lr: .inf}\n", r"optim\.lr: must be a finite number"),
    params("overflows", "optim: {lr: 1e999}\n", r"optim\.lr: must be a finite number"),
    params("negative", "optim: {lr: -1.0}\n", r"optim\.lr"),
    params("zero_size", "store: {size: [0, 64]}\n", r"store\.size"),
    params("size_of_three", "store: {size: [64, 64, 3]}\n", r"store\.size"),
    params("size_huge", "store: {size: [1000000000, 1000000000]}\n", r"store\.size"),
    params("text_for_number", "train: {steps: many}\n", r"train\.steps.*'many'"),
    params("truth_for_number", "train: {steps: yes}\n", r"train\.steps"),
    params("unknown_section", "trian: {steps: 1}\n", "trian: unknown key"),
    params("unknown_key", "train: {stpes: 1}\n", r"train\.stpes: unknown key"),
    params("number_as_key", "1: {steps: 1}\n", "unknown key|1"),
    params("list_as_key", "? [a, b]\n: 1\n", "params"),
    params("empty_key", '"": 1\n', "unknown key"),
    params("key_colours_the_terminal", '"\\e[31mred": 1\n', r"\\x1b\[31m"),
    params("three_mistakes", "train: {steps: 0, stpes: 1}\noptim: {lr: .nan}\n", "3 wrong entries"),
    params("empty", "", code=2, command=("inspect", "params.yaml")),
    Case("params_missing", lambda folder: (folder / "params.yaml").unlink(), READ, (2,), ("params.yaml: cannot be read",)),
    Case("params_are_a_folder", lambda folder: ((folder / "params.yaml").unlink(), (folder / "params.yaml").mkdir()), READ, (2,), ("params.yaml: cannot be read",)),
    Case("params_are_a_pipe", pipe("params.yaml"), READ, (2,), ("params.yaml: cannot be read.*pipe or device",)),
    Case("params_are_a_device", linked("params.yaml", "/dev/zero"), READ, (2,), ("params.yaml: cannot be read.*pipe or device",)),
    Case("params_over_a_broken_file", written("old.yaml", "a: [\n"), ("params", "--out", "old.yaml"), (2,), ("old.yaml",), keeps=("old.yaml",)),
    Case("params_over_a_folder", lambda folder: (folder / "old.yaml").mkdir(), ("params", "--out", "old.yaml"), (2,), ("old.yaml",)),
    Case("params_over_a_bomb", written("old.yaml", BOMB), ("params", "--out", "old.yaml"), (0, 2)),
    Case("catalog_cut_off", lambda folder: os.truncate(folder / "catalog.jsonl", 300), ("flows",), (2,), ("catalog.jsonl, line 1: not a catalog row",), keeps=("flows.zarr/one",)),
    Case("catalog_of_text", written("catalog.jsonl", "hello\n"), ("flows",), (2,), ("line 1: not a catalog row",), keeps=("flows.zarr/one",)),
    Case("catalog_nested", written("catalog.jsonl", "[" * 100_000 + "\n"), ("flows",), (2,), ("line 1: not a catalog row",), keeps=("flows.zarr/one",)),
    Case("catalog_of_lists", written("catalog.jsonl", "[1, 2]\n"), ("flows",), (2,), ("line 1: not a catalog row",), keeps=("flows.zarr/one",)),
    Case("catalog_latin_1", written("catalog.jsonl", b"\xe9\n"), ("flows",), (2,), ("catalog.jsonl",), keeps=("flows.zarr/one",)),
    Case("catalog_row_twice", lambda folder: (folder / "catalog.jsonl").write_text((folder / "catalog.jsonl").read_text() * 2), ("flows",), (2,), ("twice",), keeps=("flows.zarr/one",)),
    Case("catalog_row_climbs", lambda folder: (folder / "catalog.jsonl").write_text((folder / "catalog.jsonl").read_text().replace('"row_id": "one"', '"row_id": "../../one"')), ("flows",), (2,), (r"\.\./\.\./one",)),
    Case("catalog_empty", written("catalog.jsonl", ""), ("flows",), (2,), ("catalog.jsonl",), keeps=("flows.zarr/one",)),
    Case("catalog_is_a_pipe", pipe("catalog.jsonl"), ("flows",), (2,), ("catalog.jsonl",), keeps=("flows.zarr/one",)),
    Case("metrics_of_text", written("metrics.json", "hello"), ("summary",), (2,), ("metrics.json: not a metrics file",)),
    Case("metrics_nested", written("metrics.json", "[" * 100_000), ("summary",), (2,), ("metrics.json: not a metrics file",)),
    Case("metrics_of_words", written("metrics.json", '{"paper": {"f1": "high"}, "event": {"f1_at_2": []}, "data": {"rows": 1, "labels": 1, "frames": 1}}'), ("summary",), (2,), ("metrics.json",)),
    Case("metrics_are_a_pipe", pipe("metrics.json"), ("summary",), (2,), ("metrics.json",)),
)  # fmt: skip
