"""All cases."""

from __future__ import annotations

from tests.bad_input import films, networks, settings, stores, tables

CASES = (*films.CASES, *tables.CASES, *settings.CASES, *networks.CASES, *stores.CASES)
