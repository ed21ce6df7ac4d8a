"""TA2Net, the method of the paper *Action Dubber: Timing Audible Actions via Inflectional Flow*.

Its section 4 is ``network.py`` from top to bottom, its objective ``losses.py``; docs/method.md goes through
both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ta2net.methods.method import ClipShape, FrameScores, Method, NetworkMethod, Term
from ta2net.methods.ta2net.params import TA2NetParams

if TYPE_CHECKING:
    from torch import nn

    from ta2net.methods.batch import Batch
    from ta2net.methods.ta2net.network import Output

BACKBONE = ".backbone."


class TA2NetMethod(NetworkMethod):
    """Frames, velocity and inflection of a clip -> hits in time and place."""

    name = "ta2net"
    Params = TA2NetParams
    parts = {  # noqa: RUF012 - a constant
        "encode_frames": "frame encoder E_X",
        "encode_velocity": "velocity encoder E_M",
        "encode_inflection": "inflection encoder E_C",
        "aggregate": "aggregation",
        "localize": "localisation (where)",
        "fuse": "fusion head (when)",
    }

    def reads(self, params: TA2NetParams) -> frozenset[str]:
        """What the encoders that are switched on take."""
        on = {"frames": params.pictures, "velocity": params.motion, "inflection": params.inflection}
        return frozenset(name for name, used in on.items() if used)

    def build(self, params: TA2NetParams, clip: ClipShape) -> nn.Module:
        """See ``NetworkMethod.build``."""
        from ta2net.methods.ta2net.network import TA2Net  # PyTorch: parameter files are read without it

        return TA2Net(params, clip.frames)

    def without_weights(self, params: TA2NetParams) -> TA2NetParams:
        """See ``NetworkMethod.without_weights``."""
        return params.model_copy(update={"pretrained": "none"})

    def objective(self, params: TA2NetParams, batch: Batch) -> dict[str, Term]:
        """Eq. 14."""
        from ta2net.methods.ta2net.losses import terms

        return terms(params, batch)

    def scores(self, output: Output) -> FrameScores:
        """The mean over the branches of the fusion head, and the localisation map ``D``."""
        from ta2net.methods.ta2net.network import mean_offset

        return FrameScores(output.probability, output.localization, mean_offset(output.offsets))

    def groups(self, params: TA2NetParams, network: nn.Module) -> dict[str, list[nn.Parameter]]:
        """The backbones, where they come pretrained."""
        if params.pretrained == "none":
            return {}
        return {"pretrained": [x for name, x in network.named_parameters() if BACKBONE in name]}


METHODS: tuple[Method, ...] = (TA2NetMethod(),)
