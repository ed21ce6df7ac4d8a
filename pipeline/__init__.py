"""The data plane: from video files to the flow store. It never imports ``ta2net``."""
