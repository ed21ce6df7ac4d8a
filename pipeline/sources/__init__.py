"""From a data set's own annotation files and a folder of videos to the Catalog: a file per data set."""

from pipeline.sources.assemble import Assembled, assemble, check_refused

__all__ = ["Assembled", "assemble", "check_refused"]
