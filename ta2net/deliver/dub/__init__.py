"""Hits -> a preview that can be heard: a sound at every hit, beside the untouched pictures or as WAV."""

from ta2net.deliver.dub.dubbing import Dubbed, check_outputs, dub

__all__ = ["Dubbed", "check_outputs", "dub"]
