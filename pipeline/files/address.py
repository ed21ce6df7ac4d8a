"""Addresses of object storage: which are allowed, and how a text that may hold one is shown."""

from __future__ import annotations

import re

_USER = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_QUERY = re.compile(r"(?P<address>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"?#]*)[?#][^\s'\"]*")


def check_address(address: str) -> str:
    """``address`` itself: a path, or a URL without anything secret in it.

    Raises:
        ValueError: it is empty, chained, or could carry credentials.
    """
    if not address.strip():
        raise ValueError("must be a URL or a path; leave it empty (null) for store.path")
    if "://" not in address:
        return address
    if "::" in address:
        raise ValueError("chained URLs are not supported")
    if any(mark in address for mark in "@?#"):
        raise ValueError(
            "must not hold '@', '?' or '#': credentials come from the environment only, never from parameters"
        )
    return address


def without_secrets(text: str) -> str:
    """``text`` with what could be credentials in its URLs (user and password, query) replaced by ``***``."""
    return _QUERY.sub(r"\g<address>?***", _USER.sub(r"\g<scheme>***@", text))
