"""A picture within a page: its pixels, its size and its words."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from radlib.report import picture


def test_a_picture_keeps_its_greys_and_says_what_it_shows():
    figure, axes = plt.subplots(figsize=(2, 1), dpi=100, facecolor="black")
    axes.set_axis_off()
    axes.set_position((0, 0, 1, 1))
    greys = np.linspace(0, 255, 200).reshape(1, -1).repeat(100, 0)
    axes.imshow(greys, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
    html = picture.html(figure, 'a ramp from "black" to white')
    plt.close(figure)
    assert 'alt="a ramp from &quot;black&quot; to white"' in html and 'width="200" height="100"' in html
    data = re.search(r"data:image/webp;base64,([^\"]+)", html).group(1)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)
    assert shown.shape == (100, 200)
    assert np.abs(shown - greys).max() < 12
