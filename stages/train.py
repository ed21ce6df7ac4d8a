"""DVC stage ``train``: flow store -> trained network."""

from __future__ import annotations

from ta2net.cli import train

if __name__ == "__main__":
    train()
