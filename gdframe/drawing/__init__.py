"""The look of gdframe's pictures: colours for light and dark pages, and axes that can be read."""

from gdframe.drawing.axis_scales import far_out, is_logarithmic, label_axis, short
from gdframe.drawing.look import DARK, LIGHT, Look, legend_below, new_axes, png

__all__ = [
    "DARK",
    "LIGHT",
    "Look",
    "far_out",
    "is_logarithmic",
    "label_axis",
    "legend_below",
    "new_axes",
    "png",
    "short",
]
